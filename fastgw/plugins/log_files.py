"""Lines on their way to files: written by one thread of the process, so that no disk holds up a request.

Owns: open files, how many lines may wait, that a file that was moved away is opened anew, that the thread waits for disks alone:
what a pipe or a terminal does not take at once is held for it. Must not know what a line says.
"""

import atexit
import itertools
import logging
import os
import select
import stat
import threading
import time
from collections import Counter, deque
from typing import Final

from fastgw.plugins.batches import Dropped

__all__ = ["FileWriter", "writer"]

MOST_LINES: Final = 65536
MOST_BYTES: Final = 33554432
"""That wait for the thread, and once more for each pipe."""
_LOOK_S: Final = 1.0  # between two looks whether a file is still where it was
_AT_ONCE: Final = 1024  # lines of one write
_HELD_S: Final = 0.1  # for which it waits for pipes alone, and lines for files may wait for it
_PIECE: Final = 65536  # bytes of a long line that a pipe is given at once
_IDLE_S: Final = 30.0  # without a line, after which a file is closed: it may be gone, and so its room on the disk

log = logging.getLogger("fastgw.file-logger")


class _File:
    """An open file."""

    def __init__(self, path: str) -> None:
        # To open a named pipe, and to write into it, waits for who reads it, and lines for all other files with it.
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC, 0o640)
        self.looked_at = self.used_at = time.monotonic()
        self.keeps = stat.S_ISREG(os.fstat(self.fd).st_mode)
        """What was written, whoever has it open: who reads a pipe would see its end."""
        os.set_blocking(self.fd, self.keeps)

    def moved(self, path: str) -> bool:
        """Whether the path is another file's now."""
        self.looked_at = time.monotonic()
        own = os.fstat(self.fd)
        try:
            there = os.stat(path)
        except OSError:
            return True
        return (own.st_dev, own.st_ino) != (there.st_dev, there.st_ino)


class _Held:
    """Lines that wait for a pipe."""

    def __init__(self) -> None:
        self.lines: deque[bytes] = deque()
        self.into: _File | None = None
        """What has the beginning of the first one; None where it is whole."""
        self._bytes = 0
        self._at = 0

    def add(self, line: bytes) -> bool:
        """False: there is no room for it. One line there may always be."""
        if self.lines and (len(self.lines) >= MOST_LINES or self._bytes + len(line) > MOST_BYTES):
            return False
        self.lines.append(line)
        self._bytes += len(line)
        return True

    def drop(self) -> None:
        """The first one, or its rest."""
        self._bytes -= len(self.lines.popleft())
        self.into, self._at = None, 0

    def write(self, file: _File) -> None:
        """What it takes now."""
        while self.lines:
            try:
                done = self._at + os.write(file.fd, self._next())
            except BlockingIOError:
                return
            while self.lines and done >= len(self.lines[0]):
                done -= len(self.lines[0])
                self.drop()
            if done:
                self.into, self._at = file, done

    def _next(self) -> bytes:
        """Whole lines that a pipe takes as one, as other workers write into it too (pipe(7)); a longer one in pieces."""
        first = self.lines[0]
        if len(first) > select.PIPE_BUF or self._at:
            return first[self._at : self._at + _PIECE]
        sizes = itertools.accumulate(map(len, self.lines))
        n = sum(1 for _ in itertools.takewhile(lambda size: size <= select.PIPE_BUF, sizes))
        return b"".join(itertools.islice(self.lines, n))


