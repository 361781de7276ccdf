"""Upgrades in raw bytes: what a client, or an upstream, might try to pass off as a tunnel; tunnels whose sides do not read."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.gateway import Gateway
from tests.support.processes import resident_bytes
from tests.support.upstreams import OK, Scripted, Upstream, big_body, big_digest
from tests.support.waiting import until
from tests.support.wire import connect, raw, read_to_end, read_until

ASK = (
    b"GET /up HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
GRANT = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SECRET = b"GET /secret HTTP/1.1\r\nHost: x\r\n\r\n"


class Switching(Upstream):
    """Grants each request's upgrade and says what it reads back, until either side ends; `said` is sent behind the 101."""

    def __init__(self, said: bytes = b"", **named: Any) -> None:
        super().__init__(**named)
        self.said = said

    def talk(self, sock: socket.socket, index: int) -> None:
        self.read_request(sock, index)
        sock.sendall(GRANT + self.said)
        while piece := self.read(sock, index):
            sock.sendall(piece)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("upgrades")) as gateway:
        yield gateway


@contextlib.contextmanager
def between(gateway: Gateway, upstream: Upstream, **fields: Any) -> Iterator[Callable[[], str]]:
    """The route leads to this upstream; gives what the log says since."""
    seen = len(gateway.log())
    with upstream:
        gateway.put("routes/r", {"uri": "/*", "enable_websocket": True, **fields, **to(upstream)})
        yield lambda: gateway.log()[seen:]


def to(upstream: Upstream) -> dict[str, Any]:
    return {"upstream": {"nodes": {str(upstream.address): 1}}}


# -- smuggling -------------------------------------------------------------------------------------


def test_what_stands_behind_the_handshake_goes_to_the_tunnel_alone(gateway: Gateway) -> None:
    with between(gateway, upstream := Switching(b"hello")) as log, connect(gateway.data) as sock:
        sock.sendall(ASK + SECRET)
        got = read_until(sock, SECRET)
        assert got.endswith(b"\r\n\r\nhello" + SECRET)
        assert upstream.received[0].endswith(b"\r\n\r\n" + SECRET)
        assert log().count('"uri"') == 0  # no line yet: one request, and it is under way
    until(lambda: log().count('"uri"') == 1, "one line for all of it")


