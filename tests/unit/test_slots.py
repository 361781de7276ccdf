"""Process slots that a master left which is gone: swept once their processes have ended, whoever has their numbers by then."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from fastgw._core import Region
from fastgw.process import TITLE, fork, runs
from fastgw.slots import Kind, Slots, State


@pytest.fixture
def slots() -> Iterator[Slots]:
    """A master has one for its life; here each would leave hundreds of descriptors behind."""
    made = Slots(Region.create(1024))
    yield made
    for fd in (*made.wakes, made.ack, made.ready, *made.asks):
        os.close(fd)


def test_a_slot_is_swept_when_its_process_has_ended(slots: Slots) -> None:
    pid = fork(f"{TITLE}worker 1", lambda: signal.pause() or 0)
    try:
        slots.region.set_slot(7, pid, Kind.WORKER, State.DRAINING)
        while not runs(pid, TITLE):  # it gives itself its title
            pass
        assert slots.sweep() == 1
        assert slots.region.slot(7).pid == pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert slots.sweep() == 0
    assert slots.region.slot(7).state == State.FREE


def test_a_number_that_another_program_has_by_now_keeps_no_slot(slots: Slots) -> None:
    slots.region.set_slot(7, os.getpid(), Kind.WORKER, State.DRAINING)
    assert runs(os.getpid())
    assert slots.sweep() == 0
    assert slots.region.slot(7).state == State.FREE


def test_a_process_that_has_its_title_only_as_its_name_keeps_its_slot(slots: Slots) -> None:
    """Where a file has capabilities, say, the system does not tell its process where its command line lies."""
    code = f"import ctypes; ctypes.CDLL(None).prctl(15, b'{TITLE}worker', 0, 0, 0); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdin
        process.stdout.readline()
        slots.region.set_slot(7, process.pid, Kind.WORKER, State.DRAINING)
        assert slots.sweep() == 1
        process.stdin.close()
    assert slots.sweep() == 0


def test_slots_of_this_master_are_not_swept(slots: Slots) -> None:
    index = slots.take()
    slots.region.set_slot(index, os.getpid(), Kind.WORKER, State.SERVING)
    assert slots.sweep() == 0
    assert slots.region.slot(index).state == State.SERVING
