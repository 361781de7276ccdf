"""`python -m bench micro`: runs the micro benches and says what each room takes, and how many times that its rivals take.

Owns: what is made of pytest-benchmark's file, and the section of docs/performance.md. Must not know any room.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import machine, sections
from bench.micro.duel import ROOM
from bench.process import BenchError

PAGE = machine.ROOT / "docs" / "performance.md"


@dataclass
class Row:
    """A job: nanoseconds by who does it, medians over rounds."""

    about: str
    at_most: int | None
    taken: dict[str, float] = field(default_factory=dict)

    @property
    def missed(self) -> bool:
        return self.at_most is not None and self.taken[ROOM] > self.at_most

    def cells(self) -> list[str]:
        bar = "" if self.at_most is None else f"{self.at_most}"
        ours = self.taken[ROOM]
        rivals = [f"{name} {_ns(ns)} ns ({ns / ours:,.1f} x)" for name, ns in self.taken.items() if name != ROOM]
        return [self.about, f"**{_ns(ours)}**" if self.missed else _ns(ours), bar, "; ".join(rivals)]


def _ns(value: float) -> str:
    return f"{value:,.1f}" if value < 10 else f"{value:,.0f}"


def rows(report: dict[str, Any]) -> list[Row]:
    """Jobs in the order in which they ran."""
    found: dict[str, Row] = {}
    for one in report["benchmarks"]:
        told = one["extra_info"]
        row = found.setdefault(told["job"], Row(told["job"], told["at_most"]))
        row.taken[told["side"]] = one["stats"]["median"] * 1e9 / told.get("loop", 1)
    return list(found.values())


def markdown(found: Sequence[Row]) -> str:
    return sections.table(
        ["what", "ns", "at most", "rivals, and how many times the room's time they take"], [row.cells() for row in found]
    )


def measure(chosen: str) -> list[Row]:
    """Runs pytest; `chosen` as its -k."""
    with tempfile.TemporaryDirectory(prefix="fastgw-micro-") as folder:
        report = Path(folder) / "report.json"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "bench/micro",
            "-q",
            "--benchmark-only",
            "-W",
            "ignore:Not saving anything",
            f"--benchmark-json={report}",
            "-k",
            chosen,
        ]
        done = subprocess.run(command, cwd=machine.ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not report.exists():
            raise BenchError(
                f"micro: pytest ended with {done.returncode} (pip install -e '.[bench]'?):\n{done.stdout[-3000:]}{done.stderr}"
            )
        return rows(json.loads(report.read_text()))


def main(arguments: Sequence[str]) -> int:
    """The command line; 1 where a room takes longer than it may."""
    parser = argparse.ArgumentParser(
        prog="python -m bench micro", description="Nanoseconds per job of each native room, and its rivals."
    )
    parser.add_argument("--save", action="store_true", help="write the table into docs/performance.md")
    parser.add_argument("-k", default="", metavar="EXPRESSION", help="only these, as pytest's -k")
    options = parser.parse_args(arguments)
    found = measure(options.k)
    text = markdown(found)
    print(text)
    if options.save:
        sections.replace(PAGE, "micro", f"{machine.processor()}, Python {platform.python_version()}.\n\n{text}")
    missed = [row.about for row in found if row.missed]
    for about in missed:
        print(f"longer than it may: {about}")
    return 1 if missed else 0