@pytest.mark.parametrize(
    "answer", [OK, b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n" + GRANT]
)
def test_a_fake_handshake_and_a_second_request(gateway: Gateway, answer: bytes) -> None:
    """The upstream declines. A gateway that took the connection for a tunnel all the same would let the second request pass
    unseen; one that took it for HTTP might take frames for a request."""
    with between(gateway, upstream := Scripted([answer])):
        got = raw(gateway.data, ASK + SECRET)
        assert got.count(b"HTTP/1.1 ") == answer.count(b"HTTP/1.1 ")
        assert len(upstream.received) == 1
        assert b"/secret" not in upstream.received[0]


@pytest.mark.parametrize(
    "answer",
    [
        GRANT.replace(b"websocket", b"chat"),
        GRANT.replace(b"websocket", b"h2c"),
        GRANT.replace(b"Upgrade: websocket\r\n", b""),
        GRANT.replace(b"Connection: Upgrade\r\n", b""),
        GRANT.replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
def test_an_upstream_that_switches_to_something_else(gateway: Gateway, answer: bytes) -> None:
    with between(gateway, upstream := Scripted([answer + OK], keep_open=True)) as log:
        got = raw(gateway.data, ASK + SECRET)
        assert (got[9:12], got.count(b"HTTP/1.1 ")) == (b"502", 1)
        assert b"/secret" not in b"".join(upstream.received)
        until(lambda: upstream.open == 0, "the upstream's connection has ended")
        until(lambda: '"refused":"upstream.bad_answer"' in log(), "the log says why")


H2C = b"GET /up HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        H2C,
        H2C.replace(b"HTTP2-Settings: AAMAAABkAAQ\r\n", b""),
        ASK.replace(b"websocket", b"h2c, websocket"),
        ASK.replace(b"websocket", b"HTTP/1.1"),
        ASK.replace(b"websocket", b"TLS/1.0"),
        ASK.replace(b"GET", b"POST"),
        ASK.replace(b"HTTP/1.1", b"HTTP/1.0"),
        ASK.replace(b"\r\n\r\n", b"\r\nContent-Length: 4\r\n\r\nbody"),
        ASK.replace(b"Connection: Upgrade", b"Connection: close"),
    ],
)
def test_what_is_never_passed_on(gateway: Gateway, request_: bytes) -> None:
    """And an upstream that grants it all the same is not believed."""
    with between(gateway, upstream := Scripted([GRANT], keep_open=True)):
        with connect(gateway.data) as sock:
            sock.sendall(request_)
            assert read_until(sock, b"\r\n\r\n")[9:12] == b"502"
        head = bytes(upstream.received[0]).lower()
        assert not [name for name in (b"\nupgrade:", b"\nconnection:", b"http2-settings", b"h2c") if name in head]


def test_a_refused_handshake_is_the_last_request(gateway: Gateway) -> None:
    with between(gateway, upstream := Scripted(), plugins={"key-auth": {}}):
        got = raw(gateway.data, ASK + SECRET)
        assert (got[9:12], got.count(b"HTTP/1.1 ")) == (b"401", 1)
        assert upstream.received == []


def test_the_admin_api_switches_it_on_and_off(gateway: Gateway) -> None:
    with Switching() as upstream:
        for on, status in ((False, b"502"), (True, b"101"), (False, b"502")):
            gateway.put("routes/r", {"uri": "/*", "enable_websocket": on, **to(upstream)})
            with connect(gateway.data) as sock:
                sock.sendall(ASK)
                assert read_until(sock, b"\r\n\r\n")[9:12] == status


def test_connections_of_tunnels_are_not_used_again(gateway: Gateway) -> None:
    with between(gateway, upstream := Switching()):
        for _ in range(3):
            with connect(gateway.data) as sock:
                sock.sendall(ASK + b"x")
                assert read_until(sock, b"\r\n\r\nx")
        assert len(upstream.received) == 3
        until(lambda: upstream.open == 0, "they have ended")


# -- how they end ----------------------------------------------------------------------------------


def test_a_half_close_passes_and_the_way_back_stays(gateway: Gateway) -> None:
    class Late(Upstream):
        def talk(self, sock: socket.socket, index: int) -> None:
            self.read_request(sock, index)
            sock.sendall(GRANT)
            while self.read(sock, index):
                pass
            sock.sendall(b"you have said " + self.received[index].partition(b"\r\n\r\n")[2])

    with between(gateway, Late()), connect(gateway.data) as sock:
        sock.sendall(ASK)
        read_until(sock, b"\r\n\r\n")
        sock.sendall(b"all")
        sock.shutdown(socket.SHUT_WR)
        assert read_to_end(sock) == b"you have said all"


def test_an_idle_tunnel_ends_with_the_read_timeout(gateway: Gateway) -> None:
    with between(gateway, Switching(), timeout={"connect": 5, "send": 5, "read": 1}) as log:
        with connect(gateway.data) as sock:
            sock.sendall(ASK)
            assert read_to_end(sock).startswith(b"HTTP/1.1 101 ")
        until(lambda: '"refused":"tunnel.idle"' in log(), "the log says why")


# -- sides that do not read ------------------------------------------------------------------------

BYTES = 128 << 20
ALLOWED = 8 << 20  # of growth
STALL_AT = 64 << 20


class Flood(Upstream):
    """Sends BYTES behind its 101, and reads nothing before `go`."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.sent = 0
        self.digest = hashlib.sha256()
        self.read_all = threading.Event()

    def talk(self, sock: socket.socket, index: int) -> None:
        self.read_request(sock, index)
        sock.sendall(GRANT)
        writer = threading.Thread(target=self.write, args=(sock,))
        writer.start()
        assert self.go.wait(60)
        while piece := sock.recv(1 << 20):
            self.digest.update(piece)
        writer.join()
        self.read_all.set()

    def write(self, sock: socket.socket) -> None:
        for piece in big_body(BYTES):
            sock.sendall(piece)
            self.sent += len(piece)
        sock.shutdown(socket.SHUT_WR)


def test_a_tunnel_whose_sides_do_not_read_costs_no_memory(gateway: Gateway) -> None:
    with between(gateway, upstream := Flood()), connect(gateway.data) as sock:
        first = resident_bytes(gateway.workers()[0])
        sock.sendall(ASK)
        digest, sent = hashlib.sha256(), 0
        head, _, rest = read_until(sock, b"\r\n\r\n").partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        digest.update(rest)

        def write() -> None:
            nonlocal sent
            for piece in big_body(BYTES):
                sock.sendall(piece)
                sent += len(piece)
            sock.shutdown(socket.SHUT_WR)

        writer = threading.Thread(target=write)
        writer.start()
        seen = (-1, -1)

        def stalled() -> bool:
            nonlocal seen
            before, seen = seen, (sent, upstream.sent)
            return before == seen and min(seen) > 0

        until(stalled, "both are held back")
        assert max(sent, upstream.sent) < STALL_AT
        assert resident_bytes(gateway.workers()[0]) - first < ALLOWED
        upstream.go.set()
        while piece := sock.recv(1 << 20):
            digest.update(piece)
        writer.join()
        assert upstream.read_all.wait(60)
        assert digest.hexdigest() == upstream.digest.hexdigest() == big_digest(BYTES)
        assert resident_bytes(gateway.workers()[0]) - first < ALLOWED
