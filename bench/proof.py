"""Proof that a peer does what it claims, before it is timed. Must not know how a peer is configured."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from dataclasses import dataclass

from bench.peers.base import Claim, Job, Peer
from bench.tokens import LIMITED, ORDINARY, expired, good, tampered

TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class Check:
    """Requests with one token, and the statuses they must get in this order."""

    what: str
    token: str | None
    statuses: tuple[int, ...]


def checks_for(claims: frozenset[Claim]) -> Iterator[Check]:
    """The limit is proved on a consumer of its own, so that the one that is timed starts fresh."""
    yield Check("a good token", good(ORDINARY), (200, 200))
    if Claim.JWT in claims:
        yield Check("no token", None, (401,))
        yield Check("a tampered token", tampered(ORDINARY), (401,))
        yield Check("an expired token", expired(ORDINARY), (401,))
        yield Check("a malformed token", "somewrongkey", (401,))
    if Claim.LIMIT in claims:
        allowed = (200,) * LIMITED.limit
        yield Check(f"a consumer limited to {LIMITED.limit}", good(LIMITED), (*allowed, 429, 429))


def _ask(port: int, path: str, token: str | None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def prove(peer: Peer, port: int, job: Job, answer: str) -> list[str]:
    """What is wrong with the peer, in words; empty when every claim holds."""
    faults: list[str] = []
    for check in checks_for(peer.claims_in(job)):
        for turn, expected in enumerate(check.statuses, 1):
            try:
                token = peer.token(check.token, job) if check.token else None
                status, body = _ask(port, job.path, token)
            except (OSError, http.client.HTTPException) as error:
                faults.append(f"{check.what}, request {turn}: {type(error).__name__}: {error}")
                continue
            if status != expected:
                faults.append(f"{check.what}, request {turn}: expected {expected}, got {status} {body[:80]!r}")
            elif (body == answer.encode()) != (status == 200):
                faults.append(f"{check.what}, request {turn}: {status} with a body of the wrong source: {body[:80]!r}")
    return faults
