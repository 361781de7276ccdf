"""Lines that a thread writes to files: all of them, whole, also after a file was moved; what cannot be written is counted."""

import errno
import logging
import os
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


def test_a_reader_that_reads_nothing_holds_up_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The thread stands still in a write to a pipe; lines wait up to a bound, then they are dropped."""
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
