"""Limits on one process: every algorithm against its oracle, edits, the table's policies, the Python surface."""

import math
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core
from tests.oracle.limits import Bucket, Fixed, Sliding, siphash_1_3_128

MS = 1_000_000
S = 1000 * MS
START = 10**12 + 123_457  # not a whole millisecond

counts = st.one_of(st.integers(1, 6), st.sampled_from([1000, 65_537, 1_000_003]))
windows = st.one_of(st.integers(1, 60), st.sampled_from([1000, 86_400_000])).map(lambda ms: ms * MS)
pauses = st.one_of(st.just(0), st.integers(0, 40 * MS), st.integers(0, 30).map(lambda ms: ms * MS))


@pytest.fixture
def table() -> _core.Table:
    return _core.Table.create(slots=1024)


def _seconds(ns: float) -> float:
    return ns if ns == math.inf else ns / 1e9


@given(
    limits=st.lists(st.tuples(counts, windows), min_size=1, max_size=3),
    hits=st.lists(st.tuples(pauses, st.integers(1, 3), st.integers(0, 2), st.integers(0, 3 * MS)), max_size=60),
)
def test_fixed_equals_its_oracle(limits: list[tuple[int, int]], hits: list[tuple[int, int, int, int]]) -> None:
    """Also while the limit is edited, and hit by processes whose clocks differ."""
    table = _core.Table.create(slots=16)
    limiters = [_core.Limiter(table, "x", count=count, window=window / 1e9) for count, window in limits]
    oracle, now = Fixed(), START
    for pause, cost, which, lag in hits:
        now += pause
        count, window = limits[which % len(limits)]
        allowed, remaining, reset, retry = oracle.hit(now - lag, count, window, cost)
        told = limiters[which % len(limits)].hit("k", cost, now_ns=now - lag)
        assert told == (allowed, count, remaining, _seconds(reset), _seconds(retry))


@given(
    limits=st.lists(st.tuples(counts, windows, st.integers(1, 9)), min_size=1, max_size=2),
    hits=st.lists(st.tuples(pauses, st.integers(1, 3), st.integers(0, 30)), max_size=60),
)
def test_bucket_equals_its_oracle(limits: list[tuple[int, int, int]], hits: list[tuple[int, int, int]]) -> None:
    table = _core.Table.create(slots=16)
    count, window, burst = limits[0]
    limiter = _core.Limiter(table, "x", count=count, window=window / 1e9, burst=burst, algorithm="token-bucket")
    oracle, now = Bucket(), START
    for pause, cost, on_the_edge in hits:
        now += pause
        if not on_the_edge:  # exactly when the next token is there
            now += int(limiter.peek("k", now_ns=now).retry_after * 1e9)
        allowed, remaining, reset, retry = oracle.hit(now, count, window, burst, cost)
        assert limiter.hit("k", cost, now_ns=now) == (allowed, burst, remaining, _seconds(reset), _seconds(retry))


@given(
    count=st.integers(1, 2000),
    window=st.integers(1, 100),
    burst=st.integers(1, 10),
    hits=st.lists(st.tuples(st.integers(0, 50 * MS), st.integers(0, 5 * S)), max_size=80),
)
def test_clocks_that_differ_never_fill_a_bucket(count: int, window: int, burst: int, hits: list[tuple[int, int]]) -> None:
    """A process that hits with an old reading of the clock takes no more out, and does not give back what others took."""
    table = _core.Table.create(slots=16)
    limiter = _core.Limiter(table, "x", count=count, window=window / 1000, burst=burst, algorithm="token-bucket")
    now, readings, admitted = START, [], 0
    for pause, lag in hits:
        now += pause
        readings.append(now - lag)
        admitted += limiter.hit("k", now_ns=now - lag).allowed
    if readings:
        assert admitted * window * MS <= burst * window * MS + (max(readings) - min(readings)) * count


