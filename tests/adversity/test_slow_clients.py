"""Clients and upstreams that hold what they can for as long as they can: bounded memory, an end, and honest traffic unharmed."""

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import Gateway, one_route
from tests.support.processes import ROOT, open_files, resident_bytes
from tests.support.upstreams import Answering, BigBody, Scripted, Upstream
from tests.support.waiting import until
from tests.support.wire import Address, connect, read_until

GIB = 1 << 30
ALLOWED = 8 << 20  # bytes that a worker may grow by
GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
HALF = b"GET / HTTP/1.1\r\nHost: test\r\nX-A: "
SECONDS = 1  # timeouts of these tests


def config(upstream: Upstream, limits: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {**one_route(upstream.address), "limits": limits or {}, **more}


class Growth:
    """What a worker has grown by since it has served its first request, at most as far as it was looked at."""

    def __init__(self, gateway: Gateway) -> None:
        assert gateway.get("/").status == 200
        self.pid = gateway.workers()[0]
        self.first, self.most = resident_bytes(self.pid), 0

    def look(self) -> int:
        self.most = max(self.most, resident_bytes(self.pid) - self.first)
        return self.most


def logged(gateway: Gateway) -> list[dict[str, Any]]:
    """The access log, which is on standard output."""
    return [json.loads(line) for line in gateway.log().splitlines() if line.startswith("{")]


def refused(gateway: Gateway) -> list[str]:
    return [line["refused"] for line in logged(gateway) if "refused" in line]


def readable(sock: socket.socket) -> bytes:
    """What is there to read at once; b"" where nothing is."""
    sock.setblocking(False)
    try:
        return sock.recv(65536)
    except BlockingIOError:
        return b""
    finally:
        sock.setblocking(True)


def sends(sock: socket.socket, piece: bytes) -> Callable[[], bytes]:
    """One step of who drips: sends a piece, and says what came back."""

    def step() -> bytes:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sock.send(piece)
        return readable(sock)

    return step


# ---- who drips -----------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", [b"Content-Length: 10000000", b"Transfer-Encoding: chunked"])
def test_a_body_that_drips_is_cut_and_its_upstream_let_go(directory: Path, framing: bytes) -> None:
    limits = {"body_timeout": SECONDS, "min_rate": 2**20}
    with Scripted() as upstream, Gateway(directory, config(upstream, limits, access_log={"path": "-"})) as gateway:
        with connect(gateway.data) as sock:
            sock.sendall(b"POST / HTTP/1.1\r\nHost: test\r\n" + framing + b"\r\n\r\n")
            upstream.wait_for(b"POST / ")
            piece = b"a" if b"Length" in framing else b"1\r\na\r\n"
            answer = until(sends(sock, piece), "an answer")
            assert answer.startswith(b"HTTP/1.1 408 ")
        until(lambda: upstream.open == 0, "the upstream's connection has ended")
        until(lambda: refused(gateway) == ["timeout.body"], "the log")


def test_a_head_that_drips_is_cut(directory: Path) -> None:
    with Scripted() as upstream, Gateway(directory, config(upstream, {"head_timeout": SECONDS})) as gateway:
        with connect(gateway.data) as sock:
            sock.sendall(HALF)
            assert until(sends(sock, b"a"), "an answer").startswith(b"HTTP/1.1 408 ")
        assert upstream.received == []


def test_an_upstream_that_drips_its_head_is_given_up(directory: Path) -> None:
    class Dripping(Upstream):
        def talk(self, sock: socket.socket, index: int) -> None:
            self.read_request(sock, index)
            sock.sendall(b"HTTP/1.1 200 OK\r\nX-A: ")
            while not self.closing.wait(0.05):
                sock.sendall(b"a")

    with Dripping() as upstream:
        made = config(upstream)
        made["routes"][0]["upstream"]["timeout"] = {"connect": 5, "send": 5, "read": SECONDS}
        with Gateway(directory, made) as gateway:
            assert gateway.get("/").status == 504


def test_a_client_that_reads_nothing_is_cut_and_its_upstream_let_go(directory: Path) -> None:
    with BigBody(GIB) as upstream, Gateway(directory, config(upstream, {"send_timeout": SECONDS})) as gateway:
        with connect(gateway.data) as sock:
            sock.sendall(GET)
            until(lambda: upstream.open == 1, "the upstream is asked")
            until(lambda: upstream.open == 0, "the upstream's connection has ended")
        until(lambda: "timeout.send" in refused(gateway), "the log")


# ---- who only writes, or never reads: memory -----------------------------------------------------


def test_a_client_that_pipelines_and_reads_nothing(directory: Path) -> None:
    with Answering() as upstream, Gateway(directory, config(upstream)) as gateway:
        growth = Growth(gateway)
        with connect(gateway.data) as sock:
            sock.settimeout(1.0)
            sent = 0
            with contextlib.suppress(TimeoutError):
                while sent < 64 << 20:
                    sent += sock.send(GET * 2000)
            growth.look()
            assert sent < 64 << 20, "it is not read any more"
            assert gateway.get("/").status == 200
        assert growth.look() < ALLOWED


class Chunks(Upstream):
    """Answers with a million chunks of a byte each."""

    def talk(self, sock: socket.socket, index: int) -> None:
        while self.read_request(sock, index):
            sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(1000):
                sock.sendall(b"1\r\na\r\n" * 1000)
            sock.sendall(b"0\r\n\r\n")


def test_a_million_chunks_of_a_byte_from_an_upstream(directory: Path) -> None:
    with Chunks() as upstream, Gateway(directory, config(upstream)) as gateway:
        growth = Growth(gateway)
        assert gateway.get("/").body == b"a" * 1_000_000
        assert growth.look() < ALLOWED


class Counting(Upstream):
    """Reads bodies in chunks and keeps nothing of them but their length."""

    def talk(self, sock: socket.socket, index: int) -> None:
        tail = b""
        while piece := sock.recv(1 << 20):
            tail = (tail + piece)[-16:]
            if tail.endswith((b"\r\n0\r\n\r\n", b"Host: test\r\n\r\n")) or b"GET " in piece:
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def test_a_million_chunks_of_a_byte_from_a_client(directory: Path) -> None:
    with Counting() as upstream, Gateway(directory, config(upstream)) as gateway:
        growth = Growth(gateway)
        with connect(gateway.data) as sock:
            sock.sendall(b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(1000):
                sock.sendall(b"1\r\na\r\n" * 1000)
            sock.sendall(b"0\r\n\r\n")
            assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        assert growth.look() < ALLOWED


def test_a_thousand_half_heads_and_honest_clients_between(directory: Path) -> None:
    """A half head costs its exchange, some KiB; they end with their time, and honest clients are served all the while."""
    limits = {"head_timeout": 3 * SECONDS}
    with Answering() as upstream, Gateway(directory, config(upstream, limits)) as gateway:
        growth = Growth(gateway)
        with contextlib.ExitStack() as stack:
            slow = [stack.enter_context(connect(gateway.data)) for _ in range(1000)]
            for n, sock in enumerate(slow):
                sock.sendall(HALF)
                if n % 50 == 0:
                    assert gateway.get("/").status == 200
            assert growth.look() < 32 << 20
            for sock in slow:
                assert read_until(sock, b"\r\n").startswith(b"HTTP/1.1 408 ")
        until(lambda: open_files(growth.pid) < 900, "their descriptors are closed")
        assert gateway.get("/").status == 200


# ---- how many ------------------------------------------------------------------------------------


def alive(sock: socket.socket) -> bool:
    """Whether a request on it gets an answer."""
    try:
        sock.sendall(GET)
        return read_until(sock, b"ok").startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False
    except AssertionError:
        return False


@contextlib.contextmanager
def clients(address: Address, count: int, source: str) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection(address, 20.0, (source, 0))) for _ in range(count)]


