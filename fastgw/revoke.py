"""What `fastgw token revoke` writes: a revocation, from claims or from a token as it stands.

Owns: which claims of a token make a revocation, how long it lasts, what it is called. Must not know: where it goes. A token
is read and not verified: who may write revocations may revoke any.
"""

import base64
import binascii
import hashlib
import json
from types import EllipsisType
from typing import Any, Final

from fastgw.errors import FastgwError

__all__ = ["RevokeError", "id_of", "revocation", "told"]

SPARE_S: Final = 86_400  # after exp: for lifetime_grace_period, and clocks that differ
_SUBJECTS: Final = ("jti", "sub", "credential")


class RevokeError(FastgwError):
    """This cannot be revoked as asked."""


def revocation(
    *,
    token: str | None,
    jti: str | None,
    sub: str | None,
    credential: str | None,
    issued_before: int | None,
    expires: int | EllipsisType | None,
    desc: str | None,
) -> dict[str, Any]:
    """The object, without an id. expires None: never; ...: not said, so as a token says, else never."""
    until = None if isinstance(expires, EllipsisType) else expires
    if token is not None:
        claims = _claims(token)
        jti = claims.get("jti")
        if not isinstance(jti, str) or not jti:
            raise RevokeError(
                "--token: it has no jti by which it could be revoked; use --sub or --credential, and --issued-before"
            )
        end = claims.get("exp")
        if isinstance(expires, EllipsisType) and isinstance(end, int | float) and not isinstance(end, bool) and end < 2**53:
            until = max(0, int(end) + 1 + SPARE_S)
    found = {"jti": jti, "sub": sub, "credential": credential, "issued_before": issued_before, "expires": until, "desc": desc}
    value = {name: member for name, member in found.items() if member is not None}
    if value.keys().isdisjoint((*_SUBJECTS, "issued_before")):
        raise RevokeError("expected one of --jti, --sub, --credential, --token, or --issued-before")
    return value


def id_of(value: dict[str, Any]) -> str:
    """The same for the same: to revoke something once more changes at most when the revocation goes."""
    what = {name: value[name] for name in (*_SUBJECTS, "issued_before") if name in value}
    return f"{next(iter(what))}-{hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]}".replace("_", "-")


def told(value: dict[str, Any]) -> str:
    """What is revoked, in words. Of a jti and a sub only that it is one, as they may be nobody's business."""
    what = next((name for name in _SUBJECTS if name in value), None)
    if what == "credential":
        words = f"credential {value['credential']}"
    else:
        words = "all tokens" if what is None else f"tokens of this {what}"
    words += f" issued before {value['issued_before']}" if "issued_before" in value else ""
    return words + (f", until {value['expires']}" if "expires" in value else "")


def _claims(token: str) -> dict[str, Any]:
    """ValueErrors would show parts of the token."""
    parts = token.removeprefix("Bearer ").split(".")
    if len(parts) != 3:
        raise RevokeError(f"--token: expected three parts between dots, found {len(parts)}")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise RevokeError("--token: expected a payload that is a JSON object in base64url, found another")
    return claims
