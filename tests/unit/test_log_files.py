"""Lines that a thread writes to files: all of them, whole, also after a file was moved; what cannot be written is counted."""

import contextlib
import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastgw.plugins import log_files
from fastgw.plugins.log_files import FileWriter
from tests.support.waiting import until


def test_all_lines_are_there_in_the_end(tmp_path: Path) -> None:
    writer = FileWriter()
    for i in range(5000):
        writer.put(str(tmp_path / f"{i % 3}.log"), b"%d\n" % i)
    writer.close(20)
    for n in range(3):
        assert (tmp_path / f"{n}.log").read_bytes() == b"".join(b"%d\n" % i for i in range(n, 5000, 3))
    assert (tmp_path / "0.log").stat().st_mode & 0o777 == 0o640


def test_a_file_that_was_moved_is_opened_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_files, "_LOOK_S", 0)
    path, writer = tmp_path / "a.log", FileWriter()
    writer.put(str(path), b"1\n")
    until(lambda: path.exists() and path.read_bytes() == b"1\n", "the first line")
    path.rename(tmp_path / "b.log")
    writer.put(str(path), b"2\n")
    until(lambda: path.exists() and path.read_bytes() == b"2\n", "the second line")
    path.unlink()
    writer.put(str(path), b"3\n")
    writer.close(20)
    assert path.read_bytes() == b"3\n"
    assert (tmp_path / "b.log").read_bytes() == b"1\n"


@pytest.mark.parametrize("others", [False, True])
def test_a_file_without_lines_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: bool) -> None:
    """It may have been rotated away for good: its room on the disk must not stay taken."""
    monkeypatch.setattr(log_files, "_IDLE_S", 0.05)
    path, writer = tmp_path / "a.log", FileWriter()

    def closed() -> bool:
        if others:
            writer.put(str(tmp_path / "b.log"), b"1\n")
        return not any(os.path.realpath(each) == str(path) for each in Path("/proc/self/fd").iterdir())

    for n in (1, 2):
        writer.put(str(path), b"1\n")
        until(lambda n=n: path.exists() and path.read_bytes() == b"1\n" * n, "the line")  # type: ignore[misc]
        until(closed, "the file is closed")
    writer.close(20)


def test_what_cannot_be_written_is_told_and_the_rest_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    writer = FileWriter()
    with caplog.at_level(logging.INFO, "fastgw.file-logger"):
        for path in (tmp_path / "none" / "a.log", tmp_path / "b.log", Path("/dev/full")):
            writer.put(str(path), b"1\n")
        writer.close(20)
    assert (tmp_path / "b.log").read_bytes() == b"1\n"
    assert sorted(record.getMessage() for record in caplog.records) == [
        "file-logger: /dev/full: 1 entries dropped, 1 in all: No space left on device",
        f"file-logger: {tmp_path}/none/a.log: 1 entries dropped, 1 in all: No such file or directory",
    ]


def test_a_pipe_that_nobody_reads_holds_up_no_other_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pipe, writer = tmp_path / "pipe", FileWriter()
    os.mkfifo(pipe)
    writer.put(str(pipe), b"1\n")
    writer.put(str(tmp_path / "a.log"), b"2\n")
    writer.close(20)
    assert (tmp_path / "a.log").read_bytes() == b"2\n"
    assert f"file-logger: {pipe}: 1 entries dropped" in caplog.text


