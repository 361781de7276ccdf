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
from tests.support.slots import slots_of


@pytest.fixture
def slots() -> Iterator[Slots]:
    with slots_of(Region.create(1024)) as made:
        yield made


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


def test_a_test_leaves_no_descriptor_behind() -> None:
    """It would leave more than 256 with each use, and one that counts those of its own process would find them."""
    region = Region.create(1024)
    before = os.listdir("/proc/self/fd")
    with slots_of(region) as slots:
        assert len(os.listdir("/proc/self/fd")) == len(before) + len(slots.wakes) + 4
    assert os.listdir("/proc/self/fd") == before
