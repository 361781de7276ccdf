"""What the rooms of the corpus make attacks of."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from tests.support.signers import Signer, b64

Found = Iterator[tuple[str, bytes, str]]
"""Name, token, reason without its `jwt.`."""


@dataclass(frozen=True)
class Target:
    """A credential under attack: its signer, a stranger with a key of the same kind, and the time."""

    signer: Signer
    stranger: Signer
    now: int
    soon: int

    @functools.cached_property
    def payload(self) -> bytes:
        return self.signer.payload(exp=self.soon + 3600)

    @functools.cached_property
    def good(self) -> bytes:
        return self.signer.token(payload=self.payload)

    @functools.cached_property
    def parts(self) -> tuple[bytes, bytes, bytes]:
        """Header, payload and signature of the good token, as it has them."""
        header, payload, signature = self.good.split(b".")
        return header, payload, signature

    def signed(self, header: bytes) -> bytes:
        """The good payload under this header, rightly signed."""
        return self.signer.token(header, self.payload)

    def says(self, members: bytes) -> bytes:
        """A rightly signed token whose header has the right alg and these members, as JSON text without braces."""
        return self.signed(b'{"alg":"%s",%b}' % (self.signer.alg.encode(), members))

    def claims(self, members: bytes) -> bytes:
        """A rightly signed token whose payload has the key and these members."""
        return self.signer.token(payload=b'{"key":"%b",%b}' % (self.signer.key, members))

    def only(self, payload: bytes) -> bytes:
        """A rightly signed token of this payload."""
        return self.signer.token(payload=payload)

    def with_signature(self, signature: bytes) -> bytes:
        """The good header and payload under this signature."""
        return b"%b.%b.%b" % (*self.parts[:2], b64(signature))
