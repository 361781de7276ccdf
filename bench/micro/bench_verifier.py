"""fastgw.core: a token verified and its claims read, as programs do it in Python, against PyJWT and joserfc."""

import time
from collections.abc import Callable

import jwt
import pytest
from joserfc import jwt as jose
from joserfc.errors import BadSignatureError
from joserfc.jwk import OctKey
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.bench_jwt import CLAIMS, SECRET, TOKEN, WRONG
from bench.micro.duel import Job, Side, between
from fastgw.core import JWTVerifier, Key, SignatureError

VERIFIER = JWTVerifier(Key("HS256", SECRET), required=["exp"])
JOSE_KEY = OctKey.import_key(SECRET)
REGISTRY = jose.JWTClaimsRegistry(exp={"essential": True})


def by_pyjwt(token: str = TOKEN) -> object:
    return jwt.decode(token, SECRET, algorithms=["HS256"], options={"require": ["exp"]})


def by_joserfc(token: str = TOKEN) -> object:
    found = jose.decode(token, JOSE_KEY, algorithms=["HS256"])
    REGISTRY.validate(found.claims)
    return found.claims


def timed(call: Callable[[], object], times: int) -> float:
    """Nanoseconds of each call, that of the loop around it among them."""
    started = time.perf_counter_ns()
    for _ in range(times):
        call()
    return (time.perf_counter_ns() - started) / times


def same_verdicts() -> None:
    assert VERIFIER.verify(TOKEN) == by_pyjwt() == by_joserfc() == CLAIMS
    with pytest.raises(SignatureError):
        VERIFIER.verify(WRONG)
    with pytest.raises(jwt.InvalidSignatureError):
        by_pyjwt(WRONG)
    with pytest.raises(BadSignatureError):
        by_joserfc(WRONG)


@between(
    Job("HS256 token of 200 bytes verified in Python, claims as a dict", at_most=4000),
    lambda n: timed(lambda: VERIFIER.verify(TOKEN), n),
    {"PyJWT": by_pyjwt, "joserfc": by_joserfc},
)
def test_verify(side: Side, benchmark: BenchmarkFixture) -> None:
    same_verdicts()
    side.time(benchmark)
