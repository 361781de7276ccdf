"""Signatures that take long to judge: nobody loses an answer for it, whatever happens to the gateway meanwhile."""

import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.support import tokens
from tests.support.gateway import Gateway, one_route
from tests.support.upstreams import Answering
from tests.support.wire import TIMEOUT, Address

CLIENTS = 300  # about 75 ms of work for two threads

KEY = ec.generate_private_key(ec.SECP521R1())
PRIVATE = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
TOKENS = [tokens.token("es-key", PRIVATE, algorithm="ES512", number=number) for number in range(CLIENTS)]


def config(upstream: Address) -> dict[str, object]:
    conf = {"key": "es-key", "algorithm": "ES512", "public_key": PUBLIC}
    return {**one_route(upstream, plugins={"jwt-auth": {}}), "consumers": [{"username": "ann", "plugins": {"jwt-auth": conf}}]}


def connected(held: ExitStack, address: Address) -> list[socket.socket]:
    return [held.enter_context(socket.create_connection(address, TIMEOUT)) for _ in range(CLIENTS)]


def status(line: socket.socket) -> int:
    """Of one whole answer."""
    got = b""
    while not got.endswith(b"\r\n\r\nok"):
        piece = line.recv(4096)
        assert piece, f"the answer ended too early: {got!r}"
        got += piece
    return int(got[9:12])


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP], ids=lambda each: each.name)
def test_every_request_is_answered_when_the_workers_are_told_to_drain(directory: Path, signum: signal.Signals) -> None:
    with Answering() as upstream, ExitStack() as held:
        gateway = held.enter_context(Gateway(directory, config(upstream.address)))
        lines = connected(held, gateway.data)
        if signum == signal.SIGHUP:  # a worker by other settings takes the place of this one
            gateway.write_config({**config(upstream.address), "token_cache": 1})
        for line, token in zip(lines, TOKENS, strict=True):
            line.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: %b\r\n\r\n" % token.encode())
        gateway.process.signal(signum)
        assert [status(line) for line in lines] == [200] * CLIENTS


def test_clients_that_leave_take_nobody_with_them(directory: Path) -> None:
    with Answering() as upstream, ExitStack() as held:
        gateway = held.enter_context(Gateway(directory, config(upstream.address)))
        lines = connected(held, gateway.data)
        for line, token in zip(lines, TOKENS, strict=True):
            line.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: %b\r\n\r\n" % token.encode())
        for line in lines[::2]:
            line.close()
        assert [status(line) for line in lines[1::2]] == [200] * (CLIENTS // 2)
