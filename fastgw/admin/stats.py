"""GET /apisix/admin/stats: the processes of the gateway and what they have counted so far.

Owns: the answer. Must not know: what a counter means. Rates are for those who ask twice.
"""

import time
from typing import Any, Final

from fastgw._core import Region
from fastgw.admin.envelope import Reply, document
from fastgw.slots import Kind, State

__all__ = ["COUNTERS", "stats"]

COUNTERS: Final = ("requests", "responses_2xx", "responses_4xx", "responses_5xx")  # of each process; others in the totals
_DISTRIBUTIONS: Final = frozenset({"latency_us"})  # not one number each


def stats(region: Region) -> Reply:
    totals = {name: value for name, value in region.metrics().items() if name not in _DISTRIBUTIONS}
    processes = [told for slot in range(region.slot_count) if (told := _process(region, slot)) is not None]
    # Seconds of a clock that only goes forward: by two of them a rate is exact, whatever became of the answers.
    return document({"time": time.monotonic(), "revision": region.target(), "processes": processes, "totals": totals})


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
        **{name: counted[name] for name in COUNTERS},
    }
