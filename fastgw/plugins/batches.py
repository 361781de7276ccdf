"""Entries of loggers on their way to where they are kept: together, in the background, within bounds.

Owns: when a batch is full or old enough, how often it is tried, how much may wait, and that what is lost is counted and told.
Must not know what an entry says, nor where it goes. Nothing here holds up a request: `push` takes an entry into memory, or drops
it.
"""

import asyncio
import logging
import time
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

__all__ = ["Batch", "Dropped", "Pace", "flush_all"]

MOST_BYTES: Final = 33554432  # that wait for one place
_SENDERS: Final = 4
_MOST_REASONS: Final = 16
_TELL_S: Final = 10.0  # between two lines of the log about what was dropped

Send = Callable[[list[bytes]], Awaitable[None]]
"""Brings entries to their place; raises where that fails."""


class Pace(NamedTuple):
    """When batches go."""

    batch_max_size: int
    """Entries of one batch."""
    inactive_timeout: float
    """Seconds without a new entry after which one goes."""
    buffer_duration: float
    """Seconds after its first entry when it goes at the latest."""
    max_retry_count: int
    """How often one that failed is tried again."""
    retry_delay: float
    """Seconds between tries."""


class _Told:
    """When a reason was told last, and for how many since."""

    def __init__(self) -> None:
        self.at = -_TELL_S
        self.untold = 0


class Dropped:
    """How many entries were lost, told to the log now and then for each reason, and not of each entry."""

    def __init__(self, log: logging.Logger, who: str) -> None:
        self.total = 0
        self._log = log
        self._who = who
        self._reasons: dict[str, _Told] = {}

    def count(self, n: int, why: str) -> None:
        """n more are lost."""
        self.total += n
        if why not in self._reasons and len(self._reasons) >= _MOST_REASONS:
            self._reasons.clear()
        told = self._reasons.setdefault(why, _Told())
        told.untold += n
        now = time.monotonic()
        if now - told.at >= _TELL_S:
            self._log.error("%s: %d entries dropped, %d in all: %s", self._who, told.untold, self.total, why)
            told.untold, told.at = 0, now


_LIVE: "Final[weakref.WeakSet[Batch]]" = weakref.WeakSet()


async def flush_all(seconds: float) -> None:
    """Sends what waits, as the process ends; what is not gone in time is dropped and told."""
    batches = list(_LIVE)
    tasks = [task for batch in batches for task in batch.flush()]
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)
    for batch in batches:
        batch.give_up()


class Batch:
    """The entries of one configuration in this worker."""

    def __init__(self, pace: Pace, send: Send, dropped: Dropped, most_pending: int) -> None:
        """most_pending: entries that may wait, those on their way included."""
        self._pace = pace
        self._send = send
        self._dropped = dropped
        self._most = most_pending
        self._entries: list[bytes] = []
        self._first = self._last = 0.0
        self._full: deque[list[bytes]] = deque()
        self._pending = 0
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = False
        _LIVE.add(self)

    def push(self, entry: bytes) -> None:
        """Takes an entry, or drops it where too much waits."""
        if self._pending >= self._most or self._bytes + len(entry) > MOST_BYTES:
            self._dropped.count(1, "too many wait")
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._dropped.count(1, "no event loop to send them by")  # embedded in a server of threads
            return
        self._last = loop.time()
        if not self._entries:
            self._first = self._last
        self._entries.append(entry)
        self._pending += 1
        self._bytes += len(entry)
        if len(self._entries) >= self._pace.batch_max_size:
            self._close()
        elif self._timer is None:
            self._timer = loop.call_later(min(self._pace.inactive_timeout, self._pace.buffer_duration), self._tick)

    def flush(self) -> list["asyncio.Task[None]"]:
        """The process ends: what waits is to go now, and nothing is tried again. Gives what is under way."""
        self._ending = True
        self._close()
        return list(self._tasks)

    def give_up(self) -> None:
        """What still waits is lost."""
        if self._pending:
            self._dropped.count(self._pending, "the worker ends")
            self._pending = 0

    def _tick(self) -> None:
        self._timer = None
        if not self._entries:
            return
        loop = asyncio.get_running_loop()
        due = min(self._last + self._pace.inactive_timeout, self._first + self._pace.buffer_duration)
        if loop.time() >= due:
            self._close()
        else:
            self._timer = loop.call_at(due, self._tick)

    def _close(self) -> None:
        """The batch is one; who is free sends it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._entries:
            self._full.append(self._entries)
            self._entries = []
            if len(self._tasks) < _SENDERS:
                task = asyncio.get_running_loop().create_task(self._work())
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _work(self) -> None:
        while self._full:
            entries = self._full.popleft()
            await self._deliver(entries)
            self._pending = max(0, self._pending - len(entries))
            self._bytes -= sum(map(len, entries))

    async def _deliver(self, entries: list[bytes]) -> None:
        tries = 0
        while True:
            try:
                await self._send(entries)
                return
            except Exception as error:  # whatever it is, it must not end the sender
                why = str(error) or type(error).__name__
            tries += 1
            if tries > self._pace.max_retry_count or self._ending:
                self._dropped.count(len(entries), why)
                return
            await asyncio.sleep(self._pace.retry_delay)
