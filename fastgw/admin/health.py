"""Active health checks as the store asks for them: which objects have checks, and what their nodes' names stand for.

Owns: following the store and DNS to the checkers, the places of the shared table that are given and taken back. Must not know:
how a probe is made, HTTP. What is known of a node lies in the shared table: it stays through a change of anything else, a reload
and this process's death, and is what workers go by meanwhile.
"""

import asyncio
import logging
import sqlite3
import ssl
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from fastgw._core import Health, NodeHealth, Region
from fastgw.dns_client import Client
from fastgw.health.checker import Checker
from fastgw.health.targets import Target, followed, targets
from fastgw.pools import Followed
from fastgw.resolve import Resolver
from fastgw.schema.upstream import Upstream
from fastgw.store import Feed, Store, StoreError

__all__ = ["CHECKED", "Checked", "HealthChecks", "checks_in"]

CHECKED: Final = ("routes", "services", "upstreams")
"""Kinds that can have health checks."""
FORGET_S: Final = 60.0  # that the state of a node stays which nobody names any more: it may be back with the next write
RETRY_S: Final = 1.0  # to read the store again after it failed

log = logging.getLogger("fastgw.health")
T = TypeVar("T")
Key = tuple[str, str]


class Checked(NamedTuple):
    """One address of a node of an object, as it stands."""

    target: Target
    stands: NodeHealth | None
    """None: it is not judged, as the table is full."""


@dataclass
class _Object:
    """One object with checks, and what follows from it."""

    upstream: Upstream
    checker: Checker
    names: frozenset[Followed] = frozenset()
    wanted: frozenset[int] = frozenset()
    homeless: frozenset[int] = frozenset()


