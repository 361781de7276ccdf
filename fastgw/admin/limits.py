"""/apisix/admin/limits: what limits have counted for a key, which keys are asked most, and making limits forget one.

Owns: the calls' parameters and answers, the thread that is asked in. Must not know: how anything is counted, which
configurations count. What requests hold at once is shown and cannot be taken from them: they give it back as they end.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

from fastgw import _core
from fastgw.admin.counting import COUNTING, LOCAL, Counted, Counting
from fastgw.admin.envelope import Failure, Reply, error, momentary, not_found, refusal
from fastgw.admin.hot import Heat, hottest
from fastgw.store import Store, StoreError

__all__ = ["Limits"]

MOST: Final = 1000  # limits in one answer
MOST_HOT: Final = 100  # keys in the list of the hottest
IDENTITY: Final = 96  # bytes of one that samples have
CONCURRENT: Final = "concurrent"

log = logging.getLogger("fastgw.admin")
T = TypeVar("T")
Told = Callable[[str, list[dict[str, Any]]], Awaitable[None]]
"""Tells the audit log of a reset, before it is made: of what, and what changes."""
Found = list[tuple[Counted, _core.Standing | None]]
"""None: of a policy other than local, whose counts only its store knows."""


class Limits:
    """One per admin process; nothing is made before somebody asks."""

    def __init__(self, database: Path, region: _core.Region) -> None:
        self._database = database
        self._region = region
        self._thread = ThreadPoolExecutor(1, "limits")  # not the store's: a write must not wait for it
        self._store: Store | None = None

    def close(self) -> None:
        self._thread.shutdown()
        if self._store is not None:
            self._store.close()

    async def answer(self, method: str, query: str, told: Told, *, viewer: bool = False) -> Reply:
        """Of GET and DELETE. viewer: keys are shown to one who may not see secrets only where he named them."""
        # A key is bytes, which Latin-1 carries one by one.
        params = {name: text.encode("latin-1") for name, text in parse_qsl(query, keep_blank_values=True, encoding="latin-1")}
        owner, plugin = (params[name].decode(errors="replace") if name in params else None for name in ("owner", "plugin"))
        key = params.get("key")
        if plugin is not None and plugin not in COUNTING:
            return error(400, f"invalid argument plugin: expected one of {', '.join(COUNTING)}")
        if key is None and method != "GET":
            return error(400, "missing argument key: expected the value that requests are counted by")
        try:
            if key is None:
                return momentary(await self._in_thread(lambda: self._hottest(owner, plugin, viewer)))
            found = await self._in_thread(lambda: self._find(key, owner, plugin))
            if method == "GET":
                return _listing(found, key)
            resets = _resettable(found)
            changes = [
                {"object": each.identity, "path": "consumed", "before": was.consumed, "after": 0}
                for each, was in resets
                if was is not None
            ]
            await told(owner or "*", changes)
            await self._in_thread(lambda: [_core.limit_forget(each.step, self._region, key) for each, _ in resets])
            return _listing(resets, key)
        except _NothingThere:
            return not_found()
        except Failure as failure:
            return refusal(failure)
        except (sqlite3.Error, StoreError) as exc:
            log.error("the store failed: %s", exc)
            return error(503, f"the store failed: {exc}")

    def _find(self, key: bytes, owner: str | None, plugin: str | None) -> Found:
        looked = ((each, _core.limit_standing(each.step, self._region, key)) for each in self._counted(owner, plugin))
        # What a store has counted is not known here: such a limit is named to who asks for its owner.
        return [(each, was) for each, was in looked if was is not None or (owner is not None and each.policy != LOCAL)]

    def _hottest(self, owner: str | None, plugin: str | None, viewer: bool) -> dict[str, Any]:
        """What a limit that is gone was asked is left out."""
        now_ms = time.monotonic_ns() // 1_000_000
        limits = {each.step.identity[:IDENTITY]: each for each in self._counted(owner, plugin)}
        known = [(limits[heat.identity], heat) for heat in hottest(self._region.samples(), now_ms) if heat.identity in limits]
        return {"total": len(known), "list": [self._hot(each, heat, viewer) for each, heat in known[:MOST_HOT]]}

    def _hot(self, each: Counted, heat: Heat, viewer: bool) -> dict[str, Any]:
        """Of a key that is longer than what is known of it nothing can be asked."""
        standing = None if heat.cut else _core.limit_standing(each.step, self._region, heat.key)
        shown = None if viewer else _text(heat.key) + ("…" if heat.cut else "")
        rates = {"hits_per_second": round(heat.hits, 2), "refused_per_second": round(heat.refused, 2)}
        return {**_entry(each, standing, shown), **rates}

    def _counted(self, owner: str | None, plugin: str | None) -> Iterator[Counted]:
        if self._store is None:
            self._store = Store(self._database)
            self._counting = Counting(self._store)
        return self._counting.find(owner, plugin)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


class _NothingThere(Exception):  # noqa: N818
    """Nothing is counted for the key."""


def _resettable(found: Found) -> Found:
    resets: Found = [(each, was) for each, was in found if was is not None and was.algorithm != CONCURRENT]
    if not resets and found:
        each, was = found[0]
        held = "what requests hold cannot be reset; they give it back as they end"
        raise Failure(400, f"{each.plugin}: {held if was else f'what policy {each.policy} counts is to be reset in its store'}")
    if not resets:
        raise _NothingThere
    return resets


def _listing(found: Found, key: bytes) -> Reply:
    shown = _text(key)
    return momentary({"total": len(found), "list": [_entry(each, standing, shown) for each, standing in found[:MOST]]})


def _text(key: bytes) -> str:
    return key.decode(errors="backslashreplace")


def _entry(each: Counted, standing: _core.Standing | None, key: str | None) -> dict[str, Any]:
    """Without a standing: nothing that is known is counted."""
    members = dict.fromkeys(_core.Standing._fields) if standing is None else standing._asdict()
    told: dict[str, Any] = {"owner": each.account, "plugin": each.plugin, "policy": each.policy, "key": key, **members}
    if each.rule:
        told["rule"] = each.rule
    for name in ("reset", "retry_after"):
        if told[name] is not None:
            told[name] = round(told[name], 3)
    return told