def test_a_line_goes_on_in_none_that_was_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk takes the beginning of a write; when there is room again, the next line is one."""
    room = [5, 0]

    def write(fd: int, data: bytes) -> int:
        n = room.pop(0) if room else len(data)
        if n == 0:
            raise OSError(errno.ENOSPC, "full")
        return real(fd, data[:n])

    real, path, writer = os.write, tmp_path / "a.log", FileWriter()
    monkeypatch.setattr(os, "write", write)
    for lines in ([b"one\n", b"two\n", b"three\n"], [b"four\n"], [b"five\n"]):
        writer._write(str(path), lines)
    assert path.read_bytes() == b"one\nt\nfour\nfive\n"
    assert writer._dropped[str(path)].total == 2


def test_a_reader_that_reads_nothing_has_a_bound(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Lines wait for it up to a bound, then they are dropped."""
    pipe, writer = tmp_path / "pipe", FileWriter()
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        line = b"x" * 65535 + b"\n"
        for _ in range(2 * log_files.MOST_BYTES // len(line)):
            writer.put(str(pipe), line)
        writer.close(0.1)
        assert "too many wait" in caplog.text
    finally:
        os.close(reader)


LINE = b"x" * 99 + b"\n"


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


@contextlib.contextmanager
def reading(pipe: Path) -> Iterator[int]:
    """A reader, which reads nothing by itself."""
    fd = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield fd
    finally:
        os.close(fd)


def taken(fd: int) -> bytes:
    """What is in the pipe."""
    found = b""
    with contextlib.suppress(BlockingIOError):
        while piece := os.read(fd, 1 << 20):
            found += piece
    return found


def full(writer: FileWriter, pipe: Path, *lines: bytes) -> None:
    """The lines are in the pipe as far as they go into it; the others are held."""
    for line in lines:
        writer.put(str(pipe), line)
    until(lambda: not writer._waiting and str(pipe) in writer._held, "lines are held")


def test_a_reader_that_reads_nothing_costs_no_other_file_a_line(
    tmp_path: Path, pipe: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log_files, "MOST_BYTES", 200_000)
    path, writer = tmp_path / "a.log", FileWriter()
    with reading(pipe) as fd:
        full(writer, pipe, *[LINE] * 1500)
        for i in range(15):  # together more than may wait, both for the pipe and for the thread
            writer.put(str(pipe), b"y" * 9999 + b"\n")
            writer.put(str(path), b"%04d" % i + b"z" * 9995 + b"\n")
            until(lambda i=i: path.exists() and path.stat().st_size == (i + 1) * 10_000, "its line")  # type: ignore[misc]
        assert str(path) not in caplog.text
        assert f"file-logger: {pipe}: 1 entries dropped, 1 in all: too many wait" in caplog.text
        got = b""
        while writer._held:
            got += taken(fd)
        got += taken(fd)
        assert got[: 1500 * len(LINE)] == LINE * 1500
        rest = got[1500 * len(LINE) :]
        lines = rest.splitlines()
        assert set(lines) == {b"y" * 9999}
        assert len(lines) + writer._dropped[str(pipe)].total == 15
        assert len(lines) >= 10
    writer.close(20)


def test_short_lines_go_into_a_pipe_whole(pipe: Path) -> None:
    """Several workers write into it: what is longer than PIPE_BUF may be cut by another's lines (pipe(7))."""
    writer = FileWriter()
    with reading(pipe) as fd:
        full(writer, pipe, *[LINE] * 2000)
        while writer._held:
            assert taken(fd).replace(LINE, b"") == b""
        writer.close(20)


def test_a_long_line_goes_into_a_pipe_in_pieces(pipe: Path) -> None:
    writer = FileWriter()
    long = b"l" * 1_000_000 + b"\n"
    with reading(pipe) as fd:
        full(writer, pipe, LINE, long, LINE)
        got = b""
        while writer._held:
            got += taken(fd)
        assert got + taken(fd) == LINE + long + LINE
        writer.close(20)


def test_lines_of_a_reader_that_leaves_are_counted(pipe: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The next one begins with a line, whatever the last one had the beginning of."""
    writer = FileWriter()
    with reading(pipe):
        full(writer, pipe, b"l" * 1_000_000 + b"\n", LINE)
    until(lambda: not writer._held, "they are let go")
    assert f"file-logger: {pipe}: 2 entries dropped, 2 in all: Broken pipe" in caplog.text
    with reading(pipe) as fd:
        writer.put(str(pipe), LINE)
        until(lambda: not writer._waiting, "it is taken")
        writer.close(20)
        assert taken(fd) == b"\n" + LINE


@pytest.mark.parametrize("cut", [False, True])
def test_what_takes_the_place_of_a_pipe_gets_what_was_held(
    tmp_path: Path, pipe: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, cut: bool
) -> None:
    monkeypatch.setattr(log_files, "_LOOK_S", 0)
    first = b"l" * (1_000_000 if cut else 100) + b"\n"
    writer = FileWriter()
    with reading(pipe) as fd:
        full(writer, pipe, *[first] * (1 if cut else 1000), LINE)
        pipe.rename(tmp_path / "other")
        until(lambda: not writer._held, "they are written")
        writer.close(20)
        got = taken(fd)
    text = pipe.read_bytes()
    if cut:
        assert (got, text) == (first[: len(got)], LINE)
        assert "1 entries dropped, 1 in all: the pipe was replaced within it" in caplog.text
    else:
        assert got + text == first * 1000 + LINE
        assert got.endswith(b"\n")


def test_what_is_held_as_the_worker_ends_is_counted(pipe: Path, caplog: pytest.LogCaptureFixture) -> None:
    writer = FileWriter()
    with reading(pipe) as fd:
        full(writer, pipe, *[LINE] * 2000)
        writer.close(0)
        n = 2000 - taken(fd).count(b"\n")
    assert f"file-logger: {pipe}: {n} entries dropped, {n} in all: the worker ends" in caplog.text
    assert writer._thread is not None
    writer._thread.join(20)
    assert not writer._thread.is_alive()
