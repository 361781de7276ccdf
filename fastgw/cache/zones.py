"""The zones of proxy-cache: which there are, and what each is made of.

Owns: what the settings say of zones, their memory, which the master makes before its first fork, and how memory and files play
together. Must not know what is kept in them.
"""

import asyncio
import mmap
import os
from collections.abc import Awaitable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from fastgw import _core
from fastgw.cache.disk import Disk
from fastgw.schema.settings import CacheZone, ProxyCache

__all__ = ["Zone", "declare", "declared", "get", "make", "ttl"]

Entry = tuple[bytes, bytes]

MOST_WAITING: Final = 32 * 2**20  # bytes of a process that wait to be written
MOST_READING: Final = 64 * 2**20  # that are being read beside requests, but for one that is longer by itself
_READ_AT_ONCE: Final = 262144  # bytes of a file that is read where requests are served; longer ones are read beside them


class Zone:
    """Memory that all processes share, in front of files where there are any."""

    def __init__(self, name: str, memory: _core.CacheZone, disk: Disk | None) -> None:
        self.name = name
        self.memory = memory
        self._disk = disk
        self._writer: ThreadPoolExecutor | None = None
        self._waiting = 0
        self._reading = 0

    @property
    def most(self) -> int:
        """Bytes of the longest thing that can be kept."""
        return self.memory.most if self._disk is None else self._disk.most

    def turn(self, resource: bytes) -> int:
        """To be taken before something is fetched that is to be put in."""
        return self.memory.turn(resource)

    def find(self, resource: bytes, key: bytes) -> Entry | Awaitable[Entry | None] | None:
        """What lies under a key of the resource. What is long and in a file has to be waited for."""
        found = self.memory.get(key)
        if found is not None or self._disk is None:
            return found
        try:
            size = self._disk.size(key)
            if size > _READ_AT_ONCE:
                return self._later(resource, key, size)
            turn = self.turn(resource)
            entry = self._disk.read(key) if size else None
        except _core.PluginTimeout:  # a disk that takes longer than a plugin may costs the cache, not the request
            return None
        return self._found(resource, key, turn, entry)

    async def _later(self, resource: bytes, key: bytes, size: int) -> Entry | None:
        """None too where so much is being read that memory would grow with those who ask."""
        assert self._disk is not None  # noqa: S101
        if self._reading and self._reading + size > MOST_READING:
            return None
        self._reading += size
        try:
            turn = self.turn(resource)
            return self._found(resource, key, turn, await asyncio.to_thread(self._disk.read, key))
        finally:
            self._reading -= size

    def _found(self, resource: bytes, key: bytes, turn: int, entry: Entry | None) -> Entry | None:
        """From now on it is in memory too, unless it was to be forgotten meanwhile."""
        if entry is None or self.turn(resource) != turn:
            return None
        self.memory.put(key, *entry)
        if self.turn(resource) != turn:
            self.memory.drop(key)
            return None
        return entry

    def put(self, resource: bytes, things: Iterable[tuple[bytes, bytes, bytes]], turn: int, expires: float) -> None:
        """Keeps things of the resource (key, head, body), in that order, unless it was to be forgotten since that turn."""
        for key, head, body in things:
            if self.turn(resource) != turn:
                return
            self.memory.put(key, head, body)
            if self.turn(resource) != turn:  # whoever forgot it did not see what was put in a moment ago
                self.memory.drop(key)
                return
            if self._disk is not None and self._waiting + len(head) + len(body) <= MOST_WAITING:
                self._write(resource, key, head, body, turn, expires)

    def _write(self, resource: bytes, key: bytes, head: bytes, body: bytes, turn: int, expires: float) -> None:
        if self._writer is None:  # not before the fork
            self._writer = ThreadPoolExecutor(1, thread_name_prefix="fastgw-cache")
        size = len(head) + len(body)
        self._waiting += size

        def write() -> None:
            assert self._disk is not None  # noqa: S101
            try:
                if self.turn(resource) == turn:
                    self._disk.write(key, head, body, expires, lambda: self.turn(resource) == turn)
            finally:
                self._waiting -= size

        self._writer.submit(write)

    def forget(self, resource: bytes) -> bool:
        """What is known of the resource, in every process, and what of it is being fetched; whether anything was known."""
        self.memory.move_on(resource)
        known = self.memory.drop(resource)
        if self._disk is None:
            return known
        try:
            return self._disk.drop(resource) or known
        except _core.PluginTimeout:  # whether or not it is gone: what was to be forgotten must not come back
            self._disk.drop(resource)
            return True


class _Ground(NamedTuple):
    """What a zone is made on, in every process the same."""

    memory: mmap.mmap
    secret: bytes
    place: Path | None
    """Of its files."""


_settings: list[ProxyCache] = []
_grounds: dict[str, _Ground] = {}
_made: dict[str, Zone] = {}


def declare(settings: ProxyCache) -> None:
    """Which zones there are. Once there is memory for them it is too late: other processes would not have it."""
    if not _grounds:
        _settings[:] = [settings]


def declared() -> dict[str, CacheZone]:
    """The zones there are, by name."""
    return {zone.name: zone for zone in _now().zones}


def ttl() -> float:
    """Seconds for which an answer in files is fresh that does not say."""
    return _now().cache_ttl


def make(directory: Path) -> None:
    """Memory for all of them, in this process and those it forks; files will be in directories of this one, made when there are
    any. OSError: the settings have a place that will not do."""
    for zone in _now().zones:
        _grounds[zone.name] = _ground(zone, directory)
        if zone.disk_path is not None:
            Disk(Path(zone.disk_path), 0, int).prepare()


def get(name: str) -> Zone:
    """The zone of that name. A process that has no memory made for it, as one that serves nobody, has its own, and no files.
    ValueError: its files cannot be."""
    if name not in _made:
        zone = declared()[name]
        if name not in _grounds:
            _grounds[name] = _ground(zone, None)
        try:
            _made[name] = _zone(zone, _grounds[name])
        except OSError as error:
            raise ValueError(f"proxy_cache: zone {name}: {error.filename}: {error.strerror}") from None
    return _made[name]


def _now() -> ProxyCache:
    return _settings[0] if _settings else ProxyCache()


def _ground(zone: CacheZone, directory: Path | None) -> _Ground:
    place = None
    if zone.disk_size is not None and directory is not None:
        place = directory / zone.name if zone.disk_path is None else Path(zone.disk_path)
    return _Ground(mmap.mmap(-1, zone.memory_size), os.urandom(16), place)  # shared; takes room as it is written to


def _zone(zone: CacheZone, ground: _Ground) -> Zone:
    if ground.place is None or zone.disk_size is None:
        return Zone(zone.name, _core.CacheZone(ground.memory, ground.secret), None)
    held: list[_core.CacheZone] = []
    disk = Disk(ground.place, zone.disk_size, lambda change: held[0].disk(change))
    held.append(_core.CacheZone(ground.memory, disk.prepare()))
    return Zone(zone.name, held[0], disk)
