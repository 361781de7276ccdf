"""Client connections that have asked once and stay: what a gateway pays for those who merely are there."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from bench.process import BenchError, raise_open_files

TIMEOUT_SECONDS = 10
SPARE_FILES = 1000
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close at once, so that no port waits out TIME_WAIT


def allow(count: int) -> int:
    """Descriptors for both ends of so many connections, here and in what is started from here."""
    wanted = 2 * count + SPARE_FILES
    found = raise_open_files(wanted)
    if found < count + SPARE_FILES:
        raise BenchError(f"{count} idle connections need {wanted} open files, allowed are {found} (ulimit -n)")
    return found


def _asked(port: int, request: bytes, answer: bytes) -> socket.socket:
    """A connection that has had its answer."""
    client = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS)
    try:
        client.sendall(request)
        got = b""
        while not got.endswith(answer):
            piece = client.recv(65536)
            if not piece:
                raise BenchError(f"an idle connection was closed in answer to its first request: {got[:80]!r}")
            got += piece
    except BaseException:
        client.close()
        raise
    return client


def _closed(client: socket.socket) -> bool:
    """Nothing to read is what an open, idle connection has."""
    try:
        client.setblocking(False)
        client.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _fill(clients: list[socket.socket], port: int, request: bytes, answer: bytes, count: int) -> None:
    try:
        while len(clients) < count:
            clients.append(_asked(port, request, answer))
    except OSError as error:
        raise BenchError(f"idle connection {len(clients) + 1} of {count}: {type(error).__name__}: {error}") from None


@contextmanager
def held(port: int, request: bytes, answer: bytes, count: int) -> Iterator[None]:
    """`count` idle connections for as long as this is entered; an error if one of them did not last."""
    clients: list[socket.socket] = []
    try:
        _fill(clients, port, request, answer, count)
        yield
        if gone := sum(map(_closed, clients)):
            raise BenchError(f"{gone} of {count} idle connections were closed meanwhile")
    finally:
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.close()
