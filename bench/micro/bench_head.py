"""head: a browser's request head parsed, against httptools (llhttp, an object per field) and h11 (pure Python)."""

import h11
import httptools
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.duel import Job, Side, between
from fastgw import _core

HEAD = (
    b"GET /api/orders/1017?expand=items HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
    b"Accept: application/json\r\nAccept-Encoding: gzip, br\r\nAccept-Language: en\r\nX-Request-Id: 5e2f4c\r\n"
    b"Connection: keep-alive\r\n\r\n"
)
Parsed = tuple[bytes, bytes, list[tuple[bytes, bytes]]]


class Taken:
    """What httptools calls back."""

    def __init__(self) -> None:
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))


def by_httptools() -> Parsed:
    taken = Taken()
    parser = httptools.HttpRequestParser(taken)
    parser.feed_data(HEAD)
    return parser.get_method(), taken.target, taken.fields


def by_h11() -> Parsed:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(HEAD)
    request = connection.next_event()
    assert isinstance(request, h11.Request)
    return request.method, request.target, [(name, value) for name, value in request.headers]


def by_room() -> Parsed:
    found = _core._test_head(HEAD, [], False)
    assert isinstance(found, dict)
    return b"GET", found["target"], [(name.lower(), value) for name, value, _ in found["fields"]]


@between(
    Job(f"request head of {len(HEAD)} bytes parsed"),
    lambda n: _core._bench_head(HEAD, n, what="parsed"),
    {"httptools": by_httptools, "h11": by_h11},
)
def test_parse(side: Side, benchmark: BenchmarkFixture) -> None:
    assert by_room() == by_httptools() == by_h11()
    side.time(benchmark)
