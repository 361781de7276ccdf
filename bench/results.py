"""Figures: samples of rounds, their medians and paired ratios, and the file they are kept in.

Pure data: must not know how a figure came about nor how it is shown.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"
FORMAT = 1


class UnknownResultError(Exception):
    """No filed result answers to a name."""


@dataclass(frozen=True)
class Sample:
    """One peer in one round. Costs are per request; `busy` and `others` are shares of the peer's cores."""

    cpu_us: float
    user_us: float
    system_us: float
    requests_per_second: float
    p50_us: float
    p99_us: float
    p999_us: float
    busy: float
    others: float
    memory_mib: float


@dataclass
class PeerResult:
    version: str
    samples: list[Sample] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Only a peer that was proved and never failed has figures."""
        return bool(self.samples) and not self.faults

    def median(self, of: Callable[[Sample], float]) -> float:
        return statistics.median(of(sample) for sample in self.samples)

    def spread(self) -> float:
        """Half the range of CPU per request over the rounds, as a share of its median: the noise."""
        costs = [sample.cpu_us for sample in self.samples]
        return (max(costs) - min(costs)) / 2 / statistics.median(costs)


@dataclass
class ScenarioResult:
    about: str
    targets: dict[str, float]
    peers: dict[str, PeerResult] = field(default_factory=dict)

    def ratio(self, peer: str, reference: str) -> float | None:
        """Median over the rounds of the ratio within each round: the host's drift cancels."""
        one, other = self.peers.get(peer), self.peers.get(reference)
        if not one or not other or not one.sound or not other.sound:
            return None
        pairs = zip(one.samples, other.samples, strict=True)
        return statistics.median(mine.cpu_us / theirs.cpu_us for mine, theirs in pairs)


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


def _peer(raw: dict[str, Any]) -> PeerResult:
    return PeerResult(raw["version"], [Sample(**sample) for sample in raw["samples"]], raw["faults"])


def _scenario(raw: dict[str, Any]) -> ScenarioResult:
    peers = {name: _peer(one) for name, one in raw["peers"].items()}
    return ScenarioResult(raw["about"], raw["targets"], peers)


def load(path: Path) -> Result:
    raw = json.loads(path.read_text())
    if raw.get("format") != FORMAT:
        raise UnknownResultError(f"{path.name}: format {raw.get('format')}, this bench reads format {FORMAT}")
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
