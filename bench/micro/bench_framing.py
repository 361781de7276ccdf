"""framing: the verdict on a parsed head, against the same rules over Python lists."""

from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.bench_head import HEAD
from bench.micro.duel import Job, Side, between
from fastgw import _core
from tests.oracle import head as oracle
from tests.oracle import uri_target

MATCH = oracle.REQUEST.match(HEAD)
assert MATCH is not None
LINES = MATCH[4]
FIELDS = oracle.split_fields(LINES)
Verdict = tuple[object, ...]


def rival() -> Verdict:
    """What tests/oracle/head.py asks of a head once it is split."""
    hosts = oracle.values(FIELDS, b"host")
    framing = oracle.length_and_coding(LINES, FIELDS, 1)
    options = oracle.connection_options(FIELDS)
    assert len(hosts) == 1
    assert uri_target.valid_authority(hosts[0])
    assert uri_target.valid_target(b"GET", MATCH[2])
    assert framing is not None
    assert options is not None
    keeps = b"close" not in options
    return (
        framing[0],
        keeps,
        oracle.upgrades(FIELDS, options, 1),
        oracle.marked(FIELDS, options, oracle.HOP_BY_HOP | oracle.GATEWAYS),
    )


def by_room() -> Verdict:
    found = _core._test_head(HEAD, [], False)
    assert isinstance(found, dict)
    return found["length"], found["keep_alive"], found["upgrade"], found["fields"]


@between(
    Job(f"{len(FIELDS)} fields judged: host, length, coding, connection, what must not cross"),
    lambda n: _core._bench_head(HEAD, n, what="framing"),
    {"plain Python": rival},
)
def test_judge(side: Side, benchmark: BenchmarkFixture) -> None:
    assert by_room() == rival()
    side.time(benchmark)
