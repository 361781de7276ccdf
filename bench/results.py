"""Figures: samples of rounds, their medians and paired ratios, targets, and the file they are kept in.

Pure data: must not know how a figure came about nor how it is shown.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"
FORMAT = 2
COST = "cpu_us"
SHARED = "cores"  # the condition of a scenario whose peers had no cores of their own

Sample = Mapping[str, float]  # one row in one round: figures by name; their names and units are in bench.tables


class UnknownResultError(Exception):
    """No filed result answers to a name."""


@dataclass(frozen=True)
class Target:
    """What a figure of a row must not exceed: in units of the same figure of another row, or its own."""

    row: str
    to: str | None  # None: `bound` is in the figure's own unit
    bound: float | None  # None: the ratio is shown and not judged
    figure: str = COST
    at_least: bool = False

    def meets(self, value: float) -> bool:
        if self.bound is None:
            return True
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass
class Row:
    """One line of a scenario: a contestant, driven in one way, over all rounds."""

    peer: str
    version: str
    samples: list[Sample] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    reference: str = ""  # the row that this one is compared to

    @property
    def sound(self) -> bool:
        """Only what was proved and never failed has figures."""
        return bool(self.samples) and not self.faults

    def has(self, figure: str) -> bool:
        return self.sound and all(figure in sample for sample in self.samples)

    def values(self, figure: str) -> list[float]:
        return [sample[figure] for sample in self.samples]

    def median(self, figure: str) -> float:
        return statistics.median(self.values(figure))

    def spread(self, figure: str) -> float:
        """Half the range over the rounds, as a share of the median: the noise."""
        values = self.values(figure)
        middle = statistics.median(values)
        return (max(values) - min(values)) / 2 / middle if middle else 0.0


@dataclass
class ScenarioResult:
    about: str
    targets: list[Target] = field(default_factory=list)
    rows: dict[str, Row] = field(default_factory=dict)
    figure: str = COST  # the one that counts: its noise and its ratio are shown
    conditions: dict[str, str] = field(default_factory=dict)  # where the scenario departs from the run's method

    def ratio(self, row: str, reference: str, figure: str = COST) -> float | None:
        """Median over the rounds of the ratio within each round: the host's drift cancels."""
        one, other = self.rows.get(row), self.rows.get(reference)
        if not one or not other or not one.has(figure) or not other.has(figure):
            return None
        pairs = zip(one.values(figure), other.values(figure), strict=True)
        ratios = [mine / theirs for mine, theirs in pairs if theirs]
        return statistics.median(ratios) if ratios else None

    def judged(self, target: Target) -> float | None:
        """What was measured of a target's figure; None if it was not."""
        if target.to is not None:
            return self.ratio(target.row, target.to, target.figure)
        row = self.rows.get(target.row)
        return row.median(target.figure) if row and row.has(target.figure) else None


@dataclass
class Result:
    commit: str
    date: str
    machine: dict[str, str]
    method: dict[str, str]
    scenarios: dict[str, ScenarioResult] = field(default_factory=dict)
    format: int = FORMAT

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_rounded(asdict(self)), indent=1) + "\n")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value


def _scenario(raw: dict[str, Any]) -> ScenarioResult:
    rows = {name: Row(**row) for name, row in raw.pop("rows").items()}
    targets = [Target(**target) for target in raw.pop("targets")]
    return ScenarioResult(**raw, targets=targets, rows=rows)


def _scenario_of_format_1(raw: dict[str, Any]) -> dict[str, Any]:
    """Format 1 knew one figure, one reference, and peers instead of rows."""
    return {
        "about": raw["about"],
        "targets": [{"row": "fastgw", "to": to, "bound": bound} for to, bound in raw["targets"].items()],
        "rows": {name: {**peer, "peer": name, "reference": "nginx-plain"} for name, peer in raw["peers"].items()},
    }


def load(path: Path) -> Result:
    raw = json.loads(path.read_text())
    if raw.get("format") not in (1, FORMAT):
        raise UnknownResultError(f"{path.name}: format {raw.get('format')}, this bench reads formats 1 and {FORMAT}")
    if raw.pop("format") == 1:
        raw["scenarios"] = {name: _scenario_of_format_1(one) for name, one in raw["scenarios"].items()}
    raw["scenarios"] = {name: _scenario(one) for name, one in raw["scenarios"].items()}
    return Result(**raw)


def find(name: str, folder: Path = FOLDER) -> Path:
    """A result by file name or by the beginning of its commit."""
    if Path(name).is_file():
        return Path(name)
    found = sorted(folder.glob(f"{name}*.json"))
    if len(found) == 1:
        return found[0]
    filed = ", ".join(path.stem for path in sorted(folder.glob("*.json"))) or "none"
    several = f"{len(found)} results begin with it" if found else "no such result"
    raise UnknownResultError(f"{name}: {several}; filed: {filed}")


def latest(folder: Path = FOLDER) -> Path:
    """The filed result with the newest date inside: a checkout gives all files one time."""
    found = sorted(folder.glob("*.json"), key=lambda path: load(path).date)
    if not found:
        raise UnknownResultError("no result is filed yet: python -m bench run --save")
    return found[-1]


def file_result(result: Result, folder: Path = FOLDER) -> Path:
    """Save under the commit; scenarios of an earlier run of the same commit are kept if not run again."""
    path = folder / f"{result.commit}.json"
    if path.exists():
        earlier = load(path)
        if earlier.machine == result.machine and earlier.method == result.method:
            result.scenarios = {**earlier.scenarios, **result.scenarios}
    result.save(path)
    return path
