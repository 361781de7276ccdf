"""What the Control API tells of health checks: APISIX's shapes, as JSON and as a page for people.

Owns: both shapes, which object is asked for. Must not know: how nodes are checked, how they are found.
"""

from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Any, Final

import msgspec

from fastgw.admin.envelope import Reply, error, key_of
from fastgw.admin.health import CHECKED, Checked, checks_in
from fastgw.store import View

__all__ = ["Nodes", "health"]

Nodes = Callable[[str, str], Sequence[Checked]]
"""How the nodes of an object of this kind, with this id, stand."""

KINDS: Final = (*CHECKED, "stream_routes")  # of which APISIX tells
COUNTERS: Final = ("success", "http_failure", "tcp_failure", "timeout_failure")  # in the order of the core's
HEADS: Final = (
    "Index",
    "Upstream",
    "Check type",
    "Host",
    "Status",
    "Success counts",
    "TCP Failures",
    "HTTP Failures",
    "TIMEOUT Failures",
)
TITLE: Final = "Upstream check status"

Info = dict[str, Any]


def health(view: View, rest: Sequence[str], *, nodes: Nodes = lambda kind, id: (), html: bool = False) -> Reply:
    """Of all objects that have checks, or of one."""
    if not rest:
        return _told(list(_all(view, nodes)), html)
    kind, *ids = rest
    if not ids:
        return error(404, f"missing src id for src type {kind}")
    if kind not in KINDS:
        return error(400, f"invalid src type {kind}")
    place = f"{kind}[{ids[0]}]"
    row = view.get(kind, ids[0])
    if row is None:
        return error(404, f"{place} not found")
    info = _info(kind, row.id, row.value, nodes)
    return error(404, f"no checker for {place}") if info is None else _told(info, html)


def _all(view: View, nodes: Nodes) -> Iterator[Info]:
    for kind in CHECKED:
        for row in view.list(kind):
            info = _info(kind, row.id, row.value, nodes)
            if info is not None:
                yield info


def _info(kind: str, id: str, value: dict[str, Any], nodes: Nodes) -> Info | None:
    checks = checks_in(kind, value)
    if checks is None:
        return None
    type_ = checks.get("active", {}).get("type", "http")
    return {"name": key_of(kind, id), "type": type_, "nodes": [_node(each) for each in nodes(kind, id)]}


def _node(checked: Checked) -> Info:
    target, stands = checked
    counted = (0, 0, 0, 0) if stands is None else stands.counters
    return {
        "ip": target.ip,
        "port": target.port,
        "hostname": target.host,
        "status": "healthy" if stands is None else stands.state,
        "counter": dict(zip(COUNTERS, counted, strict=True)),
    }


def _told(told: Info | list[Info], html: bool) -> Reply:
    if not html:
        return Reply(200, msgspec.json.encode(told) + b"\n")
    page = _page(told if isinstance(told, list) else [told])
    return Reply(200, page.encode(), content_type="text/html; charset=utf-8")


def _page(infos: Sequence[Info]) -> str:
    rows = [_cells("th", HEADS, ' bgcolor="#C0C0C0"')]
    for info in infos:
        for node in info["nodes"]:
            counter = node["counter"]
            place = node["ip"] if node["port"] == 0 else f"{node['ip']}:{node['port']}"
            counts = (counter["success"], counter["tcp_failure"], counter["http_failure"], counter["timeout_failure"])
            mark = "" if node["status"] in ("healthy", "mostly_healthy") else ' bgcolor="#FF0000"'
            rows.append(_cells("td", (len(rows), info["name"], info["type"], place, node["status"], *counts), mark))
    table = "\n".join(rows)
    return f'<html><head><title>{TITLE}</title></head><body><h1>{TITLE}</h1><table border="1">\n{table}\n</table></body></html>\n'


def _cells(tag: str, cells: Sequence[object], mark: str) -> str:
    return f"<tr{mark}>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"
