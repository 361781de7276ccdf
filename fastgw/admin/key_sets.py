"""The key sets of issuers: fetched here, once per host, and kept in the store, from which every worker has them like all else.

Owns: which sets credentials ask for, when each is fetched, what becomes of it. Must not know: HTTP (fetch.py), what makes a key
fit (plugins/jwks.py), how a worker uses it.

The last good set stays in force for as long as its issuer cannot be reached or answers with something else: only a set that holds
keys takes its place. It is in the store, so a gateway that starts while the issuer is down begins with it. A set that has not
changed is not written, so that nothing is compiled anew for it.

A worker that meets a `kid` it does not know asks for the set, by eight bytes through a pipe that never blocks. However many ask,
a set is fetched once in `jwks_throttle` seconds at most; only a new admin process, or the first credential that names it,
fetches at once.
"""

import asyncio
import logging
import os
import random
import sqlite3
import struct
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from fastgw._core import Region
from fastgw.admin.live import Live
from fastgw.plugins import jwks
from fastgw.plugins.jwks import Jwk
from fastgw.schema.env import resolve_object
from fastgw.schema.kinds import FETCHED
from fastgw.schema.settings import Jwks
from fastgw.store import Feed, Store, StoreError

__all__ = ["ASK", "KeySets"]

ASK: Final = struct.Struct("=Q")  # the number of a set, see jwks.number_of
ASKS_AT_ONCE: Final = 4096  # bytes
FETCHERS: Final = 4  # threads: so many issuers may be slow at once
LONGEST_PAUSE_S: Final = 300.0  # after failures, unless jwks_throttle is longer
JITTER: Final = 0.1  # of a period: gateways that started together do not fetch together for ever
STORE_RETRY_S: Final = 1.0
OWNERS: Final = ("consumers", "credentials")

log = logging.getLogger("fastgw.admin")
T = TypeVar("T")


class Wish(NamedTuple):
    """What a credential says of its set."""

    uri: str
    throttle: float


@dataclass
class Source:
    """One set, for all credentials that name it."""

    uri: str
    throttle: float
    keys: list[Jwk] | None = None
    """The last good ones; None: there have never been any."""
    last: float | None = None
    """When it was fetched last, well or not, by the loop's clock."""
    failures: int = 0
    """In a row."""
    timer: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """For the log: a query may hold what is nobody's business."""
        return self.uri.partition("?")[0]


@dataclass
class _Seen:
    """What the store was read to hold."""

    revision: int = 0
    wishes: dict[tuple[str, str], Wish] = field(default_factory=dict)


