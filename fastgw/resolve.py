"""Names of upstream nodes to addresses, and services to nodes, in the background: a request never waits for DNS.

Owns: what is followed, when each is asked again, the last good answer. Must not know: upstreams, who uses the answers, how one is
found. An answer is good for as long as it says; a name that fails keeps its last good answer for as long as it fails (one
transient DNS fault must not become lasting 503s, known-pains 6.5), and is asked again after 1 s, 2 s, 4 s … up to 30 s.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final

from fastgw.dns_client import Answer
from fastgw.pools import Followed

__all__ = ["Resolver"]

MOST_PAUSE_S: Final = 30.0  # between two attempts that fail
RETRY_S: Final = 1.0
LEAST_TTL_S: Final = 1.0  # a name that says 0 is not to be asked about for each request
MOST_TTL_S: Final = 3600.0  # nor never again
JITTER: Final = 0.1  # of the interval, so that workers and names do not ask in step

log = logging.getLogger("fastgw.resolve")


class Resolver:
    """One per worker."""

    def __init__(
        self,
        on_change: Callable[[Any, tuple[Any, ...]], None],
        look_up: Callable[[Any], Awaitable[Answer]],
        valid: float | None = None,
    ) -> None:
        """on_change: called with what is known for the first time or has changed. valid: for how many seconds every answer holds,
        whatever it says."""
        self._on_change = on_change
        self._look_up = look_up
        self._valid = valid
        self._known: dict[Followed, tuple[Any, ...]] = {}
        self._tasks: dict[Followed, asyncio.Task[None]] = {}
        self._asked: dict[Followed, asyncio.Event] = {}

    def known(self, name: Followed) -> tuple[Any, ...]:
        """The last good answer; empty if there was none yet."""
        return self._known.get(name, ())

    async def follow(self, names: Collection[Followed], patience: float) -> None:
        """Follows exactly these names from now on; waits until each was asked once, or patience (s) ends."""
        for gone in self._tasks.keys() - set(names):
            self._tasks.pop(gone).cancel()
            self._known.pop(gone, None)
            self._asked.pop(gone)
        for name in names:
            if name not in self._tasks:
                self._asked[name] = asyncio.Event()
                self._tasks[name] = asyncio.create_task(self._keep(name, self._asked[name]))
        waiting = [asyncio.create_task(each.wait()) for each in self._asked.values() if not each.is_set()]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=patience)
            for task in late:
                task.cancel()

    def stop(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    async def _keep(self, name: Followed, asked: asyncio.Event) -> None:
        failures = 0
        while True:
            try:
                answer = await self._look_up(name)
                if answer.found != self._known.get(name):
                    self._on_change(name, answer.found)
                    self._known[name] = answer.found
            except Exception as exc:  # OSError, ValueError: no such name can exist; whatever else, the name is to be asked again
                if failures == 0:
                    kept = ",".join(map(str, self.known(name))) or "none"
                    log.warning("cannot resolve %s: %s", name, exc, extra={"kept": kept})
                pause = min(RETRY_S * 2**failures, MOST_PAUSE_S)
                failures = min(failures + 1, 16)
            else:
                if failures:
                    log.info("%s resolves again", name)
                failures, pause = 0, self._valid or min(max(answer.ttl, LEAST_TTL_S), MOST_TTL_S)
            asked.set()
            await asyncio.sleep(pause * (1 + random.uniform(-JITTER, JITTER)))  # noqa: S311 (no secret)
