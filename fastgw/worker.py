"""A worker: one uvloop that drives the native reactor, follows the store, and drains when told to.

Owns: the worker's start, when the store is looked at, the drain. Must not know: connections, requests, how a change
becomes a snapshot, the admin process; they meet in the store.

Start: enter the slot, apply everything up to the store's revision, say "serving", look at the target again
and catch up, and only then accept: whoever publishes meanwhile either sees this worker serving and waits
for it, or has set a target that it finds.
"""

import asyncio
import logging
import os
import signal
import sqlite3
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import uvloop

from fastgw import logs
from fastgw._core import Region
from fastgw.compile import Compiler
from fastgw.dns_client import Client
from fastgw.follow import Follower
from fastgw.plugins import batches, log_files
from fastgw.pools import Followed
from fastgw.process import hear
from fastgw.resolve import Resolver
from fastgw.schema.settings import Settings
from fastgw.slots import Kind, Slots
from fastgw.store import Store, StoreError

__all__ = ["DRAIN", "MakeReactor", "Reactor", "Setup", "run"]

DRAIN: Final = signal.SIGQUIT
"""What the master sends. Not TERM: service managers send that to every process of a group, not only to the
master, and the second TERM ends a worker at once."""
TICK_S: Final = 1.0
DRAIN_TICK_S: Final = 0.1  # between two looks whether a drain is over
CANCELS: Final = 50
CANCEL_S: Final = 0.1  # before what is left is cancelled again
DNS_PATIENCE_S: Final = 2.0  # a new name may delay a change this long, less than the publish deadline (5 s)
# A client that is busy on a kept connection sends again within this, and is answered `Connection: close`;
# to close at once would cut requests on their way (RFC 9112 section 9.5).
IDLE_GRACE_S: Final = 1.0
LOGS_S: Final = 2.0  # that what loggers still have may take at the end
RETRY_S: Final = 1.0  # to read the store again after it failed

log = logging.getLogger("fastgw.worker")


class Reactor(Protocol):
    """The data plane of one worker, as dataplane.DataPlane has it."""

    def fileno(self) -> int:
        """Its epoll set; readable when there is something to drain."""

    def drain(self) -> None:
        """Handles what is ready, within a cap."""

    def tick(self) -> None:
        """Now and then; it keeps time by itself."""

    def call_on(self, fd: int) -> None:
        """A descriptor that becomes readable ends a drain: whoever else watches it has its turn."""

    def ask_by(self, fd: int) -> None:
        """Where it says which key sets it would have fetched."""

    def listen(self, fd: int) -> None: ...

    def listen_tls(self, fd: int) -> None: ...

    def stop_listening(self) -> None:
        """Takes what waits in the queues, then no more; from now on every answer closes its connection."""

    def close_idle(self) -> None:
        """Closes client connections between two requests; not those whose first is still to come."""

    def active(self) -> int:
        """Client connections that are open."""

    def install(self, snapshot: Any) -> None: ...

    def reopen_logs(self) -> None: ...

    def close(self) -> None:
        """Cuts what is left and writes out the access log."""


MakeReactor = Callable[[Region, int, Settings, Compiler], Reactor]
"""Called in the running loop with the shared memory, the worker's slot in it, settings and compiler."""


@dataclass(frozen=True)
class Setup:
    """What the master hands over."""

    slots: Slots
    slot: int
    listeners: Sequence[int]
    """Descriptors of listening sockets; the worker closes its copies when it drains."""
    tls_listeners: Sequence[int]
    """The same, on which TLS is spoken."""
    database: Path
    settings: Settings
    make_reactor: MakeReactor
    make_compiler: Callable[[], Compiler]


def run(setup: Setup) -> int:
    """The whole life of a worker process; returns its exit code."""

    async def serve() -> int:
        try:
            return await _Worker(setup).serve()
        finally:
            await _end_others()

    return uvloop.run(serve())


async def _end_others() -> None:
    """Cancels what still runs in the background, and again what a cancellation did not end: one can be lost, as in
    asyncio.wait_for (cpython issue 86296), and the loop, which cancels only once, would wait for that task for ever."""
    for _ in range(CANCELS):
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if not tasks:
            return
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=CANCEL_S)


