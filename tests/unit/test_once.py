"""lim_once: a key's first use in a span is told apart from all others, in one process, in many, and when the table is full."""

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core

SECOND = 1_000_000_000


@given(hits=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5), st.integers(0, 3)), max_size=60))
def test_as_a_set_of_keys_that_forgets(hits: list[tuple[int, int, int]]) -> None:
    """Model: a key is known until the end of the span that its first use began."""
    table, now, known = _core.Table.create(slots=4096), SECOND, dict[int, int]()
    for key, ahead, span in hits:
        now += ahead * SECOND
        expected = known.get(key, 0) <= now
        if expected:
            known[key] = now + span * SECOND
        assert _core._test_once(table, b"%d" % key, now, span * SECOND) == int(expected)


def test_who_finds_no_room_is_told_so_and_pushes_nobody_out() -> None:
    table = _core.Table.create(slots=256)
    found = [_core._test_once(table, b"%d" % key, SECOND, 10 * SECOND) for key in range(1000)]
    assert set(found) == {1, -1}
    assert found.count(1) <= 256
    assert table.evictions == 0
    again = [_core._test_once(table, b"%d" % key, 2 * SECOND, 10 * SECOND) for key in range(1000)]
    assert [a == 0 for a in again] == [f == 1 for f in found]
    # Their time over, there is room again.
    assert _core._test_once(table, b"999", 12 * SECOND, SECOND) == 1


def test_a_limit_keeps_its_count() -> None:
    table = _core.Table.create(slots=256)
    limiter = _core.Limiter(table, "l", count=1, window=3600)
    keys = [str(number) for number in range(100)]
    for key in keys:
        assert limiter.hit(key, now_ns=SECOND).allowed
    for number in range(5000):
        _core._test_once(table, b"%d" % number, SECOND, 10 * SECOND)
    assert not any(limiter.hit(key, now_ns=SECOND).allowed for key in keys)


def race(path: str, keys: int, start: Connection, found: Connection) -> None:
    table = _core.Table.attach(path)
    start.recv()
    found.send([_core._test_once(table, b"%d" % key, SECOND, 100 * SECOND) for key in range(keys)])


def test_one_of_several_processes_is_the_first(tmp_path: Path) -> None:
    path, keys = str(tmp_path / "table"), 20_000
    _core.Table.create(path, slots=131072)
    context = multiprocessing.get_context("fork")
    lines = [(context.Pipe(), context.Pipe()) for _ in range(3)]
    workers = [context.Process(target=race, args=(path, keys, start[0], found[1])) for start, found in lines]
    for worker in workers:
        worker.start()
    for start, _ in lines:
        start[1].send(None)
    answers = [found[0].recv() for _, found in lines]
    for worker in workers:
        worker.join()
    assert [sum(each) for each in zip(*answers, strict=True)] == [1] * keys
