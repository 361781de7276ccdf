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

__all__ = ["DataDir", "database_of", "in_use"]

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


class DataDir:
    """Prepared and locked; the lock goes with the master, however it ends, for children `let_go` of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = database_of(path)
        self._pid_file = path / "fastgw.pid"
        path.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        self._check()
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise OSError(errno.EBUSY, f"in use by another gateway (pid {self._other()})", str(path)) from None

    def write_pid(self) -> None:
        """By rename, so that nobody reads half a number."""
        new = self._pid_file.with_suffix(".new")
        new.write_text(f"{os.getpid()}\n")
        new.replace(self._pid_file)

    def remove_pid(self) -> None:
        self._pid_file.unlink(missing_ok=True)

    def let_go(self) -> None:
        """Closes this process's hold on the lock."""
        os.close(self._fd)

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
