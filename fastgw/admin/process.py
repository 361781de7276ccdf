"""The admin process: puts store, gate, server and live-on-return together and runs them until TERM.

Owns: the process's loop and signals. Must not know: workers; they meet in the store and in the
shared memory. The master hands over sockets that already listen and everything else that is inherited.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from fastgw import __version__
from fastgw.admin.api import Api
from fastgw.admin.auth import Gate, Key
from fastgw.admin.live import Live, Region
from fastgw.admin.server import MAX_BODY, Server
from fastgw.store import Store

__all__ = ["SPOKEN", "Setup", "run"]

SPOKEN = "APISIX/3.18.0"  # the dialect: tools read the first token of the Server header

log = logging.getLogger("fastgw.admin")


@dataclass(frozen=True)
class Setup:
    """What the master decides. keys come from `auth.own_key` and the config; source names the config file."""

    database: Path
    keys: Sequence[Key]
    allow: Sequence[str] | None
    source: str
    server_tokens: bool = True
    body_bytes: int = MAX_BODY


def run(sockets: Sequence[socket.socket], region: Region, wakes: Sequence[int], ack: int, setup: Setup) -> None:
    """Serves until TERM or INT, then lets answers that are due go out. Returns; the caller exits."""
    uvloop.run(_serve(sockets, Live(region, wakes, ack), setup))


async def _serve(sockets: Sequence[socket.socket], live: Live, setup: Setup) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    store = Store(setup.database)
    api = Api(store, Gate(setup.keys, setup.allow), live, setup.source)
    software = f"{SPOKEN} fastgw/{__version__}" if setup.server_tokens else "APISIX"
    server = Server(api, software, setup.body_bytes, api.body_limit)
    live.start()
    await api.start()
    for sock in sockets:
        await server.listen(sock)
    log.info("admin process serves %d listeners at revision %d", len(sockets), store.revision())
    await stopped.wait()
    await server.stop()
    await api.stop()
    live.stop()
    store.close()
