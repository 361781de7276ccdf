"""Following the store: from its changes to a snapshot that serves, while requests go on.

Owns: how far the store was read, the slices in which changes are compiled, what happens when that fails, the garbage collector's
part in it. Must not know: what a snapshot holds, who wakes whom, processes.

Everything here runs on the thread that serves requests. So nothing may take long: changes are compiled in slices of half a
millisecond, and the finished snapshot is one reference that is swapped.
"""

import asyncio
import gc
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import Any, Final

from fastgw.compile import Build, Compiler, ObjectFault
from fastgw.pools import Followed
from fastgw.store import Feed, Store, StoreError

__all__ = ["Follower"]

SLICE_S: Final = 0.0005  # of compiling, then requests get their turn
# Objects of the configuration live long and hold no cycles, but the collector would walk all of them (80 ms for 10,000
# routes). After so many steps of work the few that are new are collected (0.6 ms) and taken out of its sight.
STEPS_PER_COLLECTION: Final = 200

log = logging.getLogger("fastgw.worker")


class Follower:
    """One per worker. `install` is given each new snapshot; `resolve` the names of upstream nodes when they are others."""

    def __init__(
        self,
        store: Store,
        compiler: Compiler,
        resolve: Callable[[Collection[Followed]], Awaitable[None]],
        install: Callable[[Any], None],
    ) -> None:
        self._store = store
        self._compiler = compiler
        self._resolve = resolve
        self._install = install
        self._read = 0
        self._steps = 0
        self._names: Collection[Followed] = ()
        self._faults: tuple[ObjectFault, ...] = ()
        self._started = False

    async def catch_up(self) -> int:
        """Applies what has changed; returns the revision that serves now.

        StoreError: the way forward is lost. Until it has succeeded once, everything else that goes wrong is raised too.
        """
        feed = Feed(self._store, self._read)
        try:
            await self._in_slices(self._compiler.work(feed))
            await self._take(self._compiler.build)
            self._read = feed.revision
            self._started = True
        except (StoreError, sqlite3.Error):
            raise
        except Exception:
            if not self._started:
                raise
            # A fault of ours, not of an object. To end here would end every worker, and each new one too. What the compiler
            # knows may be half of something, so the next change finds it empty.
            log.exception("cannot apply changes: the last good ones go on serving", extra={"to": feed.revision})
            self._compiler.reset()
            self._read = 0
        return feed.revision

    async def _take(self, build: Build) -> None:
        while build.names is not self._names:
            self._names = build.names
            await self._resolve(build.names)
            if self._compiler.behind:  # a new service: it has nodes by now, whose names may be new in turn
                await self._in_slices(self._compiler.work(()))
                build = self._compiler.build
        self._install(build.snapshot)
        if build.faults != self._faults:
            for fault in set(build.faults).difference(self._faults):
                log.error("%s: %s", fault, "it is not in use" if fault.withdrawn else "its previous version goes on serving")
                await asyncio.sleep(0)  # a missing upstream is a fault of every route that names it
            self._faults = build.faults

    async def _in_slices(self, work: Iterator[None]) -> None:
        end = time.perf_counter() + SLICE_S
        for _ in work:
            self._steps += 1
            if self._steps % STEPS_PER_COLLECTION == 0:
                gc.collect()
                gc.freeze()
            if time.perf_counter() >= end:
                await asyncio.sleep(0)
                end = time.perf_counter() + SLICE_S
