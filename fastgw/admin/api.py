"""The Admin API: from a request to the resource it names, and from a committed write to live traffic.

Owns: the paths, the order address > key > role > resource > body, what is told to the audit log, the thread the store lives in,
expiry of objects that have a time to go. Must not know: framing, how a verb works, what a kind is.
"""

import asyncio
import json
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import parse_qsl, unquote

from fastgw import revocations
from fastgw._core import Region, Revocations
from fastgw.admin import configs, envelope, listing
from fastgw.admin.audit import Actor, Audit
from fastgw.admin.auth import Gate, Key
from fastgw.admin.conditions import Conditions
from fastgw.admin.envelope import Failure, Reply, error, refusal
from fastgw.admin.explain import Explain
from fastgw.admin.health import Checked
from fastgw.admin.history import History
from fastgw.admin.kinds import INDEXES, RESOURCES
from fastgw.admin.limits import Limits
from fastgw.admin.live import Live
from fastgw.admin.openapi import OpenApi
from fastgw.admin.pages import PATHS, page
from fastgw.admin.plugins import Plugins, reload
from fastgw.admin.resource import MISSING, Call
from fastgw.admin.schemas import Schemas
from fastgw.admin.server import Admission, Request
from fastgw.admin.stats import stats
from fastgw.admin.traffic import Traffic
from fastgw.plugin_reload import Asking
from fastgw.schema.kinds import KINDS
from fastgw.schema.parse import parse_json
from fastgw.store import DeclaredInFile, Full, NotFound, Store, StoreError

__all__ = ["Api"]

BASE: Final = "/apisix/admin"
METHODS: Final = frozenset({"GET", "PUT", "POST", "PATCH", "DELETE"})
EXPIRY_RETRY_S: Final = 5.0
WITH_BODY: Final = frozenset({"PUT", "POST", "PATCH"})
EXPLAIN: Final = BASE + "/explain"
AUDIT: Final = BASE + "/audit"
LIMITS: Final = BASE + "/limits"
STATS: Final = BASE + "/stats"
HISTORY: Final = STATS + "/history"
METRICS: Final = "/apisix/prometheus/metrics"
READING: Final = frozenset({EXPLAIN})  # calls that change nothing, whatever their method
EXPIRY: Final = Actor(None, None, None, "EXPIRE", "")  # nobody; the time of an object to go
AUDIT_PAGE: Final = 100
AUDIT_MOST: Final = 1000

log = logging.getLogger("fastgw.admin")
T = TypeVar("T")


class Place(Protocol):
    """What answers below one name of the Admin API. Runs in the store's thread; a Failure is an answer too."""

    def answer(self, store: Store, call: Call) -> Reply: ...


PLACES: Final[dict[str, Place]] = {**RESOURCES, "plugins": Plugins(), "schema": Schemas(), "openapi.json": OpenApi()}


