"""Headers whose values no log has: they carry credentials.

Owns: their names. Must not know who logs, nor which plugin asks for them. A name once told stays one for the life of the process,
as of arguments (native/log_url): a client may go on sending what an earlier configuration asked for.
"""

from typing import Final

__all__ = ["conceal", "is_concealed"]

_NAMES: Final = {
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "apikey",
    "x-api-key",
    "x-auth-token",
    "x-amz-security-token",
}


def conceal(name: str) -> None:
    """A plugin takes credentials from headers of this name."""
    _NAMES.add(_folded(name))


def is_concealed(name: str) -> bool:
    """Whether it may carry a credential, in any spelling that upstreams may take for it."""
    return _folded(name) in _NAMES


def _folded(name: str) -> str:
    return name.lower().replace("_", "-")
