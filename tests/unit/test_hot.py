"""hot: samples of what limits are asked stand for all hits, are whole, and say who was refused."""

import multiprocessing
import os
import struct
import time
from pathlib import Path

import pytest

from fastgw import _core
from fastgw.admin.hot import RING, WINDOW_MS, Heat, hottest
from tests.support.core import OK, snapshot

HOT = 8  # the section's kind
ENTRY, EVERY = 192, 32


def step(key: str, identity: bytes = b"routes/r/limit-count", count: int = 10**6) -> _core.LimitCountStep:
    return _core.LimitCountStep(identity, _core.Template(key, "constant"), count=count, window=3600)


class Asking:
    """Requests one after the other, on a clock that stands still unless it is told."""

    def __init__(self, region: _core.Region, *steps: _core.Step) -> None:
        region.set_slot(0, os.getpid(), 1, 2)
        self.wire = _core.Wire(snapshot(*steps), region=region)
        self.line = self.wire.open()

    def ask(self, times: int = 1) -> None:
        for _ in range(times):
            self.wire.push(self.line, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            for line, side, is_open in self.wire.lines():
                if side == "up" and is_open and self.wire.pull(line):
                    self.wire.push(line, OK)
            assert self.wire.pull(self.line)


@pytest.fixture
def region() -> _core.Region:
    return _core.Region.create(1024, slots=4, revocations=64)


def test_of_many_hits_some_are_written_down_and_stand_for_all(region: _core.Region) -> None:
    asking = Asking(region, step("k"))
    asking.ask(1500)
    samples = region.samples()
    assert 1500 // EVERY // 2 < len(samples) < RING // 2 + 1500 // EVERY
    assert 1500 - 2 * EVERY < sum(each.hits for each in samples) <= 1500
    assert {(each.slot, each.identity, each.key, each.refused, each.cut) for each in samples} == {
        (0, b"routes/r/limit-count", b"k", False, False)
    }
    assert [each.time for each in samples] == sorted(each.time for each in samples)
    assert region.samples(samples[-1].time + 1) == []


def test_of_few_hits_each_is_written_down(region: _core.Region) -> None:
    """Of both limits that a request meets."""
    asking = Asking(region, step("a"), step("b"))
    for _ in range(30):
        asking.wire.advance(0.025)
        asking.ask()
    assert [(each.hits, each.key) for each in region.samples()] == [(1, b"a"), (1, b"b")] * 30


def test_of_two_limits_that_each_request_meets_both_are_seen(region: _core.Region) -> None:
    asking = Asking(region, step("a"), step("b"))
    asking.ask(EVERY * RING)
    samples = region.samples()
    assert len(samples) == RING
    of_a = sum(each.hits for each in samples if each.key == b"a")
    assert 0.25 < of_a / sum(each.hits for each in samples) < 0.75


def test_a_refused_hit_is_marked(region: _core.Region) -> None:
    asking = Asking(region, step("a"), step("b", count=2))
    for _ in range(4):
        asking.wire.advance(0.025)
        asking.ask()
    seen = [(each.key, each.refused) for each in region.samples()]
    assert seen == [(b"a", False), (b"b", False)] * 2 + [(b"a", False), (b"b", True)] * 2


def test_names_that_are_too_long_are_cut_and_told_apart(region: _core.Region) -> None:
    Asking(region, step("k" * 57), step("k" * 58)).ask()
    samples = region.samples()
    assert [(each.key, each.cut) for each in samples] == [(b"k" * 56, True)] * 2
    assert len({each.fp for each in samples}) == 2
    first = _core.Region.create(1024, slots=1, revocations=64)
    Asking(first, step("k" * 56, b"i" * 96), step("k", b"i" * 97)).ask()
    assert [(each.identity, each.cut) for each in first.samples()] == [(b"i" * 96, False), (b"i" * 96, True)]


def test_the_ring_comes_round(region: _core.Region) -> None:
    asking = Asking(region, step("k"))
    asking.ask(EVERY * RING * 2)
    samples = region.samples()
    assert len(samples) == RING
    assert 0.7 * EVERY < sum(each.hits for each in samples) / RING < 1.3 * EVERY


def test_what_is_being_written_or_is_not_ours_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "region"
    region = _core.Region.create(1024, path, slots=2, revocations=64)
    asking = Asking(region, step("k"))
    asking.ask(3)
    head = path.read_bytes()[:1024]
    (sections,) = struct.unpack_from("<I", head, 12)
    table = (struct.unpack_from("<IIQQ", head, 48 + 24 * at) for at in range(sections))
    offset = next(offset for kind, _, offset, _ in table if kind == HOT)

    def spoil(index: int, at: int, data: bytes) -> None:
        with path.open("r+b") as file:
            file.seek(offset + index * ENTRY + at)
            file.write(data)

    assert len(region.samples()) == 3
    spoil(0, 0, struct.pack("<Q", 1))  # a writer was killed
    assert len(region.samples()) == 2
    spoil(1, 36, b"\xff\xff")  # lengths beyond what is there
    assert len(region.samples()) == 1


def test_to_look_takes_no_memory(region: _core.Region) -> None:
    region.slot(0)
    before = os.fstat(region.fd).st_blocks
    assert region.samples() == []
    assert os.fstat(region.fd).st_blocks == before


def _write(path: Path, letters: str) -> None:
    region = _core.Region.attach(path)
    names = [step(each * 56, each.encode() * 96) for each in letters]
    asking = Asking(region, *names)
    asking.ask()
    while True:
        asking.ask(100)


def test_a_sample_is_of_one_moment(tmp_path: Path) -> None:
    """One process writes as fast as it can, another reads."""
    path = tmp_path / "region"
    region = _core.Region.create(1024, path, slots=1, revocations=64)
    writer = multiprocessing.get_context("fork").Process(target=_write, args=(path, "ab"), daemon=True)
    writer.start()
    try:
        seen: set[bytes] = set()
        end = time.monotonic() + 20
        while time.monotonic() < end and not (seen == {b"a", b"b"} and time.monotonic() > end - 19):
            for each in region.samples():
                assert set(each.identity) == set(each.key)
                assert (len(each.identity), len(each.key)) == (96, 56)
                seen.add(each.key[:1])
        assert seen == {b"a", b"b"}
    finally:
        writer.kill()
        writer.join()


# -- the estimate --------------------------------------------------------------------------------------


def sample(slot: int, time: int, hits: int, key: bytes, refused: bool = False, fp: int | None = None) -> _core.Sample:
    return _core.Sample(slot, time, hits, refused, b"limit", key, hash(key) if fp is None else fp, False)


def test_rates_are_of_the_window_while_all_of_it_is_there() -> None:
    now = 100_000
    samples = [
        sample(0, now - 1, 10, b"a"),
        sample(1, now - 5000, 30, b"a", refused=True),
        sample(1, now - 20, 20, b"b"),
        sample(1, now - WINDOW_MS, 1000, b"old"),
    ]
    assert hottest(samples, now) == [Heat(b"limit", b"a", False, 4.0, 3.0), Heat(b"limit", b"b", False, 2.0, 0.0)]


def test_rates_are_of_the_time_that_a_full_ring_covers() -> None:
    now = 100_000
    samples = [sample(0, now - 1000 + at, EVERY, b"a" if at % 4 else b"b") for at in range(RING)]
    a, b = hottest(samples, now)
    assert (a.key, b.key) == (b"a", b"b")
    assert a.hits + b.hits == pytest.approx((RING - 1) * EVERY)  # in the second since the oldest
    assert a.hits / b.hits == pytest.approx(3, rel=0.1)


def test_keys_that_look_alike_are_told_apart() -> None:
    assert len(hottest([sample(0, 99, 1, b"k", fp=1), sample(0, 99, 1, b"k", fp=2)], 100)) == 2
    assert hottest([], 100) == []
