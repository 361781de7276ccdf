"""A load of keep-alive connections from one thread: bounded in requests or by the caller's word, and exact in what it counts."""

import asyncio
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from types import TracebackType

from tests.support.wire import Address


class Load:
    """`connections` clients that each send `request` (or what it gives) and read the whole answer, again and again.

    Ends after `total` requests, or when the `with` block is left. A connection that breaks is opened anew.
    """

    def __init__(
        self, address: Address, request: bytes | Callable[[], bytes], connections: int, total: int | None = None
    ) -> None:
        self.address, self.request, self.connections = address, request, connections
        self.left = total
        self.statuses: Counter[int] = Counter()
        self.of: defaultdict[bytes, Counter[int]] = defaultdict(Counter)
        """Statuses by request; 0 counts those of it that are lost."""
        self.lost = 0
        """Requests sent whose answer never came, or not whole."""
        self.refused = 0
        """Connections that could not be opened."""
        self.stopped = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.left is None or kind is not None:
            self.stopped = True
        self._thread.join(90)
        assert not self._thread.is_alive(), "the load does not end: an answer never comes"

    @property
    def done(self) -> int:
        """Answers read so far."""
        return sum(self.statuses.values())

    async def _run(self) -> None:
        await asyncio.gather(*(self._client() for _ in range(self.connections)))

    def _take(self) -> bool:
        if self.stopped or self.left == 0:
            return False
        if self.left is not None:
            self.left -= 1
        return True

    async def _client(self) -> None:
        writer: asyncio.StreamWriter | None = None
        while self._take():
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection(*self.address)
            except OSError:
                self.refused += 1
                continue
            request = self.request() if callable(self.request) else self.request
            try:
                writer.write(request)
                status, close = await self._answer(reader)
                self.statuses[status] += 1
                self.of[request][status] += 1
            except (OSError, EOFError, asyncio.IncompleteReadError):
                self.lost += 1
                self.of[request][0] += 1
                close = True
            if close:
                writer.close()
                writer = None
        if writer is not None:
            writer.close()

    @staticmethod
    async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = head.index(b"content-length:")
        await reader.readexactly(int(head[length + 15 : head.index(b"\r\n", length)]))
        return int(head[9:12]), b"connection: close" in head
