"""map: a byte string looked up among many, against dict, whose hash of a bytes object is kept and so not computed again."""

from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.duel import Job, Side, between
from fastgw import _core

KEYS = [b"consumer-%06d-key" % i for i in range(1000)]
KEY = KEYS[617]
TABLE = {key: i + 1 for i, key in enumerate(KEYS)}


def rival() -> int | None:
    return TABLE.get(bytes(memoryview(KEY)))  # as it comes out of a buffer: without a hash


@between(
    Job(f"key of {len(KEY)} bytes among 1,000"),
    lambda n: _core._bench_map(KEYS, KEY, n),
    {"dict, fresh key": rival, "dict, same key": lambda: TABLE.get(KEY)},
)
def test_get(side: Side, benchmark: BenchmarkFixture) -> None:
    assert rival() == 618
    assert _core._bench_map(KEYS, KEY, 1) > 0  # raises where the key is not found
    side.time(benchmark)
