"""The measurement: peers of a scenario started together, proved, then timed in interleaved rounds.

Interleaving is the point. A shared host drifts by tens of percent within minutes; within one round all
peers meet nearly the same machine, so ratios are taken within rounds and their median over rounds.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from bench import load, machine
from bench.origin import Origin
from bench.peers.base import Peer, Place
from bench.process import BenchError, Program, core_busy, cpu_of, free_port, memory_of
from bench.proof import prove
from bench.results import PeerResult, Sample, ScenarioResult
from bench.scenarios import Scenario

WARM_SECONDS = 1


@dataclass(frozen=True)
class Plan:
    rounds: int
    seconds: int
    connections: int
    workers: int
    gateway_cores: tuple[int, ...]
    load_cores: tuple[int, ...]
    say: Callable[[str], None]


def share_cores(workers: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The first `workers` cores for the gateway, the rest for load and upstream; all for both if too few."""
    cores = tuple(machine.cores())
    if len(cores) > workers:
        return cores[:workers], cores[workers : workers + 2]
    return cores, cores


@dataclass(frozen=True)
class Contestant:
    """A peer that runs."""

    peer: Peer
    place: Place
    program: Program


class Match:
    """One scenario being run."""

    def __init__(self, scenario: Scenario, plan: Plan, folder: Path, stack: ExitStack) -> None:
        self._scenario = scenario
        self._plan = plan
        self._folder = folder
        self._stack = stack
        self._origin = stack.enter_context(Origin(folder / "origin", plan.load_cores))
        self.result = ScenarioResult(scenario.about, dict(scenario.targets))

    def enter(self, peer: Peer) -> Contestant | None:
        """Start and prove a peer; one that fails is refused, visibly, and the others go on."""
        outcome = self.result.peers[peer.name] = PeerResult(peer.version())
        folder = self._folder / peer.name
        folder.mkdir()
        place = Place(folder, free_port(), free_port(), self._origin.port, self._plan.workers)
        try:
            command = peer.prepare(place, self._scenario.job)
            program = self._stack.enter_context(Program(peer.name, command, self._plan.gateway_cores, folder))
            program.wait_listening(place.port)
            outcome.faults = prove(peer, place.port, self._scenario.job, self._origin.answer)
        except BenchError as error:
            outcome.faults = [str(error)]
        for fault in outcome.faults:
            self._plan.say(f"  {peer.name}: refused: {fault}")
        return None if outcome.faults else Contestant(peer, place, program)

    def _drive(self, one: Contestant, seconds: int) -> load.Load:
        url = f"http://127.0.0.1:{one.place.port}{self._scenario.job.path}"
        headers = self._scenario.headers(one.peer)
        return load.run(url, headers, seconds, self._plan.connections, self._plan.load_cores)

    def warm(self, one: Contestant) -> None:
        self._drive(one, WARM_SECONDS)

    def time(self, one: Contestant) -> Sample:
        """One peer in one round. CPU is read around wrk's whole run: an idle peer adds nothing to it."""
        cores = self._plan.gateway_cores
        pids = one.program.pids()
        forwarded = self._origin.served()
        start, used, busy = time.monotonic(), cpu_of(pids), core_busy(cores)
        got = self._drive(one, self._plan.seconds)
        used, busy = cpu_of(pids) - used, core_busy(cores) - busy
        wall = (time.monotonic() - start) * len(cores)
        forwarded = self._origin.served() - forwarded - 1
        if one.program.pids() != pids:
            raise BenchError("its set of processes changed while it was timed")
        self._check(one.peer, got, forwarded)
        memory = memory_of(pids)
        for path in one.peer.growing_files(one.place):
            with suppress(FileNotFoundError):
                os.truncate(path, 0)
        each = 1e6 / got.requests
        return Sample(
            cpu_us=used.total * each,
            user_us=used.user * each,
            system_us=used.system * each,
            requests_per_second=got.requests / (got.duration_us / 1e6),
            p50_us=got.p50_us,
            p99_us=got.p99_us,
            p999_us=got.p999_us,
            busy=used.total / wall,
            others=max(0.0, (busy - used.total) / wall),
            memory_mib=memory / 2**20,
        )

    def _check(self, peer: Peer, got: load.Load, forwarded: int) -> None:
        """The claims must hold under load too: every answer of the right kind, nothing forwarded in vain."""
        if not got.requests or got.broken:
            raise BenchError(f"{got.requests} requests, {got.broken} connections failed or timed out")
        passes = self._scenario.status_of(peer) == 200
        if got.status != (0 if passes else got.requests):
            raise BenchError(f"{got.status} of {got.requests} answers were errors, expected {0 if passes else 'all'}")
        expected = got.requests if passes else 0
        # wrk drops what is in flight when its time is up: at most one request per connection.
        if abs(forwarded - expected) > self._plan.connections:
            raise BenchError(f"{forwarded} requests reached the upstream, expected about {expected}")


def play(scenario: Scenario, peers: Sequence[Peer], plan: Plan) -> ScenarioResult:
    """Run one scenario whole: start, prove, warm, `plan.rounds` interleaved rounds, stop."""
    with tempfile.TemporaryDirectory(prefix="fastgw-bench-") as name, ExitStack() as stack:
        match = Match(scenario, plan, Path(name), stack)
        running = [one for one in map(match.enter, peers) if one]
        for turn in range(-1, plan.rounds):
            shift = turn % len(running) if running else 0
            for one in running[shift:] + running[:shift]:
                outcome = match.result.peers[one.peer.name]
                if outcome.faults:
                    continue
                try:
                    if turn < 0:
                        match.warm(one)
                        continue
                    sample = match.time(one)
                except BenchError as error:
                    outcome.faults.append(f"round {turn + 1}: {error}")
                    plan.say(f"  {one.peer.name}: refused: {outcome.faults[-1]}")
                    continue
                outcome.samples.append(sample)
                plan.say(f"  round {turn + 1}: {one.peer.name:14} {sample.cpu_us:7.1f} us")
        return match.result
