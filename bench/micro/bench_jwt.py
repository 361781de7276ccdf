"""jwt: tokens verified, against PyJWT."""

import jwt
from pytest_benchmark.fixture import BenchmarkFixture

from bench import tokens
from bench.micro.duel import Job, Side, between
from bench.workload import EXPIRES
from fastgw import _core

SECRET = tokens.ORDINARY.secret
CLAIMS = {"key": tokens.ORDINARY.key, "exp": EXPIRES, "sub": "user-0123456789-0123456789-0123456789-012345"}
TOKEN = tokens.sign(CLAIMS, SECRET)
WRONG = tokens.sign(CLAIMS, SECRET[::-1])
assert len(TOKEN) == 200


def rival(token: str = TOKEN) -> object:
    return jwt.decode(token, SECRET, algorithms=["HS256"])


def same_verdicts() -> None:
    """A good token, and one with a wrong signature."""
    assert _core._test_jwt_verify(TOKEN.encode(), "HS256", SECRET.encode(), 0) == ("jwt.ok", CLAIMS["key"].encode())
    assert rival() == CLAIMS
    assert _core._test_jwt_verify(WRONG.encode(), "HS256", SECRET.encode(), 0)[0] == "jwt.bad_signature"
    try:
        rival(WRONG)
    except jwt.InvalidSignatureError:
        return
    raise AssertionError("PyJWT accepts a wrong signature")


@between(
    Job("HS256 token of 200 bytes verified, nothing remembered", at_most=400),
    lambda n: _core._bench_jwt(TOKEN.encode(), SECRET.encode(), n),
    {"PyJWT": rival},
)
def test_verify(side: Side, benchmark: BenchmarkFixture) -> None:
    same_verdicts()
    side.time(benchmark)
