"""The admin process: puts store, gate, server and live-on-return together and runs them until TERM.

Owns: the process's loop and signals. Must not know: workers; they meet in the store and in the
shared memory. The master hands over sockets that already listen and everything else that is inherited.
"""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from fastgw import __version__, logs, revocations
from fastgw._core import Region
from fastgw.admin.api import Api
from fastgw.admin.audit import Audit
from fastgw.admin.auth import Gate, Key
from fastgw.admin.control import Control
from fastgw.admin.explain import Explain
from fastgw.admin.failures import Failures
from fastgw.admin.health import HealthChecks
from fastgw.admin.key_sets import KeySets
from fastgw.admin.limits import Limits as CountedLimits
from fastgw.admin.live import Live
from fastgw.admin.prometheus import Exporter
from fastgw.admin.server import MAX_BODY, Server
from fastgw.admin.status import Status
from fastgw.plugin_reload import Asking
from fastgw.process import hear
from fastgw.schema.settings import Jwks, Limits, Prometheus, Router, WrongKeys
from fastgw.store import Store

__all__ = ["SPOKEN", "Setup", "run"]

SPOKEN = "APISIX/3.18.0"  # the dialect: tools read the first token of the Server header

log = logging.getLogger("fastgw.admin")


@dataclass(frozen=True)
class Setup:
    """What the master decides. keys come from `auth.keys_of`; source names the config file; audit is the audit log's file, of
    which the store keeps so many entries; limits and router are the data plane's; metrics, control and status are where
    these listen, if they do; workers is how many there are to be; reloads is where the master is asked to read plugins anew.
    slot is this process's own, wake its eventfd, asks where workers say which key sets they miss keys of. trusted_certificate:
    whose signatures on certificates of upstreams are trusted."""

    database: Path
    slot: int
    wake: int
    asks: int
    jwks: Jwks
    keys: Sequence[Key]
    allow: Sequence[str] | None
    source: str
    audit: Path
    audit_entries: int
    wrong_keys: WrongKeys
    limits: Limits
    server_tokens: bool = True
    body_bytes: int = MAX_BODY
    prometheus: Prometheus = field(default_factory=Prometheus)
    metrics: socket.socket | None = None
    control: socket.socket | None = None
    status: socket.socket | None = None
    workers: int = 1
    reloads: socket.socket | None = None
    router: Router = field(default_factory=Router)
    dns_resolver: tuple[str, ...] = ()
    dns_resolver_valid: float | None = None
    trusted_certificate: str | None = None


def run(sockets: Sequence[socket.socket], region: Region, wakes: Sequence[int], ack: int, setup: Setup) -> None:
    """Serves until TERM or INT, then lets answers that are due go out. Returns; the caller exits."""
    uvloop.run(_serve(sockets, region, Live(region, wakes, ack), setup))


async def _serve(sockets: Sequence[socket.socket], region: Region, live: Live, setup: Setup) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    store = Store(setup.database)
    store.bounds = {revocations.KIND: region.revocations}
    audit = Audit(store, setup.audit, setup.audit_entries)
    loop.add_signal_handler(signal.SIGUSR1, _reopen, audit)
    hear(signal.SIGUSR1)
    wrong = setup.wrong_keys
    gate = Gate(setup.keys, setup.allow, Failures(wrong.count, wrong.total, wrong.window))
    explain = Explain(setup.database, setup.limits, region, setup.router)
    limits = CountedLimits(setup.database, region)
    health = HealthChecks(setup.database, region, setup.trusted_certificate, setup.dns_resolver, setup.dns_resolver_valid)
    exporter = Exporter(setup.database, region, health.nodes, setup.prometheus)
    asking = Asking(setup.reloads)
    api = Api(store, gate, live, setup.source, audit, explain, limits, region, exporter.scrape, health.all, asking)
    software = f"{SPOKEN} fastgw/{__version__}" if setup.server_tokens else "APISIX"
    server = Server(api, software, setup.body_bytes, api.admit)
    control = None if setup.control is None else Control(setup.database, health.nodes, asking)
    beside = [
        (sock, Server(handler, software, setup.body_bytes))
        for sock, handler in ((setup.control, control), (setup.status, Status(region, setup.workers)), (setup.metrics, exporter))
        if sock is not None and handler is not None
    ]
    live.start()
    await api.start()
    for sock in sockets:
        await server.listen(sock)
    for sock, another in beside:
        await another.listen(sock)
    key_sets = KeySets(setup.database, live, region, setup.slot, setup.jwks)
    await key_sets.start(setup.asks)
    await health.start()
    loop.add_reader(setup.wake, _on_wake, setup.wake, (key_sets.woken, health.woken))
    log.info("admin process serves %d listeners at revision %d", len(sockets), store.revision())
    await stopped.wait()
    loop.remove_reader(setup.wake)
    for each in (server, *(another for _, another in beside)):
        await each.stop()
    asking.stop()
    if control is not None:
        control.close()
    exporter.close()
    await key_sets.stop()
    await health.stop()
    await api.stop()
    live.stop()
    audit.close()
    store.close()


def _on_wake(wake: int, woken: Sequence[Callable[[], None]]) -> None:
    """The store has changed: tells those who follow it."""
    try:
        os.eventfd_read(wake)
    except BlockingIOError:
        pass
    for each in woken:
        each()


def _reopen(audit: Audit) -> None:
    """After log files were moved away."""
    logs.reopen()
    audit.reopen()
