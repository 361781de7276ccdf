"""Sends a model's writes to a gateway and asks what the model's probes are answered."""

import contextlib
import json
import socket

from tests.support import wire
from tests.support.gateway import ADMIN_KEY
from tests.support.model import Probe, Seen, Write
from tests.support.upstreams import Answering
from tests.support.wire import Address


class Numbered(Answering):
    """An upstream that answers with its number, as `Model` wants them, on connections that may idle for long."""

    def __init__(self, number: int) -> None:
        response = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number
        super().__init__(lambda request: response)

    def talk(self, sock: socket.socket, index: int) -> None:
        sock.settimeout(None)
        super().talk(sock, index)


def send(admin: wire.Client, write: Write) -> wire.Response:
    body = None if write.body is None else json.dumps(write.body)
    return admin.request(write.method, f"/apisix/admin/{write.path}", body, {"X-API-KEY": ADMIN_KEY})


def ask(address: Address, probes: list[Probe]) -> list[Seen]:
    """All at once, each on a connection of its own."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(contextlib.closing(wire.connect(address))) for _ in probes]
        for sock, probe in zip(socks, probes, strict=True):
            sock.sendall(f"GET {probe.uri} HTTP/1.1\r\nHost: a\r\napikey: {probe.key}\r\nConnection: close\r\n\r\n".encode())
        return [_seen(sock) for sock in socks]


def _seen(sock: socket.socket) -> Seen:
    response = wire.read_response(sock)
    if response.status != 200:
        return Seen(response.status, "", "")
    return Seen(200, response.body.decode(), response.headers.get("x-ratelimit-limit", ""))
