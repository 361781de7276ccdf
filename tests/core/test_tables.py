"""Tables of programs of one's own: shared by forks and by those who attach a file, refused where others have a hand in it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fastgw.core import Decision, Limiter, RegionError, Revocations, Table


def in_forks(many: int, work: Callable[[], int]) -> int:
    """What so many forks count together."""
    read, write = os.pipe()
    children = []
    for _ in range(many):
        pid = os.fork()
        if pid == 0:
            try:
                os.write(write, b"+" * work())
                os._exit(0)
            finally:
                os._exit(1)
        children.append(pid)
    os.close(write)
    admitted = 0
    while told := os.read(read, 65536):
        admitted += len(told)
    os.close(read)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * many
    return admitted


def admitted(limiter: Limiter, tries: int) -> int:
    return sum(limiter.hit("k").allowed for _ in range(tries))


@pytest.mark.parametrize("algorithm", ["fixed", "sliding", "token-bucket"])
def test_a_table_made_before_the_fork_is_the_childrens(algorithm: str) -> None:
    limiter = Limiter(Table.create(slots=64), "x", count=100, window=3600, algorithm=algorithm)  # type: ignore[arg-type]
    assert in_forks(4, lambda: admitted(limiter, 60)) == 100
    assert limiter.hit("k").allowed is False


def test_a_file_is_attached_after_the_fork(tmp_path: Path) -> None:
    path = tmp_path / "table"

    def work() -> int:
        return admitted(Limiter(Table.open(path, 64), "x", count=100, window=3600), 60)

    assert in_forks(4, work) == 100
    assert Limiter(Table.attach(path), "x", count=100, window=3600).peek("k").remaining == 0
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_program_of_its_own_attaches_the_file(tmp_path: Path) -> None:
    path = tmp_path / "table"
    limiter = Limiter(Table.create(path, 64), "x", count=5, window=3600)
    there = f"from fastgw.core import *; print(Limiter(Table.attach({str(path)!r}), 'x', count=5, window=3600).hit('k', 3))"
    done = subprocess.run([sys.executable, "-c", there], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Decision(allowed=True, limit=5, remaining=2, reset=")
    assert limiter.hit("k", 3).allowed is False
    assert limiter.hit("k", 2) == Decision(True, 5, 0, limiter.peek("k").reset, 0.0) or limiter.peek("k").remaining == 0


def test_threads_and_tasks_admit_exactly_the_limit() -> None:
    limiter = Limiter(Table.create(slots=64), "x", count=100, window=3600)
    found = list[int]()
    threads = [threading.Thread(target=lambda: found.append(admitted(limiter, 40))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(found) == 100

    async def tasks() -> list[int]:
        async def one() -> int:
            await asyncio.sleep(0)
            return admitted(Limiter(limiter_table, "y", count=30, window=3600), 20)

        return await asyncio.gather(*(one() for _ in range(3)))

    limiter_table = Table.create(slots=64)
    assert sum(asyncio.run(tasks())) == 30


def test_a_file_that_others_may_write_to_or_own_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table"
    Table.create(path, 64)
    for mode in (0o622, 0o620, 0o602):
        path.chmod(mode)
        with pytest.raises(RegionError, match=f"expected mode 0600, found {mode:04o}: others may write to it"):
            Table.attach(path)
    path.chmod(0o640)
    Table.attach(path)
    with pytest.raises((RegionError, IsADirectoryError)):
        Table.attach(tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(RegionError, match="expected a regular file"):
        Table.attach(tmp_path / "pipe")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table"
    Table.create(path, 64)
    os.chown(path, 65534, -1)
    with pytest.raises(RegionError, match="expected a file of user 0, found one of user 65534"):
        Table.attach(path)


def test_revocations_are_in_force_in_every_process(tmp_path: Path) -> None:
    path = tmp_path / "table"
    here = Revocations(Table.open(path, 64))
    assert (len(here), here.revoked(jti="a")) == (0, False)
    assert in_forks(3, lambda: Revocations(Table.attach(path)).revoke(jti=f"of-{os.getpid()}") or 1) == 3
    assert len(here) == 3
    here.revoke(sub="john", issued_before=1000, expires=5000)
    assert here.revoked(jti="b", sub="john", issued=999, now=100)
    assert not here.revoked(sub="john", issued=1000, now=100)
    assert not here.revoked(sub="john", issued=999, now=5000)
    here.revoke(credential="john/one")
    assert here.revoked(credential="john/one")
    assert not here.revoked(credential="john/two")
    with pytest.raises(TypeError, match="expected one of jti, sub, credential and everything, found 2"):
        here.revoke(jti="a", sub="b")
    with pytest.raises(TypeError, match="found 0"):
        here.revoke()
