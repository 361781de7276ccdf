"""revoked: what jwt-auth asks about a remembered token (jti, sub, credential, all), against sets in Python."""

import random

from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.duel import Job, Side, between
from fastgw import _core

MOST = 30  # ns per request
ENTRIES = 65_536
CONSUMER = _core.Consumer(b"john", _core.Steps([]))
CREDENTIAL = _core.Credential(CONSUMER, b"john-key", b"cred-john-jwt-auth")
CHANCE = random.Random(1)


def _uuid() -> bytes:
    digits = f"{CHANCE.getrandbits(128):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])).encode()


TOKENS = [(_uuid(), b"user-%d" % n) for n in range(1024)]


def _region(entries: int) -> _core.Region:
    """So many are in it: tokens of others, half by jti and half by sub; a credential; and what was issued at the beginning."""
    region = _core.Region.create(16, slots=1, revocations=ENTRIES)
    table = _core.Revocations(region)
    table.lock()
    for n in range(entries - 2):
        table.put(b"%d" % n, "sub" if n % 2 else "jti", b"other-%d" % n if n % 2 else _uuid())
    if entries:
        table.put(b"credential", "credential", b"jane/cred-jane-jwt-auth")
        table.put(b"all", "all", b"", 1)
    table.unlock(1)
    return region


NOTHING, FEW, FULL = (_region(entries) for entries in (0, 100, ENTRIES))
ONE = TOKENS[:1]
JTIS, SUBS, CREDENTIALS = {_uuid() for _ in range(ENTRIES // 2)}, {b"other-%d" % n for n in range(ENTRIES // 2)}, {b"jane/c"}


def _in_sets() -> bool:
    jti, sub = TOKENS[0]
    return jti in JTIS or sub in SUBS or b"john/cred-john-jwt-auth" in CREDENTIALS


def same_verdicts() -> None:
    """Nobody is revoked but who is."""
    for region in (NOTHING, FEW, FULL):
        assert _core._bench_revoked(region, TOKENS, CREDENTIAL, 2048)[1] == 0
        if region is not NOTHING:
            assert _core._bench_revoked(region, [(b"x", b"other-1")], CREDENTIAL, 1)[1] == 1
    assert not _in_sets()


def _asked(region: _core.Region, tokens: list[tuple[bytes, bytes]], n: int) -> float:
    return _core._bench_revoked(region, tokens, CREDENTIAL, n)[0]


@between(Job("a remembered token, nothing is revoked", at_most=2), lambda n: _asked(NOTHING, TOKENS, n), {"sets": _in_sets})
def test_nothing(side: Side, benchmark: BenchmarkFixture) -> None:
    same_verdicts()
    side.time(benchmark)


@between(Job("a remembered token, 100 are revoked", at_most=MOST), lambda n: _asked(FEW, TOKENS, n), {"sets": _in_sets})
def test_few(side: Side, benchmark: BenchmarkFixture) -> None:
    same_verdicts()
    side.time(benchmark)


@between(
    Job("1,024 remembered tokens in turn, 65,536 are revoked", at_most=MOST),
    lambda n: _asked(FULL, TOKENS, n),
    {"sets": _in_sets},
)
def test_full(side: Side, benchmark: BenchmarkFixture) -> None:
    same_verdicts()
    side.time(benchmark)
