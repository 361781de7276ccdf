"""The shared region: what is checked at attach, and slots that two processes see alike."""

import os
import struct
from pathlib import Path

import pytest

from fastgw import _core

PAGE = 4096


@pytest.fixture
def table(tmp_path: Path) -> Path:
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
        (8, struct.pack("<I", 99), "expected layout version 1, found 99"),
        (12, struct.pack("<I", 1000), "expected at most 32 sections, found 1000"),
        (16, struct.pack("<Q", 12345), "expected 12345 bytes, found"),
        (48 + 8, struct.pack("<Q", 1 << 40), "section 0 lies outside the region"),
        (48 + 4, struct.pack("<I", 128), "section 1: expected entries of 64 bytes, found 128"),
    ],
)
def test_a_strange_region_is_refused(table: Path, offset: int, data: bytes, message: str) -> None:
    _spoil(table, offset, data)
    with pytest.raises(_core.RegionError, match=message):
        _core.Region.attach(str(table))


def test_a_region_cut_short_is_refused(table: Path) -> None:
    os.truncate(table, 100)
    with pytest.raises(_core.RegionError, match="expected a fastgw region"):
        _core.Region.attach(str(table))


def test_counters_of_another_boot_are_cleared(table: Path) -> None:
    limiter = _core.Limiter(_core.Region.attach(str(table)), "x", count=1, window=3600)
    assert limiter.hit("k").allowed
    assert not _core.Limiter(_core.Region.attach(str(table)), "x", count=1, window=3600).hit("k").allowed
    _spoil(table, 24, struct.pack("<Q", 1))
    assert _core.Limiter(_core.Region.attach(str(table)), "x", count=1, window=3600).hit("k").allowed


def test_a_file_is_never_taken_over(table: Path) -> None:
    with pytest.raises(FileExistsError):
        _core.Region.create(64, str(table))


def test_slots_are_live_across_processes() -> None:
    region = _core.Region.create(64, slots=4)
    pid = os.fork()
    if pid == 0:
        region.set_slot(2, os.getpid(), 1, 1)
        region.set_applied(2, 7)
        region.set_state(2, 2)
        os._exit(0)
    os.waitpid(pid, 0)
    assert region.slot(2) == (pid, 1, 2, 7, 1)
    assert region.lagging(8) == [(2, pid)]
    assert region.lagging(7) == []
    with pytest.raises(IndexError, match="slot: expected 0 to 3, found 4"):
        region.slot(4)


def test_the_target_only_grows() -> None:
    region = _core.Region.create(64, slots=1)
    region.publish(5)
    region.publish(3)
    assert region.target() == 5


def test_start_up_protocol_never_misses_both() -> None:
    """A worker stores applied, then serving, then looks at the target; a writer publishes, then looks at the states: one of them
    sees the other, whatever the moment."""
    region = _core.Region.create(64, slots=1)
    turns = 2000
    read_fd, write_fd = os.pipe()
    ack_read, ack_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        for revision in range(1, turns + 1):
            os.read(read_fd, 1)
            region.set_applied(0, revision - 1)
            region.set_state(0, 2)
            region.set_applied(0, region.target())
            os.write(ack_write, b".")
        os._exit(0)
    for revision in range(1, turns + 1):
        region.set_slot(0, 1, 1, 1)
        os.write(write_fd, b".")
        region.publish(revision)
        believed_gone = region.slot(0).state != 2
        os.read(ack_read, 1)
        assert region.slot(0).applied == revision or not believed_gone
    os.waitpid(pid, 0)


def test_latency_buckets_cover_everything_in_order() -> None:
    bounds = [_core.bucket_bound(i) for i in range(128)]
    assert bounds == sorted(set(bounds))
    assert bounds[0] == 0
    assert bounds[-1] > 10**9  # µs: a quarter of an hour