def test_an_address_holds_so_many_over_all_workers_and_a_dead_one_s_are_given_back(directory: Path) -> None:
    most = 20
    with (
        Answering() as upstream,
        Gateway(directory, config(upstream, {"connections_per_address": most}, workers=2)) as gateway,
        clients(gateway.data, most + 15, "127.0.0.2") as crowd,
        clients(gateway.data, 1, "127.0.0.3") as others,
    ):
        assert sum(map(alive, crowd)) == most
        assert alive(others[0])
        told = "limits.connections_per_address: 20 reached"
        until(lambda: told in gateway.log(), "a line")
        assert gateway.log().count(told) <= 2, "one of each worker, if it takes less than ten seconds"
        gateway.kill_worker(gateway.workers()[0])
        left = sum(map(alive, crowd))
        assert left < most, "some were the dead worker's"
        with clients(gateway.data, most, "127.0.0.2") as again:
            assert sum(map(alive, again)) == most - left


def test_a_worker_with_few_descriptors_serves_on(directory: Path) -> None:
    """Connections beyond its descriptors wait; idle ones give way to them."""
    with Answering() as upstream, Gateway(directory, config(upstream), under=few_files(560)) as gateway:
        assert "limits.connections: 65536, but 560 open files (ulimit -n) let a worker hold 152 at most" in gateway.log()
        with clients(gateway.data, 400, "127.0.0.2") as crowd:
            assert gateway.get("/").status == 200
            until(lambda: "accepting paused: no more files may be open" in gateway.log(), "a line")
            assert alive(crowd[-1])


def test_too_few_descriptors_are_a_fault_at_the_start(directory: Path) -> None:
    gateway = Gateway(directory, {})
    command = [*few_files(300), sys.executable, "-m", "fastgw", "run", str(gateway.config_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (
        2,
        "fastgw run: open files: expected a limit of at least 512 (ulimit -n), found 300\n",
    )


def few_files(most: int) -> tuple[str, ...]:
    """A command whose command may open so many files."""
    return "prlimit", f"--nofile={most}:{most}"
