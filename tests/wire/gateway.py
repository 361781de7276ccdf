"""The gateway that the corpus is written for, and the judgement of what came of a case on it.

Owns: the routes and bounds that cases rely on, what may come of a case that is sent whole or in pieces, with and without
bytes behind it. Must not know how bytes travel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

from tests.oracle import http1
from tests.support.core import CREDENTIAL, SECRET
from tests.wire.cases import MEMORY, Case, Place, lines

# Small, so that what is too large is still short enough to be sent byte by byte.
LIMITS = {"head_bytes": 4096, "headers": 32, "target_bytes": 1024, "body_bytes": 300}
CANARY = b"GET /canary HTTP/1.1\r\nHost: canary\r\n\r\n"
GARBAGE = b"\x00garbage\r\n\r\n"
CANARY_UP = ["GET /canary HTTP/1.1", "Host: canary", "{forwarded canary}", ""]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
OK_TO_HEAD = OK[:-2]


def config(node: str) -> dict[str, Any]:
    """/jwt is for John, whose token a client may show; all else is for everybody."""
    upstream = {"type": "roundrobin", "nodes": {node: 1}, "timeout": {"connect": 10, "send": 10, "read": 10}}
    credential = {"id": CREDENTIAL.decode(), "plugins": {"jwt-auth": {"key": "john-key", "secret": SECRET.decode()}}}
    return {
        "limits": LIMITS,
        "consumers": [{"username": "john", "credentials": [credential]}],
        "routes": [
            {"id": "open", "uri": "/*", "upstream": upstream},
            {"id": "jwt", "uri": "/jwt/*", "plugins": {"jwt-auth": {}}, "upstream": upstream},
        ],
    }


def reply(request: http1.Message) -> bytes:
    """What the upstream answers where the case does not say it."""
    return OK_TO_HEAD if request.start[0] == b"HEAD" else OK


class Seen(NamedTuple):
    """What came of a case."""

    got: bytes
    """By the client."""
    alive: bool
    """Whether the client's connection lives."""
    ups: tuple[bytes, ...]
    """By the upstream, on each of its connections."""
    kept: tuple[bool, ...]
    """Which of these live."""


class Outcome(NamedTuple):
    """As much of it as a case says without exact bytes."""

    statuses: list[int]
    alive: bool
    canaries: int


def outcomes(case: Case, behind: bytes, pieces: bool) -> list[Outcome]:
    """What a case may come to with these bytes behind it."""
    lives = [case.end == "keep", *([False] if "early" in case.flags and pieces else [])]
    more = {b"": [], CANARY: [200], GARBAGE: [400]}[behind]
    return [
        Outcome(
            case.statuses + (more if alive else []),
            case.end == "waits" or (alive and behind != GARBAGE),
            int(alive and behind == CANARY),
        )
        for alive in lives
    ]


def judge(case: Case, seen: Seen, behind: bytes, *, pieces: bool, place: Place = MEMORY) -> None:
    """AssertionError where something else came of a case than it says."""
    answers = [each for each in heard(case, seen) if not (pieces and each.status == 100 and 100 not in case.statuses)]
    asked = [message for stream in seen.ups for message in requests(stream)]
    canaries = sum(each.start[1] == b"/canary" for each in asked)
    found = Outcome([each.status for each in answers], seen.alive, canaries)
    allowed = outcomes(case, behind, pieces)
    assert found in allowed, f"{found}, not {allowed}: {seen}"
    assert all(each.whole for each in answers[:-1]), seen
    assert not answers or answers[-1].whole != (case.end == "cut"), seen
    judge_upstream(case, seen, asked, pieces, place)
    if case.down_text and not behind:
        expected = case.down(place)
        got = re.sub(rb"(?m)^Date: [^\r]* GMT\r$", b"Date: now\r", seen.got)
        if pieces:
            methods = methods_of(case)
            read, meant = (http1.answers(stream, methods, closed=not seen.alive) for stream in (got, expected))
            same = [each.said for each in read] == [each.said for each in meant]
        else:
            same = got == expected
        assert same, f"the client got {got!r}, not {expected!r}"


def judge_upstream(case: Case, seen: Seen, asked: list[http1.Message], pieces: bool, place: Place) -> None:
    """What reached the upstream, to the byte where the case was sent whole, and what became of its connection."""
    text, canary = case.up(place), lines(CANARY_UP, place)
    if pieces:
        crossed = [each for each in asked if each.start[1] != b"/canary"]
        if "begun" in case.flags and crossed and not crossed[-1].whole:
            assert not any(seen.kept), f"an unfinished message waits to be finished: {seen}"
            crossed.pop()
        expected = list(http1.requests(text))
        assert [each.said for each in crossed] == [each.said for each in expected], f"the upstream got {crossed}, not {expected}"
    else:
        stream = b"".join(seen.ups)
        assert stream.removesuffix(canary) == text, f"the upstream got {stream!r}, not {text!r}"
    if "reuse" in case.flags:
        assert seen.kept == (True,), seen
    if "drop" in case.flags:
        assert seen.kept[:1] == (False,), seen


def heard(case: Case, seen: Seen) -> list[http1.Message]:
    """The answers that the client got."""
    return list(http1.answers(seen.got, methods_of(case), closed=not seen.alive))


def methods_of(case: Case) -> list[bytes]:
    """Of the requests that a case consists of, as long as they are some: what answers to HEAD are like depends on it."""
    found: list[bytes] = []
    with suppress(http1.MalformedError):
        found.extend(each.start[0] for each in http1.requests(case.sent))
    return found


@lru_cache(4096)
def requests(stream: bytes) -> tuple[http1.Message, ...]:
    """The messages of an upstream's connection, which are lawful whatever the client sent."""
    return tuple(http1.requests(stream))


def cuts(data: bytes, places: list[int]) -> Iterator[bytes]:
    """The pieces between these places."""
    last = 0
    for place in [*places, len(data)]:
        if last < place <= len(data):
            yield data[last:place]
            last = place
