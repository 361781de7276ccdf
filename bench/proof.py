"""Proof that a peer does what it claims, before it is timed. Must not know how a peer is configured."""

from __future__ import annotations

import hashlib
import http.client
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bench import tls
from bench.origin import ECHO
from bench.peers.base import Claim, Job, Peer
from bench.requests import body_of
from bench.tokens import TINY_LIMIT, confused, expired, good, tampered

TIMEOUT_SECONDS = 30
Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Check:
    """Requests for one path with one token, and the statuses they must get in this order."""

    what: str
    path: str
    token: str | None
    statuses: tuple[int, ...]
    body: bytes = b""  # sent with each; the upstream is then asked to answer with what it got


def _samples(items: Sequence[Thing]) -> list[Thing]:
    """The first, the middle and the last: enough to show that all were configured."""
    return [items[at] for at in sorted({0, len(items) // 2, len(items) - 1})]


def checks_for(claims: frozenset[Claim], job: Job) -> Iterator[Check]:
    """Limits are proved on consumers of their own, so that those that are timed start fresh."""
    paths, body = job.paths(), body_of(job)
    unlimited = [one for one in job.consumers if one.limit > TINY_LIMIT]
    caller = good(unlimited[0])
    for path in _samples(paths):
        yield Check(f"a good token for {path}", path, caller, (200, 200))
    for consumer in _samples(unlimited)[1:]:
        yield Check(f"a good token of {consumer.name}", paths[0], good(consumer), (200,))
    if job.routes > 1:
        yield Check("a path of no route", f"{job.path}/none", caller, (404,))
    if body:
        yield Check(f"a body of {len(body)} bytes", paths[0] + ECHO, caller, (200, 200), body)
    if Claim.JWT in claims:
        yield Check("no token", paths[0], None, (401,))
        yield Check("a tampered token", paths[0], tampered(unlimited[0]), (401,))
        yield Check("an expired token", paths[0], expired(unlimited[0]), (401,))
        yield Check("a malformed token", paths[0], "somewrongkey", (401,))
        if not unlimited[0].shares_secret:
            yield Check("a token that takes the public key for a secret", paths[0], confused(unlimited[0]), (401,))
    if Claim.LIMIT in claims:
        for consumer in job.consumers:
            if consumer.limit <= TINY_LIMIT:
                statuses = (200,) * consumer.limit + (429, 429)
                yield Check(f"{consumer.name}, limited to {consumer.limit}", paths[0], good(consumer), statuses)


def _connection(port: int, secure: bool) -> http.client.HTTPConnection:
    if secure:
        return http.client.HTTPSConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS, context=tls.client())
    return http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)


def _ask(port: int, check: Check, token: str | None, secure: bool) -> tuple[int, bytes]:
    connection = _connection(port, secure)
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request("POST" if check.body else "GET", check.path, check.body or None, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def described(body: bytes) -> str:
    """Length and hash of what is too long to be shown."""
    return repr(body) if len(body) <= 200 else f"{len(body)} bytes, SHA-256 {hashlib.sha256(body).hexdigest()[:16]}"


def prove(peer: Peer, port: int, job: Job, answer: bytes) -> list[str]:
    """What is wrong with the peer, in words; empty when every claim holds."""
    faults: list[str] = []
    for check in checks_for(peer.claims_in(job), job):
        wanted = check.body or answer
        token = peer.token(check.token, job) if check.token else None
        for turn, expected in enumerate(check.statuses, 1):
            where = f"{check.what}, request {turn}"
            try:
                status, body = _ask(port, check, token, job.tls)
            except (OSError, http.client.HTTPException) as error:
                faults.append(f"{where}: {type(error).__name__}: {error}")
                continue
            if status != expected:
                faults.append(f"{where}: expected {expected}, got {status} {described(body)}")
            elif status == 200 and body != wanted:
                faults.append(f"{where}: expected the upstream's {described(wanted)}, got {described(body)}")
            elif status != 200 and body == wanted:
                faults.append(f"{where}: {status} with the upstream's answer")
    return faults
