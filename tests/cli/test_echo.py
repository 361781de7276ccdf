"""The echo upstream from outside: `fastgw echo` as a process, spoken to over sockets."""

import hashlib
import json
import re
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import upstreams, wire
from tests.support.processes import Process, resident_bytes
from tests.support.waiting import until
from tests.support.wire import Address, Client

HOST = b"Host: echo.test\r\n"
CLOSE = b"Connection: close\r\n\r\n"


def statuses(data: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]


def test_anything_shows_the_request_as_httpbin_does(echo: Address, httpbin: Address) -> None:
    fields = {
        "Host": "echo.test",
        "X-Two-Words": "v",
        "content-type": "application/json",
        "accept-encoding": "gzip",
    }
    shown = []
    for upstream in (echo, httpbin):
        answer = wire.request(upstream, "PATCH", "/anything/deep?a=1&a=2&b=", b'{"n": [1]}', fields)
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        shown.append(answer.json())
    assert shown[0] == shown[1]


def test_a_form_is_shown_as_httpbin_does(echo: Address, httpbin: Address) -> None:
    fields = {"Host": "echo.test", "Content-Type": "application/x-www-form-urlencoded"}
    ours, theirs = (wire.request(each, "POST", "/post", b"a=1&b=2&b=3", fields).json() for each in (echo, httpbin))
    assert ours == theirs


@pytest.mark.parametrize("path", ["/get?q=1", "/headers"])
def test_the_smaller_views_are_httpbins(echo: Address, httpbin: Address, path: str) -> None:
    ours, theirs = (wire.get(each, path, {"Host": "echo.test"}).json() for each in (echo, httpbin))
    assert ours == theirs


def test_bytes_that_are_no_text_are_shown_in_base64(echo: Address) -> None:
    assert wire.request(echo, "PUT", "/anything", b"\xff\xfe").json()["data"] == ("data:application/octet-stream;base64,//4=")


def test_repeated_fields_are_joined_and_names_get_title_case(echo: Address) -> None:
    answer = wire.raw(echo, b"GET /headers HTTP/1.1\r\n" + HOST + b"x-a: 1\r\nX-A: 2\r\n" + CLOSE)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["headers"]["X-A"] == "1,2"


@pytest.mark.parametrize("length", [0, 10, 65536, 65537, 1_000_000])
def test_bytes_are_the_numbered_blocks(echo: Address, length: int) -> None:
    answer = wire.get(echo, f"/bytes/{length}")
    assert answer.headers["content-length"] == str(length)
    assert hashlib.sha256(answer.body).hexdigest() == upstreams.big_digest(length)


def test_streams_are_chunked(echo: Address) -> None:
    lines = wire.get(echo, "/stream/3")
    assert lines.headers["transfer-encoding"] == "chunked"
    assert [json.loads(line)["id"] for line in lines.body.splitlines()] == [0, 1, 2]
    pieces = wire.get(echo, "/stream-bytes/30000?chunk_size=7000")
    assert pieces.headers["transfer-encoding"] == "chunked"
    assert len(pieces.body) == 30000


def test_an_http_1_0_client_gets_a_stream_that_ends_with_the_connection(echo: Address) -> None:
    head, _, body = wire.raw(echo, b"GET /stream/2 HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert len(body.splitlines()) == 2


@pytest.mark.parametrize("target", ["/bytes/200000", "/bytes/10", "/stream/3", "/anything"])
def test_head_has_the_fields_of_get_and_no_body(echo: Address, target: str) -> None:
    with Client(echo) as client:
        of_head, of_get = client.request("HEAD", target), client.request("GET", target)
    assert of_head.body == b""
    dropped = {"date", "content-length"} if target == "/anything" else {"date"}  # it shows the method
    assert {k: v for k, v in of_head.headers.items() if k not in dropped} == {
        k: v for k, v in of_get.headers.items() if k not in dropped
    }


@pytest.mark.parametrize("code", [200, 204, 304, 404, 418, 503, 599])
def test_status_answers_it_and_the_connection_goes_on(echo: Address, code: int) -> None:
    with Client(echo) as client:
        assert client.request("GET", f"/status/{code}").status == code
        assert client.request("GET", "/bytes/1").status == 200


def test_redirect_drip_and_delay(echo: Address) -> None:
    moved = wire.get(echo, "/redirect-to?url=%2Fget&status_code=307")
    assert (moved.status, moved.headers["location"]) == (307, "/get")
    dripped = wire.get(echo, "/drip?numbytes=3&duration=0.03&code=201")
    assert (dripped.status, dripped.body) == (201, b"***")
    assert wire.get(echo, "/delay/0.01").json()["url"].endswith("/delay/0.01")


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/nothing-here", 404),
        ("GET", "/bytes/many", 404),
        ("GET", "/bytes/-1", 400),
        ("GET", "/status/101", 400),
        ("POST", "/get", 405),
        ("GET", "/post", 405),
        ("GET", "/redirect-to?url=a%0d%0aX:1", 400),
    ],
)
def test_what_cannot_be_answered_is_refused_in_json(echo: Address, method: str, target: str, status: int) -> None:
    answer = wire.request(echo, method, target)
    assert answer.status == status
    assert set(answer.json()) == {"error"}


