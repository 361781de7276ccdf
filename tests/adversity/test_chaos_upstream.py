"""Chaos: the wire to an upstream is refused, cut, stalled, dripping; upstreams flood.

Held: no wrong answer and none that never comes; nothing is done twice that may not be; another node saves what may be saved; all
is well at once when the wire is; memory is bounded. Sequences follow from a seed: tests/support/chaos.py.
"""

import contextlib
import random
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support import wire
from tests.support.asking import Asking, Telling
from tests.support.chaos import LIMIT_S, Turn, turns
from tests.support.cuttable import Cuttable
from tests.support.gateway import Gateway
from tests.support.processes import resident_bytes
from tests.support.upstreams import Upstream
from tests.support.waiting import until

CLIENTS, ROUND = 12, 36  # of each route, and requests of them in a round
TIMEOUT = {"connect": 2, "send": 2, "read": 2}
BAD = ("refuse", "reset", "stall", "drip", "half")
GROWTH = 24 * 2**20  # of a worker's memory, for all that a flood of 24 connections can make it hold


def _ways(chance: random.Random, client: int) -> tuple[str, str]:
    """Some may be repeated, some not."""
    return ("POST" if chance.randrange(4) == 0 else "GET", "")


def _routes(one: list[Any], two: list[Any]) -> dict[str, Any]:
    """By a header: of a node behind the wire, and of one more that is always well."""

    def route(name: str, nodes: list[Any]) -> dict[str, Any]:
        upstream = {"type": "roundrobin", "nodes": {str(each): 1 for each in nodes}, "timeout": TIMEOUT}
        return {"id": name, "uri": "/*", "vars": [["http_x_way", "==", name]], "upstream": upstream}

    return {"workers": 2, "routes": [route("one", one), route("two", two)]}


@pytest.mark.timeout(LIMIT_S)
def test_a_wire_that_is_cut(directory: Path) -> None:
    """Rounds with a wire that is not well, or gets worse in the middle, each followed by one in which it is well."""
    with contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(Telling()) for _ in range(2))
        wire_, well = (stack.enter_context(Cuttable(each.address)) for each in (first, second))
        with Gateway(directory, _routes([wire_.address], [wire_.address, well.address])) as gateway:
            posted: set[bytes] = set()

            def play(turn: Turn) -> None:
                moods = turn.chance.choice(BAD), turn.chance.choice(BAD)
                change_at = turn.chance.randrange(ROUND)
                wire_.mood = moods[0]

                def clients(way: str, part: str, number: int = turn.number) -> Asking:
                    def ways(chance: random.Random, client: int) -> tuple[str, str]:
                        return _ways(chance, client)[0], f"X-Way: {way}\r\n"

                    name = f"{way}{part}{number}"
                    return Asking(lambda: gateway.data, CLIENTS, ROUND, name=name, seed=number, ways=ways)

                with clients("one", "bad") as one, clients("two", "bad") as two:
                    until(lambda: one.done + one.cut + two.done + two.cut >= change_at, "they ask", 60)
                    wire_.mood = moods[1]
                where = f"{turn.where}: {moods[0]}, then {moods[1]} after {change_at}"
                assert one.wrong + two.wrong == [], where
                assert {*one.statuses, *two.statuses} <= {200, 502, 504}, where
                assert one.refused + two.refused == 0, where
                if not {"half", "drip", "reset", "stall"} & set(moods):  # whole answers are saved by the other node
                    assert (set(two.statuses), two.cut) == ({200}, 0), where
                posted.update(one.posted, two.posted)
                wire_.mood = "pass"
                until(lambda: wire_.quiet(), f"{where}: what was cut has gone")
                with clients("one", "well") as one, clients("two", "well") as two:
                    pass
                assert one.wrong + two.wrong == [], where
                assert (set(one.statuses), one.cut, set(two.statuses), two.cut) == ({200}, 0, {200}, 0), f"{where}: well again"
                posted.update(one.posted, two.posted)
                twice = [id for id in posted if first.asked[id] + second.asked[id] > 1]
                assert twice == [], f"{where}: done twice"

            for turn in turns("cut wire", least=6):
                play(turn)
            assert "Traceback" not in gateway.log(), gateway.log()


