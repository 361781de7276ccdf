"""Files that appear whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from fastgw import files


def test_the_first_to_create_a_file_wins(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert files.create(path, b"first")
    assert not files.create(path, b"second")
    assert path.read_bytes() == b"first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_replaced_for_its_owner_whoever_does_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    files.create(path, b"old")
    changed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "chown", lambda name, uid, gid: changed.append((uid, gid)))
    files.replace(path, b"own")
    assert (path.read_bytes(), changed) == (b"own", [])
    owner = path.stat()
    monkeypatch.setattr(os, "geteuid", lambda: owner.st_uid + 1)
    files.replace(path, b"root's")
    assert (path.read_bytes(), changed) == (b"root's", [(owner.st_uid, owner.st_gid)])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_cannot_be_finished_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    files.create(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for write in (files.replace, files.create):
        with pytest.raises(OSError, match="No space"):
            write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_put_whatever_stood_there(tmp_path: Path) -> None:
    path = tmp_path / "put"
    for content in (b"first", b"second"):
        files.put(path, content)
        assert path.read_bytes() == content
        assert path.stat().st_mode & 0o777 == 0o600
        path.chmod(0o644)
    assert list(tmp_path.iterdir()) == [path]
