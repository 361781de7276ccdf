"""Upstreams that fail, lie or speak out of turn, from outside: what the client is told, and that the log says the same.

Owns: the errors of the upstream's side over real sockets. What each of many raw answers comes to is in tests/wire.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import signal
import socket
import struct
import termios
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import wire
from tests.support.gateway import Gateway, free_addresses, one_route
from tests.support.processes import ROOT
from tests.support.upstreams import OK, Scripted, SlowReader, Upstream
from tests.support.waiting import until
from tests.support.wire import TIMEOUT, Response

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
STATUS = "x-apisix-upstream-status"
SYN_SENT = 2
STOLEN = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"


class Talker(Upstream):
    """Answers each request like this, None: never. What it says besides, and when, is the test's to tell, by `socks`."""

    def __init__(self, answer: bytes | None = OK) -> None:
        super().__init__()
        self.answer = answer
        self.socks: list[socket.socket] = []

    def talk(self, sock: socket.socket, index: int) -> None:
        self.socks.append(sock)
        while self.read_request(sock, index):
            if self.answer is not None:
                sock.sendall(self.answer)


class Breaker(Upstream):
    """Says this once it was asked, then breaks the connection."""

    def __init__(self, says: bytes = b"") -> None:
        super().__init__()
        self.says = says

    def talk(self, sock: socket.socket, index: int) -> None:
        self.read_request(sock, index)
        if self.says:
            sock.sendall(self.says)
            until(lambda: untaken(sock) == 0, "the gateway's side has it")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Full(Upstream):
    """A listener that accepts nobody until it is told to, and whose queue is full."""

    def __init__(self) -> None:
        super().__init__()
        self._listener.listen(0)

    def __enter__(self) -> Full:
        self.waiting = [socket.socket() for _ in range(4)]
        for sock in self.waiting:
            sock.setblocking(False)
            sock.connect_ex(self.address)
        return self

    def __exit__(self, *_: object) -> None:
        for sock in [*self.waiting, self._listener]:
            sock.close()

    def knocking(self) -> bool:
        """Whether somebody else is trying to connect."""
        ours = {sock.getsockname()[1] for sock in self.waiting}
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            local, remote, state = (int(each.rpartition(":")[2], 16) for each in line.split()[1:4])
            if remote == self.address.port and state == SYN_SENT and local not in ours:
                return True
        return False

    def let_in(self) -> socket.socket:
        """Somebody else's connection."""
        ours = {sock.getsockname()[1] for sock in self.waiting}
        self._listener.settimeout(TIMEOUT)
        while True:
            sock, (_, port) = self._listener.accept()
            if port not in ours:
                sock.settimeout(TIMEOUT)
                return sock
            sock.close()


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process does not run meanwhile; its kernel does."""
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", "it stops")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def untaken(sock: socket.socket) -> int:
    """Bytes that the other side's kernel does not have yet."""
    return int(struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0])


def config(directory: Path, *nodes: Any, **fields: Any) -> dict[str, Any]:
    return {
        "access_log": {"path": str(directory / "access.log")},
        "routes": [{"id": "r", "uri": "/*", "upstream": {"nodes": {str(node): 1 for node in nodes}, **fields}}],
    }


def logged(directory: Path, uri: str = "/") -> dict[str, Any]:
    """The line of the first request for this."""
    log = directory / "access.log"

    def found() -> dict[str, Any] | None:
        lines = log.read_text().splitlines() if log.exists() else []
        return next((line for line in map(json.loads, lines) if line["uri"] == uri), None)

    return until(found, "the log has its line") or {}


def told(directory: Path, answer: Response, uri: str = "/") -> str:
    """The reason, where answer and log agree and say nothing of what stands behind."""
    body, line = answer.json(), logged(directory, uri)
    assert body["error_msg"].startswith(f"{answer.status} ")
    assert (body["reason"], body["request_id"], answer.status) == (line["refused"], line["request_id"], line["status"])
    assert uuid.UUID(body["request_id"]).version == 4
    assert not re.search(rb"127\.0\.0\.1|\[::|:\d{4,5}", answer.body)
    return str(body["reason"])


# ---- each reason ---------------------------------------------------------------------------------


def closing_upstream() -> Scripted:
    return Scripted([b""])


