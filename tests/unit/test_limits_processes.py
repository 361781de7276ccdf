"""Limits across processes: exact however they race, and whatever moment one of them is killed at."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from multiprocessing.connection import Connection
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
        table = _core.Table.create(cells=8192)
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


ROUNDS, KEYS_PER_ROUND, LIMIT = 2000, 12, 3


def _race(table: _core.Table, barrier: "multiprocessing.synchronize.Barrier", out: Connection, seed: int) -> None:
    limiter = _core.Limiter(table, "race", count=LIMIT, window=1)
    admitted: Counter[tuple[int, int]] = Counter()
    for turn in range(ROUNDS):
        keys = random.Random(turn).sample(range(40), KEYS_PER_ROUND)
        hits = keys * LIMIT
        random.Random(turn * 8 + seed).shuffle(hits)
        barrier.wait()
        for key in hits:
            admitted[turn, key] += limiter.hit(str(key), now_ns=START + turn * S).allowed
    out.send(admitted)


def test_all_cells_expire_at_once_and_everybody_inserts() -> None:
    """Each round finds a small table full of expired cells of other keys: all races of the insertion protocol, over and over."""
    table = _core.Table.create(cells=32)
    barrier = fork.Barrier(4)
    pipes = [fork.Pipe(duplex=False) for _ in range(4)]
    children = [fork.Process(target=_race, args=(table, barrier, pipes[i][1], i)) for i in range(4)]
    for child in children:
        child.start()
    admitted: Counter[tuple[int, int]] = sum((read.recv() for read, _ in pipes), Counter())
    for child in children:
        child.join()
    assert set(admitted.values()) == {LIMIT}
    assert len(admitted) == ROUNDS * KEYS_PER_ROUND


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
