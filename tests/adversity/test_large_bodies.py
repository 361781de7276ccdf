"""A gigabyte through a worker whose other side is slow: bounded memory, equal bytes."""

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

from tests.support.gateway import Gateway, one_route
from tests.support.processes import resident_bytes
from tests.support.upstreams import BigBody, SlowReader, big_body, big_digest
from tests.support.waiting import until
from tests.support.wire import connect, read_until

GIB = 1 << 30
ALLOWED = 8 << 20  # bytes of growth
STALL_AT = 64 << 20


class Resident:
    """The largest resident set of a process since the first look, as growth."""

    def __init__(self, pid: int) -> None:
        self.pid, self.first, self.most = pid, resident_bytes(pid), 0

    def look(self) -> None:
        self.most = max(self.most, resident_bytes(self.pid) - self.first)


def test_a_gibibyte_to_a_client_that_reads_slowly(directory: Path) -> None:
    with BigBody(GIB) as upstream, Gateway(directory, one_route(upstream.address)) as gateway:
        resident = Resident(gateway.workers()[0])
        with connect(gateway.data) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
            body = read_until(sock, b"\r\n\r\n").partition(b"\r\n\r\n")[2]
            digest, length = hashlib.sha256(body), len(body)
            # The client reads nothing until the upstream can send no more: backpressure has reached it.
            seen = -1

            def stalled() -> bool:
                nonlocal seen
                before, seen = seen, upstream.sent
                return before == seen

            until(stalled, "the upstream is held back")
            assert upstream.sent < STALL_AT
            resident.look()
            while length < GIB:
                piece = sock.recv(8192 if length < 4 << 20 else 1 << 20)
                assert piece, f"the answer ended after {length} bytes"
                digest.update(piece)
                length += len(piece)
                if length % (16 << 20) < len(piece):
                    resident.look()
        assert (length, digest.hexdigest()) == (GIB, big_digest(GIB))
        assert resident.most < ALLOWED


def test_a_gibibyte_to_an_upstream_that_reads_slowly(directory: Path) -> None:
    with SlowReader(step=1 << 18) as upstream:
        config = {**one_route(upstream.address), "limits": {"body_bytes": 2 * GIB}}
        with Gateway(directory, config) as gateway, connect(gateway.data) as sock:
            resident = Resident(gateway.workers()[0])
            sock.sendall(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % GIB)
            sent = _send_until_stalled(sock)
            assert sent < STALL_AT
            resident.look()
            upstream.go.set()
            for block in _rest(sent):
                sock.sendall(block)
                sent += len(block)
                if sent % (16 << 20) < len(block):
                    resident.look()
            assert b" 200 " in read_until(sock, b"\r\n\r\n")
        assert (upstream.length, upstream.digest.hexdigest()) == (GIB, big_digest(GIB))
        assert resident.most < ALLOWED


def _send_until_stalled(sock: socket.socket) -> int:
    """Sends the body until the socket has taken nothing for a second: the upstream does not read."""
    sock.settimeout(1.0)
    sent = 0
    try:
        for block in big_body(GIB):
            view = memoryview(block)
            while view:
                taken = sock.send(view)
                sent += taken
                view = view[taken:]
    except TimeoutError:
        return sent
    finally:
        sock.settimeout(60.0)
    raise AssertionError("the gateway took a whole gibibyte that nobody read")


def _rest(sent: int) -> Iterator[bytes]:
    at = 0
    for block in big_body(GIB):
        if at + len(block) > sent:
            yield block[max(0, sent - at) :]
        at += len(block)
