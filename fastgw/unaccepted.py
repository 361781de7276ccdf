"""What a worker says of connections that it did not take: rarely, however many they are.

Owns: the lines, and how often. Must not know: sockets; the reactor counts.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from fastgw.schema.settings import Limits

__all__ = ["Unaccepted"]

EVERY_S: Final = 10.0  # between two lines of a kind: who causes them must not fill the disk

log = logging.getLogger("fastgw.worker")


class Unaccepted:
    """Looked at with every tick."""

    def __init__(self, limits: Limits, now: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._now = now
        self._refused = _Count(now)
        self._pauses = _Count(now)

    def tell(self, refused: int, address: str, pauses: int, why: int) -> None:
        """Takes what Reactor.unaccepted gives."""
        if refused != self._refused.told and (n := self._refused.due(refused)):
            most = self._limits.connections_per_address
            log.warning("limits.connections_per_address: %d reached, %d connections closed, the last from %s", most, n, address)
        if pauses != self._pauses.told and self._pauses.due(pauses):
            log.warning("accepting paused: %s", self._reason(why))

    def _reason(self, why: int) -> str:
        """native/exchange.pxd has the numbers (Paused)."""
        if why == 1:
            return f"limits.connections: {self._limits.connections} reached"
        return "no more files may be open (ulimit -n)" if why == 2 else "the system has no descriptors or memory left"


class _Count:
    """One that only grows, and how much of it was told."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.told = 0
        self._now = now
        self._next = 0.0

    def due(self, count: int) -> int:
        """How many are to be told of now; 0: it is too early."""
        if self._now() < self._next:
            return 0
        self._next = self._now() + EVERY_S
        news, self.told = count - self.told, count
        return news
