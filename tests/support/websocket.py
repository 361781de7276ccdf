"""WebSocket as other software speaks it (the library `websockets`): an echo server in a thread, and its clients.

Owns: how a test reaches a server through the gateway. Must not know what a test claims.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve, unix_serve
from websockets.typing import Subprotocol

from tests.support.wire import TIMEOUT, Address

MOST = 32 << 20
QUIET = {"ping_interval": None, "open_timeout": TIMEOUT, "close_timeout": TIMEOUT, "max_size": MOST}


def _chosen(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return Subprotocol("superchat") if "superchat" in offered else None


class EchoServer:
    """Sends each message back as it came, fragments and all; `open` are its connections. A message `close 4000 why` is obeyed."""

    def __init__(self, path: Path | None = None, tls: ssl.SSLContext | None = None, **options: Any) -> None:
        self._where = (path, tls)
        self._options = {**QUIET, "select_subprotocol": _chosen, **options}
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self.open: set[ServerConnection] = set()
        self.seen: list[dict[str, str]] = []  # header fields of handshakes
        self.codes: dict[str, int | None] = {}  # how connections were closed, by their path
        self.address: Address

    def __enter__(self) -> EchoServer:
        self._thread.start()
        assert self._ready.wait(TIMEOUT), "the server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(TIMEOUT)

    async def _serve(self) -> None:
        self._loop, self._done = asyncio.get_running_loop(), asyncio.Event()
        path, tls = self._where
        if path is not None:
            serving = unix_serve(self._echo, str(path), **self._options)
        else:
            serving = serve(self._echo, "127.0.0.1", 0, ssl=tls, backlog=1024, **self._options)
        async with serving as server:
            if path is None:
                self.address = Address(*next(iter(server.sockets)).getsockname())
            self._ready.set()
            await self._done.wait()
            server.close(close_connections=True)

    async def _echo(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.seen.append({name.lower(): value for name, value in connection.request.headers.raw_items()})
        self.open.add(connection)
        try:
            async for message in connection:
                if isinstance(message, str) and message.startswith("close "):
                    _, code, reason = message.split(" ", 2)
                    await connection.close(int(code), reason)
                    return
                await connection.send(message)
        finally:
            self.open.discard(connection)
            self.codes[connection.request.path] = connection.close_code


@contextlib.asynccontextmanager
async def client(address: Address, path: str = "/", scheme: str = "ws", **options: Any) -> AsyncIterator[ClientConnection]:
    """A connection through the gateway at this address."""
    async with connect(f"{scheme}://{address}{path}", proxy=None, **{**QUIET, **options}) as connection:
        yield connection
