"""Consumers of the bench and their tokens, made by hand so that no library's taste gets in.

Must not know any peer: each peer turns a Consumer into its own configuration.
"""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass

from bench import keypairs

YEAR = 365 * 24 * 3600
UNREACHABLE_LIMIT = 1_000_000_000
TINY_LIMIT = 2


@dataclass(frozen=True)
class Consumer:
    """Who calls: the `key` claim names it, `secret` signs, `limit` requests pass per hour.

    Of an algorithm other than HS256 the secret is the name of a key pair.
    """

    name: str
    key: str
    secret: str
    limit: int
    algorithm: str = "HS256"

    @property
    def shares_secret(self) -> bool:
        return self.algorithm == "HS256"

    def public_pem(self) -> str:
        return keypairs.public_pem(self.algorithm, self.secret)


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


def sign(claims: dict[str, object], secret: str, *, algorithm: str = "HS256", **head_fields: str) -> str:
    """A compact JWT (RFC 7519, RFC 7515 section 3.1) over `claims`."""
    head = _segment(json.dumps({"alg": algorithm, "typ": "JWT", **head_fields}, separators=(",", ":")).encode())
    body = _segment(json.dumps(claims, separators=(",", ":")).encode())
    text = f"{head}.{body}".encode()
    shared = algorithm == "HS256"
    signature = hmac.digest(secret.encode(), text, "sha256") if shared else keypairs.sign(algorithm, secret, text)
    return f"{head}.{body}.{_segment(signature)}"


def _signed(consumer: Consumer, secret: str, claims: dict[str, object]) -> str:
    """Tokens of key pairs say which: an ES256 token cannot be told by signing it once more, as `with_key_id` does."""
    kid = {} if consumer.shares_secret else {"kid": consumer.key}
    return sign({"key": consumer.key, **claims}, secret, algorithm=consumer.algorithm, **kid)


def good(consumer: Consumer, **more: object) -> str:
    return _signed(consumer, consumer.secret, {"exp": int(time.time()) + YEAR, **more})


def expired(consumer: Consumer) -> str:
    return _signed(consumer, consumer.secret, {"exp": int(time.time()) - YEAR})


def tampered(consumer: Consumer) -> str:
    """As `good`, signed with another secret: well-formed, so the whole signature must be computed."""
    return _signed(consumer, consumer.secret[::-1], {"exp": int(time.time()) + YEAR})


def confused(consumer: Consumer) -> str:
    """An HS256 token whose shared secret is the consumer's public key, which anybody may know."""
    return sign({"key": consumer.key, "exp": int(time.time()) + YEAR}, consumer.public_pem(), kid=consumer.key)


def with_key_id(token: str, consumers: Iterable[Consumer]) -> str:
    """The same token with its consumer's key as `kid` in the head; what is wrong with it stays wrong.

    For peers that find a secret by `kid` alone. Others are given the token as it is.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return token
    head, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in parts[:2])
    if "kid" in head:
        return token
    one = next(one for one in consumers if one.key == claims["key"])
    secret = one.secret if token == sign(claims, one.secret) else one.secret[::-1]
    return sign(claims, secret, kid=one.key)
