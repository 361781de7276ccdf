"""Files behind a zone's memory, on a disk that takes longer than a plugin may: it costs the cache, never a request."""

import asyncio
import mmap
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from fastgw import _core
from fastgw.cache import zones
from fastgw.cache.disk import Disk
from fastgw.cache.zones import Zone

RESOURCE, KEY = b"r" * 16, b"k" * 16


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    made = Disk(tmp_path / "zone", 2**20, lambda change: 0)
    made.prepare()
    for key in (RESOURCE, KEY):
        assert made.write(key, b"head", b"body", 2**32, lambda: True)
    return made


@pytest.mark.parametrize("left", [b"", b"half of"])
def test_a_secret_that_was_cut_is_made_anew(tmp_path: Path, left: bytes) -> None:
    """The machine may stop before it is on the disk: nothing that was kept is found any more, and all goes on."""
    made = Disk(tmp_path, 2**20, lambda change: 0)
    tmp_path.chmod(0o700)
    before = made.prepare()
    assert made.prepare() == before
    (tmp_path / "secret").write_bytes(left)
    after = made.prepare()
    assert len(after) == 16
    assert after != before
    assert made.prepare() == after


def zone(disk: Disk) -> Zone:
    return Zone("z", _core.CacheZone(mmap.mmap(-1, 2**20), bytes(16)), disk)


def cut_off_once(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As by the signal that ends what a plugin does for too long, before it is done."""
    real = getattr(Disk, name)

    def call(self: Disk, *args: Any) -> Any:
        monkeypatch.setattr(Disk, name, real)
        raise _core.PluginTimeout("too long")

    monkeypatch.setattr(Disk, name, call)


@pytest.mark.parametrize("name", ["size", "read"])
def test_what_cannot_be_read_in_time_is_not_there(disk: Disk, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    made = zone(disk)
    cut_off_once(monkeypatch, name)
    assert made.find(RESOURCE, KEY) is None
    assert made.find(RESOURCE, KEY) == (b"head", b"body")


def test_what_is_to_be_forgotten_does_not_come_back(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    made = zone(disk)
    cut_off_once(monkeypatch, "drop")
    assert made.forget(RESOURCE)
    assert made.find(RESOURCE, RESOURCE) is None


def test_what_is_being_read_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long files are read beside requests, however many ask; but one is read, however long."""
    body = bytes(400_000)
    long = Disk(tmp_path / "zone", 2**23, lambda change: 0)
    long.prepare()
    assert long.write(KEY, b"head", body, 2**32, lambda: True)
    made = zone(long)

    async def find() -> Any:
        found = made.find(RESOURCE, KEY)
        assert isinstance(found, Awaitable)
        return await found

    async def several(n: int) -> list[Any]:
        return list(await asyncio.gather(*(find() for _ in range(n))))

    for most, n, there in ((1_000_000, 3, 2), (10, 2, 1)):
        monkeypatch.setattr(zones, "MOST_READING", most)
        assert asyncio.run(several(n)) == [(b"head", body)] * there + [None] * (n - there)
