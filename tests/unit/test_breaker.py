"""A breaker's state in its cell: APISIX's algorithm, forgetting, processes that change it at once."""

import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core
from tests.oracle.breaker import Breaker

START = 10**9  # ms
KEEP = 3600_000


def region(cells: int = 1024) -> _core.Region:
    return _core.Region.create(cells)


@given(
    failures=st.integers(1, 4),
    successes=st.integers(1, 4),
    max_s=st.integers(3, 40),
    events=st.lists(
        st.tuples(st.sampled_from("ffffsso"), st.one_of(st.integers(0, 3000), st.sampled_from([4000, 8000, 16_000, 40_000]))),
        max_size=80,
    ),
)
def test_it_equals_apisix(failures: int, successes: int, max_s: int, events: list[tuple[str, int]]) -> None:
    """Also of events that come while it is open, as those of requests that began before do."""
    breaker = _core._TestBreaker(region(16), failures=failures, successes=successes, max_s=max_s)
    oracle, now = Breaker(), START
    for event, pause in events:
        now += pause
        if event == "f":
            breaker.failed(b"k", now)
            oracle.failed(now, failures)
        elif event == "s":
            breaker.succeeded(b"k", now)
            oracle.succeeded(successes)
        assert breaker.open(b"k", now) == oracle.open(now, failures, max_s)
        assert (breaker.state(b"k", now) or (0, 0)) == (oracle.failures, oracle.successes)


@given(
    confs=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(3, 40)), min_size=2, max_size=3),
    events=st.lists(st.tuples(st.integers(0, 2), st.sampled_from("fffs"), st.integers(0, 1000)), max_size=60),
)
def test_several_configurations_share_one_state(confs: list[tuple[int, int, int]], events: list[tuple[int, str, int]]) -> None:
    """Each judges it by its own thresholds; while all of it is recent, as when one of them is edited."""
    shared = region(16)
    breakers = [_core._TestBreaker(shared, failures=f, successes=s, max_s=m) for f, s, m in confs]
    oracle, now = Breaker(), START
    for which, event, pause in events:
        now += pause
        failures, successes, _ = confs[which % len(confs)]
        if event == "f":
            breakers[which % len(confs)].failed(b"k", now)
            oracle.failed(now, failures)
        else:
            breakers[which % len(confs)].succeeded(b"k", now)
            oracle.succeeded(successes)
        assert (breakers[0].state(b"k", now) or (0, 0)) == (oracle.failures, oracle.successes)
        if oracle.opened is not None and now <= oracle.opened + 3000:  # no one's longest time is over
            for breaker, (f, _, m) in zip(breakers, confs, strict=True):
                assert breaker.open(b"k", now) == oracle.open(now, f, m)


def test_it_opens_for_twice_as_long_each_time_and_no_longer_than_it_may() -> None:
    breaker, now = _core._TestBreaker(region(), failures=2, successes=1, max_s=20), START
    for seconds in (2, 4, 8, 16, 20, 20):
        breaker.failed(b"k", now)
        assert not breaker.open(b"k", now)
        breaker.failed(b"k", now)
        assert breaker.open(b"k", now + seconds * 1000)
        now += seconds * 1000 + 1
        assert not breaker.open(b"k", now)


@pytest.mark.parametrize("failures", [1, 2, 3, 1000, 32_767])
def test_failures_without_end_keep_it_at_its_longest(failures: int) -> None:
    breaker = _core._TestBreaker(region(), failures=failures, successes=1, max_s=100_000_000)
    for _ in range(1_100_000):  # more than are counted
        breaker.failed(b"k", START)
    state = breaker.state(b"k", START)
    assert state is not None
    assert state[0] % failures == 1_100_000 % failures
    for _ in range(failures):
        breaker.failed(b"k", START)
    assert breaker.open(b"k", START + 100_000_000 * 1000)
    assert not breaker.open(b"k", START + 100_000_000 * 1000 + 1)


