"""A peer that runs, and one load on it: closed or open loop, with what happens meanwhile. Gives one sample.

Must not know of rounds nor of other contestants.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field

from bench import idle, load, openloop
from bench.changes import Changing
from bench.meter import Meter, largest
from bench.origin import Origin
from bench.peers.base import Peer, Place
from bench.process import BenchError, Program, entitled
from bench.scenarios.base import Entry
from bench.slowloris import Dripping

KIB = 1024


@dataclass(frozen=True)
class Rig:
    """What all contestants of a scenario share: the upstream, the cores, how many connections and how long."""

    origin: Origin
    gateway_cores: tuple[int, ...]
    load_cores: tuple[int, ...]
    connections: int
    seconds: int


@dataclass
class Contestant:
    entry: Entry
    peer: Peer
    place: Place
    program: Program
    requests: list[bytes]
    status: int
    rig: Rig
    capacity: float = 0.0  # requests per second, closed loop
    _lean: int = field(default=0, init=False)  # bytes of its largest worker before it ever held idle connections
    _changed: int = field(default=0, init=False)

    def closed(self, seconds: float) -> dict[str, float]:
        """wrk for so long: the peer at saturation."""
        rig = self.rig
        with ExitStack() as stack:
            figures = self._idle(stack)
            before, meter = rig.origin.settled(), self._meter(seconds)
            with meter:
                got = load.run(
                    self.place.port,
                    self.requests,
                    seconds=seconds,
                    connections=rig.connections,
                    cores=rig.load_cores,
                    tls=self.entry.job.tls,
                )
            if not got.requests or got.broken:
                raise BenchError(f"{got.requests} requests, {got.broken} connections failed or timed out")
            if got.status != (0 if self.status == 200 else got.requests):
                expected = "none" if self.status == 200 else "all"
                raise BenchError(f"{got.status} of {got.requests} answers were errors, expected {expected}")
            self._check(got.requests, got.requests + rig.connections, before, meter.pids)
        latency = {name: getattr(got, name) for name in ("p50_us", "p99_us", "p999_us", "max_us")}
        rate = {"requests_per_second": got.requests / (got.duration_us / 1e6)}
        return {**meter.figures(got.requests), **rate, **latency, **figures}

    def open(self, rate: float, changes_per_second: int) -> dict[str, float]:
        """Requests at a constant rate, with changes of the configuration meanwhile if there are to be any."""
        rig = self.rig
        if rate > self.capacity:
            raise BenchError(f"{rate:.0f} requests/s are beyond its capacity of {self.capacity:.0f}")
        with ExitStack() as stack:
            figures = self._idle(stack)
            before, meter = rig.origin.settled(), self._meter(rig.seconds)
            changing = stack.enter_context(self._changing(changes_per_second)) if changes_per_second else None
            dripping = Dripping(self.place.port, self.entry.job.half_heads) if self.entry.job.half_heads else None
            if dripping:
                stack.enter_context(dripping)
            with meter:
                got = openloop.run(
                    self.place.port,
                    self.requests,
                    rate=rate,
                    seconds=rig.seconds,
                    connections=rig.connections,
                    cores=rig.load_cores,
                    status=self.status,
                )
            if dripping:
                figures |= dripping.figures()
        if changing:
            self._changed = changing.next
            figures |= changing.figures()
        if got.errors or got.unexpected or not got.answered:
            raise BenchError(f"of {got.sent} requests {got.errors} failed and {got.unexpected} got an unexpected status")
        self._check(got.answered, got.sent, before, meter.pids)
        latency = {name: getattr(got, name) for name in ("p50_us", "p99_us", "p999_us", "max_us")}
        late = {f"late_{name}": getattr(got, f"late_{name}") for name in latency}
        return {
            **meter.figures(got.answered),
            "capacity": self.capacity,
            "requests_per_second": got.answered / got.seconds,
            **latency,
            **late,
            **figures,
        }

    def _meter(self, seconds: float) -> Meter:
        return Meter(self.program.pids(), self.peer.worker_title, self.rig.gateway_cores, seconds)

    def _changing(self, per_second: int) -> Changing:
        changes = self.peer.changes(self.place, self.entry.job)
        if not changes:
            raise BenchError("its configuration cannot be changed while it runs")
        return Changing(changes, per_second, self._changed)

    def _idle(self, stack: ExitStack) -> dict[str, float]:
        """Hold the idle connections of the job, and say what each costs the worker that has most of them.

        What an allocator keeps from an earlier round is not given back: so growth is counted from before the first.
        """
        if not self.entry.job.idle:
            return {}
        count = idle.affordable(self.entry.job.idle)
        workers = entitled(self.program.pids(), self.peer.worker_title)
        self._lean = self._lean or largest(workers)
        stack.enter_context(idle.held(self.place.port, self.requests[0], self.rig.origin.answer, count))
        return {"idle_kib": (largest(workers) - self._lean) / count / KIB}

    def _check(self, least: int, most: int, before: int, pids: frozenset[int]) -> None:
        """The claims must hold under load too: what was answered was forwarded, and nothing was forwarded in vain.

        A request on its way when the load's time was up has no answer, and may have been forwarded.
        """
        if self.program.pids() != pids:
            raise BenchError("its set of processes changed while it was timed")
        forwarded = self.rig.origin.settled() - before
        if self.status != 200:
            least = most = 0
        if not least <= forwarded <= most:
            raise BenchError(f"{forwarded} requests reached the upstream, expected {least} to {most}")
