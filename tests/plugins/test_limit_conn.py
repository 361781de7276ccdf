"""limit-conn over a real gateway with two workers: exact while requests run, end in any way, and workers are killed."""

import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.gateway import Gateway, one_route
from tests.support.load import Load
from tests.support.upstreams import OK, Upstream
from tests.support.waiting import until
from tests.support.wire import TIMEOUT, connect, read_response

REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


class Gated(Upstream):
    """Answers while the gate is open; `running` requests wait for it. `most` is the largest number there was."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.lock = threading.Lock()
        self.running = self.most = 0

    def talk(self, sock: socket.socket, index: int) -> None:
        while self.read_request(sock, index):
            with self.lock:
                self.running += 1
                self.most = max(self.most, self.running)
            assert self.gate.wait(TIMEOUT), "the gate stays shut"
            with self.lock:
                self.running -= 1
            sock.sendall(OK)


def limited(upstream: Upstream, workers: int = 2, **limit: Any) -> dict[str, Any]:
    conf = {"conn": 5, "burst": 0, "default_conn_delay": 0.1, "key": "remote_addr", "rejected_code": 429, **limit}
    return {"workers": workers, **one_route(upstream.address, plugins={"limit-conn": conf})}


@contextmanager
def asking(gateway: Gateway, upstream: Gated, count: int, running: int) -> Iterator[list[socket.socket]]:
    """`count` clients ask at once while the gate is shut; `running` of them are let through."""
    upstream.gate.clear()
    socks = [connect(gateway.data) for _ in range(count)]
    for sock in socks:
        sock.sendall(REQUEST)
    until(lambda: upstream.running == running, f"{running} requests run")
    try:
        yield socks
    finally:
        upstream.gate.set()
        for sock in socks:
            sock.close()


def statuses(gateway: Gateway, upstream: Gated, count: int, running: int) -> list[int]:
    """How `count` clients that ask at once are answered."""
    with asking(gateway, upstream, count, running) as socks:
        answers: list[int] = []
        readers = [threading.Thread(target=lambda s=sock: answers.append(read_response(s).status)) for sock in socks]
        for reader in readers:
            reader.start()
        until(lambda: len(answers) == count - running, "the others are refused")
        upstream.gate.set()
        for reader in readers:
            reader.join()
    return sorted(answers)


def test_two_workers_let_conn_through_and_no_more(directory: Path) -> None:
    with Gated() as upstream, Gateway(directory, limited(upstream, rejected_msg="too many")) as gateway:
        for _ in range(3):
            assert statuses(gateway, upstream, 12, 5) == [200] * 5 + [429] * 7
        assert upstream.most == 5


def test_under_load_no_more_than_conn_run(directory: Path) -> None:
    with Gated() as upstream, Gateway(directory, limited(upstream, conn=7)) as gateway:
        with Load(gateway.data, REQUEST, connections=40, total=4000) as load:
            pass
        assert set(load.statuses) == {200, 429}
        assert upstream.most <= 7
        assert statuses(gateway, upstream, 9, 7) == [200] * 7 + [429] * 2


def test_those_above_conn_wait(directory: Path) -> None:
    conf = {"conn": 2, "burst": 2, "default_conn_delay": 3600, "only_use_default_delay": True}
    with Gated() as upstream, Gateway(directory, limited(upstream, **conf)) as gateway:
        with asking(gateway, upstream, 5, 2) as socks:
            answered = until(lambda: select.select(socks, [], [], 0)[0], "one is refused")
            assert [read_response(sock).status for sock in answered] == [429]
            assert upstream.running == 2
        # Two ended, and two left while they waited: all slots are back.
        until(lambda: gateway.log().count('"status":') == 5, "all five are over")
        assert gateway.get("/").status == 200


def test_clients_that_leave_give_their_slots_back(directory: Path) -> None:
    with Gated() as upstream, Gateway(directory, limited(upstream)) as gateway:
        for round_ in range(3):
            with asking(gateway, upstream, 5, 5) as socks:
                for sock in socks:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # RST
                    sock.close()
                until(lambda over=5 * (round_ + 1): gateway.log().count('"status":499') == over, "they have gone")
            until(lambda: upstream.running == 0, "the upstream is done")
        assert statuses(gateway, upstream, 6, 5) == [200] * 5 + [429]


def test_a_killed_worker_gives_its_slots_back(directory: Path) -> None:
    """Both workers are killed while they hold all slots; their successors find every one of them free."""
    with Gated() as upstream, Gateway(directory, limited(upstream)) as gateway:
        for _ in range(2):
            with asking(gateway, upstream, 5, 5):
                assert gateway.get("/").status == 429
                for pid in gateway.workers():
                    gateway.kill_worker(pid)
            until(lambda: upstream.running == 0, "the upstream is done with those of the dead")
            assert statuses(gateway, upstream, 8, 5) == [200] * 5 + [429] * 3


def test_workers_killed_under_load_leave_the_count_exact(directory: Path) -> None:
    """At whatever instruction they die: afterwards exactly conn run at once, no fewer and no more."""
    with Gated() as upstream, Gateway(directory, limited(upstream, workers=4, conn=10)) as gateway:
        with Load(gateway.data, REQUEST, connections=60) as load:
            for _ in range(3):
                for victim in gateway.workers()[:2]:
                    seen = load.done
                    until(lambda seen=seen: load.done > seen + 200, "the load runs")
                    os.kill(victim, signal.SIGKILL)
                until(lambda: len(gateway.workers()) == 4, "all are replaced")
        assert load.refused == 0
        assert set(load.statuses) == {200, 429}
        until(lambda: upstream.running == 0, "the upstream is done with those of the dead")
        assert statuses(gateway, upstream, 14, 10) == [200] * 10 + [429] * 4
