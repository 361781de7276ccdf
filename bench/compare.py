"""What changed between two filed results. Pure: takes results, returns text.

A change counts only beyond the noise of both sides. The ratio to the reference is what to read across
days: absolute figures move with the host.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.figures import FIGURES
from bench.results import Result, Row, ScenarioResult
from bench.tables import aligned

LEAST_CHANGE = 0.02  # below this, repeated runs of one commit differ
ALWAYS = ("worker_rss_mib", "idle_kib")  # compared wherever both sides have them
HIGHER_IS_BETTER = ("changes_per_second",)
HEADER = ("row", "figure", "before", "after", "change", "x reference before", "after", "change", "")


def _change(before: float, after: float) -> str:
    return f"{after / before - 1:+.1%}" if before else "-"


def judge(before: float, after: float, noise: float, better: str = "cheaper", worse: str = "DEARER") -> str:
    change = after / before - 1 if before else 0.0
    if abs(change) <= max(noise, LEAST_CHANGE):
        return "within noise"
    return worse if change > 0 else better


def words(figure: str) -> tuple[str, str]:
    """What a lower and a higher value are called."""
    if figure in HIGHER_IS_BETTER:
        return "FEWER", "more"
    if figure.endswith("_ms") or (figure.endswith("_us") and figure.startswith(("p", "max"))):
        return "faster", "SLOWER"
    return ("smaller", "LARGER") if figure.endswith("ib") else ("cheaper", "DEARER")


def compared(before: ScenarioResult, after: ScenarioResult) -> list[str]:
    """The figure that counts, those with a target, and memory."""
    wanted = dict.fromkeys([after.figure, *(t.figure for t in (*after.targets, *before.targets)), *ALWAYS])
    return [figure for figure in FIGURES if figure in wanted]


def compare_row(name: str, figure: str, before: ScenarioResult, after: ScenarioResult) -> tuple[str, ...] | None:
    old, new = before.rows.get(name), after.rows.get(name)
    if not old or not new or not old.has(figure) or not new.has(figure):
        return None
    was, now = old.median(figure), new.median(figure)
    form, noise = FIGURES[figure], max(old.spread(figure), new.spread(figure))
    cells = (name, form.title, form.text(was), form.text(now), _change(was, now))
    old_ratio, new_ratio = _ratio(name, old, before, figure), _ratio(name, new, after, figure)
    if old_ratio is None or new_ratio is None:
        return (*cells, "-", "-", "-", judge(was, now, noise, *words(figure)))
    ratios = (f"{old_ratio:.2f}", f"{new_ratio:.2f}", _change(old_ratio, new_ratio))
    return (*cells, *ratios, judge(old_ratio, new_ratio, noise, *words(figure)))


def _ratio(name: str, row: Row, scenario: ScenarioResult, figure: str) -> float | None:
    """Time drifts with the host, so its ratio is judged; memory does not."""
    if name == row.reference or figure in ALWAYS:
        return None
    return scenario.ratio(name, row.reference, figure)


def _conditions(before: Result, after: Result) -> list[str]:
    """Machine and method must agree for absolute figures to be compared."""
    found = []
    for title, old, new in (
        ("machine", before.machine, after.machine),
        ("method", before.method, after.method),
    ):
        found += [
            f"{title} differs: {key}: {old.get(key)} -> {new.get(key)}"
            for key in sorted(old.keys() | new.keys())
            if old.get(key) != new.get(key)
        ]
    return found


def compare_scenario(before: ScenarioResult, after: ScenarioResult) -> Iterator[str]:
    pairs = [(name, figure) for figure in compared(before, after) for name in after.rows]
    found = [cells for name, figure in pairs if (cells := compare_row(name, figure, before, after))]
    yield aligned(HEADER, found)
    for name in sorted(before.rows.keys() | after.rows.keys()):
        if name not in {cells[0] for cells in found}:
            yield f"{name}: not measured on both sides"


def compare(before: Result, after: Result) -> str:
    parts = [f"{before.commit} ({before.date}) -> {after.commit} ({after.date})", *_conditions(before, after)]
    for name, new in after.scenarios.items():
        old = before.scenarios.get(name)
        parts += [f"\n{name}", *compare_scenario(old, new)] if old else [f"\n{name}: only in {after.commit}"]
    parts += [f"\n{name}: only in {before.commit}" for name in before.scenarios if name not in after.scenarios]
    return "\n".join(parts)
