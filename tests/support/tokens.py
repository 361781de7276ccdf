"""Tokens as other software makes them (PyJWT), and the ways to spoil one."""

import time
import warnings
from typing import Any

import jwt

JOHN = {"key": "john-key", "secret": "john-hs256-secret"}
JANE = {"key": "jane-key", "secret": "jane-hs256-secret"}


def token(
    key: str | None,
    secret: Any,
    *,
    algorithm: str = "HS256",
    expires_in: int | None = 3600,
    headers: dict[str, Any] | None = None,
    **claims: Any,
) -> str:
    """A signed token with the key claim; `secret` is a shared secret or a private key in PEM form."""
    payload = dict(claims)
    if key is not None:
        payload["key"] = key
    if expires_in is not None:
        payload["exp"] = int(time.time()) + expires_in
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the guide's secrets are shorter than PyJWT likes
        return jwt.encode(payload, secret, algorithm=algorithm, headers=headers)


def john(**options: Any) -> str:
    return token(**JOHN, **options)


def jane(**options: Any) -> str:
    return token(**JANE, **options)


def tampered(good: str) -> str:
    """The same token with one character of its signature changed: a middle one, all of whose bits count."""
    head, payload, signature = good.split(".")
    middle = len(signature) // 2
    changed = "A" if signature[middle] != "A" else "B"
    return f"{head}.{payload}.{signature[:middle]}{changed}{signature[middle + 1 :]}"
