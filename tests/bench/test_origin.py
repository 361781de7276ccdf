"""The bench's small upstream: what it takes for a request, and what it says of how many came.

Owns: bench/origin/origin.c, from outside.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.origin import Origin
from bench.peers.base import Job

pytestmark = pytest.mark.skipif(
    any(shutil.which(name) is None for name in ("cc", "setpriv", "taskset")), reason="needs the programs cc, setpriv, taskset"
)
HEAD = b"GET /x HTTP/1.1\r\nHost: a\r\nX-Word: \r\n\r\n"


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[Origin]:
    with Origin(tmp_path / "origin", [0], Job(frozenset(), answer_bytes=100)) as running:
        yield running


def ask(origin: Origin, pieces: list[bytes], answers: int) -> bytes:
    """What comes back for these bytes, up to so many answers."""
    with socket.create_connection(("127.0.0.1", origin.port), timeout=10) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        got = b""
        for piece in pieces:
            line.sendall(piece)
        while got.count(origin.answer) < answers:
            more = line.recv(65536)
            assert more, got
            got += more
        return got


def test_a_request_gets_the_answer_and_is_counted(origin: Origin) -> None:
    got = ask(origin, [HEAD], 1)
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert got.endswith(b"\r\n\r\n" + origin.answer)
    assert b"Content-Length: 100\r\n" in got
    assert (origin.served(), origin.served(), origin.settled()) == (1, 1, 1)


def test_heads_in_pieces_and_together(origin: Origin) -> None:
    cuts = [[HEAD[:at], HEAD[at:]] for at in range(1, len(HEAD))]
    for pieces in cuts:
        assert ask(origin, pieces, 1).count(origin.answer) == 1
    assert ask(origin, [bytes([byte]) for byte in HEAD * 2], 2).count(origin.answer) == 2
    assert ask(origin, [HEAD * 3], 3).count(origin.answer) == 3
    assert ask(origin, [HEAD * 2 + HEAD[:9], HEAD[9:]], 3).count(origin.answer) == 3
    assert origin.served() == len(cuts) + 2 + 3 + 3


def test_a_connection_that_is_to_close_is_closed(origin: Origin) -> None:
    with socket.create_connection(("127.0.0.1", origin.port), timeout=10) as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        got = b""
        while more := line.recv(65536):
            got += more
    assert got.endswith(origin.answer)
