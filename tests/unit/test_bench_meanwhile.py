"""What the bench does beside a load: idle connections that are held, changes that are put. Against a small server."""

import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench import idle
from bench.changes import Changing
from bench.meter import Meter
from bench.peers.base import Changes
from bench.process import BenchError
from bench.slowloris import Dripping
from tests.support.waiting import until

ANSWER = b"pong"
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        server = self.server
        server.seen.append((self.path, self.rfile.read(int(self.headers.get("Content-Length", 0)))))
        self.send_response(server.status)
        self.send_header("Content-Length", str(len(ANSWER)))
        if server.closing:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(ANSWER)

    def do_GET(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    status = 200
    closing = False

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes]] = []
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, *_: object) -> None:
        """Clients that reset their connections are what idle ones do."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield found
        found.shutdown()
        thread.join()


class TestIdle:
    def test_each_connection_asks_once_and_stays(self, server: Server) -> None:
        with idle.held(server.server_port, REQUEST, ANSWER, 20):
            assert len(server.seen) == 20

    def test_one_that_does_not_last_voids_the_round(self, server: Server) -> None:
        server.closing = True
        with (
            pytest.raises(BenchError, match="3 of 3 idle connections were closed meanwhile"),
            idle.held(server.server_port, REQUEST, ANSWER, 3),
        ):
            until(lambda: threading.active_count() <= 2, "the server's threads to end and so to close")

    def test_another_answer_is_named(self, server: Server) -> None:
        server.closing = True
        held = idle.held(server.server_port, REQUEST, b"something else", 1)
        with pytest.raises(BenchError, match=r"closed in answer to its first request: b'HTTP/1\.1 200"):
            held.__enter__()

    def test_descriptors_that_cannot_be_had_are_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(idle, "raise_open_files", lambda wanted: 1024)
        with pytest.raises(BenchError, match="10000 idle connections need 21000 open files, allowed are 1024"):
            idle.allow(10_000)

    def test_nine_tenths_of_them_will_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(idle, "raise_open_files", lambda wanted: 20_000)
        assert idle.affordable(20_000) == 19_000
        assert idle.affordable(10_000) == 10_000
        with pytest.raises(BenchError, match="22000 idle connections need 45000 open files, allowed are 20000"):
            idle.affordable(22_000)

    def test_no_address_holds_more_than_a_gateway_may_allow(self) -> None:
        sources = [idle.source(number)[0] for number in range(20_000)]
        assert max(map(sources.count, set(sources))) <= 5000
        assert "127.0.0.1" not in sources, "that of those who ask"


def fault(dripping: Dripping) -> str:
    """What its figures are refused for; "" where they are not."""
    try:
        dripping.figures()
    except BenchError as error:
        return str(error)
    return ""


def held(dripping: Dripping) -> int:
    return int(fault(dripping).partition(" ")[0] or dripping.figures()["half_heads"])


class TestDripping:
    def test_half_heads_stay_and_ask_nothing(self, server: Server) -> None:
        with Dripping(server.server_port, 20) as dripping:
            assert dripping.figures() == {"half_heads": 20, "half_heads_opened": 20}
            assert server.seen == []

    def test_one_that_is_cut_is_opened_anew(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, Dripping(listener.getsockname()[1], 3) as dripping:
            listener.accept()[0].close()
            until(lambda: held(dripping) == 3 and dripping.figures()["half_heads_opened"] == 4, "another in its place")

    def test_too_few_are_no_attack(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        with Dripping(listener.getsockname()[1], 3) as dripping:
            listener.close()
            until(lambda: held(dripping) == 0, "they are cut, and no new ones are let in")
            until(lambda: "ConnectionRefusedError" in fault(dripping), "why there are none")


class TestChanging:
    def changes(self, server: Server) -> Changes:
        return Changes(server.server_port, {"X-API-KEY": "k"}, lambda turn: (f"/{turn}", b"{}"))

    def test_changes_come_one_by_one_from_where_they_ended(self, server: Server) -> None:
        with Changing(self.changes(server), 100, 7) as changing:
            until(lambda: len(server.seen) >= 5, "five changes")
        paths = [path for path, _ in server.seen]
        assert paths == [f"/{turn}" for turn in range(7, 7 + len(paths))]
        assert changing.next == 7 + len(paths)
        figures = changing.figures()
        assert figures["changes_per_second"] > 0
        assert figures["change_max_ms"] >= figures["change_p99_ms"] >= figures["change_p50_ms"] > 0

    def test_a_refused_change_voids_the_round(self, server: Server) -> None:
        server.status = 400
        with Changing(self.changes(server), 100, 0) as changing:
            until(lambda: len(server.seen) >= 1, "a change")
        with pytest.raises(BenchError, match=r"changes failed: PUT /0: 400 b'pong'"):
            changing.figures()

    def test_an_api_that_does_not_answer_voids_the_round(self) -> None:
        with Server() as gone:
            changes = self.changes(gone)
        with Changing(changes, 100, 0) as changing:
            until(lambda: not changing._thread.is_alive(), "the changes to give up")
        with pytest.raises(BenchError, match="ConnectionRefusedError"):
            changing.figures()


def test_the_meter_sees_this_process_at_work() -> None:
    def worked() -> bool:
        return sum(range(100_000)) > 0 and sum(os.times()[:2]) - sum(before[:2]) > 0.2

    with Meter(frozenset({os.getpid()}), "", os.sched_getaffinity(0), 60.0) as meter:
        before = os.times()
        until(worked, "a fifth of a second of work")
    figures = meter.figures(1000)
    assert figures["cpu_us"] >= 100
    assert figures["cpu_us"] == pytest.approx(figures["user_us"] + figures["system_us"])
    assert figures["worker_rss_mib"] > 5
    assert figures["busy"] > 0