MET: dict[str, tuple[int, str | None, Callable[[], Upstream] | None]] = {
    "upstream.refused": (502, "502", None),
    "upstream.closed": (502, "502", closing_upstream),
    "upstream.reset": (502, "502", Breaker),
    "upstream.bad_answer": (502, "502", lambda: Talker(answer=b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n")),
    "upstream.timeout": (504, "504", lambda: Talker(answer=None)),
    "upstream.connect_timeout": (504, "504", Full),
}


CUT: dict[str, tuple[str, Callable[[], Upstream]]] = {
    "ends": ("upstream.closed", lambda: Scripted([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart"])),
    "breaks": ("upstream.reset", lambda: Breaker(b"HTTP/1.1 200 OK\r\n\r\npart")),
    "chunks": ("upstream.bad_chunk", lambda: Talker(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npartx\r\n")),
    "stops": ("upstream.timeout", lambda: Talker(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart")),
}


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Path]]:
    """A gateway with a route to each of these upstreams, and where its log is."""
    directory = tmp_path_factory.mktemp("bad")
    makers = {**{reason: make for reason, (_, _, make) in MET.items()}, **{name: make for name, (_, make) in CUT.items()}}
    with ExitStack() as stack:
        made: dict[str, Any] = {"access_log": {"path": str(directory / "access.log")}, "routes": []}
        for name, make in makers.items():
            address = stack.enter_context(make()).address if make else free_addresses(1)[0]
            upstream = {"nodes": {str(address): 1}, "timeout": {"connect": 1, "send": 20, "read": 1}}
            made["routes"].append({"id": name, "uri": f"/{name}", "upstream": upstream})
        nobody = {"nodes": {f"unix:{directory}/nobody.sock": 1}}
        made["routes"].append({"id": "nobody", "uri": "/nobody", "upstream": nobody})
        yield stack.enter_context(Gateway(directory, made)), directory


@pytest.mark.parametrize("reason", MET)
def test_the_client_is_told_why_and_under_which_id(bad: tuple[Gateway, Path], reason: str) -> None:
    gateway, directory = bad
    status, tries, _ = MET[reason]
    answer = gateway.get(f"/{reason}")
    assert (answer.status, told(directory, answer, f"/{reason}")) == (status, reason)
    assert answer.headers.get(STATUS) == tries
    assert answer.headers["content-type"] == "application/json"


def test_an_upstream_that_takes_no_request(tmp_path: Path) -> None:
    with SlowReader() as upstream:
        times = {"connect": 20, "send": 1, "read": 20}
        with Gateway(tmp_path, config(tmp_path, upstream.address, timeout=times)) as gateway:
            with closing(wire.connect(gateway.data)) as client:
                client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000000\r\n\r\n")
                while client not in select.select([client], [client], [], TIMEOUT)[0]:
                    client.send(bytes(65536))
                answer = wire.read_response(client)
            assert (answer.status, told(tmp_path, answer)) == (504, "upstream.send_timeout")
        upstream.go.set()


def test_no_node_and_no_address(tmp_path: Path) -> None:
    with Gateway(tmp_path, config(tmp_path, "nowhere.invalid:80")) as gateway:
        answer = gateway.get("/")
        assert (answer.status, told(tmp_path, answer)) == (503, "upstream.unresolved")
        assert STATUS not in answer.headers
        gateway.put("routes/r", {"uri": "/*", "upstream": {"type": "roundrobin", "nodes": {}}})
        answer = gateway.get("/")
        assert (answer.status, answer.json()["reason"]) == (503, "upstream.missing")
        assert STATUS not in answer.headers


@pytest.mark.parametrize("how", CUT)
def test_a_part_of_an_answer_looks_whole_to_nobody(bad: tuple[Gateway, Path], how: str) -> None:
    gateway, directory = bad
    got = wire.raw(gateway.data, GET.replace(b"/", b"/" + how.encode(), 1))
    assert got.startswith(b"HTTP/1.1 200 ")
    assert got.count(b"HTTP/1.1") == 1
    assert b"part" in got
    assert not got.endswith(b"0\r\n\r\n")
    assert logged(directory, f"/{how}")["refused"] == CUT[how][0]


def test_every_reason_of_an_upstream_is_met_here_or_elsewhere() -> None:
    page = (ROOT / "docs" / "access-log.md").read_text()
    named = set(re.findall(r"`(upstream\.[a-z_]+)`", page))
    elsewhere = {
        "upstream.early",
        "upstream.send_timeout",
        "upstream.unresolved",
        "upstream.missing",
        "upstream.bad_chunk",
        "upstream.unreachable",
    }
    assert named - {"upstream.tls"} == set(MET) | elsewhere
    assert set(re.findall(r"`(upstream\.[a-z_]+)`", (ROOT / "docs" / "errors.md").read_text())) <= named


def test_no_way_to_a_node(bad: tuple[Gateway, Path]) -> None:
    answer = bad[0].get("/nobody")
    assert (answer.status, told(bad[1], answer, "/nobody")) == (502, "upstream.unreachable")


# ---- ids and statuses ----------------------------------------------------------------------------


def test_the_id_is_that_of_request_id(tmp_path: Path) -> None:
    made = config(tmp_path, free_addresses(1)[0])
    made["routes"][0]["plugins"] = {"request-id": {"header_name": "X-Trace"}}
    with Gateway(tmp_path, made) as gateway:
        answer = gateway.get("/", headers={"X-Trace": "of-mine"})
        assert answer.json()["request_id"] == answer.headers["x-trace"] == logged(tmp_path)["request_id"] == "of-mine"


def test_each_try_is_in_the_header_and_always_where_that_is_asked_for(tmp_path: Path) -> None:
    dead, also = free_addresses(2)
    answer = b"HTTP/1.1 200 OK\r\nX-APISIX-Upstream-Status: 599\r\nContent-Length: 0\r\n\r\n"
    with Talker(answer=answer) as alive:
        made = config(tmp_path, dead, also, alive.address, type="chash", key="uri")
        with Gateway(tmp_path, made) as gateway:
            assert {gateway.get(f"/{i}").headers.get(STATUS) for i in range(20)} == {None}
            before = gateway.workers()
            gateway.reload({**made, "show_upstream_status_in_response_header": True})
            until(lambda: not set(before) & set(gateway.workers()), "the worker with the old settings has gone")
            found = {gateway.get(f"/{i}").headers.get(STATUS) for i in range(20)}
            assert found == {"200", "502, 200", "502, 502, 200"}


# ---- out of turn ---------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["client", "upstream"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_an_idle_upstream_says_is_no_answer_to_a_request_of_that_moment(tmp_path: Path, first: str, method: str) -> None:
    with Talker() as upstream, Gateway(tmp_path, one_route(upstream.address)) as gateway:
        with closing(wire.connect(gateway.data)) as client:
            client.sendall(GET)
            assert wire.read_response(client).body == b"ok"
            (worker,) = gateway.workers()
            with stopped(worker):
                arrivals = [(client, GET.replace(b"GET", method.encode())), (upstream.socks[0], STOLEN)]
                for sock, data in arrivals if first == "client" else arrivals[::-1]:
                    sock.sendall(data)
                    until(lambda sock=sock: untaken(sock) == 0, "the worker's kernel has it")
            assert wire.read_response(client).body == b"ok"
        assert [bytes(each).count(b"HTTP/1.1") for each in upstream.received] == [1, 1]


def test_an_idle_connection_that_speaks_is_closed_at_once(tmp_path: Path) -> None:
    with Talker() as upstream, Gateway(tmp_path, one_route(upstream.address)) as gateway:
        assert gateway.get("/").body == b"ok"
        upstream.socks[0].sendall(STOLEN)
        until(lambda: upstream.open == 0, "the gateway closes it")
        assert gateway.get("/").body == b"ok"


def test_an_upstream_that_speaks_before_it_is_asked_is_not_asked(tmp_path: Path) -> None:
    with (
        Full() as upstream,
        Gateway(tmp_path, config(tmp_path, upstream.address)) as gateway,
        closing(wire.connect(gateway.data)) as client,
    ):
        client.sendall(GET.replace(b"GET", b"POST"))
        until(upstream.knocking, "the gateway's connection waits to be let in")
        (worker,) = gateway.workers()
        with stopped(worker):
            sock = upstream.let_in()
            sock.sendall(STOLEN)
            until(lambda: untaken(sock) == 0, "the worker's kernel has it")
        answer = wire.read_response(client)
        assert (answer.status, told(tmp_path, answer)) == (502, "upstream.early")
        with closing(sock):
            assert wire.read_to_end(sock) == b""


def test_many_clients_never_get_what_others_asked_for(tmp_path: Path) -> None:
    """The upstream adds a second answer to some, together with the first or soon after it: nobody gets it."""

    class Doubling(Upstream):
        def talk(self, sock: socket.socket, index: int) -> None:
            count = 0
            while request := self.read_request(sock, index):
                count += 1
                name = request.split(b" ", 2)[1]
                answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name)
                sock.sendall(answer + STOLEN if count % 7 == 3 else answer)

    wrong = list[bytes]()

    def client(number: int) -> None:
        with wire.Client(gateway.data) as each:
            for i in range(50):
                target = f"/{number}/{i}"
                if (found := each.request("GET", target).body) != target.encode():
                    wrong.append(found)

    with Doubling() as upstream, Gateway(tmp_path, one_route(upstream.address)) as gateway:
        threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
    assert wrong == []
