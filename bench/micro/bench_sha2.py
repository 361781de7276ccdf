"""sha2: an HMAC over what a token signs, against the standard library, which asks OpenSSL."""

import hmac

from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.duel import Job, Side, between
from fastgw import _core

SECRET = b"bench-secret-of-exactly-32-bytes"
DATA = bytes(range(48, 48 + 64)) * 2 + b"x" * 28  # 156 bytes, as in a token of 200


@between(
    Job("HMAC-SHA-256 of 156 bytes, key prepared"),
    lambda n: _core._bench_hmac(DATA, SECRET, n),
    {"hmac.digest": lambda: hmac.digest(SECRET, DATA, "sha256"), "hmac.new": lambda: hmac.new(SECRET, DATA, "sha256").digest()},
)
def test_hmac(side: Side, benchmark: BenchmarkFixture) -> None:
    assert _core._test_hmac(256, SECRET, DATA) == hmac.digest(SECRET, DATA, "sha256")
    side.time(benchmark)
