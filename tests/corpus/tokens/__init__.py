"""The attack corpus: every way to forge, confuse or blow up a token that hardening rules 26 to 30 name, for each algorithm.

Owns: tokens that must be refused, each with a name and the reason that the log gives. `attacks` makes those against one
credential. Must not know how anything is verified. Two things look like attacks and are none, and so are not here: the ECDSA
signature (r, n-s), which signs as (r, s) does and is what half of all signers send, and a shared secret with zero bytes behind
it, which is the same key to HMAC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.corpus.tokens import claims, header, segments, signature, text
from tests.corpus.tokens.made import Target
from tests.support.signers import STRANGERS, Signer

ROOMS: tuple[Callable[[Target], Iterator[tuple[str, bytes, str]]], ...] = (
    header.attacks,
    segments.attacks,
    text.attacks,
    claims.attacks,
    signature.attacks,
)

MESSAGES = {
    "jwt.no_key_claim": "missing user key in JWT token",
    "jwt.bad_key_claim": "Invalid user key in JWT token",
    "jwt.unknown_key": "Invalid user key in JWT token",
}
"""What the client is told, by the reason in the log; of any other reason it is QUIET."""
QUIET = "failed to verify jwt"


class Attack(NamedTuple):
    """`reason`: what the access log says of it as `refused`."""

    name: str
    token: bytes
    reason: str

    @property
    def fits_a_header(self) -> bool:
        """Whether a header field can carry it behind a scheme: no control bytes, and no blanks at the end, which are no part of
        a field's value (RFC 9110 section 5.5)."""
        return self.token.rstrip(b" \t") == self.token and not any(
            (byte < 32 and byte != 9) or byte == 127 for byte in self.token
        )

    @property
    def message(self) -> str:
        return MESSAGES.get(self.reason, QUIET)


def attacks(signer: Signer, now: int, soon: int) -> list[Attack]:
    """Those against a signer's credential, judged at `now`, in seconds, or any time from then until before `soon`."""
    target = Target(signer, STRANGERS[signer.name], now, soon)
    return [Attack(name, token, f"jwt.{reason}") for room in ROOMS for name, token, reason in room(target)]