class _Worker:
    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._slots = setup.slots
        self._slot = setup.slot
        self._loop = asyncio.get_running_loop()
        self._compiler = setup.make_compiler()
        self._reactor = setup.make_reactor(setup.slots.region, setup.slot, setup.settings, self._compiler)
        self._reactor.ask_by(setup.slots.asks[1])
        settings = setup.settings
        client = Client(settings.dns_resolver)
        self._resolver = Resolver(self._on_found, client.look_up, settings.dns_resolver_valid)
        self._applied = 0
        self._idle_until = self._deadline = 0.0
        self._serving = self._draining = False
        self._tick: asyncio.TimerHandle | None = None
        self._terms = 0
        self._woken = asyncio.Event()
        self._done = asyncio.Event()

    async def serve(self) -> int:
        self._loop.add_signal_handler(DRAIN, self._drain)
        self._loop.add_signal_handler(signal.SIGTERM, self._on_term)
        self._loop.add_signal_handler(signal.SIGUSR1, self._on_reopen)
        hear(signal.SIGUSR1)
        self._slots.enter(self._slot, Kind.WORKER)
        try:
            self._store = Store(self._setup.database)
            self._follower = Follower(self._store, self._compiler, self._resolve, self._reactor.install)
            await self._start()
            await self._run()
        except (StoreError, sqlite3.Error) as exc:
            log.critical("cannot follow the store: %s", exc)
            return 1
        log.info("stopped")
        return 0

    async def _run(self) -> None:
        """Until drained. StoreError: the way forward is lost, and a new worker must start from the whole."""
        follower, done = asyncio.create_task(self._follow()), asyncio.create_task(self._done.wait())
        await asyncio.wait([follower, done], return_when=asyncio.FIRST_COMPLETED)
        self._resolver.stop()
        self._loop.remove_reader(self._reactor.fileno())
        self._reactor.close()
        await batches.flush_all(LOGS_S)
        log_files.writer.close(LOGS_S)
        if follower.done():
            follower.result()
        follower.cancel()
        self._store.close()

    # ---- start ----

    async def _start(self) -> None:
        await self._catch_up()
        self._slots.serve(self._slot)
        wake = self._slots.wakes[self._slot]
        self._loop.add_reader(wake, self._on_wake, wake)
        self._reactor.call_on(wake)
        if self._applied < self._slots.region.target():
            await self._catch_up()
        self._loop.add_reader(self._reactor.fileno(), self._reactor.drain)
        self._tick = self._loop.call_later(TICK_S, self._on_tick)
        if self._draining:  # told to end before there was anything to drain
            self._done.set()
            return
        for fd in self._setup.listeners:
            self._reactor.listen(fd)
        for fd in self._setup.tls_listeners:
            self._reactor.listen_tls(fd)
        self._serving = True
        log.info("serving", extra={"pid": os.getpid(), "revision": self._applied})
        self._slots.announce()

    # ---- following the store ----

    def _on_wake(self, fd: int) -> None:
        # Not read yet: a drain that follows in this turn of the event loop must find it, or it waits while `_follow` waits.
        self._loop.remove_reader(fd)
        self._woken.set()

    def _hear(self, fd: int) -> None:
        """Takes a wake and listens for the next."""
        try:
            os.eventfd_read(fd)
        except BlockingIOError:
            pass  # this turn is a retry
        self._loop.add_reader(fd, self._on_wake, fd)

    async def _follow(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            self._hear(self._slots.wakes[self._slot])
            try:
                await self._catch_up()
            except sqlite3.Error as exc:
                log.error("%s: cannot read changes: %s", self._setup.database, exc)
                self._loop.call_later(RETRY_S, self._woken.set)

    async def _catch_up(self) -> None:
        self._applied = await self._follower.catch_up()
        self._slots.applied(self._slot, self._applied)

    async def _resolve(self, names: Collection[Followed]) -> None:
        await self._resolver.follow(names, DNS_PATIENCE_S)
        self._compiler.pools.keep(names)  # those that come back are told anew

    def _on_found(self, name: Followed, found: Collection[Any]) -> None:
        self._compiler.set_found(name, found)
        if self._compiler.behind:
            self._woken.set()

    # ---- time and signals ----

    def _on_tick(self) -> None:
        self._reactor.tick()
        if self._draining:
            now = self._loop.time()
            if now >= self._idle_until:
                self._reactor.close_idle()
            left = self._reactor.active()
            if left == 0:
                self._done.set()
            elif now >= self._deadline:
                log.warning("drain timeout: %d connections are cut", left)
                self._done.set()
        self._tick = self._loop.call_later(DRAIN_TICK_S if self._draining else TICK_S, self._on_tick)

    def _on_term(self) -> None:
        self._terms += 1
        if self._terms > 1:
            self._done.set()
        self._drain()

    def _drain(self) -> None:
        if self._draining:
            return
        self._draining = True
        self._idle_until = self._loop.time() + IDLE_GRACE_S
        self._deadline = self._loop.time() + self._setup.settings.limits.drain_timeout
        if self._tick is not None:
            self._tick.cancel()
            self._tick = self._loop.call_later(DRAIN_TICK_S, self._on_tick)
        self._slots.drain(self._slot)
        self._reactor.stop_listening()
        for fd in (*self._setup.listeners, *self._setup.tls_listeners):
            os.close(fd)
        log.info("draining", extra={"connections": self._reactor.active()})

    def _on_reopen(self) -> None:
        logs.reopen()
        self._reactor.reopen_logs()
