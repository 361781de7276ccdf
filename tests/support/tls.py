"""TLS from outside: Python's ssl on sockets, and both ends of a line in memory.

Owns: how a test speaks TLS. Must not know what a test claims.
"""

import socket
import ssl
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support import wire
from tests.support.wire import TIMEOUT, Address, Response

GET = b"GET / HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n"


def client_context(
    trust: str | None = None,
    cert: tuple[str, str] | None = None,
    *,
    alpn: Sequence[str] = (),
    version: ssl.TLSVersion | None = None,
) -> ssl.SSLContext:
    """A client's side. `trust`: PEM of an authority, None: any certificate will do; `cert`: its own and the key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if trust is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(cadata=trust)
    if cert is not None:
        load_pair(context, *cert)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def server_context(cert: str, key: str, *, ask: str | None = None) -> ssl.SSLContext:
    """A server's side; `ask`: PEM of the authority whose certificates clients must show."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_pair(context, cert, key)
    if ask is not None:
        context.load_verify_locations(cadata=ask)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def load_pair(context: ssl.SSLContext, cert: str, key: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        both = Path(directory) / "pair.pem"
        both.write_text(cert + key)
        context.load_cert_chain(both)


def connect(address: Address, name: str | None, context: ssl.SSLContext | None = None, timeout: float = TIMEOUT) -> ssl.SSLSocket:
    """A connection on which the handshake is done."""
    return (context or client_context()).wrap_socket(wire.connect(address, timeout), server_hostname=name)


def get(
    address: Address, name: str, context: ssl.SSLContext | None = None, target: str = "/", host: str | None = None
) -> Response:
    """One request on a connection of its own."""
    with connect(address, name, context) as sock:
        return ask(sock, host or name, target)


def ask(sock: socket.socket, host: str, target: str = "/") -> Response:
    """One request on a connection that stays open."""
    sock.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return wire.read_response(sock)


def shown(address: Address, name: str | None, context: ssl.SSLContext | None = None) -> bytes:
    """The certificate that a client of this name gets, DER."""
    with connect(address, name, context) as sock:
        found = sock.getpeercert(binary_form=True)
    assert found is not None
    return found


class Memory:
    """One end of a line in memory: `send` takes what it has for the other end, `take` gives what that has sent."""

    def __init__(
        self,
        send: Callable[[bytes], None],
        take: Callable[[], bytes],
        context: ssl.SSLContext,
        name: str | None = None,
        *,
        server: bool = False,
    ) -> None:
        self._send, self._take = send, take
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = context.wrap_bio(self.incoming, self.outgoing, server_side=server, server_hostname=name)
        self.step = 0
        """Bytes that are sent at a time; 0: all at once."""

    def exchange(self) -> None:
        """What is there goes each way."""
        data = self.outgoing.read()
        step = self.step or len(data)
        for at in range(0, len(data), step or 1):
            self._send(data[at : at + step])
        if back := self._take():
            self.incoming.write(back)

    def shake(self) -> None:
        """The handshake; ssl.SSLError where it fails."""
        for _ in range(10):
            done = self._shaken()
            self.exchange()
            if done:
                return
        raise AssertionError("the handshake does not end")

    def _shaken(self) -> bool:
        try:
            self.ssl.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def write(self, data: bytes) -> None:
        self.ssl.write(data)
        self.exchange()

    def read(self) -> bytes:
        """All that has come."""
        self.exchange()
        found = b""
        while True:
            try:
                piece = self.ssl.read(65536)
            except ssl.SSLWantReadError:
                return found
            if not piece:
                return found
            found += piece

    def ended(self) -> bool:
        """Whether the other end has said that no more comes (close_notify)."""
        self.exchange()
        try:
            return self.ssl.read(1) == b""
        except ssl.SSLZeroReturnError:
            return True
        except ssl.SSLWantReadError:
            return False