@pytest.mark.parametrize("max_s", [3, 300, 86_400, 100_000_000])
@pytest.mark.parametrize("opens", [False, True])
def test_a_state_is_kept_for_an_hour_at_least_once_it_cannot_be_open(max_s: int, opens: bool) -> None:
    table = region()
    breaker = _core._TestBreaker(table, failures=2, successes=2, max_s=max_s)
    for _ in range(2 if opens else 1):
        breaker.failed(b"k", START)
    last = START + max_s * 1000 + KEEP
    assert breaker.state(b"k", last - 1) == (1 + opens, 0)
    breaker.succeeded(b"k", last - 1)  # which makes it young again
    assert breaker.state(b"k", last + KEEP) == (1 + opens, 1)
    assert breaker.state(b"k", last + 3 * (max_s * 1000 + KEEP)) is None
    breaker.failed(b"k", last + 3 * (max_s * 1000 + KEEP))
    assert breaker.state(b"k", last + 3 * (max_s * 1000 + KEEP)) == (1, 0)


def test_nothing_is_written_where_nothing_failed() -> None:
    table = region()
    breaker = _core._TestBreaker(table, failures=1, successes=1, max_s=3)
    for _ in range(3):
        breaker.succeeded(b"k", START)
        assert not breaker.open(b"k", START)
    assert _core._test_cells(_core.Table(table)) == []


def test_it_pushes_no_limit_out() -> None:
    """A table full of counts stays as it is; the place is not watched."""
    table = region(16)
    limiter = _core.Limiter(table, "x", count=1, window=3600)
    for i in range(100):
        limiter.hit(str(i), now_ns=START * 10**6)
    before = _core._test_cells(_core.Table(table))
    assert len(before) == 16
    breaker = _core._TestBreaker(table, failures=1, successes=1, max_s=3)
    breaker.failed(b"k", START)
    assert not breaker.open(b"k", START)
    assert _core._test_cells(_core.Table(table)) == before


def test_what_it_remembers_leaves_room_for_limits() -> None:
    """A client that finds more failing places than there are cells must not make limits' keys give way to each other."""
    table = _core.Table.create(slots=4096)
    breaker = _core._TestBreaker(table.region, failures=1, successes=1, max_s=3)
    for i in range(40_000):
        breaker.failed(str(i).encode(), START)
    limiter = _core.Limiter(table, "x", count=1, window=60)
    for i in range(400):
        limiter.hit(str(i), now_ns=START * 10**6)
    # Of a table that is filled to three fifths some windows are full (docs/shared-memory.md).
    assert sum(limiter.hit(str(i), now_ns=START * 10**6 + 1).allowed for i in range(400)) < 40
    assert table.evictions < 80


def _fail(table: _core.Region, count: int, seed: int) -> None:
    breaker = _core._TestBreaker(table, failures=3, successes=5, max_s=300)
    order = [b"a", b"b", b"c"] * count
    random.Random(seed).shuffle(order)
    for key in order:
        breaker.failed(key, START)


def test_processes_at_once_lose_no_failure() -> None:
    for seed in range(5):
        table, count = region(), 3000
        children = []
        for i in range(6):
            pid = os.fork()
            if pid == 0:
                try:
                    _fail(table, count, 10 * seed + i)
                    os._exit(0)
                finally:
                    os._exit(1)
            children.append(pid)
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 6
        breaker = _core._TestBreaker(table, failures=3, successes=5, max_s=300)
        for key in (b"a", b"b", b"c"):
            assert breaker.state(key, START) == (6 * count, 0)
            assert breaker.open(key, START + 300_000)
        assert len(_core._test_cells(_core.Table(table))) == 3


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"failures": 0}, "failures: expected 1 to 32767, found 0"),
        ({"successes": 32_768}, "successes: expected 1 to 32767, found 32768"),
        ({"max_s": 100_000_001}, "max_s: expected 1 to 100000000, found 100000001"),
    ],
)
def test_what_a_cell_cannot_hold_is_refused(conf: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _core._TestBreaker(region(), **{"failures": 1, "successes": 1, "max_s": 1, **conf})
