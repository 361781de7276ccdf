"""The measurement: contestants of a scenario started together, proved, then timed in interleaved rounds.

Interleaving is the point. A shared host drifts by tens of percent within minutes; within one round all
contestants meet nearly the same machine, so ratios are taken within rounds and their median over rounds.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from bench import idle, machine, requests
from bench.contestant import Contestant, Rig
from bench.origin import Origin
from bench.peers import PEERS
from bench.peers.base import Place
from bench.process import BenchError, Program, free_port, staying_on
from bench.proof import prove
from bench.results import SHARED, Row, ScenarioResult
from bench.scenarios.base import Drive, Entry, Open, Scenario, row_name

WARM_SECONDS = 1


@dataclass(frozen=True)
class Plan:
    rounds: int
    seconds: int
    connections: int
    workers: int
    say: Callable[[str], None]

    def of(self, scenario: Scenario) -> Plan:
        """As the scenario wants it."""
        return replace(self, connections=scenario.connections or self.connections, workers=scenario.workers or self.workers)

    def cores(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return share_cores(machine.cores(), self.workers)


def share_cores(cores: Sequence[int], workers: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The first `workers` cores for the gateway, the rest for load and upstream; all for both if too few."""
    if len(cores) > workers:
        return tuple(cores[:workers]), tuple(cores[workers : workers + 2])
    return tuple(cores), tuple(cores)


def order(drives: Sequence[Drive], running: Sequence[Contestant], turn: int) -> Iterator[tuple[Drive, Contestant]]:
    """All of one drive after each other, so that they meet the same machine; each round begins with another."""

    def rotated(items: Sequence, by: int) -> list:
        shift = by % len(items) if items else 0
        return [*items[shift:], *items[:shift]]

    for drive in rotated(drives, turn):
        for one in rotated(running, turn):
            yield drive, one


class Match:
    """One scenario being run."""

    def __init__(self, scenario: Scenario, entries: Sequence[Entry], plan: Plan, folder: Path, stack: ExitStack) -> None:
        self._scenario = scenario
        self._plan = plan
        self._folder = folder
        self._stack = stack
        gateway, rest = plan.cores()
        origin = stack.enter_context(Origin(folder / "origin", rest, entries[0].job))
        self._rig = Rig(origin, gateway, rest, plan.connections, plan.seconds)
        self._contestants: dict[str, Contestant] = {}
        self.result = ScenarioResult(scenario.about, list(scenario.targets), figure=scenario.figure)
        self.result.conditions = self._conditions()
        for drive in scenario.drives:
            self._add_rows(drive, entries)

    def _conditions(self) -> dict[str, str]:
        rig, scenario = self._rig, self._scenario
        found = {"connections": str(rig.connections), "workers": str(self._plan.workers)}
        if rig.gateway_cores == rig.load_cores:
            found[SHARED] = "all shared by gateway, load and upstream, so that no peer reaches saturation and figures are rough"
        if idle_ones := max(entry.job.idle for entry in scenario.entries):
            found["open files allowed"] = str(idle.allow(idle_ones))
            found["idle connections"] = str(idle.affordable(idle_ones))
        return found

    def _add_rows(self, drive: Drive, entries: Sequence[Entry]) -> None:
        known = {row_name(entry.name, drive) for entry in self._scenario.entries}
        reference = row_name(self._scenario.reference, drive)
        reference = reference if reference in known else self._scenario.reference
        for entry in entries:
            row = Row(entry.peer, PEERS[entry.peer].version(), reference=reference)
            self.result.rows[row_name(entry.name, drive)] = row

    def _refuse(self, row: str, fault: str) -> None:
        """Results are published: a fault names files by what they are called, not by where they were."""
        fault = fault.replace(f"{self._folder}/", "")
        self.result.rows[row].faults.append(fault)
        self._plan.say(f"  {row}: refused: {fault}")

    def enter(self, entry: Entry) -> None:
        """Start, prove and warm a contestant; one that fails is refused, visibly, and the others go on."""
        peer, rig = PEERS[entry.peer], self._rig
        folder = self._folder / entry.name
        folder.mkdir()
        place = Place(folder, free_port(), free_port(), rig.origin.port, self._plan.workers)
        try:
            command = peer.prepare(place, entry.job)
            program = self._stack.enter_context(Program(entry.name, command, rig.gateway_cores, folder))
            program.wait_listening(place.port)
            faults = prove(peer, place.port, entry.job, rig.origin.answer)
        except BenchError as error:
            faults = [str(error)]
        if not faults:
            asked = requests.of(entry.job, entry.asking, lambda token: peer.token(token, entry.job))
            status = self._scenario.status_of(peer, entry.job)
            one = Contestant(entry, peer, place, program, asked, status, rig)
            try:
                self._warm(one)
                self._contestants[entry.name] = one
            except BenchError as error:
                faults = [f"warming up: {error}"]
        for fault in faults:
            for drive in self._scenario.drives:
                self._refuse(row_name(entry.name, drive), fault)

    def _warm(self, one: Contestant) -> None:
        """Also finds the capacity, if rates are to be shares of it."""
        one.closed(WARM_SECONDS)
        if any(isinstance(drive, Open) for drive in self._scenario.drives):
            one.capacity = one.closed(self._plan.seconds)["requests_per_second"]
            self._plan.say(f"  {one.entry.name}: capacity {one.capacity:.0f} requests/s")

    def _rate(self, drive: Open, one: Contestant) -> float:
        of = self._contestants.get(drive.capacity_of) if drive.capacity_of else one
        if not of:
            raise BenchError(f"no capacity of {drive.capacity_of} to take {drive.share:.0%} of")
        return drive.share * of.capacity

    def _time(self, drive: Drive, one: Contestant) -> dict[str, float]:
        if isinstance(drive, Open):
            return one.open(self._rate(drive, one), drive.changes)
        return one.closed(self._rig.seconds)

    def round(self, turn: int) -> None:
        for drive, one in order(self._scenario.drives, list(self._contestants.values()), turn):
            name = row_name(one.entry.name, drive)
            row = self.result.rows[name]
            if row.faults:
                continue
            try:
                sample = self._time(drive, one)
            except BenchError as error:
                self._refuse(name, f"round {turn + 1}: {error}")
                continue
            row.samples.append(sample)
            self._plan.say(f"  round {turn + 1}: {name:18} {sample[self.result.figure]:9.1f} us")
            for path in one.peer.growing_files(one.place):
                with suppress(FileNotFoundError):
                    os.truncate(path, 0)


def play(scenario: Scenario, entries: Sequence[Entry], plan: Plan) -> ScenarioResult:
    """Run one scenario whole: start, prove, warm, `plan.rounds` interleaved rounds, stop."""
    plan = plan.of(scenario)
    with tempfile.TemporaryDirectory(prefix="fastgw-bench-") as name, ExitStack() as stack:
        match = Match(scenario, entries, plan, Path(name), stack)
        stack.enter_context(staying_on(plan.cores()[1]))
        for entry in entries:
            match.enter(entry)
        for turn in range(plan.rounds):
            match.round(turn)
        return match.result
