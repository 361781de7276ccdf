"""Lines on their way to files: written by one thread of the process, so that no disk holds up a request.

Owns: open files, how many lines may wait, that a file that was moved away is opened anew. Must not know what a line says.
"""

import atexit
import logging
import os
import stat
import threading
import time
from collections import deque
from typing import Final

from fastgw.plugins.batches import Dropped

__all__ = ["FileWriter", "writer"]

MOST_LINES: Final = 65536
MOST_BYTES: Final = 33554432
_LOOK_S: Final = 1.0  # between two looks whether a file is still where it was
_AT_ONCE: Final = 1024  # lines of one write
_IDLE_S: Final = 30.0  # without a line, after which a file is closed: it may be gone, and so its room on the disk

log = logging.getLogger("fastgw.file-logger")


class _File:
    """An open file."""

    def __init__(self, path: str) -> None:
        # To open a named pipe waits for who reads it, and lines for all other files with it; to write may wait.
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC, 0o640)
        os.set_blocking(self.fd, True)
        self.looked_at = self.used_at = time.monotonic()
        self.keeps = stat.S_ISREG(os.fstat(self.fd).st_mode)
        """What was written, whoever has it open: who reads a pipe would see its end."""

    def moved(self, path: str) -> bool:
        """Whether the path is another file's now."""
        self.looked_at = time.monotonic()
        own = os.fstat(self.fd)
        try:
            there = os.stat(path)
        except OSError:
            return True
        return (own.st_dev, own.st_ino) != (there.st_dev, there.st_ino)


class FileWriter:
    """The thread and what waits for it."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._files: dict[str, _File] = {}
        self._torn: set[str] = set()
        self._dropped: dict[str, Dropped] = {}
        self._thread: threading.Thread | None = None
        self._ending = False
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
            thread, self._ending = self._thread, True
            self._changed.notify()
        if thread is not None:
            thread.join(seconds)
        with self._changed:
            for path in {path for path, _ in self._waiting}:
                self._lost(path, sum(path == each for each, _ in self._waiting), "the worker ends")

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    if self._ending:
                        return
                    self._changed.wait(_IDLE_S if self._files else None)
                    self._shut_idle()
                lines = [self._waiting.popleft() for _ in range(min(len(self._waiting), _AT_ONCE))]
                self._bytes -= sum(len(line) for _, line in lines)
            by_path: dict[str, list[bytes]] = {}
            for path, line in lines:
                by_path.setdefault(path, []).append(line)
            for path, several in by_path.items():
                self._write(path, several)
            self._shut_idle()

    def _write(self, path: str, lines: list[bytes]) -> None:
        """Whole lines in one write, as other workers append to the same file."""
        data = (b"\n" if path in self._torn else b"") + b"".join(lines)
        done = 0
        try:
            file = self._opened(path)
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
