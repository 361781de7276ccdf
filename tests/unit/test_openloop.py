"""The open-loop load generator against a small real server whose every answer is written here.

Counts are exact. Where time matters, the server's stall is seconds long and the margin one second.
"""

import os
import re
import socket
import struct
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from bench import openloop
from bench.openloop import OpenLoad
from bench.process import BenchError, free_port
from tests.support.programs import program
from tests.support.waiting import until

Handler = Callable[[socket.socket, int, bytes], bool | None]
GET = b"GET /one HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
STALL_SECONDS = 3.0
CORES = sorted(os.sched_getaffinity(0))


@pytest.fixture(autouse=True)
def _programs() -> None:
    for name in ("cc", "setpriv", "taskset"):
        program(name)


class Server:
    """Calls `handler(socket, n, request)` for the n-th request (from 0) over all connections.

    A handler that returns False closes the connection.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        self.by_connection: Counter[int] = Counter()
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                one, _ = self._listener.accept()
            except OSError:
                return
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.add(one)
                self.connections += 1
                number = self.connections
            threading.Thread(target=self._serve, args=(one, number), daemon=True).start()

    def _serve(self, one: socket.socket, number: int) -> None:
        waiting = b""
        try:
            while True:
                while b"\r\n\r\n" not in waiting:
                    piece = one.recv(65536)
                    if not piece:
                        return
                    waiting += piece
                head, _, waiting = waiting.partition(b"\r\n\r\n")
                if length := re.search(rb"Content-Length: (\d+)", head):
                    while len(waiting) < int(length[1]):
                        waiting += one.recv(1 << 20)
                    waiting = waiting[int(length[1]) :]
                with self._lock:
                    turn = len(self.requests)
                    self.requests.append(head)
                    self.by_connection[number] += 1
                if self._handler(one, turn, head) is False:
                    return
        except OSError:
            return
        finally:
            one.close()

    def stop(self) -> None:
        self._listener.close()
        for one in list(self._open):
            one.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Handler], Server]]:
    servers: list[Server] = []

    def start(handler: Handler) -> Server:
        servers.append(Server(handler))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def always(answer: bytes, *, keep: bool = True) -> Handler:
    def handler(one: socket.socket, _turn: int, _head: bytes) -> bool:
        one.sendall(answer)
        return keep

    return handler


def load(server: Server, *, requests: Sequence[bytes] = (GET,), seconds: float = 0.5, connections: int = 4, **more) -> OpenLoad:
    more.setdefault("rate", 100)
    return openloop.run(server.port, requests, seconds=seconds, connections=connections, cores=CORES, **more)


def counts(one: OpenLoad) -> tuple[int, int, int, int]:
    return one.sent, one.answered, one.errors, one.unexpected


class TestCounts:
    def test_every_request_is_sent_once_in_rotation_over_all_connections(self, serve) -> None:
        server = serve(always(OK))
        paths = [b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(3)]
        got = load(server, requests=paths, rate=200, seconds=0.6, connections=4)
        assert counts(got) == (120, 120, 0, 0)
        assert (got.rate, got.seconds, got.connections) == (200, 0.6, 4)
        assert Counter(head.split()[1] for head in server.requests) == {b"/0": 40, b"/1": 40, b"/2": 40}
        assert server.connections == 4
        assert set(server.by_connection) == {1, 2, 3, 4}

    def test_percentiles_are_in_order_and_below_the_maximum(self, serve) -> None:
        got = load(serve(always(OK)))
        assert 0 < got.p50_us <= got.p90_us <= got.p99_us <= got.p999_us <= got.max_us
        assert 0 <= got.late_p50_us <= got.late_p99_us <= got.late_p999_us <= got.late_max_us

    def test_another_status_is_counted_and_answered(self, serve) -> None:
        def handler(one: socket.socket, turn: int, _head: bytes) -> None:
            one.sendall(OK if turn % 2 else b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")

        assert counts(load(serve(handler))) == (50, 50, 0, 25)

    def test_the_expected_status_is_the_caller_s(self, serve) -> None:
        limited = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"
        assert counts(load(serve(always(limited)), status=429)) == (50, 50, 0, 0)
        assert counts(load(serve(always(OK)), status=429)) == (50, 50, 0, 50)


class TestBrokenConnections:
    def test_closed_instead_of_an_answer(self, serve) -> None:
        def handler(one: socket.socket, turn: int, _head: bytes) -> bool:
            if turn % 5 == 4:
                return False
            one.sendall(OK)
            return True

        server = serve(handler)
        assert counts(load(server)) == (50, 40, 10, 0)
        assert server.connections >= 4 + 9  # each but perhaps the last was made anew

    def test_reset_amid_an_answer(self, serve) -> None:
        def handler(one: socket.socket, turn: int, _head: bytes) -> bool:
            if turn % 10:
                one.sendall(OK)
                return True
            one.sendall(OK[:-1])
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            return False

        assert counts(load(serve(handler))) == (50, 45, 5, 0)

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\n\r\nas long as it lasts",
            b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ],
        ids=["asked", "by the end", "1.0"],
    )
    def test_closed_after_a_whole_answer_is_no_error(self, serve, answer: bytes) -> None:
        server = serve(always(answer, keep=False))
        assert counts(load(server)) == (50, 50, 0, 0)
        assert server.connections >= 50

    @pytest.mark.parametrize(
        "answer",
        [
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 20\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nok\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n",
            OK + b"!",
        ],
    )
    def test_what_is_no_answer(self, serve, answer: bytes) -> None:
        sent, answered, errors, unexpected = counts(load(serve(always(answer)), rate=20, seconds=0.5))
        assert (sent, answered, errors, unexpected) == (10, 0, 10, 0)

    def test_no_answer_at_all(self, serve, monkeypatch: pytest.MonkeyPatch) -> None:
        """It ends, counts what it has sent as lost, and its latencies hold the whole wait, unsent requests' too."""
        monkeypatch.setattr(openloop, "DRAIN_SECONDS", 2.0)
        got = load(serve(lambda *_: None), rate=20, seconds=0.5, connections=4)
        assert counts(got) == (4, 0, 4, 0)
        assert got.p50_us > 1e6
        assert got.max_us < 20e6

    def test_nobody_listens(self) -> None:
        port = free_port()
        with pytest.raises(BenchError, match=f"0 of 2 connections to port {port}"):
            openloop.run(port, [GET], rate=10, seconds=1, connections=2, cores=CORES)


