"""Files that appear whole or not at all, and are on the disk when they do.

Owns: how. Must not know: what they hold. Whoever made a directory private has done so before; files get mode 0600.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["create", "link", "put", "replace", "unnamed"]


def create(path: Path, content: bytes) -> bool:
    """Makes the file unless it is there; of several processes one wins, and the others are told False."""
    with unnamed(path) as name:
        _write(name, content)
        return link(name, path)


def replace(path: Path, content: bytes) -> None:
    """Puts the file in the place of the one that is there; a reader sees the old one or the new one.

    It keeps its owner, lest root take it from the user whose gateway reads it.
    """
    _put(path, content, path.stat())


def put(path: Path, content: bytes) -> None:
    """Makes the file, or one of our own in the place of another."""
    _put(path, content, None)


@contextmanager
def unnamed(path: Path) -> Iterator[Path]:
    """A new file beside path, for this process alone; it goes unless it was moved."""
    handle, name = tempfile.mkstemp(prefix=path.name + ".", dir=path.parent)  # mode 0600
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def link(name: Path, path: Path) -> bool:
    """Gives the finished file its name unless that is taken."""
    try:
        os.link(name, path)
    except FileExistsError:
        return False
    _sync_directory(path)
    return True


def _put(path: Path, content: bytes, owner: os.stat_result | None) -> None:
    with unnamed(path) as name:
        _write(name, content)
        if owner is not None and owner.st_uid != os.geteuid():
            os.chown(name, owner.st_uid, owner.st_gid)
        os.replace(name, path)
        _sync_directory(path)


def _write(name: Path, content: bytes) -> None:
    with name.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