class Api:
    """The handler behind every Admin listener."""

    def __init__(
        self,
        store: Store,
        gate: Gate,
        live: Live,
        source: str,
        audit: Audit,
        explain: Explain,
        limits: Limits,
        region: Region,
        scrape: Callable[[], Awaitable[Reply]],
        checked: Callable[[], list[tuple[str, str, Checked]]],
        asking: Asking,
    ) -> None:
        """source: the config file's name, for those who would delete what only it declares. scrape: all metrics. checked: nodes
        with health checks. asking: for plugins to be read anew."""
        self._store = store
        self._gate = gate
        self._live = live
        self._source = source
        self._audit = audit
        self._explain = explain
        self._limits = limits
        self._region = region
        self._scrape = scrape
        self._checked = checked
        self._asking = asking
        self._history = History(region)
        self._traffic = Traffic()
        self._revoked = Revocations(region)
        self._thread = ThreadPoolExecutor(1, "store")  # SQLite waits for the disk; the loop must not
        self._sets = configs.Configs(store, self._in_thread)
        self._expiry: asyncio.TimerHandle | None = None
        self._expiring: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._in_thread(partial(self._store.index, INDEXES))
        await self._in_thread(self._audit.start)
        await self._publish(await self._in_thread(self._store.revision))  # a process that died may have left it at the commit
        await self._schedule_expiry()
        self._history.start()

    async def stop(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        if self._expiring is not None:
            await self._expiring
        self._sets.stop()
        self._history.stop()
        self._thread.shutdown()
        self._explain.close()
        self._limits.close()

    def admit(self, head: Request) -> Reply | Admission:
        """Who is refused is so before there is a body; nothing of one is kept for strangers.

        Whole sets may be larger than other bodies, if they come from someone who may send them.
        """
        path = head.target.partition("?")[0]
        refused = self._gate.refuse_address(head.peer)
        if refused is None:
            if path in PATHS:
                return page(head.method, path)  # the same for everyone; of a stranger's body nothing is kept
            if path not in (BASE, METRICS) and not path.startswith(BASE + "/"):
                return error(404, "not found")
            if head.method == "HEAD" and path == BASE:
                return Reply(200)  # a probe, which APISIX answers without a key
        key = refused or self._gate.identify(head)
        actor = _actor(head, key)
        if isinstance(key, Key):
            key = self._gate.refuse_role(key, head, path in READING) or key
        if isinstance(key, Reply):
            self._audit.refused(actor, key.status, _reason(key))
            return key
        return Admission(key, configs.MAX_SET if head.method in WITH_BODY and _is_configs(path) else None)

    async def __call__(self, request: Request) -> Reply:
        """Of what was admitted; who asks was found out then."""
        path, _, query = request.target.partition("?")
        key: Key = request.admitted
        actor = _actor(request, key)
        if path == EXPLAIN and request.method == "POST":
            return await self._explain.answer(request)
        if path == STATS and request.method == "GET":
            return await asyncio.to_thread(stats, self._region, self._checked(), self._traffic)  # there may be thousands of rows
        if path == HISTORY and request.method == "GET":
            return self._history.answer()
        if path == METRICS:
            return await self._scrape() if request.method == "GET" else error(404, "not found")
        if path == AUDIT and request.method == "GET":
            return await self._entries(key, dict(parse_qsl(query, keep_blank_values=True)))
        if path == LIMITS and request.method in ("GET", "DELETE"):
            told = partial(self._note, actor)
            reply = await self._limits.answer(request.method, query, told, viewer=key.role != "admin")
        else:
            answer = self._configs if _is_configs(path) else self._route
            reply = await answer(request, key, actor, dict(parse_qsl(query, keep_blank_values=True)))
        if reply.status >= 400 and request.method not in ("GET", "HEAD"):
            self._audit.refused(actor, reply.status)
        return reply

    async def _entries(self, key: Key, params: dict[str, str]) -> Reply:
        """Of the audit log: who did what is not for everyone."""
        if key.role != "admin":
            return error(403, "failed to check token", description="the audit log is not for role viewer")
        since, limit = params.get("since"), params.get("limit", str(AUDIT_PAGE))
        if since is not None and not (since.isdecimal() and len(since) < 19):
            return error(400, "invalid argument since: expected the seq of an entry")
        if not (limit.isdecimal() and len(limit) < 19 and 1 <= int(limit) <= AUDIT_MOST):
            return error(400, f"invalid argument limit: expected 1 to {AUDIT_MOST}")
        first = None if since is None else int(since)
        entries = await self._in_thread(lambda: self._audit.since(first, int(limit)))
        return envelope.document({"total": len(entries), "list": entries})

    async def _note(self, actor: Actor, id: str, changes: list[dict[str, Any]]) -> None:
        await self._in_thread(lambda: self._audit.note(actor, "limits", id, changes))

    async def _configs(self, request: Request, key: Key, actor: Actor, params: dict[str, str]) -> Reply:
        place = actor.path[len(BASE) + len("/configs") :].strip("/")
        call = configs.Call(request.method, place, request.headers, params, request.body, key.role == "admin")
        writer = actor._replace(status=202)
        try:
            reply = await self._sets.answer(call, lambda work: self._in_thread(lambda: self._audit.during(writer, work)))
        except Full as exc:
            return _full(exc)
        except (sqlite3.Error, StoreError) as exc:
            return _store_failed(exc)
        return await self._finish(reply)

    async def _route(self, request: Request, key: Key, actor: Actor, params: dict[str, str]) -> Reply:
        if request.method not in METHODS:
            return error(404, "not found")
        kind, owner, id, sub = _place(actor.path)
        place = PLACES.get(kind)
        if kind == "stream_routes":
            return error(400, "stream mode is disabled, can not add stream routes")
        if (kind, id, sub, request.method) == ("plugins", "reload", (), "PUT"):
            reply, changed = await reload(self._asking)
            if changed:
                await self._in_thread(lambda: self._audit.note(actor, "plugins", "reload", changed))
            return reply
        if place is None or (kind == "credentials" and owner is None):
            return error(404, f"Unsupported resource type: {kind}")
        body: Any = MISSING
        if request.method in WITH_BODY and request.body:
            body, faults = parse_json(request.body)
            for fault in faults[:1]:
                raw = request.body.decode(errors="replace")
                return error(400, f"invalid request body: {fault}", req_body=raw)
        try:
            conditions = Conditions.read(request.headers)
        except Failure as exc:
            return refusal(exc)
        call = Call(request.method, owner, id, sub, params, body, key.role == "admin", conditions)
        if request.method == "GET":
            return await self._in_thread(lambda: self._answer(place, kind, call))
        reply = await self._in_thread(lambda: self._audit.during(actor, lambda: self._answer(place, kind, call)))
        return await self._finish(reply)

    def _answer(self, place: Place, kind: str, call: Call) -> Reply:
        """Runs in the store's thread."""
        try:
            return place.answer(self._store, call)
        except Failure as exc:
            return refusal(exc)
        except listing.BadPage as exc:
            return envelope.plain(400, str(exc))
        except NotFound:
            return envelope.not_found()
        except DeclaredInFile:
            text = f"{KINDS[kind].singular} [{call.id}] is declared in {self._source} and can only be removed there"
            return refusal(Failure(409, text))
        except Full as exc:
            return _full(exc)
        except (sqlite3.Error, StoreError) as exc:
            return _store_failed(exc)

    async def _finish(self, reply: Reply) -> Reply:
        """What was written is live when it is answered."""
        if reply.revision is None:
            return reply
        try:
            await self._publish(reply.revision, reply.changes)
            await self._schedule_expiry()
        except (sqlite3.Error, StoreError) as exc:
            return _store_failed(exc)
        return reply

    async def _publish(self, revision: int, changes: int = 1) -> None:
        """What is revoked first: a worker that goes on to the new configuration finds it."""
        await self._in_thread(lambda: revocations.follow(self._store, self._revoked))
        await self._live.reach(revision, changes)

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
            revision = await self._in_thread(lambda: self._audit.during(EXPIRY, lambda: self._store.expire(time.time())))
            if revision is not None:
                await self._publish(revision)
            await self._schedule_expiry()
        except (sqlite3.Error, StoreError) as exc:
            log.error("objects whose time has come stay: the store failed: %s", exc)
            self._expiry = asyncio.get_running_loop().call_later(EXPIRY_RETRY_S, self._on_expiry)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _actor(request: Request, key: Key | Reply) -> Actor:
    address, path = request.peer or "unix socket", request.target.partition("?")[0]
    name, role = (key.name, key.role) if isinstance(key, Key) else (None, None)
    return Actor(name, role, address, request.method, path)


def _reason(reply: Reply) -> str:
    """Why the gate refused, in its words: no part of a request, no secret."""
    said = json.loads(reply.body)
    return str(said.get("description") or said["error_msg"])


def _full(exc: Full) -> Reply:
    return refusal(Failure(507, str(exc)))


def _store_failed(exc: Exception) -> Reply:
    log.error("the store failed: %s", exc)
    return refusal(Failure(503, f"the store failed: {exc}"))


def _is_configs(path: str) -> bool:
    return path == f"{BASE}/configs" or path.startswith(f"{BASE}/configs/")


def _place(path: str) -> tuple[str, str | None, str | None, tuple[str, ...]]:
    """Kind, owner, id and sub-path: `/apisix/admin/routes/1/plugins`, `…/consumers/john/credentials/c`, `…/secrets/vault/1`."""
    parts = [unquote(part) for part in path[len(BASE) + 1 :].split("/")]
    if parts[-1] == "":
        parts.pop()
    owner = None
    if parts[:1] == ["consumers"] and parts[2:3] == ["credentials"]:
        owner, parts = parts[1], parts[2:]
    elif parts[:1] == ["secrets"] and len(parts) > 1:
        owner, parts = parts[1], ["secrets", *parts[2:]]
    kind, id, *_ = *parts[:2], None, None
    return kind or "", owner, id, tuple(parts[2:])