class TestOmission:
    def test_a_stall_shows_in_every_request_that_was_due(self, serve) -> None:
        """One connection, one request in 100 stalls: a closed loop would have seen one slow request.

        200 are due during a stall of 3 s at 100 a second (and those after wait in the queue): more than a
        quarter of 400 waited for over a second.
        """

        def handler(one: socket.socket, turn: int, _head: bytes) -> None:
            if turn == 50:
                time.sleep(STALL_SECONDS)
            one.sendall(OK)

        got = load(serve(handler), rate=100, seconds=4, connections=1)
        assert counts(got) == (400, 400, 0, 0)
        stall_us = STALL_SECONDS * 1e6
        assert got.max_us >= stall_us
        assert got.p99_us >= stall_us - 1e6
        assert got.p90_us >= stall_us - 2e6

    def test_the_queue_behind_a_stall_is_sent_whole(self, serve) -> None:
        """More requests wait than there are connections: none is left out, and the server had them all."""

        def handler(one: socket.socket, turn: int, _head: bytes) -> None:
            if turn < 2:
                time.sleep(STALL_SECONDS)
            one.sendall(OK)

        server = serve(handler)
        got = load(server, rate=200, seconds=1, connections=2)
        assert counts(got) == (200, 200, 0, 0)
        assert len(server.requests) == 200
        assert got.p50_us >= (STALL_SECONDS - 1) * 1e6

    def test_a_server_s_stall_is_not_the_generator_s_lateness(self, serve) -> None:
        def handler(one: socket.socket, turn: int, _head: bytes) -> None:
            if turn == 0:
                time.sleep(STALL_SECONDS)
            one.sendall(OK)

        got = load(serve(handler), rate=100, seconds=1, connections=1)
        assert got.p50_us >= (STALL_SECONDS - 1) * 1e6
        assert got.late_p50_us < 1e6


CHUNKED = (
    b'HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\nA;name="value"\r\n0123456789\r\n0001\r\n\n\r\n0\r\nTrailer: x\r\n\r\n'
)
SPLIT = {
    "length": b"HTTP/1.1 200 OK\r\nServer: a\r\ncontent-LENGTH:  5 \r\nX: y\r\n\r\n\r\n\r\n\n",
    "chunked": CHUNKED,
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + OK,
    "no body": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "long line": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 700 + b"\r\nContent-Length: 1\r\n\r\nz",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
}