class KeySets:
    """One per admin process."""

    def __init__(self, database: Path, live: Live, region: Region, slot: int, settings: Jwks) -> None:
        """slot: the admin process's own, where its counts go."""
        self._database = database
        self._live = live
        self._count = partial(region.count, slot)
        self._settings = settings
        self._sources: dict[str, Source] = {}
        self._seen = _Seen()
        self._store: Store
        self._thread = ThreadPoolExecutor(1, "key-sets")  # where the store is read and written
        self._fetchers: ThreadPoolExecutor | None = None
        self._fetch: Callable[[str, float], Any]
        self._woken = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._asks = -1

    async def start(self, asks: int) -> None:
        """asks: the pipe from the workers."""
        self._store = await self._in_thread(lambda: Store(self._database))
        loop = asyncio.get_running_loop()
        self._asks = asks
        loop.add_reader(asks, self._on_asks)
        self._woken.set()
        self._following = loop.create_task(self._follow())

    async def stop(self) -> None:
        """A fetch under way is given up: its thread ends by itself, and nothing of it is kept."""
        asyncio.get_running_loop().remove_reader(self._asks)
        tasks = [self._following, *(source.task for source in self._sources.values())]
        for source in self._sources.values():
            self._silence(source)
        for task in tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)
        if self._fetchers is not None:
            self._fetchers.shutdown(wait=False, cancel_futures=True)
        await self._in_thread(self._store.close)
        self._thread.shutdown()

    # -- which sets are wanted ---------------------------------------------------------------------

    def woken(self) -> None:
        """The store has changed."""
        self._woken.set()

    async def _follow(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                kept = await self._in_thread(self._read)
                await self._settle(kept)
            except (StoreError, sqlite3.Error) as exc:
                log.error("key sets: the store cannot be read: %s", exc)
                self._seen = _Seen()
                asyncio.get_running_loop().call_later(STORE_RETRY_S, self._woken.set)

    def _read(self) -> dict[str, list[Jwk]]:
        """Brings the wishes up to date; gives the sets that the store holds. In the store's thread."""
        feed = Feed(self._store, self._seen.revision)
        for change in feed:
            if change.kind in OWNERS:
                wish = None if change.value is None else _wish(change.kind, change.id, change.value)
                if wish is None:
                    self._seen.wishes.pop((change.kind, change.id), None)
                else:
                    self._seen.wishes[change.kind, change.id] = wish
        self._seen.revision = feed.revision
        return {row.id: row.value["keys"] for row in self._store.list(FETCHED)}

    async def _settle(self, kept: Mapping[str, list[Jwk]]) -> None:
        wanted: dict[str, Wish] = {}
        for wish in self._seen.wishes.values():
            place = jwks.place_of(wish.uri)
            known = wanted.get(place)
            wanted[place] = wish if known is None else known._replace(throttle=max(known.throttle, wish.throttle))
        for place in self._sources.keys() - wanted.keys():
            source = self._sources.pop(place)
            self._silence(source)
            if source.task is not None:
                source.task.cancel()
        for place in kept.keys() - wanted.keys():
            await self._keep(place, None)
        for place, wish in wanted.items():
            present = self._sources.get(place)
            if present is not None:
                present.throttle = wish.throttle
                continue
            self._sources[place] = source = Source(wish.uri, wish.throttle, kept.get(place))
            self._begin(place, source)

    # -- when they are fetched ---------------------------------------------------------------------

    def _on_asks(self) -> None:
        try:
            asked = os.read(self._asks, ASKS_AT_ONCE)
        except BlockingIOError:
            return
        numbers = {number for (number,) in ASK.iter_unpack(asked[: len(asked) // ASK.size * ASK.size])}
        now = asyncio.get_running_loop().time()
        for place, source in self._sources.items():
            if jwks.number_of(place) in numbers and source.task is None:
                self._plan(place, source, now if source.last is None else max(now, source.last + source.throttle))

    def _plan(self, place: str, source: Source, moment: float) -> None:
        """To be fetched at that time, if it is not to be earlier anyway."""
        if source.timer is not None and source.timer.when() <= moment:
            return
        self._silence(source)
        source.timer = asyncio.get_running_loop().call_at(moment, self._begin, place, source)

    @staticmethod
    def _silence(source: Source) -> None:
        if source.timer is not None:
            source.timer.cancel()
            source.timer = None

    def _begin(self, place: str, source: Source) -> None:
        self._silence(source)
        source.task = asyncio.get_running_loop().create_task(self._refresh(place, source))

    async def _refresh(self, place: str, source: Source) -> None:
        loop = asyncio.get_running_loop()
        source.last = loop.time()
        try:
            pause = await self._update(place, source)
        except Exception:  # whatever it is, no thread to be had among it: the set is not to be left behind for ever
            log.exception("key set %s: not fetched", source.name)
            pause = source.throttle
        source.task = None
        least = source.last + source.throttle
        self._plan(place, source, max(loop.time() + pause * (1 - JITTER * random.random()), least))  # noqa: S311 (no secret)

    async def _update(self, place: str, source: Source) -> float:
        """Fetches and keeps the set; returns the seconds until that is to be done again."""
        from fastgw.admin.fetch import FetchError  # with it TLS, which a gateway without key sets has no use for

        try:
            document = await self._fetched(source.uri)
            found = jwks.read(document.body)
        except (FetchError, ValueError) as error:
            source.failures += 1
            self._count("jwks_failures", 1)
            stay = "the last good keys stay in force" if source.keys else "there are no keys yet"
            log.warning("key set %s: %s; %s", source.name, error, stay, extra={"failures": source.failures})
            return min(source.throttle * 2.0 ** min(source.failures - 1, 30), max(LONGEST_PAUSE_S, source.throttle))
        self._count("jwks_fetches", 1)
        if source.failures:
            log.info("key set %s: fetched again", source.name, extra={"failures": source.failures})
            source.failures = 0
        settings = self._settings
        age = settings.default_age if document.max_age is None else document.max_age
        if found.keys != source.keys:
            for why in found.dropped:
                log.warning("key set %s: %s: it is left out", source.name, why)
            try:
                await self._keep(place, {"uri": source.uri, "keys": found.keys})
            except (StoreError, sqlite3.Error) as exc:
                log.error("key set %s: cannot be kept: %s", source.name, exc)
                return source.throttle
            source.keys = found.keys
            log.info("key set %s: changed", source.name, extra={"keys": [each.get("kid", "") for each in found.keys]})
        return float(min(max(age, settings.min_age), settings.max_age))

    async def _fetched(self, uri: str) -> Any:
        from fastgw.admin.fetch import fetch

        if self._fetchers is None:
            self._fetchers = ThreadPoolExecutor(FETCHERS, "fetch")
        work = partial(fetch, uri, self._settings.timeout)
        return await asyncio.get_running_loop().run_in_executor(self._fetchers, work)

    # -- the store ---------------------------------------------------------------------------------

    async def _keep(self, place: str, value: dict[str, Any] | None) -> None:
        """Returns when every worker has it."""
        revision = await self._in_thread(lambda: self._store.keep(FETCHED, place, value))
        await self._live.reach(revision)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _wish(kind: str, id: str, value: Mapping[str, Any]) -> Wish | None:
    """Of a consumer or credential; None where it has no set, or one that cannot serve."""
    plugins = value.get("plugins")
    conf = plugins.get("jwt-auth") if isinstance(plugins, dict) else None
    if not isinstance(conf, dict) or "jwks_uri" not in conf:
        return None
    resolved, unresolved = resolve_object(kind, dict(value))
    if unresolved:
        return None
    conf = resolved["plugins"]["jwt-auth"]
    uri = str(conf["jwks_uri"])  # and nothing that only looks like one: it goes to the store
    wrong = jwks.wrong_uri(uri, allow_http=bool(conf.get("jwks_allow_http")))
    if wrong:  # the environment is another one than when it was written
        log.error("%s/%s: jwks_uri: %s: nothing is fetched", kind, id, wrong)
        return None
    return Wish(uri, float(conf.get("jwks_throttle", jwks.THROTTLE_S)))
