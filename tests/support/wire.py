"""The client side of a wire: raw bytes for what no library would send, a tiny HTTP client for the rest."""

import http.client
import itertools
import json
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any, NamedTuple

from tests.support.waiting import PATIENCE

TIMEOUT = 20.0 * PATIENCE


class Address(NamedTuple):
    """A TCP address."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self}"


class Headers(dict[str, str]):
    """Header fields by lower-case name; repeated ones joined by a comma and a space."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        super().__init__()
        for name, value in pairs:
            key = name.lower()
            self[key] = f"{self[key]}, {value}" if key in self else value


class Response(NamedTuple):
    """One whole response. `pairs` are its fields as received, `headers` the same by lower-case name."""

    status: int
    reason: str
    pairs: list[tuple[str, str]]
    body: bytes

    @property
    def headers(self) -> Headers:
        return Headers(self.pairs)

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One keep-alive connection: each request uses it again unless the server closed it."""

    def __init__(self, address: Address, timeout: float = TIMEOUT) -> None:
        self.connection = http.client.HTTPConnection(address.host, address.port, timeout=timeout)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def request(
        self,
        method: str,
        target: str,
        body: bytes | str | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        self.connection.request(method, target, body, dict(headers or {}))
        received = self.connection.getresponse()
        content = received.read()
        return Response(received.status, received.reason, received.getheaders(), content)


def request(
    address: Address,
    method: str,
    target: str,
    body: bytes | str | Iterable[bytes] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """One request on a connection of its own."""
    with Client(address) as client:
        return client.request(method, target, body, headers)


def get(address: Address, target: str, headers: Mapping[str, str] | None = None) -> Response:
    return request(address, "GET", target, headers=headers)


# ---- raw bytes -----------------------------------------------------------------------------------


def connect(address: Address, timeout: float = TIMEOUT) -> socket.socket:
    sock = socket.create_connection(address, timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # pieces leave as they were cut
    return sock


def raw(address: Address, data: bytes | Iterable[bytes], half_close: bool = False) -> bytes:
    """Sends the bytes, whole or piece by piece, and reads until the other side closes.

    The request must therefore ask for `Connection: close`, or be one that the gateway refuses.
    """
    with closing(connect(address)) as sock:
        send_pieces(sock, data)
        if half_close:
            sock.shutdown(socket.SHUT_WR)
        return read_to_end(sock)


def send_pieces(sock: socket.socket, data: bytes | Iterable[bytes]) -> None:
    try:
        for piece in [data] if isinstance(data, bytes) else data:
            sock.sendall(piece)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the other side answered and closed early: its answer is still to be read


def read_to_end(sock: socket.socket) -> bytes:
    received = bytearray()
    try:
        while piece := sock.recv(65536):
            received += piece
    except ConnectionResetError:
        pass  # it closed with bytes of ours unread; what it answered before stands
    return bytes(received)


def read_until(sock: socket.socket, mark: bytes) -> bytes:
    """Reads up to and including the first `mark`; what lies behind it may be included too."""
    received = bytearray()
    while mark not in received:
        piece = sock.recv(65536)
        assert piece, f"closed before {mark!r}; received {bytes(received)!r}"
        received += piece
    return bytes(received)


def read_response(sock: socket.socket, method: str = "GET") -> Response:
    """One response off a connection that stays open; nothing behind it is consumed, except by buffering."""
    received = http.client.HTTPResponse(sock, method=method)
    try:
        received.begin()
        content = received.read()
        return Response(received.status, received.reason, received.getheaders(), content)
    finally:
        received.close()


def read_pipelined(sock: socket.socket, count: int) -> list[Response]:
    """That many responses with Content-Length, in order, off a connection that stays open; nothing may lie behind the last."""
    received, found = bytearray(), list[Response]()
    while len(found) < count:
        end = received.find(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", received[:end]) if end >= 0 else None
        assert end < 0 or length, f"no Content-Length in {bytes(received[:end])!r}"
        if length and len(received) >= (stop := end + 4 + int(length[1])):
            status, *lines = received[:end].decode("latin-1").split("\r\n")
            pairs = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
            _, code, reason = status.split(" ", 2)
            found.append(Response(int(code), reason, pairs, bytes(received[end + 4 : stop])))
            del received[:stop]
            continue
        piece = sock.recv(65536)
        assert piece, f"closed after {len(found)} of {count} responses; received {bytes(received)!r}"
        received += piece
    assert not received, f"more than {count} responses: {bytes(received)!r}"
    return found


def bytewise(data: bytes) -> Iterator[bytes]:
    return (data[i : i + 1] for i in range(len(data)))


def cut(data: bytes, *places: int) -> Iterator[bytes]:
    """The pieces of `data` between the given offsets."""
    edges = [0, *places, len(data)]
    return (data[a:b] for a, b in itertools.pairwise(edges))
