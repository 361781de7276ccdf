"""Limits across processes: exact however they race, and whatever moment one of them is killed at."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from fastgw import _core

fork = multiprocessing.get_context("fork")
S = 10**9
START = 10**12


def _hammer(table: _core.Table, keys: int, count: int, out: int, seed: int) -> None:
    """Tries every key as often as the limit, telling of each admitted hit before the next."""
    limiter = _core.Limiter(table, "hammer", count=count, window=3600)
    order = [str(i) for i in range(keys)] * count
    random.Random(seed).shuffle(order)
    for key in order:
        if limiter.hit(key).allowed:
            os.write(out, b"+")


def _fork(run: object, *arguments: object) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            run(*arguments)  # type: ignore[operator]
            os._exit(0)
        finally:
            os._exit(1)
    return pid


@pytest.mark.parametrize("keys", [1, 7, 100, 1000])
@pytest.mark.parametrize("killed", [0, 4])
def test_eight_processes_admit_exactly_the_limit(keys: int, killed: int) -> None:
    """A kill may cost what the killed one had in flight, one hit here; it never gives one more."""
    count = 2000 // keys + 1
    for seed in range(3):
        table = _core.Table.create(slots=8192)
        moments = sorted(random.Random(seed).sample(range(keys * count), killed))
        read, write = os.pipe()
        children = [_fork(_hammer, table, keys, count, write, 8 * seed + i) for i in range(8)]
        os.close(write)
        admitted, victims = 0, children[:killed]
        while told := os.read(read, 16):
            admitted += len(told)
            while moments and admitted > moments[0]:
                os.kill(victims[len(moments) - 1], signal.SIGKILL)
                moments.pop(0)
        os.close(read)
        ended = [os.waitpid(pid, 0)[1] for pid in children]
        assert set(ended) <= {0, signal.SIGKILL}
        assert keys * count - killed <= admitted <= keys * count
        assert max(Counter(cell[1] for cell in _core._test_cells(table)).values()) == 1
        assert table.evictions == 0


def _meet(mine: _core.Region, other: _core.Region, turn: int) -> None:
    """Both go on within a fraction of a microsecond."""
    mine.publish(turn)
    while other.target() < turn:
        for _ in range(50):
            if other.target() >= turn:
                return
        os.sched_yield()


TURNS = 30_000


def _insert(table: _core.Table, mine: _core.Region, other: _core.Region, ahead: int) -> bytes:
    """Hits a new key each turn; 8 of the keys before it are live, of which a clock that is ahead sees fewer."""
    limiter = _core.Limiter(table, "insert", count=1, window=1)
    told = bytearray()
    for turn in range(1, TURNS + 1):
        _meet(mine, other, turn)
        told.append(limiter.hit(str(turn), now_ns=START + (turn + ahead) * (S // 8)).allowed)
    return bytes(told)


def test_two_that_insert_one_key_at_once_in_different_cells() -> None:
    """Their clocks differ, so they see different cells free; only the insertion protocol makes them agree on one."""
    table = _core.Table.create(slots=32)
    one, two = (_core.Region.create(16, slots=1) for _ in range(2))
    read, write = fork.Pipe(duplex=False)
    child = fork.Process(target=lambda: write.send_bytes(_insert(table, two, one, 4)))
    child.start()
    here = _insert(table, one, two, 0)
    there = read.recv_bytes()
    child.join()
    assert [a + b for a, b in zip(here, there, strict=True)] == [1] * TURNS
    assert max(Counter(cell[1] for cell in _core._test_cells(table)).values()) == 1


STRANGER = """
import sys
from fastgw import _core
limiter = _core.Limiter(_core.Table.open(sys.argv[1], 64), "x", count=50, window=3600)
print(sum(limiter.hit("k").allowed for _ in range(20)))
"""


def test_programs_that_know_only_the_path_count_together(tmp_path: Path) -> None:
    """Four that create or attach at once; the limit holds over all of them."""
    command = [sys.executable, "-c", STRANGER, str(tmp_path / "table")]
    programs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert sum(int(program.communicate()[0]) for program in programs) == 50
    assert [program.returncode for program in programs] == [0] * 4
    assert [path.name for path in tmp_path.iterdir()] == ["table"]


def test_a_table_outlives_the_processes_that_count_on_it(tmp_path: Path) -> None:
    path = tmp_path / "table"

    def use() -> None:
        limiter = _core.Limiter(_core.Table.open(path), "x", count=2, window=3600)
        limiter.hit("k")
        os.kill(os.getpid(), signal.SIGKILL)

    for _ in range(2):
        os.waitpid(_fork(use), 0)
    assert not _core.Limiter(_core.Table.open(path), "x", count=2, window=3600).hit("k").allowed
