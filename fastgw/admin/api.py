"""The Admin API: from a request to the resource it names, and from a committed write to live traffic.

Owns: the paths, the order address > key > resource > body, the audit log, the thread the store lives in,
expiry of objects with a ttl. Must not know: framing, how a verb works, what a kind is.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, unquote

from fastgw.admin import configs, envelope, listing
from fastgw.admin.auth import Gate, Key
from fastgw.admin.envelope import Failure, Reply, error, refusal
from fastgw.admin.kinds import INDEXES, RESOURCES
from fastgw.admin.live import Live
from fastgw.admin.resource import MISSING, Call, Resource
from fastgw.admin.server import Request
from fastgw.schema.parse import parse_json
from fastgw.store import DeclaredInFile, NotFound, Store, StoreError

__all__ = ["Api"]

BASE: Final = "/apisix/admin"
METHODS: Final = frozenset({"GET", "PUT", "POST", "PATCH", "DELETE"})
EXPIRY_RETRY_S: Final = 5.0
WITH_BODY: Final = frozenset({"PUT", "POST", "PATCH"})

log = logging.getLogger("fastgw.admin")
audit = logging.getLogger("fastgw.admin.audit")
T = TypeVar("T")


class Api:
    """The handler behind every Admin listener."""

    def __init__(self, store: Store, gate: Gate, live: Live, source: str) -> None:
        """source: the config file's name, for those who would delete what only it declares."""
        self._store = store
        self._gate = gate
        self._live = live
        self._source = source
        self._thread = ThreadPoolExecutor(1, "store")  # SQLite waits for the disk; the loop must not
        self._sets = configs.Configs(store, self._in_thread)
        self._expiry: asyncio.TimerHandle | None = None
        self._expiring: asyncio.Task[None] | None = None

    async def start(self) -> None:
        for field in INDEXES:
            await self._in_thread(partial(self._store.index, *field))
        await self._schedule_expiry()

    async def stop(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        if self._expiring is not None:
            await self._expiring
        self._sets.stop()
        self._thread.shutdown()

    async def __call__(self, request: Request) -> Reply:
        refused = self._gate.refuse_address(request.peer)
        if refused is not None:
            return refused
        path, _, query = request.target.partition("?")
        if path != BASE and not path.startswith(BASE + "/"):
            return error(404, "not found")
        if request.method == "HEAD" and path == BASE:
            return Reply(200)  # a probe, which APISIX answers without a key
        key = self._gate.identify(request.headers, request.method)
        if isinstance(key, Reply):
            peer = request.peer or "unix socket"
            audit.warning("%s %s from %s: refused, %d", request.method, path, peer, key.status)
            return key
        if _is_configs(path):
            return await self._configs(request, key, path, query)
        if request.method not in METHODS:
            return error(404, "not found")
        return await self._route(request, key, path, query)

    def body_limit(self, method: str, target: str, headers: Mapping[str, str], peer: str | None) -> int | None:
        """Whole sets may be larger than other bodies, if they come from someone who may send them."""
        if method not in WITH_BODY or not _is_configs(target.partition("?")[0]) or self._gate.refuse_address(peer):
            return None
        return configs.MAX_SET if isinstance(self._gate.identify(headers, method), Key) else None

    async def _configs(self, request: Request, key: Key, path: str, query: str) -> Reply:
        params = dict(parse_qsl(query, keep_blank_values=True))
        place = path[len(BASE) + len("/configs") :].strip("/")
        call = configs.Call(request.method, place, request.headers, params, request.body, key.role == "admin")
        try:
            reply = await self._sets.answer(call)
        except (sqlite3.Error, StoreError) as exc:
            reply = _store_failed(exc)
        await self._finish(reply, request, key, path, False)
        return reply

    async def _route(self, request: Request, key: Key, path: str, query: str) -> Reply:
        kind, owner, id, sub = _place(path)
        resource = RESOURCES.get(kind)
        if kind == "stream_routes":
            return error(400, "stream mode is disabled, can not add stream routes")
        if resource is None or (kind == "credentials") != (owner is not None):
            return error(404, f"Unsupported resource type: {kind}")
        body: Any = MISSING
        if request.method in WITH_BODY and request.body:
            body, faults = parse_json(request.body)
            for fault in faults[:1]:
                raw = request.body.decode(errors="replace")
                return error(400, f"invalid request body: {fault}", req_body=raw)
        params = dict(parse_qsl(query, keep_blank_values=True))
        call = Call(request.method, owner, id, sub, params, body, key.role == "admin")
        reply = await self._in_thread(lambda: self._answer(resource, call))
        await self._finish(reply, request, key, path, "ttl" in params)
        return reply

    def _answer(self, resource: Resource, call: Call) -> Reply:
        """Runs in the store's thread."""
        try:
            return resource.answer(self._store, call)
        except Failure as exc:
            return refusal(exc)
        except listing.BadPage as exc:
            return envelope.plain(400, str(exc))
        except NotFound:
            return envelope.not_found()
        except DeclaredInFile:
            text = f"{resource.noun} [{call.id}] is declared in {self._source} and can only be removed there"
            return refusal(Failure(409, text))
        except (sqlite3.Error, StoreError) as exc:
            return _store_failed(exc)

    async def _finish(self, reply: Reply, request: Request, key: Key, path: str, expires: bool) -> None:
        if request.method not in ("GET", "HEAD"):
            peer = request.peer or "unix socket"
            args = (request.method, path, key.name, peer, reply.status, reply.revision)
            audit.info("%s %s by key %s from %s: %s, revision %s", *args)
        if reply.revision is not None:
            await self._live.reach(reply.revision, reply.changes)
            if expires:
                await self._schedule_expiry()

    async def _schedule_expiry(self) -> None:
        moment = await self._in_thread(self._store.next_expiry)
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = None
        if moment is not None:
            loop = asyncio.get_running_loop()
            self._expiry = loop.call_later(max(0.0, moment - time.time()), self._on_expiry)

    def _on_expiry(self) -> None:
        self._expiring = asyncio.get_running_loop().create_task(self._expire())

    async def _expire(self) -> None:
        try:
            revision = await self._in_thread(lambda: self._store.expire(time.time()))
            if revision is not None:
                await self._live.reach(revision)
            await self._schedule_expiry()
        except sqlite3.Error as exc:
            log.error("objects whose time has come stay: the store failed: %s", exc)
            self._expiry = asyncio.get_running_loop().call_later(EXPIRY_RETRY_S, self._on_expiry)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _store_failed(exc: Exception) -> Reply:
    log.error("the store failed: %s", exc)
    return refusal(Failure(503, f"the store failed: {exc}"))


def _is_configs(path: str) -> bool:
    return path == f"{BASE}/configs" or path.startswith(f"{BASE}/configs/")


def _place(path: str) -> tuple[str, str | None, str | None, tuple[str, ...]]:
    """Kind, owner, id and sub-path: `/apisix/admin/routes/1/plugins`, `…/consumers/john/credentials/c`."""
    parts = [unquote(part) for part in path[len(BASE) + 1 :].split("/")]
    if parts[-1] == "":
        parts.pop()
    owner = None
    if parts[:1] == ["consumers"] and parts[2:3] == ["credentials"]:
        owner, parts = parts[1], parts[2:]
    kind, id, *_ = *parts[:2], None, None
    return kind or "", owner, id, tuple(parts[2:])
