"""A job, and those that do it: the room, as a loop in C, and its rivals, as Python calls.

Owns: how a bench of a room states its job, and what pytest-benchmark is told of it. Must not know any room.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from timeit import timeit

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

ROOM = "fastgw"
ROUND_SECONDS = 0.02  # one timed call takes about this long: far above the clock's grain, short against a neighbour's turn
ROUNDS = 25


@dataclass(frozen=True)
class Job:
    """What is done; `at_most`: nanoseconds that the room may take."""

    about: str
    at_most: int | None = None


@dataclass(frozen=True)
class Loop:
    """A loop in C: does the job as many times as it is told, and gives the nanoseconds of each."""

    run: Callable[[int], float]


@dataclass(frozen=True)
class Side:
    """One of those who do a job."""

    job: Job
    name: str
    call: Loop | Callable[[], object]

    def time(self, benchmark: BenchmarkFixture) -> None:
        """Have pytest-benchmark time it; figures are per job, the call of a loop spread over all its turns."""
        one = self.call.run(100) * 1e-9 if isinstance(self.call, Loop) else _seconds(self.call)
        times = max(1, int(ROUND_SECONDS / one))
        benchmark.group = self.job.about
        benchmark.extra_info.update(job=self.job.about, side=self.name, at_most=self.job.at_most)
        if isinstance(self.call, Loop):
            benchmark.extra_info["loop"] = times
            benchmark.pedantic(self.call.run, (times,), rounds=ROUNDS, warmup_rounds=1)
        else:
            benchmark.pedantic(self.call, rounds=ROUNDS, iterations=times, warmup_rounds=1)


def _seconds(call: Callable[[], object]) -> float:
    return timeit(call, number=10) / 10


def between(job: Job, room: Callable[[int], float], rivals: Mapping[str, Loop | Callable[[], object]]) -> pytest.MarkDecorator:
    """A test for each: `side` does the job."""
    sides = [Side(job, ROOM, Loop(room)), *(Side(job, name, call) for name, call in rivals.items())]
    return pytest.mark.parametrize("side", sides, ids=lambda side: side.name)
