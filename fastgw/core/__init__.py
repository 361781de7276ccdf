"""The core as a library: tokens, limits and revocations for programs of your own, with or without a gateway in front.

Owns: what such a program imports. Depends on the native core and on `cryptography` alone. Must not know configurations, requests
or servers. docs/embedding.md has the whole of it.

    from fastgw.core import JWTVerifier, Key, Limiter, Table

    verifier = JWTVerifier(Key("HS256", secret), issuers=["https://issuer.example"], required=["exp"])
    claims = verifier.verify(token)          # a dict, or a TokenError that says why not

    table = Table.open("/run/app/limits")    # before a fork or after it, in any number of processes
    logins = Limiter(table, "logins", count=5, window=60)
    allowed, limit, remaining, reset, retry_after = logins.hit(user)

Everything here may be used by any number of threads, and from coroutines: no call waits for anything but the interpreter, and
none takes longer than a signature. Tables are shared by processes: one that was made before a fork is the children's too, one in
a file is whoever's that attaches it.
"""

from pathlib import Path

from fastgw._core import (
    ClaimError,
    Decision,
    ExpiredTokenError,
    Limiter,
    MalformedTokenError,
    RegionError,
    RevocationsFullError,
    RevokedTokenError,
    SignatureError,
    Table,
    TokenError,
    UnknownKeyError,
)
from fastgw.core.revocations import Revocations
from fastgw.core.signatures import Key
from fastgw.core.verifier import JWTVerifier

__all__ = [
    "ClaimError",
    "Decision",
    "ExpiredTokenError",
    "JWTVerifier",
    "Key",
    "Limiter",
    "MalformedTokenError",
    "RegionError",
    "Revocations",
    "RevocationsFullError",
    "RevokedTokenError",
    "SignatureError",
    "Table",
    "TokenError",
    "UnknownKeyError",
    "include_dir",
]


def include_dir() -> str:
    """Where fastgw.h is: for compilers of programs that use the C API (docs/embedding.md)."""
    return str(Path(__file__).parents[1] / "include")
