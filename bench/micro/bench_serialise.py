"""serialise: a request's head written anew for the upstream, against joining byte strings and h11's writer."""

import h11
from pytest_benchmark.fixture import BenchmarkFixture

from bench import workload
from bench.micro.bench_head import HEAD, by_room
from bench.micro.duel import Job, Side, between
from bench.micro.waiting import Waiting
from fastgw import _core

PLAN = _core.Plan(b"all", _core.Steps([]), workload.upstream())
WAITING = Waiting(_core.Snapshot([(PLAN, b"", b"/*")], {}, _core.Steps([])), HEAD)
_, TARGET, LOWER = by_room()
DROPPED = frozenset([b"host", b"connection"])
HOST, CLIENT = b"shop.example.com", b"192.0.2.1"
FIELDS = [tuple(line.split(b": ", 1)) for line in HEAD.split(b"\r\n")[1:-2]]
OURS = [
    (b"X-Real-IP", CLIENT),
    (b"X-Forwarded-For", CLIENT),
    (b"X-Forwarded-Proto", b"http"),
    (b"X-Forwarded-Host", HOST),
    (b"X-Forwarded-Port", b"9080"),
]


def crossing() -> list[tuple[bytes, bytes]]:
    return [(b"Host", HOST), *((name, value) for name, value in FIELDS if name.lower() not in DROPPED), *OURS]


def by_join() -> bytes:
    lines = [b"GET %b HTTP/1.1" % TARGET, *(b"%b: %b" % field for field in crossing()), b"", b""]
    return b"\r\n".join(lines)


def by_h11() -> bytes:
    connection = h11.Connection(h11.CLIENT)
    return connection.send(h11.Request(method=b"GET", target=TARGET, headers=crossing())) or b""


@between(
    Job(f"request head of {len(HEAD)} bytes written for the upstream"),
    WAITING.loop("serialise"),
    {"bytes.join": by_join, "h11": by_h11},
)
def test_request(side: Side, benchmark: BenchmarkFixture) -> None:
    assert by_join() == by_h11() == WAITING.sent
    side.time(benchmark)
