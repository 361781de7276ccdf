"""Files of a cache zone, each one thing under a key.

Owns: their names and form, that one is there whole or not at all, how much room they take together. Must not know what is in
them. What goes wrong costs the cache, never a request: a file that is not what was written is no file, a disk that is full keeps
nothing.
"""

import errno
import fcntl
import hashlib
import logging
import os
import stat
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = ["Disk"]

MAGIC: Final = b"fastgw-cache-1\n\0"
_HEAD: Final = struct.Struct("<16s16s16sII")  # magic, key, digest of what follows, bytes of head and body
_SECRET: Final = 16
_BLOCK: Final = 4096  # what a file takes is rounded up to it
_SHARE: Final = 8  # one file takes at most this part of the room
_LEFT: Final = 0.9  # of the room, after a sweep
_FORGOTTEN_S: Final = 300.0  # a file that is still being written after that is of a process that was killed
_TOLD_EVERY: Final = 60.0

log = logging.getLogger("fastgw.proxy-cache")


class Disk:
    """A directory of them, which all processes use; `count(change)` gives what they say it takes, in bytes."""

    def __init__(self, directory: Path, size: int, count: Callable[[int], int]) -> None:
        self.directory = directory
        self._size = size
        self._count = count
        self._told = 0.0
        self._fresh = True

    def prepare(self) -> bytes:
        """Makes the directory, and gives the secret that keys are made with, 16 bytes. OSError names what is wrong."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self.directory.stat()
        if stat.S_IMODE(found.st_mode) & 0o077 or found.st_uid != os.geteuid():
            text = f"expected a directory of this user's with mode 0700, found {stat.S_IMODE(found.st_mode):04o}"
            raise PermissionError(errno.EPERM, text, str(self.directory))
        path = self.directory / "secret"
        lock = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)  # whoever makes it first makes it for all
            secret = path.read_bytes() if path.exists() else b""
            if len(secret) != _SECRET:  # none yet, or the machine stopped before it was on the disk
                secret = os.urandom(_SECRET)
                self._put(path, secret)
            return secret
        finally:
            os.close(lock)

    @property
    def most(self) -> int:
        """Bytes of the longest thing."""
        return self._size // _SHARE - _BLOCK

    def size(self, key: bytes) -> int:
        """Bytes of the file; 0: there is none."""
        try:
            return os.stat(self._path(key)).st_size
        except OSError:
            return 0

    def read(self, key: bytes) -> tuple[bytes, bytes] | None:
        """Head and body as they were written; one that is anything else is taken away."""
        path = self._path(key)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with open(fd, "rb") as file:
                raw = file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._note(error)
            return None
        if len(raw) >= _HEAD.size:
            magic, whose, digest, head, body = _HEAD.unpack_from(raw)
            rest = raw[_HEAD.size :]
            if magic == MAGIC and whose == key and len(rest) == head + body and digest == _digest(rest):
                return rest[:head], rest[head:]
        self.drop(key)
        return None

    def write(self, key: bytes, head: bytes, body: bytes, expires: float, wanted: Callable[[], bool]) -> bool:
        """Whether it is there now. expires: when nobody will want it any more; wanted: asked again once it is there."""
        rest = head + body
        taken = _room(_HEAD.size + len(rest))
        if taken > self._size // _SHARE or not self._take(taken):
            return False
        path = self._path(key)
        before = _room(self.size(key))
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            self._put(path, _HEAD.pack(MAGIC, key, _digest(rest), len(head), len(body)) + rest, expires)
        except OSError as error:
            self._count(-taken)
            self._note(error)
            return False
        if before:
            self._count(-before)
        if not wanted():
            self.drop(key)
            return False
        return True

    def drop(self, key: bytes) -> bool:
        """Takes it away; whether it was there."""
        path = self._path(key)
        size = self.size(key)
        try:
            path.unlink()
        except OSError:
            return False
        self._count(-_room(size))
        return True

    def _path(self, key: bytes) -> Path:
        name = key.hex()
        return self.directory / name[:2] / name

    def _put(self, path: Path, data: bytes, moment: float | None = None) -> None:
        """By rename, so that nobody meets half a file; its time is when it expires, so that a sweep knows."""
        new = path.with_name(f"{path.name}.{os.getpid()}.new")
        try:
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with open(fd, "wb") as file:
                file.write(data)
                if moment is not None:
                    os.utime(fd, (moment, moment))
            new.replace(path)
        except OSError:
            new.unlink(missing_ok=True)
            raise

    def _take(self, taken: int) -> bool:
        """Makes room; the first time by looking how much there is."""
        first, self._fresh = self._fresh, False
        if first and self._count(0) <= 0:
            self._sweep(taken)
        for again in (True, False):
            if self._count(taken) <= self._size:
                return True
            self._count(-taken)  # what is not there yet is not what a sweep finds
            if again:
                self._sweep(taken)
        return False

    def _sweep(self, wanted: int) -> None:
        """Takes away what is expired and, as far as room is short, what expires first. One process at a time does it."""
        try:
            lock = os.open(self.directory / "lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            self._note(error)
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._swept(int(self._size * _LEFT) - wanted)
        except BlockingIOError:
            return
        except OSError as error:
            self._note(error)
        finally:
            os.close(lock)

    def _swept(self, most: int) -> None:
        before, now = self._count(0), time.time()
        found: list[tuple[float, int, str]] = []
        for part in os.scandir(self.directory):
            if not part.is_dir(follow_symlinks=False):
                continue
            for entry in os.scandir(part.path):
                try:
                    info = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if entry.name.endswith(".new"):
                    if info.st_ctime < now - _FORGOTTEN_S:
                        os.unlink(entry.path)
                    continue
                found.append((info.st_mtime, _room(info.st_size), entry.path))
        total = sum(size for _, size, _ in found)
        found.sort()
        for moment, size, path in found:
            if moment > now and total <= most:
                break
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass
            total -= size
        self._count(total - before)

    def _note(self, error: OSError) -> None:
        now = time.monotonic()
        if not self._told or now >= self._told + _TOLD_EVERY:
            self._told = now
            log.warning("%s: %s: nothing is kept meanwhile", error.filename or self.directory, error.strerror or error)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _room(size: int) -> int:
    return (size + _BLOCK - 1) // _BLOCK * _BLOCK
