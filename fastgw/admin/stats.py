"""GET /apisix/admin/stats: the processes of the gateway and what they have counted so far.

Owns: the answer. Must not know: what a counter means. Rates are for those who ask twice.
"""

import time
from collections.abc import Iterable
from typing import Any, Final

from fastgw._core import Region
from fastgw.admin.envelope import Reply, key_of, momentary
from fastgw.admin.health import Checked
from fastgw.admin.traffic import Traffic
from fastgw.process import resident
from fastgw.slots import Kind, State

__all__ = ["COUNTERS", "PLUGIN_COUNTERS", "PLUGIN_TIMES", "stats"]

COUNTERS: Final = ("requests", "responses_2xx", "responses_4xx", "responses_5xx")  # of each process; others in the totals
PLUGIN_COUNTERS: Final = ("calls", "failures", "timeouts", "kept")  # of each Python plugin that was ever called
PLUGIN_TIMES: Final = ("held_ms", "latency_ms")
_DISTRIBUTIONS: Final = frozenset({"latency_us"})  # not one number each


def stats(region: Region, checked: Iterable[tuple[str, str, Checked]], traffic: Traffic) -> Reply:
    """checked: addresses of nodes with health checks, each with kind and id of its object."""
    counted, now = region.metrics(), time.monotonic()
    processes = [told for slot in range(region.slot_count) if (told := _process(region, slot)) is not None]
    # Seconds of a clock that only goes forward: by two of them a rate is exact, whatever became of the answers.
    return momentary(
        {
            "time": now,
            "revision": region.target(),
            "processes": processes,
            "totals": {name: value for name, value in counted.items() if name not in _DISTRIBUTIONS},
            "latency_us": counted["latency_us"],
            "refused": region.refusals(),
            **traffic.told(region.series(), now),
            "plugins": {name: _plugin(each) for name, each in sorted(region.plugins().items())},
            "upstreams": [_node(*each) for each in checked],
        }
    )


def _process(region: Region, slot: int) -> dict[str, Any] | None:
    found = region.slot(slot)
    if found.state == State.FREE:
        return None
    counted = region.counters(slot)
    return {
        "slot": slot,
        "pid": found.pid,
        "role": Kind(found.kind).name.lower(),
        "state": State(found.state).name.lower(),
        "revision": found.applied,
        "connections": region.gauges(slot)["connections"],
        "memory": resident(found.pid),
        **{name: counted[name] for name in COUNTERS},
    }


def _node(kind: str, id: str, checked: Checked) -> dict[str, Any]:
    target, stands = checked
    return {"name": key_of(kind, id), "ip": target.ip, "port": target.port, "state": stands.state if stands else "healthy"}


def _plugin(counted: dict[str, Any]) -> dict[str, Any]:
    told = {name: counted[name] for name in PLUGIN_COUNTERS}
    return {**told, "held_ms": counted["held_ns"] / 1e6, "latency_ms": counted["latency_ns"] / 1e6}
