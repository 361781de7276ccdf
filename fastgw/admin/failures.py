"""How many wrong keys a client has sent of late, and so whether it has to wait.

Owns: the windows in which wrong keys are counted, of each client and of all together, in bounded memory. Must not
know: keys, HTTP.

A client is an IPv4 address or an IPv6 /64, the least that one subscriber is given (RFC 6177). A window begins with a
client's first wrong key; once its count is full the client waits for the window's end. Wrong keys of other clients
never make one wait that sent none, so the right key always gets in from an address of its own. While all clients
together send too many (one who has many addresses), each has to wait after its first one. A unix socket is guarded by
its file's mode and not counted.
"""

import ipaddress
import time
from collections.abc import Callable
from typing import Final

__all__ = ["Failures"]

MOST_CLIENTS: Final = 4096  # remembered at once; beyond, the one whose window ends first is forgotten
SUBSCRIBER_BITS: Final = 64


class _Window:
    """Wrong keys counted until a moment."""

    __slots__ = ("count", "end")

    def __init__(self, end: float) -> None:
        self.count = 0
        self.end = end


class Failures:
    """What the gate remembers of those who did not get in."""

    def __init__(self, count: int, total: int, window: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._count = count
        self._total = total
        self._length = window
        self._clock = clock
        self._clients: dict[str, _Window] = {}  # by the order in which windows begin, which is that of their ends
        self._all = _Window(0.0)

    def wait(self, peer: str | None) -> float:
        """Seconds until a key of this client is looked at again; 0: now."""
        now = self._clock()
        self._forget(now)
        found = self._clients.get(_client(peer)) if peer is not None else None
        if found is None or found.count < self._bearable(now):
            return 0.0
        return found.end - now

    def note(self, peer: str | None) -> bool:
        """A wrong key came; whether this was the one that makes its client wait."""
        if peer is None:
            return False
        now = self._clock()
        self._forget(now)
        if self._all.end <= now:
            self._all = _Window(now + self._length)
        self._all.count += 1
        client = _client(peer)
        found = self._clients.get(client)
        if found is None:
            if len(self._clients) >= MOST_CLIENTS:
                del self._clients[next(iter(self._clients))]
            found = self._clients[client] = _Window(now + self._length)
        found.count += 1
        return found.count >= self._bearable(now)

    def _bearable(self, now: float) -> int:
        return 1 if self._all.end > now and self._all.count > self._total else self._count

    def _forget(self, now: float) -> None:
        while self._clients:
            first = next(iter(self._clients))
            if self._clients[first].end > now:
                return
            del self._clients[first]


def _client(peer: str) -> str:
    address = ipaddress.ip_address(peer.partition("%")[0])
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, SUBSCRIBER_BITS), strict=False))
