"""One worker's core that is asked about tokens: what it says of each, at a time and on a configuration of the test's choice.

Owns: requests with tokens, their verdicts as the access log tells them, the counters of the token cache. Must not know what is
right.
"""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from fastgw import _core
from fastgw.plugins.jwt_keys import verifier
from tests.support.core import chain

NOW = 1_700_000_000
GOOD = "good"
SECRET = b"john-hs256-secret-of-enough-bytes"
OTHER = b"another-hs256-secret-of-enough-bytes"
PRIVATE: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    "Ed448": ed448.Ed448PrivateKey.generate(),  # its algorithm is EdDSA too
}
PRIVATE["PS256"] = PRIVATE["RS384"] = PRIVATE["RS256"]


class Verdict(NamedTuple):
    """GOOD, or why not; and whom the request was taken for."""

    reason: str
    consumer: str | None = None
    credential: str | None = None


JOHN = Verdict(GOOD, "john", "of-john-key")


def token(secret: bytes | str = SECRET, **claims: Any) -> bytes:
    """John's, unless the claims say otherwise; secret: a shared one, or the name of a private key."""
    payload = {"key": "john-key", **claims}
    if isinstance(secret, bytes):
        return jwt.encode(payload, secret, "HS256").encode()
    return jwt.encode(payload, PRIVATE[secret], _algorithm(secret)).encode()


def _algorithm(name: str) -> str:
    return name.replace("Ed448", "EdDSA")


def hs256(secret: bytes = SECRET) -> _core.SecretKey:
    return _core.SecretKey("HS256", secret=secret)


def public_secret(name: str, asked: list[int]) -> _core.SecretKey:
    """The public half of a private key; notes each time that its verifier is called."""
    check = verifier(_algorithm(name), PRIVATE[name].public_key())

    def noting(message: bytes, signature: bytes) -> bool:
        asked.append(1)
        return check(message, signature)

    return _core.SecretKey(_algorithm(name), verifier=noting)


def routes(*steps: _core.JwtAuthStep) -> list[tuple[_core.Plan, bytes, bytes]]:
    """Route number i is /i, with the step of that place. None leads anywhere: what passes is answered 503."""
    return [(_core.Plan(b"r%d" % i, chain(step)), b"", b"/%d" % i) for i, step in enumerate(steps)]


def snapshot(credentials: Sequence[_core.Credential], steps: Sequence[_core.JwtAuthStep] = ()) -> _core.Snapshot:
    """These credentials, and a route for each step; one with the plugin's defaults where none is given."""
    found = routes(*(steps or [_core.JwtAuthStep()]))
    return _core.Snapshot(found, {"jwt": list(credentials)}, chain())


def credential(secret: _core.SecretKey, key: bytes = b"john-key", leeway: int = 0, name: bytes = b"john") -> _core.Credential:
    """A consumer with one credential."""
    id_ = b"of-" + key.partition(b"\0")[0]
    return _core.Credential(_core.Consumer(name, chain()), key, id_, secret=secret, leeway=leeway)


class Judge:
    """A core whose token cache has that many entries; it is told when it is, and never looks at a clock."""

    def __init__(self, entries: int, first: _core.Snapshot, now: int = NOW) -> None:
        self.region = _core.Region.create(1024)
        self.wire = _core.Wire(first, region=self.region, token_cache=entries)
        self.wire.wall = now
        self._log = os.memfd_create("log")
        weakref.finalize(self, os.close, self._log)
        self._client = self.wire.open()

    def at(self, now: int) -> Judge:
        self.wire.wall = now
        return self

    def install(self, new: _core.Snapshot) -> None:
        """From now on; the snapshot before is gone."""
        self.wire.install(new)
        self.wire.advance(0)

    def ask(self, token: bytes, route: int = 0) -> Verdict:
        """What is said of a request with this token in its Authorization header."""
        return self.send(b"GET /%d HTTP/1.1\r\nHost: x\r\nAuthorization: %b\r\n\r\n" % (route, token))

    def send(self, request: bytes) -> Verdict:
        if not self.wire.is_open(self._client):
            self._client = self.wire.open()
        os.ftruncate(self._log, 0)
        os.lseek(self._log, 0, os.SEEK_SET)
        self.wire.access_log(self._log)
        self.wire.push(self._client, request)
        self.wire.pull(self._client)
        self.wire.access_log(-1)
        line = json.loads(os.pread(self._log, 1 << 16, 0).split(b"\n")[0])
        reason = line.get("refused", str(line["status"]))
        return Verdict(GOOD if reason == "upstream.missing" else reason, line.get("consumer"), line.get("credential"))

    def counts(self) -> tuple[int, int]:
        """Hits and misses of the token cache so far."""
        metrics = self.region.metrics()
        return metrics["token_cache_hits"], metrics["token_cache_misses"]

    def hit(self, token: bytes, route: int = 0) -> bool:
        """Asks, and tells whether the answer was remembered."""
        hits, misses = self.counts()
        self.ask(token, route)
        now = self.counts()
        assert now in ((hits + 1, misses), (hits, misses + 1)), now
        return now[0] > hits


def judge(*credentials: _core.Credential, entries: int = 64, steps: Sequence[_core.JwtAuthStep] = (), now: int = NOW) -> Judge:
    """A Judge of these credentials, of John's where none is given."""
    return Judge(entries, snapshot(credentials or (credential(hs256()),), steps), now)