def test_pipelined_requests_are_answered_in_order(echo: Address) -> None:
    requests = [b"GET /status/%d HTTP/1.1\r\n" % (200 + i % 300 + (i % 300 == 4)) + HOST + b"\r\n" for i in range(250)]
    slow = b"GET /delay/0.05 HTTP/1.1\r\n" + HOST + b"\r\n"
    last = b"GET /bytes/1 HTTP/1.1\r\n" + HOST + CLOSE
    answer = wire.raw(echo, slow + b"".join(requests) + last)
    assert statuses(answer) == [200, *(int(r[12:15]) for r in requests), 200]


def test_a_half_closed_client_still_gets_its_answers(echo: Address) -> None:
    both = (b"GET /delay/0.05 HTTP/1.1\r\n" + HOST + b"\r\n") + (b"GET /bytes/1 HTTP/1.1\r\n" + HOST + b"\r\n")
    assert statuses(wire.raw(echo, both, half_close=True)) == [200, 200]


@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_digest_hashes_what_arrives(echo: Address, framing: str) -> None:
    pieces = list(upstreams.big_body(5_000_000))
    body = iter(pieces) if framing == "chunked" else b"".join(pieces)
    answer = wire.request(echo, "POST", "/digest", body).json()
    assert answer == {"length": 5_000_000, "sha256": upstreams.big_digest(5_000_000)}


def test_a_request_in_single_bytes(echo: Address) -> None:
    data = b"POST /anything HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n" + CLOSE + b"abc"
    answer = wire.raw(echo, wire.bytewise(data))
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["data"] == "abc"


def test_continue_is_said_once_and_in_its_turn(echo: Address) -> None:
    slow = b"GET /delay/0.05 HTTP/1.1\r\n" + HOST + b"\r\n"
    waiting = b"POST /anything HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nExpect: 100-continue\r\n" + CLOSE
    with wire.connect(echo) as sock:
        sock.sendall(slow + waiting)
        before = wire.read_until(sock, b"100 Continue\r\n\r\n")
        assert statuses(before) == [200, 100]
        sock.sendall(b"abc")
        assert statuses(wire.read_to_end(sock)) == [200]


@pytest.mark.parametrize("junk", [b"GARBAGE\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"\x16\x03\x01\x02"])
def test_what_is_not_http_is_refused_and_the_connection_closed(echo: Address, junk: bytes) -> None:
    answer = wire.raw(echo, junk)
    assert statuses(answer) == [400]
    assert b"Connection: close" in answer


def test_an_upgrade_is_answered_without_upgrading(echo: Address) -> None:
    ask = b"GET /anything HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\nframes"
    answer = wire.raw(echo, ask)
    assert statuses(answer) == [200]
    assert b"Connection: close" in answer


def test_an_echoed_body_has_a_bound(echo: Address) -> None:
    head = b"POST /anything HTTP/1.1\r\n" + HOST + b"Content-Length: 80000000\r\n\r\n"
    assert statuses(wire.raw(echo, [head, *upstreams.big_body(80_000_000)]))[:1] in ([413], [])


@pytest.fixture
def own_echo(tmp_path: Path) -> Iterator[tuple[Process, Address]]:
    process = Process([sys.executable, "-m", "fastgw", "echo", "--listen", "127.0.0.1:0"], tmp_path / "echo.log")
    try:
        found = until(lambda: re.search(r"listening on ([\d.]+):(\d+)\n", process.log()), "it listens")
        yield process, Address(found[1], int(found[2]))
    finally:
        process.kill()


def test_a_client_that_does_not_read_costs_no_memory(own_echo: tuple[Process, Address]) -> None:
    process, address = own_echo
    wire.get(address, "/bytes/1000000")
    before = resident_bytes(process.pid)
    with wire.connect(address) as sock:
        sock.sendall(b"GET /bytes/300000000 HTTP/1.1\r\n" + HOST + b"\r\n")
        wire.read_until(sock, b"\r\n\r\n")
        for _ in range(20):  # each answer proves that the loop has run on since the first connection stalled
            assert wire.get(address, "/bytes/100000").status == 200
        assert resident_bytes(process.pid) - before < 8 * 1024 * 1024


def test_an_upload_of_any_length_costs_no_memory(own_echo: tuple[Process, Address]) -> None:
    process, address = own_echo
    wire.request(address, "POST", "/digest", b"warm")
    before = resident_bytes(process.pid)
    answer = wire.request(address, "POST", "/digest", upstreams.big_body(200_000_000)).json()
    assert answer["sha256"] == upstreams.big_digest(200_000_000)
    assert resident_bytes(process.pid) - before < 8 * 1024 * 1024


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_code_0(own_echo: tuple[Process, Address], number: signal.Signals) -> None:
    process, address = own_echo
    with wire.connect(address) as sock:
        sock.sendall(b"GET /delay/3600 HTTP/1.1\r\n" + HOST + b"\r\n")
        assert wire.get(address, "/bytes/1").status == 200
        process.signal(number)
        assert process.wait() == 0
    assert "Traceback" not in process.log()


def test_a_unix_socket(tmp_path: Path) -> None:
    place = tmp_path / "echo.sock"
    process = Process([sys.executable, "-m", "fastgw", "echo", "--listen", f"unix:{place}"], tmp_path / "echo.log")
    try:
        until(lambda: f"listening on unix:{place}\n" in process.log(), "it listens")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(place))
            sock.sendall(b"GET /anything HTTP/1.1\r\n" + HOST + CLOSE)
            assert statuses(wire.read_to_end(sock)) == [200]
        assert process.stop() == 0
    finally:
        process.kill()
