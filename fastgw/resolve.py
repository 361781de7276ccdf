"""Names of upstream nodes to addresses, in the background: a request never waits for DNS.

Owns: which names are followed, when each is asked again, the last good answer. Must not know: upstreams,
who uses the addresses. The system's resolver tells no time to live, so every answer is good for `ttl`
seconds; a name that fails keeps its last good addresses for as long as it fails (one transient DNS fault must
not become lasting 503s), and is asked again after 1 s, 2 s, 4 s … up to `ttl`.
"""

import asyncio
import logging
import random
import socket
from collections.abc import Awaitable, Callable, Collection
from typing import Final

__all__ = ["Addresses", "Resolver"]

Addresses = tuple[str, ...]
"""IP addresses of one name, IPv4 first, each family sorted, so that equal answers compare equal."""

TTL_S: Final = 30.0
RETRY_S: Final = 1.0
JITTER: Final = 0.1  # of the interval, so that workers and names do not ask in step

log = logging.getLogger("fastgw.resolve")


class Resolver:
    """One per worker."""

    def __init__(
        self,
        on_change: Callable[[str, Addresses], None],
        ttl: float = TTL_S,
        lookup: Callable[[str], Awaitable[Addresses]] | None = None,
    ) -> None:
        """on_change: called with a name whose addresses are known for the first time or are new."""
        self._on_change = on_change
        self._ttl = ttl
        self._lookup = lookup or _lookup
        self._known: dict[str, Addresses] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._asked: dict[str, asyncio.Event] = {}

    def addresses(self, name: str) -> Addresses:
        """The last good answer; empty if there was none yet."""
        return self._known.get(name, ())

    async def follow(self, names: Collection[str], patience: float) -> None:
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

    async def _keep(self, name: str, asked: asyncio.Event) -> None:
        failures = 0
        while True:
            try:
                found = await self._lookup(name)
            except (OSError, UnicodeError) as exc:  # UnicodeError: no such name can exist (IDNA)
                if failures == 0:
                    kept = ",".join(self.addresses(name)) or "none"
                    log.warning("cannot resolve %s: %s", name, exc, extra={"kept": kept})
                pause = min(RETRY_S * 2**failures, self._ttl)
                failures = min(failures + 1, 16)
            else:
                if failures:
                    log.info("%s resolves again", name)
                failures, pause = 0, self._ttl
                if found != self._known.get(name):
                    self._known[name] = found
                    self._on_change(name, found)
            asked.set()
            await asyncio.sleep(pause * (1 + random.uniform(-JITTER, JITTER)))  # noqa: S311 (no secret)


async def _lookup(name: str) -> Addresses:
    found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    seen = {(family != socket.AF_INET, str(target[0])) for family, _, _, _, target in found}
    return tuple(address for _, address in sorted(seen))
