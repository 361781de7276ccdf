"""Long bodies that pass inside the kernel: whatever happens on the way, what arrives is what it would be if they were copied."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator

import pytest

from fastgw import _core
from tests.support.core import OK, snapshot

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
BODY = hashlib.shake_128(b"body").digest(100_000)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY)
POST = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY)
NEVER = 1 << 62
DOWN, UP = 0, 1


@pytest.fixture(params=[1, 30_000, NEVER], ids=["all", "long", "none"])
def wire(request: pytest.FixtureRequest) -> Iterator[_core.Wire]:
    """A client's line 0. The upstream's will be line 1."""
    wire = _core.Wire(snapshot(), splice_least=request.param)
    wire.open()
    yield wire
    assert wire.active == 0


def pieces(data: bytes, seed: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    at = 0
    while at < len(data):
        size = chance.choice((1, 100, 5_000, 20_000))
        yield data[at : at + size]
        at += size


def body_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("seed", range(5))
def test_an_answer_arrives_whole_through_a_slow_client(wire: _core.Wire, seed: int) -> None:
    chance = random.Random(seed)
    wire.push(DOWN, GET)
    got = b""
    for piece in pieces(ANSWER + BODY, seed):
        wire.room(DOWN, chance.choice((0, 10, 3_000, 50_000)))
        wire.push(UP, piece)
        got += wire.pull(DOWN)
        assert wire.held() <= 256 * 1024
    wire.room(DOWN, 1 << 30)
    got += wire.pull(DOWN)
    assert body_of(got) == BODY
    assert wire.is_open(DOWN)
    assert wire.is_open(UP)


@pytest.mark.parametrize("seed", range(5))
def test_a_request_arrives_whole_through_a_slow_upstream(wire: _core.Wire, seed: int) -> None:
    chance = random.Random(seed)
    sent = b""
    for piece in pieces(POST + BODY, seed):
        wire.push(DOWN, piece)
        if len(wire.lines()) > 1:
            wire.room(UP, chance.choice((0, 10, 3_000, 50_000)))
            sent += wire.pull(UP)
        assert wire.held() <= 256 * 1024
    wire.room(UP, 1 << 30)
    sent += wire.pull(UP)
    assert body_of(sent) == BODY
    wire.push(UP, OK)
    assert body_of(wire.pull(DOWN)) == b"ok"


def test_the_next_request_waits_for_the_rest_of_the_answer(wire: _core.Wire) -> None:
    wire.push(DOWN, GET)
    wire.room(DOWN, 1000)
    wire.push(UP, ANSWER + BODY[:50_000])
    wire.push(UP, BODY[50_000:])
    wire.push(DOWN, GET)
    assert wire.pull(UP).count(b"GET ") == 1
    got = wire.pull(DOWN)
    wire.room(DOWN, 1 << 30)
    got += wire.pull(DOWN)
    assert body_of(got) == BODY
    assert wire.pull(UP).count(b"GET ") == 1
    wire.push(UP, OK)
    assert body_of(wire.pull(DOWN)) == b"ok"


def test_a_request_behind_a_long_body_is_served(wire: _core.Wire) -> None:
    wire.push(DOWN, POST + BODY + GET)
    assert body_of(wire.pull(UP)) == BODY
    wire.push(UP, OK)
    assert body_of(wire.pull(DOWN)) == b"ok"
    assert wire.pull(UP).startswith(b"GET ")
    wire.push(UP, OK)


def test_bytes_beyond_an_answer_reach_nobody(wire: _core.Wire) -> None:
    wire.push(DOWN, GET)
    wire.push(UP, ANSWER + BODY[:10])
    wire.push(UP, BODY[10:] + b"HTTP/1.1 200 OK\r\n\r\nforged")
    assert body_of(wire.pull(DOWN)) == BODY
    assert not wire.is_open(UP)


@pytest.mark.parametrize("how", ["end", "reset"])
def test_an_answer_cut_short_is_cut_short(wire: _core.Wire, how: str) -> None:
    wire.push(DOWN, GET)
    wire.push(UP, ANSWER + BODY[:40_000])
    wire.push(UP, BODY[40_000:99_999])
    getattr(wire, how)(UP)
    assert len(body_of(wire.pull(DOWN))) == 99_999
    assert not wire.is_open(DOWN)


@pytest.mark.parametrize("told", [True, False], ids=["told", "found out"])
def test_a_client_that_breaks_takes_the_upstream_with_it(wire: _core.Wire, told: bool) -> None:
    wire.push(DOWN, GET)
    wire.room(DOWN, 1000)
    wire.push(UP, ANSWER + BODY[:60_000])
    if told:
        wire.reset(DOWN)
    else:
        wire.breaks(DOWN)
        wire.room(DOWN, 0)
        wire.room(DOWN, 1 << 30)
    assert not wire.is_open(DOWN)
    assert not wire.is_open(UP)


def test_an_upstream_that_breaks_in_the_middle_of_a_request(wire: _core.Wire) -> None:
    wire.push(DOWN, POST + BODY[:10])
    wire.breaks(UP)
    wire.push(DOWN, BODY[10:60_000])
    assert wire.pull(DOWN).startswith(b"HTTP/1.1 502 ")
    assert not wire.is_open(UP)


def test_an_upstream_that_answers_before_it_has_the_body(wire: _core.Wire) -> None:
    wire.push(DOWN, POST + BODY[:10])
    wire.room(UP, 100)
    wire.push(DOWN, BODY[10:60_000])
    wire.push(UP, OK)
    assert body_of(wire.pull(DOWN)) == b"ok"
    assert not wire.is_open(UP)
    assert wire.finished(DOWN)


def test_a_client_that_leaves_in_the_middle_of_a_request(wire: _core.Wire) -> None:
    wire.push(DOWN, POST + BODY[:10])
    wire.push(DOWN, BODY[10:60_000])
    wire.end(DOWN)
    assert not wire.is_open(DOWN)
    assert not wire.is_open(UP)


def test_a_slow_client_is_cut_after_its_time(wire: _core.Wire) -> None:
    wire.push(DOWN, GET)
    wire.room(DOWN, 1000)
    wire.push(UP, ANSWER + BODY[:60_000])
    wire.advance(3600)
    assert not wire.is_open(DOWN)
    assert not wire.is_open(UP)
