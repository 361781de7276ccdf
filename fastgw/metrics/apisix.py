"""The metrics of APISIX's prometheus plugin: its names, labels and buckets, so that its dashboards and alerts work here.

Owns: which of our counts stands under which of its names. What differs is said in docs/metrics.md.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from fastgw import _core
from fastgw.metrics.text import Exposition

__all__ = ["Facts", "NodeStatus", "families"]

TYPES: Final = ("request", "upstream", "apisix")  # in the order of native/series
REST: Final = "other"

Traffic = tuple[str, str, str, str]
"""route, service, consumer, node"""


class NodeStatus(NamedTuple):
    """How one address of a checked upstream stands."""

    name: str
    ip: str
    port: int
    healthy: bool


class Facts(NamedTuple):
    """What is not in the shared memory."""

    hostname: str
    version: str
    reachable: bool
    """Whether the store could be read."""
    indexes: Mapping[str, int]
    """Of each kind the revision of its last change."""
    names: Mapping[str, tuple[str, str] | None]
    """What routes and their services are called, where `prefer_name` asks for it, by the route's id."""
    health: Sequence[NodeStatus]


class _Latency:
    """Of one combination of labels: the sum of rows."""

    def __init__(self) -> None:
        self.counts = [[0] * (len(_core.SERIES_MS) + 1) for _ in TYPES]
        self.us = [0, 0, 0]
        self.bytes_in = self.bytes_out = 0

    def add(self, row: _core.SeriesView) -> None:
        for mine, more in zip(self.counts, row.latency, strict=True):
            for i, count in enumerate(more):
                mine[i] += count
        for i, us in enumerate((row.request_us, row.upstream_us, max(row.request_us - row.upstream_us, 0))):
            self.us[i] += us
        self.bytes_in += row.bytes_in
        self.bytes_out += row.bytes_out


def families(out: Exposition, prefix: str, region: _core.Region, facts: Facts) -> None:
    """All of them, into a scrape."""
    statuses: defaultdict[tuple[str, ...], int] = defaultdict(int)
    traffic: defaultdict[Traffic, _Latency] = defaultdict(_Latency)
    for row in region.series():
        if not row.codes:
            continue  # nothing yet
        route, service, consumer, node = labels = _labels(row, facts)
        for code, count in row.codes:
            statuses[str(code or REST), route, row.matched_uri, row.matched_host, service, consumer, node] += count
        traffic[labels].add(row)
    _statuses(out, prefix, statuses)
    _latencies(out, prefix, traffic)
    _connections(out, prefix, region)
    _store(out, prefix, facts)
    _memory(out, prefix, region)


def _labels(row: _core.SeriesView, facts: Facts) -> Traffic:
    if row.other:
        return REST, "", REST, ""
    route, service = facts.names.get(row.route) or (row.route, row.service)
    return route, service, row.consumer, row.node


def _statuses(out: Exposition, prefix: str, statuses: Mapping[tuple[str, ...], int]) -> None:
    names = ("code", "route", "matched_uri", "matched_host", "service", "consumer", "node")
    out.family(f"{prefix}http_status", "counter", "HTTP status codes per service in APISIX")
    for labels, count in sorted(statuses.items()):
        out.put(count, dict(zip(names, labels, strict=True)))


def _latencies(out: Exposition, prefix: str, traffic: Mapping[Traffic, _Latency]) -> None:
    told = sorted(traffic.items())
    out.family(f"{prefix}http_latency", "histogram", "HTTP request latency in milliseconds per service in APISIX")
    for labels, found in told:
        for type_, counts, us in zip(TYPES, found.counts, found.us, strict=True):
            if any(counts):
                out.histogram(_core.SERIES_MS, counts, us / 1000, _of("type", type_, labels))
    out.family(f"{prefix}bandwidth", "counter", "Total bandwidth in bytes consumed per service in APISIX")
    for labels, found in told:
        out.put(found.bytes_out, _of("type", "egress", labels))
        out.put(found.bytes_in, _of("type", "ingress", labels))


def _of(name: str, value: str, traffic: Traffic) -> dict[str, str]:
    route, service, consumer, node = traffic
    return {name: value, "route": route, "service": service, "consumer": consumer, "node": node}


def _connections(out: Exposition, prefix: str, region: _core.Region) -> None:
    totals = region.metrics()
    open_ = busy = 0
    for gauges in _gauges(region):
        open_ += gauges["connections"]
        busy += gauges["requests"]
    accepted = totals["connections_accepted"]
    states = {
        "accepted": accepted + totals["connections_refused"],
        "active": open_,
        "handled": accepted,
        "reading": 0,
        "waiting": max(open_ - busy, 0),
        "writing": busy,
    }
    out.family(f"{prefix}http_requests_total", "gauge", "The total number of client requests since APISIX started")
    out.put(totals["requests"])
    out.family(f"{prefix}nginx_http_current_connections", "gauge", "Number of HTTP connections")
    for state, count in states.items():
        out.put(count, {"state": state})
    out.family(f"{prefix}nginx_metric_errors_total", "counter", "Number of nginx-lua-prometheus errors")
    out.put(totals["series_other"])


def _gauges(region: _core.Region) -> Iterator[Mapping[str, int]]:
    for slot in range(region.slot_count):
        if region.slot(slot).state:
            yield region.gauges(slot)


def _store(out: Exposition, prefix: str, facts: Facts) -> None:
    out.family(f"{prefix}etcd_reachable", "gauge", "Config server etcd reachable from APISIX, 0 is unreachable")
    out.put(int(facts.reachable))
    if facts.reachable:
        out.family(f"{prefix}etcd_modify_indexes", "gauge", "Etcd modify index for APISIX keys")
        for key, index in facts.indexes.items():
            out.put(index, {"key": key})
    out.family(f"{prefix}node_info", "gauge", "Info of APISIX node")
    out.put(1, {"hostname": facts.hostname, "version": facts.version})
    if facts.health:
        out.family(f"{prefix}upstream_status", "gauge", "Upstream status from health check")
        stands: dict[tuple[str, str, int], bool] = {}  # several names of an object's nodes may be one address
        for each in facts.health:
            place = (each.name, each.ip, each.port)
            stands[place] = stands.get(place, True) and each.healthy
        for (name, ip, port), healthy in stands.items():
            out.put(int(healthy), {"name": name, "ip": ip, "port": port})


def _memory(out: Exposition, prefix: str, region: _core.Region) -> None:
    """Tables of the shared memory, in place of nginx's dictionaries; what an expired count holds is free."""
    totals = region.metrics()
    used, rows = region.series_rows
    tables = {
        "fastgw-limits": (64, region.cell_count, region.live_cells(time.monotonic_ns() // 1_000_000)),
        "fastgw-revocations": (144, totals["revocations_room"], totals["revocations"]),
        "fastgw-series": (1024, rows, used),
    }
    out.family(f"{prefix}shared_dict_capacity_bytes", "gauge", "The capacity of each nginx shared DICT since APISIX start")
    for name, (size, entries, _) in tables.items():
        out.put(size * entries, {"name": name})
    out.family(f"{prefix}shared_dict_free_space_bytes", "gauge", "The free space of each nginx shared DICT since APISIX start")
    for name, (size, entries, taken) in tables.items():
        out.put(size * (entries - taken), {"name": name})
