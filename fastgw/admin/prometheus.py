"""The exporter: one scrape of all metrics, on a listener of its own without a key, and on the Admin listener with one.

Owns: what the store and the kernel tell for a scrape, the thread that it is made in. Must not know: names of metrics, the text
format. No worker is asked anything: what they count lies in shared memory.
"""

import asyncio
import logging
import os
import socket
import sqlite3
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from fastgw import __version__
from fastgw._core import Region
from fastgw.admin.envelope import Reply, error, key_of
from fastgw.admin.health import CHECKED
from fastgw.admin.health_report import Nodes
from fastgw.admin.server import Request
from fastgw.metrics import apisix, own
from fastgw.metrics.text import CONTENT_TYPE, Exposition
from fastgw.schema.settings import Prometheus
from fastgw.slots import State
from fastgw.store import Store, StoreError, View

__all__ = ["Exporter"]

KEYS: Final = ("consumers", "global_rules", "protos", "routes", "services", "ssls", "stream_routes", "upstreams")
HEALTHY: Final = ("healthy", "mostly_healthy")
PLUGIN: Final = "prometheus"
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")

log = logging.getLogger("fastgw.admin")


class Exporter:
    """One per admin process, and the handler behind the metrics' own listener."""

    def __init__(self, database: Path, region: Region, nodes: Nodes, settings: Prometheus) -> None:
        self._database = database
        self._region = region
        self._nodes = nodes
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, "metrics")
        self._store: Store | None = None
        self._named: tuple[int, dict[str, tuple[str, str] | None]] = (-1, {})
        """Names of routes, as they were at that revision."""

    def close(self) -> None:
        self._thread.shutdown()
        if self._store is not None:
            self._store.close()

    async def __call__(self, request: Request) -> Reply:
        """Of the listener without a key."""
        if request.method not in ("GET", "HEAD") or request.target.partition("?")[0] != self._settings.path:
            return error(404, "not found")
        return await self.scrape()

    async def scrape(self) -> Reply:
        body = await asyncio.get_running_loop().run_in_executor(self._thread, self._body)
        return Reply(200, body, content_type=CONTENT_TYPE)

    def _body(self) -> bytes:
        out = Exposition()
        apisix.families(out, self._settings.prefix, self._region, self._facts())
        own.families(out, self._region, self._footprints())
        return out.bytes()

    # -- what the store tells -------------------------------------------------------------------------

    def _facts(self) -> apisix.Facts:
        told: dict[str, Any] = {"indexes": {}, "names": self._named[1], "health": []}
        try:
            if self._store is None:
                self._store = Store(self._database)
            with self._store.reading() as view:
                told = {"indexes": _indexes(view), "names": self._names(view), "health": list(self._health(view))}
        except (sqlite3.Error, StoreError) as exc:
            log.error("metrics: the store failed: %s", exc)
            return apisix.Facts(socket.gethostname(), __version__, False, **told)
        return apisix.Facts(socket.gethostname(), __version__, True, **told)

    def _names(self, view: View) -> dict[str, tuple[str, str] | None]:
        """Of the routes that were asked, where `prefer_name` says so; looked at anew for what has changed or is new only."""
        revision, known = self._named
        now = view.revision()
        routes = {row.route for row in self._region.series()}
        if revision != now or not routes <= known.keys():
            everywhere = any(_prefers(row.value) for row in view.list("global_rules"))
            known = {id: _name(view, id, everywhere) for id in routes}
            self._named = now, known
        return known

    def _health(self, view: View) -> Iterable[apisix.NodeStatus]:
        for kind in CHECKED:
            for id in sorted(view.ids(kind)):
                for target, stands in self._nodes(kind, id):
                    healthy = stands is None or stands.state in HEALTHY
                    yield apisix.NodeStatus(key_of(kind, id), target.ip, target.port, healthy)

    # -- what the kernel tells ------------------------------------------------------------------------

    def _footprints(self) -> dict[int, own.Footprint]:
        found = {}
        for index in range(self._region.slot_count):
            slot = self._region.slot(index)
            if slot.state != State.FREE and slot.pid:
                try:
                    found[index] = footprint(slot.pid)
                except (OSError, ValueError, IndexError):
                    continue  # it has just ended
        return found


def footprint(pid: int) -> own.Footprint:
    """What a process of ours takes, by proc(5)."""
    place = Path("/proc") / str(pid)
    # The name may hold anything; behind its last bracket fields are numbered from the third.
    fields = (place / "stat").read_text().rpartition(")")[2].split()
    ticks, pages = int(fields[11]) + int(fields[12]), int(fields[21])
    return own.Footprint(pages * _PAGE, ticks / _TICKS, len(os.listdir(place / "fd")))


def _indexes(view: View) -> dict[str, int]:
    modified, revision = view.modified(), view.revision()
    kinds = {key: modified.get(key, 0) for key in KEYS}
    return {**kinds, "max_modify_index": max(kinds.values()), "prev_index": revision, "x_etcd_index": revision}


def _name(view: View, id: str, everywhere: bool) -> tuple[str, str] | None:
    """What a route and its service are called in labels; None: as where it was counted."""
    row = view.get("routes", id)
    if row is None:
        return None
    route, service_id = row.value, str(row.value.get("service_id", ""))
    service = _value(view, "services", service_id)
    layers = (route, _value(view, "plugin_configs", str(route.get("plugin_config_id", ""))), service)
    said = [_conf(layer) for layer in layers]
    conf = next((each for each in said if each is not None), None)
    if everywhere if conf is None else conf.get("prefer_name") is True:
        return route.get("name") or id, service.get("name") or service_id
    return None


def _value(view: View, kind: str, id: str) -> Mapping[str, Any]:
    row = view.get(kind, id) if id else None
    return {} if row is None else row.value


def _conf(value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    plugins = value.get("plugins")
    conf = plugins.get(PLUGIN) if isinstance(plugins, dict) else None
    return conf if isinstance(conf, dict) else None


def _prefers(value: Mapping[str, Any]) -> bool:
    conf = _conf(value)
    return conf is not None and conf.get("prefer_name") is True
