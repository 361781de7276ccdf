"""The table of what is revoked across processes: readers beside a writer, and writers killed at any moment.

FASTGW_TEST_REVOKE_KILLS says how many writers are killed; the default is a sample.
"""

import os
import random
import signal
import time
from collections.abc import Callable

from fastgw import _core

KILLS = int(os.environ.get("FASTGW_TEST_REVOKE_KILLS", "60"))
SEED = int(os.environ.get("FASTGW_TEST_SEED", "22"))
ALWAYS = [b"always-%d" % n for n in range(40)]
NEVER = [b"never-%d" % n for n in range(40)]
COMES_AND_GOES = [b"now-and-then-%d" % n for n in range(80)]
CAPACITY = 160  # of 512 places: runs are long, and what goes makes others move


def _fork(run: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            run()
            os._exit(0)
        finally:
            os._exit(1)
    return pid


def _write(region: _core.Region, seed: int) -> None:
    """For ever: what always stands is put anew with another end or in another order, the rest comes and goes."""
    table, chance = _core.Revocations(region), random.Random(seed)
    while True:
        table.lock()
        for _ in range(chance.randrange(20)):
            if chance.random() < 0.5:
                subject = chance.choice(ALWAYS)
                table.put(subject, "jti", subject, None, chance.randrange(10**6, 10**9))
            else:
                subject = chance.choice(COMES_AND_GOES)
                if chance.random() < 0.5:
                    table.put(subject, "jti", subject)
                else:
                    table.drop(subject)
        table.unlock(1)


def _read(region: _core.Region, ready: int) -> None:
    """Ends at the first wrong answer."""
    table = _core.Revocations(region)
    os.write(ready, b"+")
    while True:
        for subject in ALWAYS:
            if not table.revoked("jti", subject, None, 1000):
                os.write(2, b"not revoked: %b\n" % subject)
                return
        for subject in NEVER:
            if table.revoked("jti", subject, None, 1000):
                os.write(2, b"revoked: %b\n" % subject)
                return


def test_readers_see_what_stands_whatever_writers_do_and_wherever_they_die() -> None:
    region, chance = _core.Region.create(16, slots=1, revocations=CAPACITY), random.Random(SEED)
    table = _core.Revocations(region)
    table.lock()
    for subject in ALWAYS:
        table.put(subject, "jti", subject)
    table.unlock(1)
    told, ready = os.pipe()
    readers = [_fork(lambda: _read(region, ready)) for _ in range(2)]
    assert sorted(os.read(told, 1) for _ in readers) == [b"+", b"+"]
    unfinished = 0
    for turn in range(KILLS):
        writers = [_fork(lambda seed=seed: _write(region, seed)) for seed in (2 * turn, 2 * turn + 1)]  # type: ignore[misc]
        time.sleep(chance.random() * 0.02)
        for pid in writers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        assert [os.waitpid(pid, os.WNOHANG) for pid in readers] == [(0, 0)] * 2, f"seed {SEED}, turn {turn}: a reader ended"
        revision = table.lock()
        unfinished += revision == 0
        for subject in ALWAYS:
            table.put(subject, "jti", subject)
        table.keep(ALWAYS)
        table.unlock(1)
        assert table.held == len(ALWAYS) == region.metrics()["revocations"], f"seed {SEED}, turn {turn}"
        found = [mark for mark in _core._test_marks(table) if mark > 1]
        assert len(found) == len(ALWAYS)
    for pid in readers:
        os.kill(pid, signal.SIGKILL)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert unfinished > 0 or KILLS < 60, "some kills hit a writer at work"


def test_a_lock_ends_with_its_process() -> None:
    region = _core.Region.create(16, slots=1, revocations=16)
    told, ready = os.pipe()

    def hold() -> None:
        table = _core.Revocations(region)
        table.lock()
        table.put(b"1", "jti", b"half")
        os.write(ready, b"+")
        signal.pause()

    pid = _fork(hold)
    os.read(told, 1)
    table = _core.Revocations(region)
    assert table.revoked("jti", b"half")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert table.lock() == 0
    table.keep([])
    table.unlock(3)
    assert not table.revoked("jti", b"half")
    assert table.lock() == 3
    table.unlock(3)
