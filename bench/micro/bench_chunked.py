"""chunked: a body of several chunks decoded, against regular expressions and h11."""

import h11
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.duel import Job, Side, between
from fastgw import _core
from tests.oracle import chunked as oracle

PAYLOAD = bytes(range(256)) * 32
BODY = b"".join(b"400\r\n" + PAYLOAD[i : i + 1024] + b"\r\n" for i in range(0, len(PAYLOAD), 1024)) + b"0\r\n\r\n"
HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def by_h11() -> bytes:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(HEAD + BODY)
    connection.next_event()
    payload = b""
    while isinstance(event := connection.next_event(), h11.Data):
        payload += event.data
    assert isinstance(event, h11.EndOfMessage)
    return payload


def by_patterns() -> bytes:
    found = oracle.decode(BODY)
    assert found is not None
    return found[0]


@between(
    Job("body of 8 KiB in 8 chunks decoded"),
    lambda n: _core._bench_chunked(BODY, n),
    {"re": by_patterns, "h11, head included": by_h11},
)
def test_decode(side: Side, benchmark: BenchmarkFixture) -> None:
    assert _core._test_chunked(BODY, [])[0] == by_patterns() == by_h11() == PAYLOAD
    side.time(benchmark)
