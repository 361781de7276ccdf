"""Results as rows of text: what the terminal, the Markdown page and the HTML page all show.

Pure: takes a result, returns strings. Decides what is shown, not how it is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.peers import PEERS, REFERENCE
from bench.results import PeerResult, ScenarioResult

SUBJECT = "fastgw"
SATURATED = 0.90  # below this share of its cores a peer waited for the load: its cost is an upper bound
QUIET = 0.05  # above this share for other programs, caches and wake-ups were not the peer's own
HEADER = (
    "peer",
    "CPU-us/request",
    "user",
    "system",
    "noise",
    f"x {REFERENCE}",
    "requests/s",
    "p50 us",
    "p99 us",
    "p99.9 us",
    "busy",
    "others",
    "MiB",
)


def _figures(one: PeerResult) -> tuple[str, ...]:
    return (
        f"{one.median(lambda s: s.cpu_us):.1f}",
        f"{one.median(lambda s: s.user_us):.1f}",
        f"{one.median(lambda s: s.system_us):.1f}",
        f"±{one.spread():.0%}",
    )


def row(scenario: ScenarioResult, name: str) -> tuple[str, ...]:
    one = scenario.peers[name]
    ratio = scenario.ratio(name, REFERENCE)
    return (
        name,
        *_figures(one),
        "-" if ratio is None else f"{ratio:.2f}",
        f"{one.median(lambda s: s.requests_per_second):.0f}",
        f"{one.median(lambda s: s.p50_us):.0f}",
        f"{one.median(lambda s: s.p99_us):.0f}",
        f"{one.median(lambda s: s.p999_us):.0f}",
        f"{one.median(lambda s: s.busy):.0%}",
        f"{one.median(lambda s: s.others):.0%}",
        f"{one.median(lambda s: s.memory_mib):.0f}",
    )


def rows(scenario: ScenarioResult) -> list[tuple[str, ...]]:
    """A row for every peer that has figures, in the peers' own order."""
    names = [name for name in PEERS if name in scenario.peers] + [n for n in scenario.peers if n not in PEERS]
    return [row(scenario, name) for name in names if scenario.peers[name].sound]


@dataclass(frozen=True)
class Verdict:
    """One target of a scenario, and what was measured."""

    peer: str
    target: float
    ratio: float | None

    @property
    def met(self) -> bool:
        return self.ratio is not None and self.ratio <= self.target

    def __str__(self) -> str:
        if self.ratio is None:
            return f"{SUBJECT} / {self.peer}: not measured, target {self.target:.2f}"
        outcome = "met" if self.met else "MISSED"
        return f"{SUBJECT} / {self.peer}: {self.ratio:.2f}, target {self.target:.2f}: {outcome}"


def verdicts(scenario: ScenarioResult) -> list[Verdict]:
    return [Verdict(peer, at_most, scenario.ratio(SUBJECT, peer)) for peer, at_most in scenario.targets.items()]


def refusals(scenario: ScenarioResult) -> list[str]:
    return [f"{name}: refused: {fault}" for name, one in scenario.peers.items() for fault in one.faults]


def cautions(scenario: ScenarioResult) -> list[str]:
    """What makes a figure worth less than it looks. Below saturation a request costs more: more wake-ups."""
    found = []
    for name, one in scenario.peers.items():
        if not one.sound:
            continue
        busy, others = one.median(lambda s: s.busy), one.median(lambda s: s.others)
        if others > QUIET:
            found.append(f"{name}: disturbed: other programs used {others:.0%} of its cores")
        elif busy < SATURATED:
            found.append(f"{name}: not saturated ({busy:.0%} busy): the load was the limit")
    return found


def notes(scenario: ScenarioResult) -> list[str]:
    """Everything that is said below a scenario's table."""
    return [str(verdict) for verdict in verdicts(scenario)] + cautions(scenario) + refusals(scenario)


def aligned(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Columns for a terminal: the first to the left, figures to the right."""
    lines = [header, *body]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def in_text(name: str, scenario: ScenarioResult) -> str:
    return "\n".join([f"{name}: {scenario.about}", aligned(HEADER, rows(scenario)), *notes(scenario)])
