"""The shared region: what is checked at attach, what survives, and slots that two processes see alike."""

import os
import random
import signal
import struct
from pathlib import Path

import pytest

from fastgw import _core

TARGET, SECTIONS = 1024, 48  # offsets in the header, as docs/shared-memory.md draws it
FREE, STARTING, SERVING, DRAINING = range(4)
WORKER, ADMIN = 1, 2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "table"
    _core.Region.create(64, str(path), slots=4)
    return path


def _spoil(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as f:
        f.seek(offset)
        f.write(data)


@pytest.mark.parametrize(
    ("offset", "data", "message"),
    [
        (0, b"NOTOURS!", "expected a fastgw region, found other content"),
        (8, struct.pack("<I", 99), "expected layout version 8, found 99"),
        (12, struct.pack("<I", 1000), "expected at most 32 sections, found 1000"),
        (12, struct.pack("<I", 2), "section cells: expected one, found none"),
        (16, struct.pack("<Q", 12345), "expected 12345 bytes, found"),
        (SECTIONS + 4, struct.pack("<I", 128), "section slots: expected entries of 64 bytes, found 128"),
        (SECTIONS + 8, struct.pack("<Q", 1 << 40), "section slots: expected it inside the region"),
        (SECTIONS + 8, struct.pack("<Q", 4104), "section slots: expected it inside the region"),
        (
            SECTIONS + 24 + 8,
            struct.pack("<Q", 4096),
            "section (slots|metrics): expected it behind section (slots|metrics), found both",
        ),
        (SECTIONS + 24, struct.pack("<II", 1, 64), "section slots: expected one, found another"),
        (SECTIONS + 16, struct.pack("<Q", 1 << 58), "section slots: expected it inside the region"),  # 2**64 bytes
        (SECTIONS + 24 + 16, struct.pack("<Q", 3), "section metrics: expected 4 entries, found 3"),
        (SECTIONS + 48 + 16, struct.pack("<Q", 63), "section cells: expected a power of two from 16, found 63"),
        (SECTIONS + 72 + 16, struct.pack("<Q", 31), "section holds: expected 32 entries, found 31"),
        (SECTIONS + 9 * 24 + 16, struct.pack("<Q", 16383), "section health: expected 16384 entries, found 16383"),
        (SECTIONS + 10 * 24 + 16, struct.pack("<Q", 0), "section series: expected 1 to 1048576 entries, found 0"),
        (SECTIONS + 11 * 24 + 16, struct.pack("<Q", 511), "section reasons: expected 512 entries, found 511"),
        (SECTIONS + 12 * 24 + 16, struct.pack("<Q", 63), "section plugin names: expected 64 entries, found 63"),
        (SECTIONS + 13 * 24 + 16, struct.pack("<Q", 255), "section plugins: expected 256 entries, found 255"),
    ],
)
def test_a_strange_region_is_refused(path: Path, offset: int, data: bytes, message: str) -> None:
    _spoil(path, offset, data)
    with pytest.raises(_core.RegionError, match=f"^{path}: {message}"):
        _core.Region.attach(path)


@pytest.mark.parametrize("size", [0, 100, 4096, 20000])
def test_a_region_cut_short_is_refused(path: Path, size: int) -> None:
    os.truncate(path, size)
    with pytest.raises(_core.RegionError, match="expected"):
        _core.Region.attach(path)


def test_a_section_of_a_later_version_is_passed_over(path: Path) -> None:
    _spoil(path, SECTIONS + 14 * 24, struct.pack("<IIQQ", 77, 32, 4096, 1))
    _spoil(path, 12, struct.pack("<I", 15))
    assert _core.Region.attach(path).slot_count == 4


@pytest.mark.parametrize(("arguments", "message"), [((0,), "counters: expected 1 to"), ((64, None, 0), "slots: expected 1 to")])
def test_sizes_out_of_range_are_named(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _core.Region.create(*arguments)


def test_a_file_is_never_taken_over_and_nothing_is_left_behind(path: Path) -> None:
    with pytest.raises(FileExistsError):
        _core.Region.create(64, path)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o777 == 0o600
    assert _core.Region.open(path, 1024, 8).cell_count == 64


def test_anonymous_memory_cannot_be_cut_short() -> None:
    region = _core.Region.create(64, slots=4)
    with pytest.raises(PermissionError):
        os.ftruncate(region.fd, 0)


def test_attached_by_descriptor_it_is_the_same_memory() -> None:
    region = _core.Region.create(64, slots=4)
    again = _core.Region.attach(region.fd)
    region.publish(7)
    assert (again.target(), again.size, again.slot_count, again.cell_count) == (7, region.size, 4, 64)
    assert again.fd != region.fd


def test_what_another_boot_left_is_cleared(path: Path) -> None:
    """Monotonic times, pids and revisions in flight of an earlier boot would be lies."""
    region = _core.Region.attach(path)
    limiter = _core.Limiter(region, "x", count=1, window=3600)
    assert limiter.hit("k").allowed
    region.set_slot(1, os.getpid(), WORKER, SERVING)
    region.publish(9)
    assert not _core.Limiter(_core.Region.attach(path), "x", count=1, window=3600).hit("k").allowed
    _spoil(path, 24, struct.pack("<Q", 1))
    again = _core.Region.attach(path)
    assert _core.Limiter(again, "x", count=1, window=3600).hit("k").allowed
    assert again.slot(1)[:4] == (0, 0, FREE, 0)
    assert again.lagging(10) == []
    assert again.target() == 0
    assert not _core.Limiter(_core.Region.attach(path), "x", count=1, window=3600).hit("k").allowed


def test_slots_are_seen_alike_by_all_processes() -> None:
    region = _core.Region.create(64, slots=4)
    pid = os.fork()
    if pid == 0:
        region.set_slot(2, os.getpid(), WORKER, STARTING)
        region.set_applied(2, 7)
        region.set_state(2, SERVING)
        os._exit(0)
    os.waitpid(pid, 0)
    assert region.slot(2) == (pid, WORKER, SERVING, 7, 1)
    assert region.lagging(8) == [(2, pid)]
    assert region.lagging(7) == []
    region.set_state(2, DRAINING)
    assert region.lagging(8) == [(2, pid)]
    region.set_slot(3, 1234, ADMIN, SERVING)
    assert region.lagging(8) == [(2, pid)]
    region.set_slot(2, 0, 0, FREE)
    assert region.slot(2)[:4] == (0, 0, FREE, 0)
    assert region.lagging(8) == []
    with pytest.raises(IndexError, match="slot: expected 0 to 3, found 4"):
        region.slot(4)


def test_a_slot_changing_hands_never_shows_two_processes_at_once() -> None:
    """Above all never pid 0 as laggard: os.kill(0) hits the caller's whole process group."""
    region = _core.Region.create(64, slots=1)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        while os.getppid() == parent:
            for number in (1001, 2002):
                region.set_slot(0, number, WORKER, STARTING)
                region.set_applied(0, number)
                region.set_state(0, SERVING)
                region.set_slot(0, 0, 0, FREE)
    try:
        seen = set()
        while len(seen) < 3:
            slot = region.slot(0)
            if slot.state == SERVING:
                assert slot.pid == slot.applied
            seen.add(slot.pid)
        for _ in range(20_000):
            assert {late for _, late in region.lagging(10_000)} <= {1001, 2002}
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_the_target_only_grows(path: Path) -> None:
    region = _core.Region.attach(path)
    region.publish(5)
    region.publish(3)
    assert region.target() == 5
    assert path.read_bytes()[TARGET : TARGET + 8] == struct.pack("<Q", 5)


def _until(word: _core.Region, value: int) -> int:
    """Waits for another process's word; a pipe would take so long that the two never meet."""
    while (told := word.target()) < value:
        os.sched_yield()
    return told


def test_start_up_protocol_never_misses_both() -> None:
    """A worker stores applied, then serving, then looks at the target; a writer publishes, then looks at the states: one of them
    sees the other, whatever the moment."""
    region, go, done = (_core.Region.create(16, slots=1) for _ in range(3))
    turns, pauses = 5000, random.Random(1)
    pid = os.fork()
    if pid == 0:
        for turn in range(1, turns + 1):
            _until(go, turn)
            region.set_applied(0, turn - 1)
            region.set_state(0, SERVING)
            done.publish(2 * turn + (region.target() >= turn))
        os._exit(0)
    met: set[tuple[bool, bool]] = set()
    for turn in range(1, turns + 1):
        region.set_slot(0, pid, WORKER, STARTING)
        go.publish(turn)
        for _ in range(pauses.randrange(20)):  # so that each comes first now and then
            go.target()
        region.publish(turn)
        waited_for = region.lagging(turn) == [(0, pid)]
        met.add((waited_for, bool(_until(done, 2 * turn) & 1)))
    os.waitpid(pid, 0)
    assert (False, False) not in met


def test_latency_buckets_cover_everything_in_order() -> None:
    bounds = [_core.bucket_bound(i) for i in range(128)]
    assert bounds == sorted(set(bounds))
    assert bounds[0] == 0
    assert bounds[-1] > 10**9  # µs: a quarter of an hour
