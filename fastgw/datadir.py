"""The data directory: everything the processes write at run time, for one master at a time.

Owns: its mode, the lock that keeps a second master out, the pid file, names of files in it. Must not know:
what the files hold. Faults are OSError with the path in it, so that the command line says them in one line.
"""

import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import Final

__all__ = ["DataDir", "database_of", "in_use", "pid_of"]

PID_FILE: Final = "fastgw.pid"
PRIVATE: Final = 0o700  # the database holds credentials


def database_of(path: Path) -> Path:
    """The database in a data directory; its keys lie beside it (storage/keyring.py)."""
    return path / "fastgw.db"


def in_use(path: Path) -> bool:
    """Whether a gateway runs on this directory."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def pid_of(path: Path) -> int | None:
    """Of the master that runs on this directory, as far as it has said."""
    try:
        return int((path / PID_FILE).read_text())
    except (OSError, ValueError):
        return None


class DataDir:
    """Prepared and locked; the lock goes with the master, however it ends, for children `let_go` of it."""

    def __init__(self, path: Path, lock: int | None = None) -> None:
        """lock: one that a master handed over, which this one shares."""
        self.path = path
        self.database = database_of(path)
        self._pid_file = path / PID_FILE
        path.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        self._check()
        if lock is not None:
            self.lock = lock
            return
        self.lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self.lock)
            raise OSError(errno.EBUSY, f"in use by another gateway (pid {self._other()})", str(path)) from None

    def write_pid(self) -> None:
        """By rename, so that nobody reads half a number."""
        new = self._pid_file.with_suffix(".new")
        new.write_text(f"{os.getpid()}\n")
        new.replace(self._pid_file)

    def names_us(self) -> bool:
        """Whether the pid file does."""
        return pid_of(self.path) == os.getpid()

    def remove_pid(self) -> None:
        self._pid_file.unlink(missing_ok=True)

    def let_go(self) -> None:
        """Closes this process's hold on the lock."""
        os.close(self.lock)

    def _check(self) -> None:
        found = self.path.stat()
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(self.path))
        mode = stat.S_IMODE(found.st_mode)
        if mode & 0o077:
            raise PermissionError(errno.EPERM, f"expected mode 0700, found {mode:04o}", str(self.path))
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "expected a directory that can be written", str(self.path))

    def _other(self) -> str:
        try:
            return self._pid_file.read_text().strip()
        except OSError:
            return "unknown"
