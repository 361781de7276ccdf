"""The Control API: what the gateway has, for those on its own machine, without a key and without secrets.

Owns: APISIX's paths below /v1 and their answers. Must not know: how to change an object; only that files of plugins may be read
anew. It reads the store by a connection and a thread of its own, so a long list delays no write.
"""

import asyncio
import gc
import logging
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from fastgw.admin import envelope
from fastgw.admin.envelope import Reply, error
from fastgw.admin.health_report import Nodes, health
from fastgw.admin.plugins import all_plugins, reload
from fastgw.admin.redact import without_secrets
from fastgw.admin.schemas import kind_schemas
from fastgw.admin.server import Request
from fastgw.plugin_reload import Asking
from fastgw.plugins import order
from fastgw.plugins.server_info import facts
from fastgw.store import Row, Store, StoreError, View

__all__ = ["Control"]

log = logging.getLogger("fastgw.admin")


class Control:
    """The handler behind the control listener."""

    def __init__(self, database: Path, nodes: Nodes, asking: Asking) -> None:
        """nodes: how those of an object stand. asking: for plugins to be read anew."""
        self._store = Store(database)
        self._nodes = nodes
        self._asking = asking
        self._thread = ThreadPoolExecutor(1, "control")

    def close(self) -> None:
        self._thread.shutdown()
        self._store.close()

    async def __call__(self, request: Request) -> Reply:
        path = request.target.partition("?")[0]
        version, name, *rest = (*(unquote(part) for part in path.strip("/").split("/")), "")
        if (request.method, version, name, [part for part in rest if part]) == ("PUT", "v1", "plugins", ["reload"]):
            return (await reload(self._asking))[0]
        answer = ANSWERS.get((request.method, name)) if version == "v1" else None
        if answer is health:
            answer = partial(health, nodes=self._nodes, html="text/html" in request.headers.get("accept", ""))
        if answer is None:
            return error(404, "not found")
        work = partial(self._answer, answer, [part for part in rest if part])
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _answer(self, answer: "Answer", rest: Sequence[str]) -> Reply:
        try:
            return answer(self._store, rest)
        except (sqlite3.Error, StoreError) as exc:
            log.error("the store failed: %s", exc)
            return error(503, f"the store failed: {exc}")


Answer = Callable[[View, Sequence[str]], Reply]
"""What is told under a name, given the rest of the path."""


def _schema(view: View, rest: Sequence[str]) -> Reply:
    return _json({"main": kind_schemas(), "plugins": all_plugins(), "stream_plugins": {}})


def _all(kind: str, view: View, rest: Sequence[str]) -> Reply:
    return _json([_node(row) for row in view.list(kind)])


def _one(kind: str, noun: str, view: View, rest: Sequence[str]) -> Reply:
    id = "/".join(rest)
    row = view.get(kind, id)
    return error(404, f"{noun}[{id}] not found") if row is None else _json(_node(row))


def _metadata(view: View, rest: Sequence[str]) -> Reply:
    rows = (view.get("plugin_metadata", name) for name in order.names())
    return _json([_open(row) for row in rows if row is not None])


def _metadata_of(view: View, rest: Sequence[str]) -> Reply:
    name = "/".join(rest)
    row = view.get("plugin_metadata", name)
    return error(404, f"plugin metadata[{name}] not found") if row is None else _json(_open(row))


def _server_info(view: View, rest: Sequence[str]) -> Reply:
    return _json(facts())


def _gc(view: View, rest: Sequence[str]) -> Reply:
    gc.collect()
    return Reply(200)


ANSWERS: Final[dict[tuple[str, str], Answer]] = {
    ("GET", "schema"): _schema,
    ("GET", "routes"): partial(_all, "routes"),
    ("GET", "route"): partial(_one, "routes", "route"),
    ("GET", "services"): partial(_all, "services"),
    ("GET", "service"): partial(_one, "services", "service"),
    ("GET", "upstreams"): partial(_all, "upstreams"),
    ("GET", "upstream"): partial(_one, "upstreams", "upstream"),
    ("GET", "plugin_metadatas"): _metadata,
    ("GET", "plugin_metadata"): _metadata_of,
    ("GET", "healthcheck"): health,
    ("GET", "server_info"): _server_info,
    ("POST", "gc"): _gc,
}


def _open(row: Row) -> dict[str, Any]:
    return without_secrets(row.kind, row.value)


def _node(row: Row) -> dict[str, Any]:
    return envelope.node(row._replace(value=_open(row)))


def _json(body: object) -> Reply:
    return Reply(200, msgspec.json.encode(body) + b"\n")
