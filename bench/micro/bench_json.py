"""json: claims found in a payload that is checked whole, against parsers that build objects."""

import json

import msgspec
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.bench_b64url import TEXT, rival
from bench.micro.duel import Job, Side, between
from fastgw import _core

DOC = rival(TEXT)
NAMES = [b"key", b"exp", b"nbf"]


class Claims(msgspec.Struct):
    """What is asked for; the rest is skipped."""

    key: str
    exp: int
    nbf: int | None = None


DECODER = msgspec.json.Decoder(Claims)


@between(
    Job(f"3 claims found in a payload of {len(DOC)} bytes"),
    lambda n: _core._bench_json(DOC, NAMES, n),
    {"json.loads": lambda: json.loads(DOC), "msgspec, typed": lambda: DECODER.decode(DOC)},
)
def test_scan(side: Side, benchmark: BenchmarkFixture) -> None:
    fault, (key, exp, nbf) = _core._test_json_scan(DOC, NAMES)
    plain, typed = json.loads(DOC), DECODER.decode(DOC)
    assert (fault, key[1].decode(), exp[2], nbf[0]) == ("ok", plain["key"], plain["exp"], "absent")
    assert (typed.key, typed.exp, typed.nbf) == (plain["key"], plain["exp"], None)
    side.time(benchmark)
