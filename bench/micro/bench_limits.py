"""limits: one hit on a fixed window, against a dict of counts, which one process alone can see."""

import time

from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.duel import Job, Side, between
from fastgw import _core

COUNT, WINDOW = 1_000_000_000_000, 3600
TABLE = _core.Table.create()
LIMITER = _core.Limiter(TABLE, "consumer/jack/limit-count", count=COUNT, window=WINDOW)


class Counts:
    """What one writes in a minute: windows that begin with the first hit."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.windows: dict[str, tuple[float, int]] = {}

    def hit(self, key: str) -> tuple[bool, int]:
        now = time.monotonic()
        end, used = self.windows.get(key, (0.0, 0))
        if now >= end:
            end, used = now + WINDOW, 0
        if used >= self.count:
            return False, 0
        self.windows[key] = (end, used + 1)
        return True, self.count - used - 1


COUNTS = Counts(COUNT)


def same_verdicts() -> None:
    """Three hits where two are allowed."""
    limiter = _core.Limiter(_core.Table.create(), "same", count=2, window=WINDOW)
    counts = Counts(2)
    for _ in range(3):
        decision = limiter.hit("10.0.0.1")
        assert (decision.allowed, decision.remaining) == counts.hit("10.0.0.1")


@between(
    Job("one hit counted, key hashed each time", at_most=40),
    lambda n: _core._bench_limit(LIMITER, b"10.0.0.1", n),
    {"dict": lambda: COUNTS.hit("10.0.0.1")},
)
def test_hit(side: Side, benchmark: BenchmarkFixture) -> None:
    same_verdicts()
    side.time(benchmark)
