"""standing: what a step has counted is what its limiter says, and what it forgets is forgotten."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core
from tests.support.core import OK, snapshot

OWNER = b"routes/r/limit-count"
SECOND = 10**9
HITS = st.lists(st.integers(0, 5 * SECOND), min_size=1, max_size=30)  # ns between them


def count_step(**members: Any) -> _core.LimitCountStep:
    return _core.LimitCountStep(OWNER, _core.Template("remote_addr"), **members)


@given(gaps=HITS, algorithm=st.sampled_from(["fixed", "sliding", "token-bucket"]), count=st.integers(1, 7))
def test_a_count_stands_as_the_limiter_says(gaps: list[int], algorithm: Any, count: int) -> None:
    region = _core.Region.create(64, slots=1, revocations=1)
    step = count_step(count=count, window=10, algorithm=algorithm)
    limiter = _core.Limiter(region, OWNER, count=count, window=10, algorithm=algorithm)
    now = 10**6 * SECOND
    for gap in gaps:
        now += gap
        told = limiter.hit(b"\xff", now_ns=now)
        standing = _core.limit_standing(step, region, b"\xff", now_ns=now)
        assert standing is not None
        assert (standing.algorithm, standing.limit) == (algorithm, count)
        assert standing.consumed >= 1
        peek = limiter.peek(b"\xff", now_ns=now)
        assert (standing.remaining, standing.reset, standing.retry_after) == (peek.remaining, peek.reset, peek.retry_after)
        if told.allowed:
            assert standing.remaining == told.remaining
        if algorithm != "sliding" or standing.remaining:
            assert standing.consumed + (standing.remaining or 0) == count
    assert _core.limit_standing(step, region, b"another", now_ns=now) is None
    assert _core.limit_standing(step, region, b"\xff", now_ns=now + 21 * SECOND) is None


def test_what_was_consumed_stands_after_an_edit() -> None:
    region = _core.Region.create(64, slots=1, revocations=1)
    limiter = _core.Limiter(region, OWNER, count=5, window=10)
    for _ in range(5):
        limiter.hit("k")
    standing = _core.limit_standing(count_step(count=3, window=10), region, b"k")
    assert standing is not None
    assert (standing.limit, standing.consumed, standing.remaining) == (3, 5, 0)


@given(hits=st.integers(1, 8), parts=st.sampled_from([1, 4]), wait=st.integers(0, 3 * SECOND))
def test_a_leaky_bucket_stands_in_requests(hits: int, parts: int, wait: int) -> None:
    """Two per second, three may be ahead of that: with the one that is served, four at once."""
    region = _core.Region.create(64, slots=1, revocations=1)
    step = _core.LimitReqStep(OWNER, _core.Template("remote_addr"), count=2, window=1, burst=4 * parts, parts=parts)
    bucket = _core.Limiter(region, OWNER, count=2 * parts, window=1, algorithm="token-bucket", burst=4 * parts)
    now = 10**6 * SECOND
    for _ in range(hits):
        bucket.hit("k", parts, now_ns=now)
    now += wait
    standing = _core.limit_standing(step, region, b"k", now_ns=now)
    debt = min(hits, 4) / 2 - wait / SECOND  # seconds
    if debt <= 0:
        assert standing is None
        return
    assert standing is not None
    assert (standing.algorithm, standing.limit, standing.consumed) == ("leaky-bucket", 4, math.ceil(debt * 2))
    assert standing.remaining == math.floor(4 - debt * 2)
    assert standing.reset == pytest.approx(debt)
    assert standing.retry_after == pytest.approx(max(debt - 1.5, 0))
    assert bucket.peek("k", now_ns=now + math.ceil((standing.retry_after or 0) * SECOND)).remaining >= parts


@pytest.mark.parametrize("count", [2, "http_n"])
@pytest.mark.parametrize("window", [60, "http_w"])
@pytest.mark.parametrize("algorithm", ["fixed", "sliding", "token-bucket"])
def test_of_numbers_that_requests_name_what_can_be_said_is(algorithm: Any, count: Any, window: Any) -> None:
    """A sliding window of unknown length cannot be found; what is told for certain is what needs no request."""
    region = _core.Region.create(64, slots=1, revocations=1)
    limit = {
        name: each if isinstance(each, int) else _core.Template(each) for name, each in (("count", count), ("window", window))
    }
    step = count_step(algorithm=algorithm, **limit)
    wire = _core.Wire(snapshot(step), region=region)
    assert _core.limit_standing(step, region, b"192.0.2.1") is None
    wire.push(wire.open(), b"GET / HTTP/1.1\r\nHost: x\r\nN: 2\r\nW: 60\r\n\r\n")
    standing = _core.limit_standing(step, region, b"192.0.2.1", now_ns=wire.now)
    if algorithm == "sliding" and window != 60:
        assert standing is None
        return
    assert standing is not None
    assert (standing.algorithm, standing.limit) == (algorithm, 2 if count == 2 else None)
    known = count == 2 and window == 60
    assert standing.consumed == (1 if known or algorithm != "token-bucket" else None)
    assert standing.remaining == (1 if known or (algorithm == "sliding" and count == 2) else None)
    assert standing.reset is not None
    assert 0 < standing.reset <= 60.01
    assert _core.limit_forget(step, region, b"192.0.2.1", now_ns=wire.now)
    assert _core.limit_standing(step, region, b"192.0.2.1", now_ns=wire.now) is None


def test_what_is_held_stands_and_stays() -> None:
    def step(conn: str) -> _core.LimitConnStep:
        texts = {"conn": _core.Template(conn, "var_combination"), "burst": _core.Template("1", "var_combination")}
        return _core.LimitConnStep(b"routes/r/limit-conn", _core.Template("remote_addr"), **texts, delay=0.1)

    region = _core.Region.create(64, slots=1, revocations=1)
    own = step("2")
    wire = _core.Wire(snapshot(own), region=region)
    assert _core.limit_standing(own, region, b"192.0.2.1") is None
    lines = [wire.open("192.0.2.1") for _ in range(2)]
    for line in lines:
        wire.push(line, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert _core.limit_standing(own, region, b"192.0.2.1") == ("concurrent", 3, 2, 1, None, None)
    assert _core.limit_standing(step("${arg_n}"), region, b"192.0.2.1") == ("concurrent", None, 2, None, None, None)
    assert not _core.limit_forget(own, region, b"192.0.2.1")
    for up, left in zip([line for line, side, _ in wire.lines() if side == "up"], (1, 0), strict=True):
        wire.push(up, OK)
        standing = _core.limit_standing(own, region, b"192.0.2.1")
        assert (standing.consumed if standing else 0) == left


@pytest.mark.parametrize("algorithm", ["fixed", "sliding", "token-bucket"])
def test_what_is_forgotten_is_counted_anew(algorithm: Any) -> None:
    region = _core.Region.create(64, slots=1, revocations=1)
    step = count_step(count=2, window=3600, algorithm=algorithm)
    limiter = _core.Limiter(region, OWNER, count=2, window=3600, algorithm=algorithm)
    assert not _core.limit_forget(step, region, b"k")
    for key in ("k", "k", "other"):
        limiter.hit(key)
    assert _core.limit_forget(step, region, b"k")
    assert _core.limit_standing(step, region, b"k") is None
    assert [limiter.hit("k").allowed for _ in range(3)] == [True, True, False]
    assert limiter.peek("other").remaining == 1