class Flooding(Upstream):
    """Sends without end what belongs at some place of an answer, however little of it is taken; `sent` counts bytes.

    The target says which: /head, /early, /informational, /chunk, /trailer, /body, /behind
    """

    START = {
        "head": b"HTTP/1.1 200 OK\r\n",
        "informational": b"",
        "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;",
        "trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        "body": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "behind": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "early": b"",
    }
    PIECE = {
        "head": b"X-Flood: 0123456789\r\n",
        "informational": b"HTTP/1.1 103 Early Hints\r\nX-Flood: 1\r\n\r\n",
        "chunk": b"flood=0123456789;",
        "trailer": b"X-Flood: 0123456789\r\n",
        "body": b"1000\r\n" + bytes(4096) + b"\r\n",
        "behind": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
        "early": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly",
    }

    def __init__(self, early: bool = False) -> None:
        super().__init__()
        self._early = early
        self.sent = 0
        self._lock = threading.Lock()

    def talk(self, sock: socket.socket, index: int) -> None:
        sock.settimeout(None)
        kind = "early" if self._early else self.read_request(sock, index).partition(b" /")[2].partition(b" ")[0].decode()
        if not kind:
            return
        sock.sendall(self.START[kind])
        block = self.PIECE[kind] * (65536 // len(self.PIECE[kind]))
        while not self.closing.is_set():
            sock.sendall(block)
            with self._lock:
                self.sent += len(block)


@pytest.mark.timeout(LIMIT_S)
def test_upstreams_that_flood(directory: Path) -> None:
    """While floods come from all sides, some towards clients that take nothing, others are served and memory stays."""
    with Telling() as telling, Flooding() as flooding, Flooding(early=True) as early:
        nodes = {"flood": flooding.address, "early": early.address, "well": telling.address}
        routes = [
            {
                "id": name,
                "uri": "/*",
                "vars": [["http_x_way", "==", name]],
                "upstream": {"type": "roundrobin", "nodes": {str(address): 1}, "timeout": TIMEOUT},
            }
            for name, address in nodes.items()
        ]
        kinds = [kind for kind in Flooding.START if kind != "early"]
        with Gateway(directory, {"routes": routes}) as gateway:
            (worker,) = gateway.workers()

            def well(chance: random.Random, client: int) -> tuple[str, str]:
                return "GET", "X-Way: well\r\n"

            with Asking(lambda: gateway.data, 8, 200, name="before", ways=well):
                pass
            before = resident_bytes(worker)

            def play(turn: Turn) -> None:
                with Asking(lambda: gateway.data, 8, name=f"well{turn.number}", seed=turn.number, ways=well) as asking:
                    held: list[socket.socket] = []
                    floods = [turn.chance.choice([*kinds, "early"]) for _ in range(24)]
                    seen = flooding.sent
                    for kind in floods:
                        held.append(wire.connect(gateway.data))
                        way = "early" if kind == "early" else "flood"
                        held[-1].sendall(f"GET /{kind} HTTP/1.1\r\nHost: a\r\nX-Way: {way}\r\n\r\n".encode())
                    said = [_first_line(sock) for sock, kind in zip(held, floods, strict=True) if kind != "body"]
                    done = asking.done
                    until(lambda: asking.done > done + 50, "others are served")
                    grown = resident_bytes(worker) - before
                    for sock in held:
                        sock.close()
                assert asking.wrong == [], turn.where
                assert (set(asking.statuses), asking.cut, asking.refused) == ({200}, 0, 0), turn.where
                assert gateway.workers() == [worker], turn.where
                assert flooding.sent > seen, turn.where
                assert grown < GROWTH, f"{turn.where}: {grown} bytes for {floods}"
                expected = {b"HTTP/1.1 502", b"HTTP/1.1 200", b"HTTP/1.1 103", b"HTTP/1.1 504"}
                assert set(said) <= expected, f"{turn.where}: {floods}"
                until(lambda: flooding.open + early.open == 0, f"{turn.where}: nobody floods who is not asked")

            for turn in turns("flood", least=2):
                play(turn)


def _first_line(sock: socket.socket) -> bytes:
    return sock.recv(12, socket.MSG_WAITALL)
