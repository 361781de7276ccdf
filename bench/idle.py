"""Client connections that have asked once and stay: what a gateway pays for those who merely are there.

They come from several addresses: one has some 28,000 ports to a destination at most, and a gateway may bound what it holds.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from bench.process import BenchError, raise_open_files

TIMEOUT_SECONDS = 10
SPARE_FILES = 1000
ENOUGH = 0.9  # of those asked for, where the limit of open files cannot be raised; the conditions say how many
PER_ADDRESS = 5000
AT_ONCE = 100
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close at once, so that no port waits out TIME_WAIT


def allow(count: int) -> int:
    """Descriptors for both ends of so many connections, here and in what is started from here."""
    wanted = 2 * count + SPARE_FILES
    found = raise_open_files(wanted)
    if found < ENOUGH * count + SPARE_FILES:
        raise BenchError(f"{count} idle connections need {wanted} open files, allowed are {found} (ulimit -n)")
    return found


def affordable(count: int) -> int:
    """How many of so many connections can be had, each end in a process of its own."""
    return min(count, allow(count) - SPARE_FILES)


def source(number: int) -> tuple[str, int]:
    """Where the connection of that number comes from."""
    return f"127.0.0.{2 + number // PER_ADDRESS}", 0


def _answered(client: socket.socket, answer: bytes) -> None:
    """Waits for the answer to its first request."""
    got = b""
    while not got.endswith(answer):
        piece = client.recv(65536)
        if not piece:
            raise BenchError(f"an idle connection was closed in answer to its first request: {got[:80]!r}")
        got += piece


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
    """Many ask before the first one reads: on a busy machine it would else have idled for too long before the last comes."""
    done = 0
    try:
        while len(clients) < count:
            for number in range(len(clients), min(count, len(clients) + AT_ONCE)):
                clients.append(socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS, source(number)))
                clients[-1].sendall(request)
            for client in clients[done:]:
                _answered(client, answer)
            done = len(clients)
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
            reset(client)


def reset(client: socket.socket) -> None:
    """Closes it at once."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()