@given(
    count=counts,
    window=windows,
    hits=st.lists(st.tuples(pauses, st.integers(1, 3)), max_size=60),
)
def test_sliding_equals_its_oracle(count: int, window: int, hits: list[tuple[int, int]]) -> None:
    table = _core.Table.create(slots=64)
    limiter = _core.Limiter(table, "x", count=count, window=window / 1e9, algorithm="sliding")
    oracle, now = Sliding(), START
    for pause, cost in hits:
        now += pause
        allowed, remaining, reset = oracle.hit(now, count, window, cost)
        told = limiter.hit("k", cost, now_ns=now)
        assert told[:4] == (allowed, count, remaining, reset / 1e9)
        if told.retry_after not in (0, math.inf):
            then = now + round(told.retry_after * 1e9)
            assert limiter.peek("k", now_ns=then).allowed or cost > 1
            assert not limiter.peek("k", now_ns=then - 1).allowed or cost > 1


@given(count=st.integers(1, 8), window=st.integers(1, 12), gaps=st.lists(st.integers(0, 8), max_size=80))
def test_sliding_stays_within_its_bound(count: int, window: int, gaps: list[int]) -> None:
    """Against the exact count of the window's length before each hit: above `count` only by what the window before admitted and
    the estimate takes to lie further back, and never above twice `count`; refused only where as many came in the two windows."""
    table = _core.Table.create(slots=64)
    limiter = _core.Limiter(table, "x", count=count, window=window / 1000, algorithm="sliding")
    now, admitted = START - START % MS, list[int]()
    for gap in gaps:
        now += gap * MS
        index, inside = divmod(now // MS, window)
        used = sum(then // MS // window == index for then in admitted)
        before = sum(then // MS // window == index - 1 for then in admitted)
        if limiter.hit("k", now_ns=now).allowed:
            admitted.append(now)
            exact = sum(now - window * MS < then for then in admitted)
            assert exact * window < (count + 1) * window + before * inside
            assert exact <= 2 * count
        else:
            assert used + before >= count
            assert used * window + before * (window - inside) >= count * window or used == count


def test_a_window_lasts_no_less_than_it_says(table: _core.Table) -> None:
    limiter = _core.Limiter(table, "x", count=1, window=30)
    assert limiter.hit("k", now_ns=START) == (True, 1, 0, 30.0, 0.0)
    assert not limiter.hit("k", now_ns=START + 30 * S - 1).allowed
    assert limiter.hit("k", now_ns=START + 30 * S + MS).allowed


def test_an_edit_of_count_keeps_what_was_consumed(table: _core.Table) -> None:
    three = _core.Limiter(table, "routes/1/limit-count", count=3, window=30)
    five = _core.Limiter(table, "routes/1/limit-count", count=5, window=30)
    assert [three.hit("k", now_ns=START).allowed for _ in range(4)] == [True, True, True, False]
    assert [five.hit("k", now_ns=START).allowed for _ in range(3)] == [True, True, False]
    assert three.hit("k", now_ns=START) == (False, 3, 0, 30.0, 30.0)


def test_who_keeps_knocking_waits_no_longer_than_an_edited_window(table: _core.Table) -> None:
    """Each refusal must not push the end a window away again."""
    long = _core.Limiter(table, "x", count=1, window=3600)
    short = _core.Limiter(table, "x", count=1, window=10)
    assert long.hit("k", now_ns=START).allowed
    refused = [short.hit("k", now_ns=START + i * S).allowed for i in range(10)]
    assert refused == [False] * 10
    assert short.hit("k", now_ns=START + 10 * S + MS).allowed


def test_who_keeps_knocking_waits_no_longer_than_an_edited_bucket(table: _core.Table) -> None:
    slow = _core.Limiter(table, "x", count=1, window=86400, burst=3, algorithm="token-bucket")
    fast = _core.Limiter(table, "x", count=1, window=1, burst=3, algorithm="token-bucket")
    assert [slow.hit("k", now_ns=START).allowed for _ in range(4)] == [True, True, True, False]
    assert not fast.hit("k", now_ns=START).allowed
    assert [fast.hit("k", now_ns=START + i * S).allowed for i in (1, 1, 2, 3)] == [True, False, True, True]


def test_a_rate_that_no_cell_can_hold_exactly_is_never_exceeded(table: _core.Table) -> None:
    limiter = _core.Limiter(table, "x", count=10**9 + 7, window=1, burst=5000, algorithm="token-bucket")
    admitted = sum(limiter.hit("k", 1000, now_ns=START + i * 500).allowed for i in range(20_000))
    assert 5 + 9_998 <= admitted <= 5 + 10_000


def test_the_longest_times_fit() -> None:
    table = _core.Table.create(slots=64)
    for algorithm in ("fixed", "sliding", "token-bucket"):
        limiter = _core.Limiter(table, "x", count=2, window=2**38 / 1000, algorithm=algorithm)
        assert [limiter.hit("k", now_ns=START).allowed for _ in range(3)] == [True, True, False]
        assert not limiter.peek("k", now_ns=START + S).allowed


def test_hits_larger_than_the_limit_never_pass_and_take_no_cell(table: _core.Table) -> None:
    for algorithm in ("fixed", "sliding", "token-bucket"):
        told = _core.Limiter(table, "x", count=5, window=30, algorithm=algorithm).hit("k", 6, now_ns=START)
        assert not told.allowed
        assert told.retry_after == math.inf
    assert _core._test_cells(table) == []


@pytest.mark.parametrize("algorithm", ["fixed", "sliding", "token-bucket"])
def test_peek_tells_what_a_hit_would_be_told_and_writes_nothing(table: _core.Table, algorithm: str) -> None:
    limiter = _core.Limiter(table, "x", count=2, window=30, algorithm=algorithm)
    assert limiter.peek("k", now_ns=START)[:3] == (True, 2, 2)
    assert _core._test_cells(table) == []
    limiter.hit("k", now_ns=START)
    before = _core._test_cells(table)
    assert limiter.peek("k", now_ns=START)[:3] == (True, 2, 1)
    limiter.hit("k", now_ns=START)
    assert limiter.peek("k", now_ns=START) == limiter.hit("k", now_ns=START)
    assert [cell[0] for cell in before] == [cell[0] for cell in _core._test_cells(table)]


@pytest.mark.parametrize("algorithm", ["fixed", "sliding", "token-bucket"])
def test_reset_forgets_one_key(table: _core.Table, algorithm: str) -> None:
    limiter = _core.Limiter(table, "x", count=1, window=30, algorithm=algorithm)
    limiter.hit("a", now_ns=START)
    limiter.hit("b", now_ns=START)
    assert limiter.reset("a", now_ns=START)
    assert not limiter.reset("a", now_ns=START)
    assert not limiter.reset("never seen", now_ns=START)
    assert limiter.hit("a", now_ns=START).allowed
    assert not limiter.hit("b", now_ns=START).allowed


def test_identities_keys_and_algorithms_do_not_run_together(table: _core.Table) -> None:
    for identity, key in (("ab", "c"), ("a", "bc"), ("", "abc"), ("abc", "")):
        for algorithm in ("fixed", "sliding", "token-bucket"):
            limiter = _core.Limiter(table, identity, count=1, window=30, algorithm=algorithm)
            assert limiter.hit(key, now_ns=START).allowed
            assert not limiter.hit(key.encode(), now_ns=START).allowed


def test_a_full_table_forgets_the_key_nearest_to_its_end() -> None:
    table = _core.Table.create(slots=16)  # one window of cells
    soon = _core.Limiter(table, "soon", count=1, window=1)
    late = _core.Limiter(table, "late", count=1, window=3600)
    soon.hit("x", now_ns=START)
    for i in range(15):
        assert late.hit(str(i), now_ns=START).allowed
    assert table.evictions == 0
    assert late.hit("one more", now_ns=START).allowed  # takes the cell of soon/x
    assert table.evictions == 1
    assert table.region.metrics()["limit_evictions"] == 1
    assert all(not late.hit(str(i), now_ns=START).allowed for i in range(15))
    assert soon.hit("x", now_ns=START).allowed


def test_expired_cells_are_used_again_before_live_ones() -> None:
    table = _core.Table.create(slots=16)
    limiter = _core.Limiter(table, "x", count=1, window=1)
    for i in range(160):
        assert limiter.hit(str(i), now_ns=START + i * 70 * MS).allowed  # 15 live at a time
    assert table.evictions == 0


@pytest.mark.parametrize("algorithm", ["fixed", "sliding", "token-bucket"])
def test_many_more_keys_than_cells_are_served(algorithm: str) -> None:
    table = _core.Table.create(slots=1024)
    limiter = _core.Limiter(table, "x", count=1, window=3600, algorithm=algorithm)
    assert all(limiter.hit(str(i), now_ns=START + i).allowed for i in range(20_000))
    assert table.evictions > 10_000
    assert max(Counter(cell[1] for cell in _core._test_cells(table)).values()) == 1


@given(key=st.binary(min_size=16, max_size=16), first=st.binary(max_size=40), last=st.binary(max_size=300))
def test_the_hash_is_siphash(key: bytes, first: bytes, last: bytes) -> None:
    message = len(first).to_bytes(8, "little") + first + bytes(-len(first) % 8) + last
    assert _core._test_siphash(key, first, last) == siphash_1_3_128(key, message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0, "window": 1}, "count: expected 1 to"),
        ({"count": 2**40, "window": 1}, "count: expected 1 to"),
        ({"count": 1, "window": 0}, "window: expected"),
        ({"count": 1, "window": math.nan}, "window: expected"),
        (
            {"count": 1, "window": 1, "algorithm": "leaky"},
            "algorithm: expected one of fixed, sliding, token-bucket, found 'leaky'",
        ),
        ({"count": 1, "window": 1, "burst": 2}, "burst: expected only with token-bucket, found 2 with fixed"),
        ({"count": 1, "window": 1, "burst": 0, "algorithm": "token-bucket"}, "burst: expected 1 to"),
        ({"count": 1, "window": 86400, "burst": 10**9, "algorithm": "token-bucket"}, "burst: expected a bucket filled within"),
    ],
)
def test_bad_arguments_are_named(table: _core.Table, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _core.Limiter(table, "x", **arguments)


def test_bad_types_are_named(table: _core.Table) -> None:
    limiter = _core.Limiter(table, "x", count=1, window=1)
    with pytest.raises(TypeError, match="key: expected str or bytes, found int"):
        limiter.hit(7)
    with pytest.raises(TypeError, match="identity: expected str or bytes, found NoneType"):
        _core.Limiter(table, None, count=1, window=1)
    with pytest.raises(TypeError, match="count: expected int, found float"):
        _core.Limiter(table, "x", count=1.5, window=1)
    with pytest.raises(TypeError, match="table: expected Table or Region, found str"):
        _core.Limiter("/a/path", "x", count=1, window=1)
    with pytest.raises(ValueError, match="cost: expected at least 1, found 0"):
        limiter.hit("k", 0)


def test_a_table_in_a_file_is_opened_by_whoever_comes_first_or_later(tmp_path: Path) -> None:
    path = tmp_path / "table"
    with pytest.raises(FileNotFoundError):
        _core.Table.attach(path)
    first = _core.Limiter(_core.Table.open(path, 64), "x", count=2, window=30)
    second = _core.Limiter(_core.Table.open(path, 64), "x", count=2, window=30)
    third = _core.Limiter(_core.Table.attach(str(path)), "x", count=2, window=30)
    assert [each.hit("k").allowed for each in (first, second, third)] == [True, True, False]
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["table"]
