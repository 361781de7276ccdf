"""Results as rows of text: what the terminal, the Markdown page and the HTML page all show.

Pure: takes a result, returns strings. Decides what is shown, not how it is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.figures import FIGURES
from bench.results import COST, SHARED, Row, ScenarioResult, Target

SUBJECT = "fastgw"
SATURATED = 0.90  # below this share of its cores a peer waited for the load: its cost is an upper bound
QUIET = 0.05  # above this share for other programs, caches and wake-ups were not the peer's own
PUNCTUAL = 0.20  # above this share of a percentile the generator's own lateness is much of it


def columns(scenario: ScenarioResult) -> list[str]:
    """The figures that any row has: first the one that counts, with the generator's lateness beside it."""
    rows = [row for row in scenario.rows.values() if row.sound]
    found = [name for name in FIGURES if any(row.has(name) for row in rows)]
    return sorted(found, key=lambda name: name.removeprefix("late_") != scenario.figure)


def header(scenario: ScenarioResult) -> tuple[str, ...]:
    first, *rest = (FIGURES[name].title for name in columns(scenario) or [scenario.figure])
    references = {row.reference for row in scenario.rows.values()}
    ratio = "x " + (references.pop() if len(references) == 1 else min(references, default="").partition(" ")[0])
    return ("row", first, "noise", ratio, *rest)


def _cells(scenario: ScenarioResult, name: str, shown: Sequence[str]) -> tuple[str, ...]:
    row = scenario.rows[name]
    ratio = scenario.ratio(name, row.reference, scenario.figure)
    first, *rest = (FIGURES[one].text(row.median(one)) if row.has(one) else "-" for one in shown)
    noise = f"±{row.spread(scenario.figure):.0%}" if row.has(scenario.figure) else "-"
    return (name, first, noise, "-" if ratio is None else f"{ratio:.2f}", *rest)


def lines(scenario: ScenarioResult) -> list[tuple[str, ...]]:
    """A line of cells for every row that has figures."""
    shown = columns(scenario)
    return [_cells(scenario, name, shown) for name, row in scenario.rows.items() if row.sound]


@dataclass(frozen=True)
class Verdict:
    """One target of a scenario, and what was measured."""

    target: Target
    value: float | None

    @property
    def met(self) -> bool:
        return self.value is not None and self.target.meets(self.value)

    def _subject(self) -> str:
        target, title = self.target, FIGURES[self.target.figure].title
        if target.to is None:
            return f"{target.row}, {title}"
        return f"{target.row} / {target.to}" + (f", {title}" if target.figure != COST else "")

    def __str__(self) -> str:
        target = self.target
        # A ratio is written finer than its bound: 1.004 has missed 1.00.
        value = "" if self.value is None else f"{self.value:.3f}" if target.to else FIGURES[target.figure].text(self.value)
        if target.bound is None:
            return f"{self._subject()}: {value or 'not measured'}"
        bound = f"target {'at least ' if target.at_least else ''}{target.bound:.2f}"
        if not value:
            return f"{self._subject()}: not measured, {bound}"
        return f"{self._subject()}: {value}, {bound}: {'met' if self.met else 'MISSED'}"


def verdicts(scenario: ScenarioResult) -> list[Verdict]:
    return [Verdict(target, scenario.judged(target)) for target in scenario.targets]


def refusals(scenario: ScenarioResult) -> list[str]:
    return [f"{name}: refused: {fault}" for name, row in scenario.rows.items() for fault in row.faults]


def _caution(row: Row) -> str | None:
    busy, others = row.median("busy"), row.median("others")
    if others > QUIET:
        return f"disturbed: other programs used {others:.0%} of its cores"
    if row.has("late_p99_us"):
        late, p99 = row.median("late_p99_us"), row.median("p99_us")
        return f"the generator's own lateness, {late:.0f} us, is much of the p99" if late > PUNCTUAL * p99 else None
    return f"not saturated ({busy:.0%} busy): the load was the limit" if busy < SATURATED else None


def cautions(scenario: ScenarioResult) -> list[str]:
    """What makes a figure worth less than it looks. Below saturation a request costs more: more wake-ups."""
    if SHARED in scenario.conditions:
        return []  # said once for all rows, by the condition itself
    found = ((name, _caution(row)) for name, row in scenario.rows.items() if row.sound)
    return [f"{name}: {caution}" for name, caution in found if caution]


def notes(scenario: ScenarioResult) -> list[str]:
    """Everything that is said below a scenario's table."""
    conditions = ", ".join(f"{name} {value}" for name, value in scenario.conditions.items())
    said = [str(verdict) for verdict in verdicts(scenario)] + cautions(scenario) + refusals(scenario)
    return [*said, conditions] if conditions else said


def aligned(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Columns for a terminal: the first to the left, figures to the right."""
    everything = [head, *body]
    widths = [max(len(line[column]) for line in everything) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in everything
    )


def in_text(name: str, scenario: ScenarioResult) -> str:
    return "\n".join([f"{name}: {scenario.about}", aligned(header(scenario), lines(scenario)), *notes(scenario)])
