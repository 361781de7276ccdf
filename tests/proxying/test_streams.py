"""Streams of events and other answers without an end: each piece is passed on at once, for as long as it goes on."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from fastgw import _core
from tests.support.core import chain, pool
from tests.support.gateway import Gateway
from tests.support.upstreams import Upstream
from tests.support.waiting import until
from tests.support.wire import TIMEOUT, connect, read_to_end, read_until

GET = b"GET /events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"
OLD = b"GET /events HTTP/1.0\r\nHost: x\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
FRAMINGS = {
    "chunked": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", True),
    "close": (HEAD + b"\r\n", False),
    "1.0": (HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n", False),
}


class Events(Upstream):
    """Sends a piece each time it is told to, until told to end."""

    def __init__(self, head: bytes, chunked: bool) -> None:
        super().__init__()
        self.head, self.chunked = head, chunked
        self.next = threading.Semaphore(0)
        self.pieces: list[bytes] = []
        self.left = threading.Event()

    def say(self, piece: bytes) -> None:
        """The next piece; none: the end."""
        self.pieces.append(piece)
        self.next.release()

    def talk(self, sock: socket.socket, index: int) -> None:
        self.read_request(sock, index)
        sock.sendall(self.head)
        try:
            while self.next.acquire(timeout=TIMEOUT) and (piece := self.pieces.pop(0)):
                sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if self.chunked else piece)
            if self.chunked:
                sock.sendall(b"0\r\n\r\n")
        except ConnectionError:
            self.left.set()


class Silent(Upstream):
    """Sends the head and one event, and then nothing; `left` is set when the other side has gone."""

    def __init__(self, head: bytes, first: bytes) -> None:
        super().__init__()
        self.head, self.first = head, first
        self.left = threading.Event()

    def talk(self, sock: socket.socket, index: int) -> None:
        self.read_request(sock, index)
        sock.sendall(self.head + self.first)
        try:
            while sock.recv(1):
                pass
        finally:
            self.left.set()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("streams")) as gateway:
        yield gateway


def lead(gateway: Gateway, upstream: Upstream, **fields: Any) -> None:
    gateway.put("routes/r", {"uri": "/*", "upstream": {"nodes": {str(upstream.address): 1}}, **fields})


@pytest.mark.parametrize("request_", [GET, OLD], ids=["client 1.1", "client 1.0"])
@pytest.mark.parametrize("framing", FRAMINGS)
def test_each_piece_comes_at_once(gateway: Gateway, framing: str, request_: bytes) -> None:
    with Events(*FRAMINGS[framing]) as upstream, connect(gateway.data) as sock:
        lead(gateway, upstream)
        sock.sendall(request_)
        head = read_until(sock, b"\r\n\r\n")
        assert (b"\r\nTransfer-Encoding: chunked\r\n" in head) == (request_ is GET)
        for piece in (b"data: 1\n\n", b"\n", b":", b"data: " + b"x" * 100_000 + b"\n\n", b"last"):
            upstream.say(piece)
            framed = piece if request_ is OLD else piece + b"\r\n"
            assert read_until(sock, framed[-9:]).endswith(framed[-9:])  # and nothing more is there before the next is said
        upstream.say(b"")
        if request_ is OLD:
            assert read_to_end(sock) == b""
        else:
            assert read_until(sock, b"0\r\n\r\n") == b"0\r\n\r\n"


def test_a_client_that_closes_lets_the_upstream_go_at_the_next_event(gateway: Gateway) -> None:
    with Events(*FRAMINGS["chunked"]) as upstream:
        lead(gateway, upstream)
        with connect(gateway.data) as sock:
            sock.sendall(GET)
            read_until(sock, b"\r\n\r\n")
        for _ in range(3):
            upstream.say(b"data: x\n\n")
        until(lambda: upstream.open == 0 or upstream.say(b"data: x\n\n"), "the upstream is let go")


@pytest.mark.parametrize("half", [False, True], ids=["gone", "FIN alone"])
def test_a_client_that_leaves_a_silent_stream(gateway: Gateway, half: bool) -> None:
    with Silent(FRAMINGS["chunked"][0], b"1\r\nx\r\n") as upstream:
        lead(gateway, upstream)
        seen = len(gateway.log())
        with connect(gateway.data) as sock:
            sock.sendall(GET)
            read_until(sock, b"x")
            if half:
                sock.shutdown(socket.SHUT_WR)
                assert b"0\r\n\r\n" not in read_to_end(sock)  # cut, not ended
        assert upstream.left.wait(TIMEOUT)
        until(lambda: '"refused":"client.left"' in gateway.log()[seen:], "the log says why")


def test_the_read_timeout_is_of_pauses(gateway: Gateway) -> None:
    with Silent(FRAMINGS["chunked"][0], b"1\r\nx\r\n") as upstream, connect(gateway.data) as sock:
        lead(gateway, upstream, timeout={"connect": 5, "send": 5, "read": 1})
        sock.sendall(GET)
        assert not read_to_end(sock).endswith(b"0\r\n\r\n")
        assert upstream.left.wait(TIMEOUT)


# -- hours, on a clock of the test's own -----------------------------------------------------------


def opened(head: bytes, request: bytes = GET) -> _core.Wire:
    plan = _core.Plan(b"r", chain(), _core.Upstream([(pool(), 1, 0, b"a")], connect=5, send=5, read=60))
    wire = _core.Wire(_core.Snapshot([(plan, b"", b"/*")], {}, chain()), limits={"idle_timeout": 1, "send_timeout": 1})
    line = wire.open()
    wire.push(line, request)
    wire.push(1, head)
    assert wire.pull(line).startswith(b"HTTP/1.1 200 ")
    return wire


@pytest.mark.parametrize("request_", [GET, OLD], ids=["client 1.1", "client 1.0"])
@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_day_of_events(framing: str, request_: bytes) -> None:
    head, chunked = FRAMINGS[framing]
    wire = opened(head, request_)
    for number in range(1728):
        event = b"data: %d\n\n" % number
        wire.advance(50)
        wire.push(1, b"%x\r\n%b\r\n" % (len(event), event) if chunked else event)
        assert wire.pull(0) == (event if request_ is OLD else b"%x\r\n%b\r\n" % (len(event), event))
        assert wire.held() == 0
    wire.advance(61)
    assert (wire.is_open(0), wire.is_open(1), wire.active) == (False, False, 0)


def test_a_half_closed_client_is_served_while_events_come() -> None:
    wire = opened(*FRAMINGS["chunked"][:1])
    wire.end(0)
    for _ in range(50):
        wire.advance(0.8)
        wire.push(1, b"1\r\nx\r\n")
        assert wire.pull(0) == b"1\r\nx\r\n"
    for _ in range(2):  # the second is the one in which nothing came
        wire.advance(1.1)
    assert (wire.is_open(0), wire.is_open(1), wire.active) == (False, False, 0)


def test_a_client_that_takes_events_late_and_has_sent_fin() -> None:
    wire = opened(*FRAMINGS["chunked"][:1])
    wire.room(0, 0)
    wire.push(1, b"1\r\nx\r\n")
    wire.end(0)
    wire.room(0, 100)
    assert wire.pull(0) == b"1\r\nx\r\n"
    wire.advance(0.5)
    assert wire.is_open(0)
    for _ in range(2):
        wire.advance(1.1)
    assert (wire.is_open(0), wire.is_open(1), wire.active) == (False, False, 0)


def test_a_client_that_breaks_lets_go_at_once() -> None:
    wire = opened(*FRAMINGS["close"][:1])
    wire.reset(0)
    assert (wire.is_open(1), wire.active) == (False, 0)