class FileWriter:
    """The thread and what waits for it."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._files: dict[str, _File] = {}
        self._held: dict[str, _Held] = {}
        self._torn: set[str] = set()
        self._dropped: dict[str, Dropped] = {}
        self._thread: threading.Thread | None = None
        self._ends_at: float | None = None
        self._looked_at = time.monotonic()

    def put(self, path: str, line: bytes) -> None:
        """A line, with its end, for the file; dropped where too much waits."""
        with self._changed:
            if len(self._waiting) >= MOST_LINES or self._bytes + len(line) > MOST_BYTES:
                self._lost(path, 1, "too many wait")
                return
            self._waiting.append((path, line))
            self._bytes += len(line)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="file-logger", daemon=True)
                self._thread.start()
                atexit.register(self.close, 2.0)
            self._changed.notify()

    def close(self, seconds: float) -> None:
        """Writes what waits, as the process ends; what is not written in time is lost."""
        with self._changed:
            thread, self._ends_at = self._thread, time.monotonic() + seconds
            self._changed.notify()
        if thread is not None:
            thread.join(seconds + _HELD_S)
        with self._changed:
            left = Counter(path for path, _ in self._waiting)
            left.update({path: len(held.lines) for path, held in list(self._held.items())})
            self._waiting.clear()
            self._held.clear()
            for path, n in left.items():
                self._lost(path, n, "the worker ends")

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._ends_at is not None and time.monotonic() >= self._ends_at:
                    return
                while not self._waiting and not self._held:
                    if self._ends_at is not None:
                        return
                    self._changed.wait(_IDLE_S if self._files else None)
                    self._shut_idle()
                lines = [self._waiting.popleft() for _ in range(min(len(self._waiting), _AT_ONCE))]
                self._bytes -= sum(len(line) for _, line in lines)
            if not lines:
                self._wait_for_pipes()
            by_path: dict[str, list[bytes]] = {path: [] for path in list(self._held)}
            for path, line in lines:
                by_path.setdefault(path, []).append(line)
            for path, several in by_path.items():
                self._write(path, several)
            self._shut_idle()

    def _wait_for_pipes(self) -> None:
        """Until one takes more, or files have waited long enough."""
        poll = select.poll()
        for path in list(self._held):
            poll.register(self._files[path].fd, select.POLLOUT)
        poll.poll(_HELD_S * 1000)

    def _write(self, path: str, lines: list[bytes]) -> None:
        """Lines, behind those that are held for the same path."""
        held = self._held.get(path) or _Held()
        try:
            file = self._opened(path)
        except OSError as error:
            self._lost(path, len(held.lines) + len(lines), error.strerror or str(error))
            self._held.pop(path, None)
            return
        if held.into not in (None, file):
            held.drop()
            self._lost(path, 1, "the pipe was replaced within it")
        if file.keeps:
            self._append(path, file, [*held.lines, *lines])
            self._held.pop(path, None)
        else:
            self._pass(path, file, held, lines)

    def _pass(self, path: str, file: _File, held: _Held, lines: list[bytes]) -> None:
        """To what is not waited for."""
        if path in self._torn and lines:
            self._torn.discard(path)
            lines = [b"\n" + lines[0], *lines[1:]]
        over = sum(not held.add(line) for line in lines)
        if over:
            self._lost(path, over, "too many wait")
        try:
            held.write(file)
        except OSError as error:
            if held.into is not None:  # what comes next is not to continue this line
                self._torn.add(path)
            self._lost(path, len(held.lines), error.strerror or str(error))
            held.lines.clear()
            self._shut(path)
        if held.lines:
            self._held[path] = held
        else:
            self._held.pop(path, None)

    def _append(self, path: str, file: _File, lines: list[bytes]) -> None:
        """Whole lines in one write, as other workers append to the same file."""
        data = (b"\n" if path in self._torn else b"") + b"".join(lines)
        done = 0
        try:
            while done < len(data):  # the disk is full, or a signal came: a line of its own goes on
                done += os.write(file.fd, data[done:])
            self._torn.discard(path)
        except OSError as error:
            if done:  # what comes next is not to continue this line
                (self._torn.discard if data[:done].endswith(b"\n") else self._torn.add)(path)
            self._lost(path, data.count(b"\n", max(done, 1)), error.strerror or str(error))
            self._shut(path)

    def _opened(self, path: str) -> _File:
        file = self._files.get(path)
        if file is not None and time.monotonic() - file.looked_at >= _LOOK_S and file.moved(path):
            self._shut(path)
            file = None
        if file is None:
            file = self._files[path] = _File(path)
        file.used_at = time.monotonic()
        return file

    def _shut_idle(self) -> None:
        now = time.monotonic()
        if now < self._looked_at + _IDLE_S:
            return
        self._looked_at = now
        for path in [path for path, file in self._files.items() if file.keeps and now >= file.used_at + _IDLE_S]:
            self._shut(path)

    def _shut(self, path: str) -> None:
        file = self._files.pop(path, None)
        if file is not None:
            os.close(file.fd)

    def _lost(self, path: str, n: int, why: str) -> None:
        if path not in self._dropped:
            self._dropped[path] = Dropped(log, f"file-logger: {path}")
        self._dropped[path].count(n, why)


writer: Final = FileWriter()
"""That of this process; its thread is begun by the first line, behind the fork."""
