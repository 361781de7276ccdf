"""Batches of log entries: when they go, how often they are tried, what is dropped, and that it is told."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from fastgw.plugins import batches
from fastgw.plugins.batches import Batch, Dropped, Pace, flush_all

log = logging.getLogger("fastgw.test-batches")
SOON, NEVER = 0.01, 3600.0


class Sink:
    """Takes batches, after as many failures as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.batches: list[list[bytes]] = []
        self.failures = failures
        self.tries = 0
        self.came = asyncio.Event()
        self.gate: asyncio.Event | None = None

    async def send(self, entries: list[bytes]) -> None:
        self.tries += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise OSError("the sink is away")
        self.batches.append(entries)
        self.came.set()

    async def some(self) -> None:
        await asyncio.wait_for(self.came.wait(), 20)
        self.came.clear()


def pace(size: int = 1000, inactive: float = NEVER, duration: float = NEVER, retries: int = 0, delay: float = SOON) -> Pace:
    return Pace(size, inactive, duration, retries, delay)


def play(scene: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scene())  # type: ignore[arg-type]


def test_a_full_batch_goes() -> None:
    async def scene() -> None:
        sink = Sink()
        batch = Batch(pace(size=2), sink.send, Dropped(log, "x"), 100)
        for entry in (b"a", b"b", b"c"):
            batch.push(entry)
        await sink.some()
        assert sink.batches == [[b"a", b"b"]]
        await flush_all(20)
        assert sink.batches == [[b"a", b"b"], [b"c"]]

    play(scene)


def test_a_batch_goes_when_nothing_comes_any_more() -> None:
    async def scene() -> None:
        sink = Sink()
        batch = Batch(pace(inactive=SOON), sink.send, Dropped(log, "x"), 100)
        for entry in (b"a", b"b"):
            batch.push(entry)
            await sink.some()
        assert sink.batches == [[b"a"], [b"b"]]

    play(scene)


def test_a_batch_goes_in_the_end_though_more_comes() -> None:
    async def scene() -> None:
        sink = Sink()
        batch = Batch(pace(duration=0.05), sink.send, Dropped(log, "x"), 10**6)
        while not sink.batches:
            batch.push(b"a")
            await asyncio.sleep(0)

    play(scene)


def test_a_failed_batch_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        sink, dropped = Sink(failures=2), Dropped(log, "x")
        batch = Batch(pace(size=1, retries=2), sink.send, dropped, 100)
        batch.push(b"a")
        await sink.some()
        assert (sink.batches, sink.tries, dropped.total) == ([[b"a"]], 3, 0)

    play(scene)
    assert not caplog.records


def test_what_fails_too_often_is_dropped_and_told(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        sink, dropped = Sink(failures=2), Dropped(log, "routes/1: http-logger")
        batch = Batch(pace(size=2, retries=1), sink.send, dropped, 100)
        for entry in (b"a", b"b"):
            batch.push(entry)
        while not dropped.total:
            await asyncio.sleep(0)
        for entry in (b"c", b"d"):
            batch.push(entry)
        await sink.some()
        assert (sink.batches, dropped.total) == ([[b"c", b"d"]], 2)

    play(scene)
    (record,) = caplog.records
    assert record.getMessage() == "routes/1: http-logger: 2 entries dropped, 2 in all: the sink is away"


def test_no_more_waits_than_may(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        sink, dropped = Sink(), Dropped(log, "x")
        sink.gate = asyncio.Event()
        batch = Batch(pace(size=3), sink.send, dropped, 5)
        for _ in range(1000):
            batch.push(b"a")
            await asyncio.sleep(0)
        assert dropped.total == 995
        sink.gate.set()
        await sink.some()
        await flush_all(20)
        assert sum(map(len, sink.batches)) == 5
        batch.push(b"b")  # there is room again
        await flush_all(20)
        assert sink.batches[-1] == [b"b"]
        assert dropped.total == 995
        monkeypatch.setattr(batches, "MOST_BYTES", 10)
        batch.push(b"c" * 6)
        batch.push(b"c" * 6)
        assert dropped.total == 996

    play(scene)
    assert len(caplog.records) == 1  # and not one for each
    assert caplog.records[0].getMessage() == "x: 1 entries dropped, 1 in all: too many wait"


def test_without_an_event_loop_nothing_is_sent() -> None:
    dropped = Dropped(log, "x")

    async def never(entries: list[bytes]) -> None:
        raise AssertionError

    Batch(pace(size=1), never, dropped, 100).push(b"a")
    assert dropped.total == 1


def test_the_end_waits_no_longer_than_it_may(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        sink, dropped = Sink(), Dropped(log, "x")
        sink.gate = asyncio.Event()
        batch = Batch(pace(), sink.send, dropped, 100)
        batch.push(b"a")
        await flush_all(SOON)
        assert dropped.total == 1

    play(scene)
    assert [record.getMessage() for record in caplog.records] == ["x: 1 entries dropped, 1 in all: the worker ends"]


def test_at_the_end_nothing_is_tried_again() -> None:
    async def scene() -> None:
        sink, dropped = Sink(failures=1), Dropped(log, "x")
        batch = Batch(pace(retries=1000, delay=NEVER), sink.send, dropped, 100)
        batch.push(b"a")
        await flush_all(20)
        assert (sink.tries, dropped.total) == (1, 1)

    play(scene)
