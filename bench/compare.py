"""What changed between two filed results. Pure: takes results, returns text.

A change counts only beyond the noise of both sides. The ratio to the reference is what to read across
days: absolute microseconds move with the host.
"""

from __future__ import annotations

from bench.peers import REFERENCE
from bench.results import PeerResult, Result, ScenarioResult
from bench.tables import aligned

LEAST_CHANGE = 0.02  # below this, repeated runs of one commit differ
HEADER = ("peer", "CPU-us before", "after", "change", f"x {REFERENCE} before", "after", "change", "")


def _cost(one: PeerResult) -> float:
    return one.median(lambda sample: sample.cpu_us)


def _change(before: float, after: float) -> str:
    return f"{after / before - 1:+.1%}"


def judge(before: float, after: float, noise: float) -> str:
    change = after / before - 1
    if abs(change) <= max(noise, LEAST_CHANGE):
        return "within noise"
    return "DEARER" if change > 0 else "cheaper"


def compare_peer(name: str, before: ScenarioResult, after: ScenarioResult) -> tuple[str, ...] | None:
    old, new = before.peers.get(name), after.peers.get(name)
    if not old or not new or not old.sound or not new.sound:
        return None
    was, now = _cost(old), _cost(new)
    cells = (name, f"{was:.1f}", f"{now:.1f}", _change(was, now))
    old_ratio, new_ratio = before.ratio(name, REFERENCE), after.ratio(name, REFERENCE)
    noise = max(old.spread(), new.spread())
    if old_ratio is None or new_ratio is None or name == REFERENCE:
        return (*cells, "-", "-", "-", judge(was, now, noise))
    change = _change(old_ratio, new_ratio)
    return (*cells, f"{old_ratio:.2f}", f"{new_ratio:.2f}", change, judge(old_ratio, new_ratio, noise))


def _conditions(before: Result, after: Result) -> list[str]:
    """Machine and method must agree for absolute figures to be compared."""
    lines = []
    for title, old, new in (
        ("machine", before.machine, after.machine),
        ("method", before.method, after.method),
    ):
        lines += [
            f"{title} differs: {key}: {old.get(key)} -> {new.get(key)}"
            for key in sorted(old.keys() | new.keys())
            if old.get(key) != new.get(key)
        ]
    return lines


def compare(before: Result, after: Result) -> str:
    parts = [f"{before.commit} ({before.date}) -> {after.commit} ({after.date})", *_conditions(before, after)]
    for name, new in after.scenarios.items():
        old = before.scenarios.get(name)
        if not old:
            parts.append(f"\n{name}: only in {after.commit}")
            continue
        found = [cells for peer in new.peers if (cells := compare_peer(peer, old, new))]
        parts += [f"\n{name}", aligned(HEADER, found)]
        for peer in sorted(old.peers.keys() | new.peers.keys()):
            if peer not in {cells[0] for cells in found}:
                parts.append(f"{peer}: not measured on both sides")
    parts += [f"\n{name}: only in {before.commit}" for name in before.scenarios if name not in after.scenarios]
    return "\n".join(parts)
