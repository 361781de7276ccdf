"""metrics: counters and latency histogram of one exchange, in shared memory, against a dict and a list in one process."""

from bisect import bisect_left
from collections import Counter

from pytest_benchmark.fixture import BenchmarkFixture

from bench import workload
from bench.micro.duel import Job, Side, between
from bench.micro.waiting import Waiting
from fastgw import _core

SCENARIO = workload.SCENARIOS["plain"]
BOUNDS = [_core.bucket_bound(i) for i in range(128)]
COUNTERS: Counter[str] = Counter()
BUCKETS = [0] * len(BOUNDS)


def rival() -> None:
    COUNTERS["requests"] += 1
    COUNTERS["bytes_in"] += 0
    COUNTERS["bytes_out"] += 0
    COUNTERS["latency_us_sum"] += 0
    BUCKETS[bisect_left(BOUNDS, 0)] += 1


def same_counts() -> None:
    waiting = Waiting(SCENARIO.snapshot(), SCENARIO.request)
    waiting.loop("metrics")(3)
    COUNTERS.clear()
    BUCKETS[:] = [0] * len(BOUNDS)
    for _ in range(3):
        rival()
    ours = waiting.region.metrics()
    assert {name: ours[name] for name in COUNTERS} == COUNTERS
    assert ours["latency_us"] == [(bound, n) for bound, n in zip(BOUNDS, BUCKETS, strict=True) if n]


@between(
    Job("counters and histogram of one exchange"),
    Waiting(SCENARIO.snapshot(), SCENARIO.request).loop("metrics"),
    {"Counter, bisect": rival},
)
def test_exchange(side: Side, benchmark: BenchmarkFixture) -> None:
    same_counts()
    side.time(benchmark)
