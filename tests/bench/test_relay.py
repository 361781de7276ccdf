"""The relay peer, on its own: every byte both ways in order, against slow readers, and ends passed on one by one."""

import os
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.peers import PEERS
from bench.peers.base import PROXY, Job, Place
from bench.process import Program, free_port
from tests.support.programs import program

MUCH = random.Random("relay").randbytes(16 << 20)  # more than the sockets on its way can hold
SECONDS = 60


@pytest.fixture
def upstream() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(SECONDS)
        yield listener


@pytest.fixture
def pair(upstream: socket.socket, tmp_path: Path) -> Iterator[tuple[socket.socket, socket.socket]]:
    """The client's end and the upstream's end of one relayed connection."""
    for name in ("cc", "setpriv", "taskset"):
        program(name)
    place = Place(tmp_path, free_port(), 0, upstream.getsockname()[1], 1)
    command = PEERS["relay"].prepare(place, Job(PROXY))
    with Program("relay", command, sorted(os.sched_getaffinity(0)), tmp_path) as relay:
        relay.wait_listening(place.port)
        upstream.accept()[0].close()  # of the probe
        with socket.create_connection(("127.0.0.1", place.port), timeout=SECONDS) as client:
            far = upstream.accept()[0]
            far.settimeout(SECONDS)
            with far:
                yield client, far


def read_all(one: socket.socket, pieces: random.Random) -> bytes:
    """Until the end, in pieces of any size, so that the other side often finds the socket full."""
    found = bytearray()
    while piece := one.recv(pieces.choice((1, 100, 4096, 70_000))):
        found += piece
    return bytes(found)


def test_much_each_way_at_once(pair: tuple[socket.socket, socket.socket]) -> None:
    client, far = pair
    back = MUCH[::-1]
    got: dict[str, bytes] = {}

    def write(one: socket.socket, content: bytes) -> None:
        one.sendall(content)
        one.shutdown(socket.SHUT_WR)

    def read(name: str, one: socket.socket) -> None:
        got[name] = read_all(one, random.Random(name))

    jobs = [(write, client, MUCH), (write, far, back), (read, "upstream", far), (read, "client", client)]
    threads = [threading.Thread(target=job, args=arguments, daemon=True) for job, *arguments in jobs]
    for one in threads:
        one.start()
    for one in threads:
        one.join(SECONDS)
    assert got["upstream"] == MUCH
    assert got["client"] == back


def test_an_end_is_passed_on_and_the_other_way_stays_open(pair: tuple[socket.socket, socket.socket]) -> None:
    client, far = pair
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    assert read_all(far, random.Random("question")) == b"question"
    far.sendall(b"answer")
    far.close()
    assert read_all(client, random.Random("answer")) == b"answer"
