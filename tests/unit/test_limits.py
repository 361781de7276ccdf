"""The limiter's cells: exact against an oracle, and exact across processes that are killed."""

import os
import signal
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core
from tests.oracle.limits import Bucket, Fixed

MS = 1_000_000
START = 10**12


@pytest.fixture
def region() -> _core.Region:
    return _core.Region.create(1024)


@given(
    count=st.integers(1, 5),
    window=st.integers(1, 50),
    hits=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 3)), max_size=60),
)
def test_fixed_equals_its_oracle(count: int, window: int, hits: list[tuple[int, int]]) -> None:
    limiter = _core.Limiter(_core.Region.create(64), "x", count=count, window=window / 1000)
    oracle, now = Fixed(count, window), START // MS
    for pause, cost in hits:
        now += pause
        decision = limiter.hit("k", cost, now_ns=now * MS)
        assert (decision.allowed, decision.remaining) == oracle.hit(now, cost)


@given(
    count=st.integers(1, 1000),
    window=st.integers(1, 100),
    burst=st.integers(1, 10),
    pauses=st.lists(st.integers(0, 50 * MS), max_size=80),
)
def test_bucket_never_admits_more_than_its_oracle_and_hardly_less(count: int, window: int, burst: int, pauses: list[int]) -> None:
    """Intervals are rounded up to 2**-40 ms, so a hit exactly on a boundary may come one unit too early; never too late."""
    limiter = _core.Limiter(
        _core.Region.create(64), "x", count=count, window=window / 1000, burst=burst, algorithm="token-bucket"
    )
    exact, generous, now = Bucket(count, window * MS, burst), Bucket(count, window * MS, burst), START
    admitted = 0
    for pause in pauses:
        now += pause
        allowed = limiter.hit("k", now_ns=now).allowed
        admitted += allowed
        expected = exact.hit(now)
        if allowed != expected:
            # Only a boundary may differ: a nanosecond of grace makes the two agree.
            assert not allowed
            exact.tokens += 1  # the oracle admitted what the table did not
    assert admitted <= burst + (now - START) * count / (window * MS) + 1e-9
    assert generous.burst == burst


def test_an_edit_of_count_keeps_what_was_consumed(region: _core.Region) -> None:
    three = _core.Limiter(region, "routes/1/limit-count", count=3, window=30)
    five = _core.Limiter(region, "routes/1/limit-count", count=5, window=30)
    assert [three.hit("k", now_ns=START).allowed for _ in range(4)] == [True, True, True, False]
    assert [five.hit("k", now_ns=START).allowed for _ in range(3)] == [True, True, False]


def test_an_edit_of_the_window_never_waits_longer_than_the_new_one(region: _core.Region) -> None:
    long = _core.Limiter(region, "x", count=1, window=3600)
    short = _core.Limiter(region, "x", count=1, window=10)
    assert long.hit("k", now_ns=START).allowed
    assert short.hit("k", now_ns=START).reset <= 10.001
    assert not short.hit("k", now_ns=START + 9 * 10**9).allowed


def test_identities_and_keys_do_not_run_together(region: _core.Region) -> None:
    assert _core.Limiter(region, "ab", count=1, window=30).hit("c", now_ns=START).allowed
    assert _core.Limiter(region, "a", count=1, window=30).hit("bc", now_ns=START).allowed


def test_reset_forgets_one_key(region: _core.Region) -> None:
    limiter = _core.Limiter(region, "x", count=1, window=30)
    limiter.hit("a", now_ns=START)
    limiter.hit("b", now_ns=START)
    assert limiter.reset("a")
    assert not limiter.reset("never seen")
    assert limiter.hit("a", now_ns=START).allowed
    assert not limiter.hit("b", now_ns=START).allowed


def test_a_full_table_forgets_the_key_nearest_to_its_end() -> None:
    region = _core.Region.create(16)  # one window of cells
    soon = _core.Limiter(region, "soon", count=1, window=1)
    late = _core.Limiter(region, "late", count=1, window=3600)
    soon.hit("x", now_ns=START)
    for i in range(15):
        assert late.hit(str(i), now_ns=START).allowed
    assert late.hit("one more", now_ns=START).allowed  # takes the cell of soon/x
    assert all(not late.hit(str(i), now_ns=START).allowed for i in range(15))
    assert soon.hit("x", now_ns=START).allowed


def test_many_more_keys_than_cells_are_served() -> None:
    region = _core.Region.create(1024)
    limiter = _core.Limiter(region, "x", count=1, window=3600)
    assert all(limiter.hit(str(i), now_ns=START + i).allowed for i in range(20_000))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0, "window": 1}, "count: expected 1 to"),
        ({"count": 1, "window": 0}, "window: expected"),
        ({"count": 1, "window": 1, "algorithm": "leaky"}, "algorithm: expected fixed or token-bucket"),
        ({"count": 1, "window": 1, "burst": 0}, "burst: expected 1 to"),
    ],
)
def test_bad_arguments_are_named(region: _core.Region, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _core.Limiter(region, "x", **arguments)


def _hammer(region: _core.Region, keys: int, count: int, write_fd: int, hits: int) -> None:
    """In a child: hits round the keys, one byte per admitted hit, written before the next hit."""
    limiter = _core.Limiter(region, "hammer", count=count, window=3600)
    for i in range(hits):
        if limiter.hit(str(i % keys)).allowed:
            os.write(write_fd, b"+")


def _count(read_fd: int) -> list[int]:
    total = [0]

    def read() -> None:
        while chunk := os.read(read_fd, 65536):
            total[0] += len(chunk)

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    return total


@pytest.mark.parametrize("keys", [1, 7, 1000])
@pytest.mark.parametrize("killed", [0, 4])
def test_processes_admit_exactly_the_limit(keys: int, killed: int) -> None:
    """Eight processes on one table; some are killed at any instruction: a kill may cost what it had in flight, no more."""
    region, count = _core.Region.create(4096), 20
    read_fd, write_fd = os.pipe()
    children = []
    for _ in range(8):
        pid = os.fork()
        if pid == 0:
            try:
                os.close(read_fd)
                _hammer(region, keys, count, write_fd, max(20_000, keys * 40))
            finally:
                os._exit(0)
        children.append(pid)
    os.close(write_fd)
    for pid in children[:killed]:
        os.kill(pid, signal.SIGKILL)
    admitted = _count(read_fd)[0]
    os.close(read_fd)
    for pid in children:
        os.waitpid(pid, 0)
    assert keys * count - killed <= admitted <= keys * count


def test_two_attachments_count_together(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = str(tmp_path / "table")
    first = _core.Limiter(_core.Region.create(64, path), "x", count=2, window=30)
    second = _core.Limiter(_core.Region.attach(path), "x", count=2, window=30)
    assert [first.hit("k").allowed, second.hit("k").allowed, first.hit("k").allowed] == [True, True, False]
    assert os.stat(path).st_mode & 0o777 == 0o600