class TestAnswers:
    @pytest.mark.parametrize("name", SPLIT)
    def test_an_answer_split_at_every_byte(self, serve, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The n-th request is answered in two pieces, cut after byte n; the second goes when the first has been read."""
        monkeypatch.setattr(openloop, "DRAIN_SECONDS", 40.0)
        answer = SPLIT[name]
        cuts = range(1, len(answer), 1 if len(answer) < 200 else 97)

        def handler(one: socket.socket, turn: int, _head: bytes) -> None:
            one.sendall(answer[: cuts[turn]])
            until(lambda: unread_by_peer(one) == 0, "the first piece is read")
            one.sendall(answer[cuts[turn] :])

        got = load(serve(handler), rate=100, seconds=len(cuts) / 100, connections=2)
        assert counts(got) == (len(cuts), len(cuts), 0, 0)

    def test_an_answer_byte_by_byte(self, serve, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(openloop, "DRAIN_SECONDS", 40.0)

        def handler(one: socket.socket, _turn: int, _head: bytes) -> None:
            for byte in CHUNKED:
                one.sendall(bytes([byte]))
                until(lambda: unread_by_peer(one) == 0, "the byte is read")

        assert counts(load(serve(handler), rate=10, seconds=0.3)) == (3, 3, 0, 0)

    def test_statuses_without_a_body(self, serve) -> None:
        answer = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n"
        assert counts(load(serve(always(answer)), status=304)) == (50, 50, 0, 0)

    def test_a_body_larger_than_the_buffers(self, serve) -> None:
        body = b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + bytes(3_000_000)
        assert counts(load(serve(always(body)), rate=20, seconds=0.5)) == (10, 10, 0, 0)

    def test_a_request_larger_than_the_buffers(self, serve) -> None:
        request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 16000000\r\n\r\n" + bytes(16_000_000)
        assert counts(load(serve(always(OK)), requests=[request], rate=6, seconds=0.5, connections=1)) == (3, 3, 0, 0)


def unread_by_peer(one: socket.socket) -> int:
    """Bytes we have sent that the other end of this loopback connection has not yet read (proc_net_tcp)."""
    ends = [f":{end[1]:04X}" for end in (one.getpeername(), one.getsockname())]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        if [local[-5:], remote[-5:]] == ends:
            return int(queues.partition(":")[2], 16)
    raise AssertionError("the other end is gone")


class TestProgram:
    def test_it_is_compiled_once(self, tmp_path: Path) -> None:
        first = openloop.build(tmp_path)
        made = first.stat().st_mtime_ns
        assert openloop.build(tmp_path) == first
        assert first.stat().st_mtime_ns == made
        assert [path.name for path in tmp_path.iterdir()] == [first.name]

    def test_another_source_is_another_program(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        first = openloop.build(tmp_path)
        for path in openloop.SOURCES:
            (tmp_path / path.name).write_text(path.read_text() + "\n")
        monkeypatch.setattr(openloop, "SOURCES", [tmp_path / path.name for path in openloop.SOURCES])
        assert openloop.build(tmp_path) != first

    def test_a_fault_in_the_source_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        wrong = tmp_path / "wrong.c"
        wrong.write_text("int main(void) { return nothing; }\n")
        monkeypatch.setattr(openloop, "SOURCES", [wrong])
        with pytest.raises(BenchError, match=r"does not compile: [^$]*nothing"):
            openloop.build(tmp_path)

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ([], "expected <port>"),
            (["80", "/nonexistent", "1", "1", "1", "200", "1"], "/nonexistent: No such file"),
            (["80", "@", "0", "1", "1", "200", "1"], "rate: expected a number above 0, found 0"),
            (["80", "@", "1", "x", "1", "200", "1"], "seconds: expected a number above 0, found x"),
            (["80", "@", "1", "1", "1", "200", "1"], "request 1: expected 9 bytes"),
        ],
    )
    def test_what_is_asked_wrongly(self, tmp_path: Path, arguments: list[str], said: str) -> None:
        short = tmp_path / "short"
        short.write_bytes(struct.pack("=I", 9) + b"8 bytes.")
        named = [str(short) if one == "@" else one for one in arguments]
        done = subprocess.run([openloop.build(openloop.BUILD), *named], capture_output=True, text=True)
        assert done.returncode == 1
        assert said in done.stderr

    def test_the_histogram_is_exact_to_one_percent(self, tmp_path: Path) -> None:
        """Each value alone in a histogram: what comes out, made no larger than the maximum, is within 1 %."""
        source = tmp_path / "values.c"
        source.write_text(
            f'''#include "{openloop.SOURCE.with_name("histogram.h")}"
#include <stdio.h>
static struct histogram one;
int main(void)
{{
    for (int64_t v = 1; v < INT64_C(1) << 48; v += v / 97 + 1) {{
        one = (struct histogram){{0}};
        record(&one, v);
        one.most = INT64_MAX;
        printf("%lld %.6f\\n", (long long)v, percentile(&one, 0.5) * 1e3);
    }}
}}
'''
        )
        subprocess.run(["cc", "-O2", "-o", tmp_path / "values", source], check=True)
        output = subprocess.run([tmp_path / "values"], capture_output=True, text=True, check=True).stdout
        rows = [line.split() for line in output.splitlines()]
        assert len(rows) > 2000
        worst = max(abs(float(found) - int(value)) / int(value) for value, found in rows)
        assert worst <= 0.01
