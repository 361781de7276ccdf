"""b64url: a token's payload decoded, against the standard library."""

import base64
import binascii

from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.bench_jwt import TOKEN
from bench.micro.duel import Job, Side, between
from fastgw import _core

TEXT = TOKEN.split(".")[1].encode()


def rival(text: bytes = TEXT) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


@between(
    Job(f"base64url of {len(TEXT)} characters decoded, canonical form only"),
    lambda n: _core._bench_b64url(TEXT, n),
    {"base64": rival, "binascii": lambda: binascii.a2b_base64(TEXT + b"==")},
)
def test_decode(side: Side, benchmark: BenchmarkFixture) -> None:
    assert _core._test_b64url(TEXT) == rival() == binascii.a2b_base64(TEXT + b"==")
    side.time(benchmark)