class HealthChecks:
    """One per admin process."""

    def __init__(
        self,
        database: Path,
        region: Region,
        trusted: str | None = None,
        servers: tuple[str, ...] = (),
        valid: float | None = None,
    ) -> None:
        """trusted: a PEM file of those who may sign nodes' certificates; None: whom the system trusts. servers, valid: of DNS,
        as settings have them."""
        self._database = database
        self._health = Health(region)
        self._health.begin()
        self._trusted = trusted
        self._contexts: dict[bool, ssl.SSLContext] = {}
        self._servers = servers
        self._valid = valid
        self._objects: dict[Key, _Object] = {}
        self._revision = 0
        self._found: set[Followed] = set()
        """Names that stand for something else since the last look."""
        self._store: Store
        self._resolver: Resolver
        self._thread = ThreadPoolExecutor(1, "health")  # where the store is read
        self._woken = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._sweeping: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        self._store = await self._in_thread(lambda: Store(self._database))
        self._resolver = Resolver(self._on_found, Client(self._servers).look_up, self._valid)
        self._woken.set()
        self._tasks.append(asyncio.create_task(self._follow()))

    async def stop(self) -> None:
        self._resolver.stop()
        if self._sweeping is not None:
            self._sweeping.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for each in self._objects.values():
            each.checker.stop()
        await self._in_thread(self._store.close)
        self._thread.shutdown()

    def woken(self) -> None:
        """The store has changed."""
        self._woken.set()

    def nodes(self, kind: str, id: str) -> list[Checked]:
        """How the nodes of an object stand. From any thread."""
        found = self._objects.get((kind, id))
        return [] if found is None else [Checked(each, self._health.look(each.who)) for each in found.checker.targets]

    def all(self) -> list[tuple[str, str, Checked]]:
        """How all nodes stand, each with kind and id of its object. From the event loop's thread."""
        return [(kind, id, each) for kind, id in sorted(self._objects) for each in self.nodes(kind, id)]

    # -- which nodes are checked ----------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                await self._settle(await self._in_thread(self._read))
            except Exception as exc:  # a fault of ours as well: what is checked already goes on, and the next change finds us
                lost = isinstance(exc, StoreError | sqlite3.Error)
                log.error("health checks: cannot follow the store: %s", exc, exc_info=not lost)
                self._revision = 0
                asyncio.get_running_loop().call_later(RETRY_S, self._woken.set)

    def _read(self) -> dict[Key, Upstream | None]:
        """The objects that changed, those with checks. In the store's thread."""
        feed = Feed(self._store, self._revision)
        # From the beginning there are no changes to those that are gone.
        changed: dict[Key, Upstream | None] = {} if self._revision else dict.fromkeys(self._objects)
        for change in feed:
            if change.kind in CHECKED:
                value = change.value
                changed[change.kind, change.id] = None if value is None else _checked(change.kind, change.id, value)
        self._revision = feed.revision
        return changed

    async def _settle(self, changed: Mapping[Key, Upstream | None]) -> None:
        """Names that are new are asked for without waiting: their addresses come by `_on_found`."""
        found, self._found = self._found, set()
        stale = {key for key, each in self._objects.items() if not each.names.isdisjoint(found)} if found else set()
        for key, upstream in changed.items():
            known = self._objects.get(key)
            if upstream is None:
                stale.discard(key)
                if known is not None:
                    self._objects.pop(key).checker.stop()
                continue
            stale.add(key)
            if known is None:
                self._objects[key] = _Object(upstream, Checker("/".join(key), self._health, self._trust))
            else:
                known.upstream = upstream
        for key in stale:
            self._check("/".join(key), self._objects[key])
            await asyncio.sleep(0)  # there may be many
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(FORGET_S, self._sweep, self._unwanted())
        await self._resolver.follow(frozenset().union(*(each.names for each in self._objects.values())), 0)

    def _check(self, owner: str, each: _Object) -> None:
        """Gives its nodes' addresses a place, and checks them."""
        known, upstream = self._resolver.known, each.upstream
        assert upstream.checks is not None  # noqa: S101 (else it would not be here)
        own = list(targets(owner, upstream, self._health, known))
        homeless = frozenset(target.who for target in own if not self._health.add(target.who))
        if not homeless <= each.homeless:
            log.error("%s: %d of its addresses are not judged: there is no room for what is found", owner, len(homeless))
        each.names = frozenset(followed(upstream, known))
        each.wanted, each.homeless = frozenset(target.who for target in own), homeless
        each.checker.use(upstream.checks.active, own)

    def _on_found(self, name: Followed, found: tuple[Any, ...]) -> None:
        self._found.add(name)
        self._woken.set()

    # -- places in the table -----------------------------------------------------------------------

    def _unwanted(self) -> frozenset[int]:
        return frozenset(self._health.known()).difference(*(each.wanted for each in self._objects.values()))

    def _sweep(self, since: frozenset[int]) -> None:
        """Forgets those that were unwanted then and still are."""
        self._sweeping = None
        unwanted = self._unwanted()
        for who in since & unwanted:
            self._health.drop(who)
        if unwanted - since:
            self._sweeping = asyncio.get_running_loop().call_later(FORGET_S, self._sweep, unwanted - since)

    # -- helpers -----------------------------------------------------------------------------------

    def _trust(self, verify: bool) -> ssl.SSLContext:
        context = self._contexts.get(verify)
        if context is None:
            context = ssl.create_default_context(cafile=self._trusted)
            if not verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            self._contexts[verify] = context
        return context

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def checks_in(kind: str, value: dict[str, Any]) -> dict[str, Any] | None:
    """The health checks of an object as it was written."""
    upstream = value if kind == "upstreams" else value.get("upstream")
    checks = upstream.get("checks") if isinstance(upstream, dict) else None
    return checks if isinstance(checks, dict) else None


def _checked(kind: str, id: str, value: dict[str, Any]) -> Upstream | None:
    """An object's own upstream, if it is in use and has checks. One that cannot be is named in the log by workers."""
    if checks_in(kind, value) is None or value.get("status") == 0 or (kind != "upstreams" and "upstream_id" in value):
        return None
    try:
        return msgspec.convert(value if kind == "upstreams" else value["upstream"], Upstream)
    except msgspec.ValidationError:
        log.error("%s/%s: not checked: its upstream cannot be read", kind, id)
        return None
