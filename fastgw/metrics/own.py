"""The metrics that only this gateway has, `fastgw_…`: every counter of the core, refusals by reason, the processes, how full the
tables of the shared memory are.

Owns: their names. A counter of METRIC_NAMES is here as soon as it is there.
"""

import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from fastgw import _core
from fastgw.metrics.text import Exposition
from fastgw.slots import Kind, State

__all__ = ["Footprint", "families"]

OCTAVES: Final = range(5, 31)  # of the histogram of all requests: 32 us to 18 min, by powers of two
PLUGIN_OCTAVES: Final = 27  # of the histogram of a Python plugin's calls: from 1 us
OF_PROCESS: Final = ("requests", "responses_2xx", "responses_4xx", "responses_5xx")
NOW: Final = {"connections": "connections", "requests": "requests_in_flight", "upstream_connections": "upstream_connections"}
ABOUT: Final = {
    "requests": "Requests that ended",
    "bytes_in": "Bytes of request bodies",
    "bytes_out": "Bytes of answer bodies",
    "connections_accepted": "Connections of clients",
    "connections_refused": "Connections closed at once, as their address holds as many as it may",
    "accept_pauses": "Times that a listener stopped taking connections for a while",
    "upstream_connects": "Connections to upstreams that were opened",
    "upstream_failures": "Tries that ended without an answer",
    "upstream_retries": "Tries after a failed one",
    "refused_auth": "Requests answered 401 by an authentication plugin",
    "refused_limit": "Requests that a limit refused",
    "refused_framing": "Requests whose framing was refused",
    "client_left": "Clients that left before they had the answer",
    "log_lines_dropped": "Lines of the access log that nobody took in time",
    "limit_evictions": "Live counts of limits that gave way to others: shared_memory.counters is too small",
    "limit_failures": "Requests that a limiter could not count",
    "series_other": "Requests counted under the consumer or route `other`: there was no row left",
}


class Footprint(NamedTuple):
    """What one process takes of the machine."""

    resident: int
    cpu_s: float
    descriptors: int


def families(out: Exposition, region: _core.Region, footprints: Mapping[int, Footprint]) -> None:
    """footprints: of processes by their slot, as far as they are known."""
    totals = region.metrics()
    for name in _core.METRIC_NAMES:
        out.family(f"fastgw_{name}_total", "counter", ABOUT.get(name, f"What the core counts as {name}"))
        out.put(totals[name])
    _durations(out, totals)
    out.family("fastgw_refused_total", "counter", "Requests refused or cut off, by the reason that the access log has")
    for reason, count in sorted(region.refusals().items()):
        out.put(count, {"reason": reason})
    _plugins(out, region)
    _processes(out, region, footprints)
    _tables(out, region, totals)


def _durations(out: Exposition, totals: Mapping[str, object]) -> None:
    counts = [0] * (len(OCTAVES) + 1)
    found = totals["latency_us"]
    assert isinstance(found, list)  # noqa: S101 (the core's own)
    for bound, count in found:
        # A bucket's bound is inclusive, in whole microseconds rounded down: it ends below the next power of two.
        counts[min(max((bound).bit_length() - OCTAVES[0], 0), len(OCTAVES))] += count
    out.family("fastgw_request_duration_seconds", "histogram", "From the first byte of a request to the end of its answer")
    us = totals["latency_us_sum"]
    assert isinstance(us, int)  # noqa: S101
    out.histogram([2**octave / 1e6 for octave in OCTAVES], counts, us / 1e6)


def _plugins(out: Exposition, region: _core.Region) -> None:
    """Of those in Python: each that was ever called."""
    found = sorted(region.plugins().items())
    for name, kind, about in (
        ("calls_total", "counter", "Calls of a Python plugin's methods"),
        ("failures_total", "counter", "Those that raised, or gave what they must not"),
        ("timeouts_total", "counter", "Those that were cut off, as they took too long"),
        ("kept", "gauge", "Requests that are over and that something still refers to: one that grows is a leak"),
    ):
        out.family(f"fastgw_plugin_{name}", kind, about)
        for plugin, counted in found:
            out.put(counted[name.removesuffix("_total")], {"plugin": plugin})
    out.family("fastgw_plugin_held_seconds_total", "counter", "Time for which a Python plugin held up workers")
    for plugin, counted in found:
        out.put(counted["held_ns"] / 1e9, {"plugin": plugin})
    out.family("fastgw_plugin_duration_seconds", "histogram", "Calls of a Python plugin, from the call to its verdict")
    for plugin, counted in found:
        counts = [0] * (PLUGIN_OCTAVES + 1)
        for bound, count in counted["latency_us"]:
            counts[bound.bit_length()] += count
        bounds = [2**octave / 1e6 for octave in range(PLUGIN_OCTAVES)]
        out.histogram(bounds, counts, counted["latency_ns"] / 1e9, {"plugin": plugin})


def _processes(out: Exposition, region: _core.Region, footprints: Mapping[int, Footprint]) -> None:
    slots = [(index, region.slot(index)) for index in range(region.slot_count)]
    used = [(index, slot) for index, slot in slots if slot.generation]
    running = {index: {"role": Kind(slot.kind).name.lower(), "slot": index} for index, slot in used if slot.state != State.FREE}
    for name in OF_PROCESS:
        out.family(f"fastgw_process_{name}_total", "counter", f"What the processes of a slot have counted as {name}")
        for index, _ in used:
            out.put(region.counters(index)[name], {"slot": index})
    for name in _core.GAUGE_NAMES:
        out.family(f"fastgw_{NOW[name]}", "gauge", f"Of running processes: {NOW[name].replace('_', ' ')} at this moment")
        for index, labels in running.items():
            out.put(region.gauges(index)[name], labels)
    out.family("fastgw_process_state", "gauge", "Of running processes: 1 starting, 2 serving, 3 draining")
    for index, labels in running.items():
        out.put(region.slot(index).state, labels)
    out.family("fastgw_process_revision", "gauge", "The revision of the configuration that a process serves")
    for index, labels in running.items():
        if region.slot(index).kind == Kind.WORKER:
            out.put(region.slot(index).applied, labels)
    out.family("fastgw_revision", "gauge", "The revision of the configuration that all are to serve")
    out.put(region.target())
    for name, about, pick in (
        ("resident_memory_bytes", "Resident memory, shared pages included", "resident"),
        ("cpu_seconds_total", "Processor time, user and system", "cpu_s"),
        ("open_fds", "Open descriptors", "descriptors"),
    ):
        out.family(f"fastgw_process_{name}", "counter" if name.endswith("_total") else "gauge", about)
        for index, labels in running.items():
            if index in footprints:
                out.put(getattr(footprints[index], pick), labels)


def _tables(out: Exposition, region: _core.Region, totals: Mapping[str, int]) -> None:
    used, rows = region.series_rows
    for name, about, value in (
        ("limit_cells", "Counts of limits that there is room for", region.cell_count),
        ("limit_cells_used", "Counts of limits that are in force", region.live_cells(time.monotonic_ns() // 1_000_000)),
        ("revocations_room", "Revocations that there is room for", totals["revocations_room"]),
        ("revocations", "Revocations that are kept", totals["revocations"]),
        ("series_rows", "Rows for what is counted by route, consumer and node", rows),
        ("series_rows_used", "Rows that a process has taken", used),
    ):
        out.family(f"fastgw_{name}", "gauge", about)
        out.put(value)
