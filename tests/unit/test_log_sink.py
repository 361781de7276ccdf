"""How lines of the access log leave a worker: whole, and without ever waiting."""

import json
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastgw import _core, logs
from tests.support.core import OK, snapshot

LOG_MOST = 4 * 2**20  # exchange.pxd: held for who takes nothing


def wire(fd: int) -> _core.Wire:
    made = _core.Wire(snapshot())
    made.access_log(fd)
    made.open()
    return made


def ask(made: _core.Wire, number: int, length: int) -> None:
    made.run(0, b"GET /%d?%b HTTP/1.1\r\nHost: x\r\n\r\n" % (number, b"x" * length), OK, 1)


def numbers(lines: bytes) -> list[int]:
    """Of whole lines; one that is none fails."""
    assert lines.endswith(b"\n")
    return [int(json.loads(line)["uri"].partition("?")[0][1:]) for line in lines.splitlines()]


def read_all(fd: int) -> bytes:
    found = b""
    while True:
        try:
            piece = os.read(fd, 2**20)
        except BlockingIOError:
            return found
        if not piece:
            return found
        found += piece


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", ["fifo", "pipe", "socket"])
def test_who_reads_nothing_holds_up_nobody(tmp_path: Path, kind: str) -> None:
    """What goes beyond the bound is dropped; what is read in the end are whole lines, in order."""
    if kind == "fifo":
        os.mkfifo(tmp_path / "fifo")
        ends, fd = [os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)], logs.sink(str(tmp_path / "fifo"), 1)
    elif kind == "pipe":
        ends = list(os.pipe())
        fd = logs.sink("-", ends[1])
        assert os.get_blocking(ends[1]), "others have it as it was"
    else:
        ours, theirs = socket.socketpair()
        ends, fd = [ours.detach(), theirs.detach()], 0
        fd = logs.sink("-", ends[1])
    try:
        made = wire(fd)
        count = LOG_MOST // 2500
        for number in range(count):
            ask(made, number, 3000)
        os.set_blocking(ends[0], False)
        found = b""
        while piece := read_all(ends[0]):
            found += piece
            made.access_log(fd)  # writes what waits
        told = numbers(found)
        assert told == list(range(len(told))), "in order, none twice"
        assert LOG_MOST // 3300 < len(told) < count
    finally:
        for each in (*ends, fd):
            os.close(each)


def test_to_a_pipe_lines_go_whole_beside_those_of_others(tmp_path: Path) -> None:
    """Two workers write to one pipe that is nearly full all the time."""
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    fds = [logs.sink(str(tmp_path / "fifo"), 1) for _ in range(2)]
    wires = [wire(fd) for fd in fds]
    found = b""
    for number in range(600):
        ask(wires[number % 2], number, 100 + 7 * number % 1500)
        wires[number % 2].access_log(fds[number % 2])
        if number % 40 == 39:
            found += os.read(reader, 30_000)
    while piece := read_all(reader):
        found += piece
        for made, fd in zip(wires, fds, strict=True):
            made.access_log(fd)
    assert sorted(numbers(found)) == list(range(600))
    for fd in (reader, *fds):
        os.close(fd)


def test_a_named_pipe_that_nobody_reads_yet_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    fd = logs.sink(str(tmp_path / "fifo"), 1)
    made = wire(fd)
    ask(made, 7, 0)
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    made.access_log(fd)
    assert numbers(os.read(reader, 4096)) == [7]
    os.close(reader)
    os.close(fd)


@pytest.mark.parametrize("room", [0, 1, 50, 150, 151, 1000])
def test_a_line_that_the_disk_had_no_room_for_is_written_again(tmp_path: Path, room: int) -> None:
    """Whatever of it stands there already is a line by itself."""
    log = tmp_path / "log"
    fd = logs.sink(str(log), 1)
    made = wire(fd)
    for number in range(20):
        ask(made, number, 40)
    with no_file_beyond(room):
        made.access_log(fd)
    torn = log.read_bytes()
    assert len(torn) <= room
    made.access_log(fd)
    os.close(fd)
    text = log.read_bytes()
    whole = torn[: torn.rfind(b"\n") + 1]
    assert text.startswith(torn + b"\n")
    assert numbers(whole + text[len(torn) + 1 :]) == list(range(20))
