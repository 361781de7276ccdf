"""limits: one hit by each algorithm, what a breaker and a hold take, and what the limit plugins add to a request.

The rival is a dict of counts, which one process alone can see. Nobody else counts meanwhile.
"""

import asyncio
import time

from pytest_benchmark.fixture import BenchmarkFixture

from bench import workload
from bench.micro.duel import Job, Side, between
from bench.micro.waiting import CLIENT, Waiting
from fastgw import _core
from tests.support.remote import Scene

COUNT, WINDOW = 1_000_000_000_000, 3600
KEY = b"10.0.0.1"
TABLE = _core.Table.create()
LIMITER, SLIDING, BUCKET = (
    _core.Limiter(TABLE, f"consumer/jack/{algorithm}", count=COUNT, window=WINDOW, algorithm=algorithm)
    for algorithm in ("fixed", "sliding", "token-bucket")
)
REGION = _core.Region.create(1024, slots=1)
HOLDER = _core._TestHolder(REGION, 0)
HEALTHY = _core._TestBreaker(REGION, failures=3, successes=3, max_s=300)
WAITING = Waiting(workload.plain(), workload.request())
BY_ADDRESS = _core.Template("remote_addr", "var")
ADDED = 300  # ns that a limit may add to a request
LEASED = 500  # and one that is shared by Redis, out of a lease


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
    lambda n: _core._bench_limit(LIMITER, KEY, n),
    {"dict": lambda: COUNTS.hit("10.0.0.1")},
)
def test_hit(side: Side, benchmark: BenchmarkFixture) -> None:
    same_verdicts()
    side.time(benchmark)


@between(Job("the same by a sliding window"), lambda n: _core._bench_limit(SLIDING, KEY, n), {})
def test_sliding(side: Side, benchmark: BenchmarkFixture) -> None:
    side.time(benchmark)


@between(Job("the same by a token bucket, which is limit-req's leaky one too"), lambda n: _core._bench_limit(BUCKET, KEY, n), {})
def test_bucket(side: Side, benchmark: BenchmarkFixture) -> None:
    side.time(benchmark)


@between(Job("limit-conn: a hold taken and given back"), lambda n: _core._bench_hold(HOLDER, KEY, n), {})
def test_hold(side: Side, benchmark: BenchmarkFixture) -> None:
    assert (HOLDER.take(KEY, 1), HOLDER.take(KEY, 1)) == (1, 0)
    HOLDER.give()
    side.time(benchmark)
    assert _core._test_held(REGION) == {}


@between(
    Job("api-breaker: asked and told of a success, where nothing failed"),
    lambda n: _core._bench_breaker(HEALTHY, b"healthy", 1, n),
    {},
)
def test_breaker(side: Side, benchmark: BenchmarkFixture) -> None:
    side.time(benchmark)
    assert HEALTHY.state(b"healthy", 1) is None


def added(algorithm: str) -> _core.LimitCountStep:
    """limit-count by the client's address, with the three headers of the answer."""
    identity = b"routes/bench\0" + algorithm.encode()
    return _core.LimitCountStep(identity, BY_ADDRESS, count=COUNT, window=WINDOW, algorithm=algorithm)


def _step(step: _core.Step, n: int) -> float:
    return WAITING.wire._bench_step(CLIENT, step, n)


COUNTS_FIXED, COUNTS_SLIDING, COUNTS_BUCKET = (added(algorithm) for algorithm in ("fixed", "sliding", "token-bucket"))
LEAKS = _core.LimitReqStep(b"r\0req", BY_ADDRESS, count=10**9, window=1, burst=10**9, nodelay=True)


@between(Job("limit-count in a request, fixed window", at_most=ADDED), lambda n: _step(COUNTS_FIXED, n), {})
def test_request_fixed(side: Side, benchmark: BenchmarkFixture) -> None:
    side.time(benchmark)


@between(Job("limit-count in a request, sliding window", at_most=ADDED), lambda n: _step(COUNTS_SLIDING, n), {})
def test_request_sliding(side: Side, benchmark: BenchmarkFixture) -> None:
    side.time(benchmark)


@between(Job("limit-count in a request, token bucket", at_most=ADDED), lambda n: _step(COUNTS_BUCKET, n), {})
def test_request_bucket(side: Side, benchmark: BenchmarkFixture) -> None:
    side.time(benchmark)


@between(Job("limit-req in a request that need not wait", at_most=ADDED), lambda n: _step(LEAKS, n), {})
def test_request_leaky(side: Side, benchmark: BenchmarkFixture) -> None:
    side.time(benchmark)


def leased() -> Scene:
    """A request under way whose limit is shared by three gateways, in the middle of a lease that outlasts the bench."""
    scene = Scene(asyncio.new_event_loop(), count=COUNT, window=WINDOW, sync=0.5)
    scene.store.share(0, 3)
    scene.send()
    scene.store.answer([1, COUNT // 4, COUNT // 4 + 1, 0, WINDOW * 1000])
    assert scene.status() == 200
    scene.send()
    assert not scene.store.batches
    return scene


SHARED = leased()


@between(
    Job("limit-count in a request, policy redis with sync_interval", at_most=LEASED),
    lambda n: SHARED.wire._bench_step(SHARED.line, SHARED.step, n),
    {},
)
def test_request_leased(side: Side, benchmark: BenchmarkFixture) -> None:
    side.time(benchmark)
    assert not SHARED.store.batches
