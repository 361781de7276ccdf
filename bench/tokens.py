"""Consumers of the bench and their HS256 tokens, made by hand so that no library's taste gets in.

Must not know any peer: each peer turns a Consumer into its own configuration.
"""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass

YEAR = 365 * 24 * 3600
UNREACHABLE_LIMIT = 1_000_000_000
TINY_LIMIT = 2


@dataclass(frozen=True)
class Consumer:
    """Who calls: the `key` claim names it, `secret` signs, `limit` requests pass per hour."""

    name: str
    key: str
    secret: str
    limit: int


# Secrets are 32 bytes, the least RFC 7518 section 3.2 allows for HS256.
ORDINARY = Consumer("bench", "bench-key", "bench-secret-of-exactly-32-bytes", UNREACHABLE_LIMIT)
LIMITED = Consumer("bench-limited", "bench-limited-key", "other-secret-of-exactly-32-bytes", TINY_LIMIT)
LIMITED_TOO = Consumer("bench-limited-too", "bench-limited-too-key", "third-secret-of-exactly-32-bytes", TINY_LIMIT)


def crowd(count: int) -> tuple[Consumer, ...]:
    """Consumers that share nothing: each its own key, secret and limit."""
    return tuple(
        Consumer(f"bench-{n}", f"bench-{n}-key", f"secret-{n:05}-of-exactly-32-bytes", UNREACHABLE_LIMIT + n)
        for n in range(count)
    )


def _segment(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign(claims: dict[str, object], secret: str, **head_fields: str) -> str:
    """A compact HS256 JWT (RFC 7519, RFC 7515 section 3.1) over `claims`."""
    head = _segment(json.dumps({"alg": "HS256", "typ": "JWT", **head_fields}, separators=(",", ":")).encode())
    body = _segment(json.dumps(claims, separators=(",", ":")).encode())
    signature = hmac.digest(secret.encode(), f"{head}.{body}".encode(), "sha256")
    return f"{head}.{body}.{_segment(signature)}"


def good(consumer: Consumer, **more: object) -> str:
    return sign({"key": consumer.key, "exp": int(time.time()) + YEAR, **more}, consumer.secret)


def expired(consumer: Consumer) -> str:
    return sign({"key": consumer.key, "exp": int(time.time()) - YEAR}, consumer.secret)


def tampered(consumer: Consumer) -> str:
    """As `good`, signed with another secret: well-formed, so the whole signature must be computed."""
    return sign({"key": consumer.key, "exp": int(time.time()) + YEAR}, consumer.secret[::-1])


def with_key_id(token: str, consumers: Iterable[Consumer]) -> str:
    """The same token with its consumer's key as `kid` in the head; what is wrong with it stays wrong.

    For peers that find a secret by `kid` alone. Others are given the token as it is.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return token
    claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=="))
    one = next(one for one in consumers if one.key == claims["key"])
    secret = one.secret if token == sign(claims, one.secret) else one.secret[::-1]
    return sign(claims, secret, kid=one.key)
