"""Cases over sockets: a client and an upstream in one loop, which hears the end of all that a proxy between them says.

Owns: connections of both sides, in one thread, so that nothing is under way unseen when a case is over. Must not know what is
right, or whether it is the gateway that is asked.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress

from tests.oracle import http1
from tests.support.upstreams import request_end
from tests.support.wire import TIMEOUT, Address
from tests.wire import gateway

LAST = b"GET /canary HTTP/1.1\r\nHost: canary\r\nConnection: close\r\n\r\n"  # so that each connection ends


class Client:
    """One connection, on which a case is sent."""

    def __init__(self, address: Address, pieces: Iterable[bytes]) -> None:
        self.sock = socket.create_connection(address, TIMEOUT)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = self.sock.getsockname()[1]
        self.got = b""
        self.ended = False
        with suppress(ConnectionError):  # it was refused before all was sent
            for piece in pieces:
                self.sock.sendall(piece)
        self.sock.setblocking(False)

    def read(self) -> None:
        try:
            data = self.sock.recv(65536)
        except ConnectionError:  # closed with bytes of ours unread
            data = b""
        self.got += data
        self.ended = not data


class Upstream:
    """One connection of the proxy's to the upstream."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.got = b""
        self.done = 0
        self.ended = False

    def read(self) -> None:
        try:
            data = self.sock.recv(65536)
        except ConnectionError:
            data = b""
        self.got += data
        self.ended = not data
        with suppress(ConnectionError, ValueError):  # ValueError: chunks that nobody can read
            while end := request_end(self.got[self.done :]):
                reply = gateway.OK_TO_HEAD if self.got.startswith(b"HEAD ", self.done) else gateway.OK
                self.done += end
                self.sock.sendall(reply)


def whole(stream: bytes) -> list[http1.Message]:
    """The whole requests of a stream, up to what is none."""
    found: list[http1.Message] = []
    with suppress(http1.MalformedError):
        found.extend(message for message in http1.requests(stream) if message.whole)
    return found


class Stand:
    """An upstream that listens, and the loop."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.listener.setblocking(False)
        self.address = Address(*self.listener.getsockname())
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.ups: list[Upstream] = []

    def __enter__(self) -> Stand:
        return self

    def __exit__(self, *_: object) -> None:
        for up in self.ups:
            up.sock.close()
        self.listener.close()
        self.selector.close()

    def ask(self, address: Address, requests: Sequence[Iterable[bytes]]) -> list[Client]:
        """Sends each of these on a connection of its own, all at once; comes back when all have ended."""
        clients = [Client(address, pieces) for pieces in requests]
        for client in clients:
            self.selector.register(client.sock, selectors.EVENT_READ, client)
        deadline = time.monotonic() + TIMEOUT
        while not all(client.ended for client in clients):
            assert time.monotonic() < deadline, [client.got for client in clients if not client.ended]
            self.turn(TIMEOUT)
        while self.turn(0):  # what the upstream was sent before lies here already
            pass
        return clients

    def turn(self, patience: float) -> int:
        """What there is to read; gives how many had something."""
        events = self.selector.select(patience)
        for key, _ in events:
            side = key.data
            if side is None:
                sock, _ = self.listener.accept()
                self.ups.append(Upstream(sock))
                self.selector.register(sock, selectors.EVENT_READ, self.ups[-1])
                continue
            side.read()
            if side.ended:
                self.selector.unregister(side.sock)
                side.sock.close()
        return len(events)

    def heard(self) -> list[tuple[bytes, bool]]:
        """What came on each of the upstream's connections since the last time, and whether it lives."""
        found = [(up.got, not up.ended) for up in self.ups if up.got]
        self.ups = [up for up in self.ups if not up.ended]
        for up in self.ups:
            up.got, up.done = b"", 0
        return found
