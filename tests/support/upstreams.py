"""Upstreams whose every byte and pause the test decides: plain sockets in threads, one thread per connection.

For an ordinary upstream use `echo` or `httpbin` (servers.py).
"""

import contextlib
import hashlib
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fastgw.echo import BLOCK_BYTES, block
from tests.support.wire import TIMEOUT, Address

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Upstream:
    """A listening socket that hands each connection to `talk`; subclasses say what happens there.

    `received` holds what came in, one entry per connection in order of acceptance. An exception in `talk`
    is raised again when the context ends, so that a broken upstream fails its test.
    """

    def __init__(self, path: Path | None = None, host: str = "127.0.0.1", port: int = 0) -> None:
        """path: a unix socket, instead of a port, which is in `address`."""
        self.received: list[bytearray] = []
        self.failures: list[BaseException] = []
        self.closing = threading.Event()
        self._arrived = threading.Condition()
        self._open: list[socket.socket] = []
        if path is None:
            self._listener = socket.create_server((host, port))
            self.address = Address(*self._listener.getsockname())
        else:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(path))
            self._listener.listen()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def talk(self, sock: socket.socket, index: int) -> None:
        """What to do with the index-th connection; returning closes it."""
        raise AssertionError("an Upstream says in `talk` what it does")

    def __enter__(self) -> "Upstream":
        self._threads[0].start()
        return self

    def __exit__(self, exc_type: object, *_: object) -> None:
        self.closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the accept, which close alone would not
        self._listener.close()
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(TIMEOUT)
        if exc_type is None and self.failures:
            raise self.failures[0]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(TIMEOUT)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            index = len(self.received)
            self.received.append(bytearray())
            self._open.append(sock)
            thread = threading.Thread(target=self._run, args=(sock, index), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, sock: socket.socket, index: int) -> None:
        try:
            self.talk(sock, index)
        except OSError as error:
            if not self.closing.is_set() and not isinstance(error, ConnectionError):
                self.failures.append(error)
        except BaseException as error:
            self.failures.append(error)
        finally:
            self._open.remove(sock)
            sock.close()

    # for `talk`

    def read(self, sock: socket.socket, index: int) -> bytes:
        """The next bytes of a connection, recorded; empty at its end."""
        piece = sock.recv(BLOCK_BYTES)
        with self._arrived:
            self.received[index] += piece
            self._arrived.notify_all()
        return piece

    def read_request(self, sock: socket.socket, index: int) -> bytes:
        """One whole request, or what came of it before the connection ended."""
        start = len(self.received[index])
        while (end := request_end(bytes(self.received[index][start:]))) is None:
            if not self.read(sock, index):
                return bytes(self.received[index][start:])
        return bytes(self.received[index][start : start + end])

    # for the test

    @property
    def open(self) -> int:
        """Connections that neither side has ended."""
        return len(self._open)

    def wait_for(self, mark: bytes, index: int = 0) -> bytes:
        """What the index-th connection has received, once `mark` is among it."""

        def there() -> bool:
            return index < len(self.received) and mark in self.received[index]

        with self._arrived:
            assert self._arrived.wait_for(there, TIMEOUT), f"never received {mark!r}: {self.received!r}"
            return bytes(self.received[index])


class Scripted(Upstream):
    """Answers exact bytes: `script[i]` is for the i-th connection (the last repeats), one item per request.

    An item is the bytes to send, or a list of pieces sent one by one. After the last item of a connection it
    closes the connection, or with `keep_open` holds it until the other side or the test ends it.
    """

    def __init__(self, *script: Sequence[bytes | Sequence[bytes]], keep_open: bool = False) -> None:
        super().__init__()
        self.script = script or ([OK],)
        self.keep_open = keep_open

    def talk(self, sock: socket.socket, index: int) -> None:
        for answer in self.script[min(index, len(self.script) - 1)]:
            if not self.read_request(sock, index):
                return
            for piece in [answer] if isinstance(answer, bytes) else answer:
                sock.sendall(piece)
        while self.keep_open and self.read(sock, index):
            pass


class Answering(Upstream):
    """Answers each request with what `respond` makes of it, on kept connections."""

    def __init__(self, respond: Callable[[bytes], bytes] = lambda request: OK, *where: Any, **named: Any) -> None:
        super().__init__(*where, **named)
        self.respond = respond

    def talk(self, sock: socket.socket, index: int) -> None:
        while request := self.read_request(sock, index):
            sock.sendall(self.respond(request))


class SlowReader(Upstream):
    """Reads a request's head, then nothing of its body until `go` is set; then hashes the body and answers.

    With `step` it goes on in pieces of that size, `pause` seconds apart. Its receive buffer is small, so that
    the gateway feels it at once. `digest` and `length` tell of the body. Needs Content-Length.
    """

    def __init__(self, step: int = BLOCK_BYTES, pause: float = 0.0) -> None:
        super().__init__()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BLOCK_BYTES)
        self.step, self.pause = step, pause
        self.go = threading.Event()
        self.length, self.digest = 0, hashlib.sha256()

    def talk(self, sock: socket.socket, index: int) -> None:
        head = bytearray()
        while b"\r\n\r\n" not in head:
            head += sock.recv(1) or b"\r\n\r\n"
        with self._arrived:
            self.received[index] += head
            self._arrived.notify_all()
        expected = content_length(bytes(head))
        assert expected is not None, f"no Content-Length in {bytes(head)!r}"
        assert self.go.wait(TIMEOUT), "the test never let the upstream read on"
        while self.length < expected and (piece := sock.recv(self.step)):
            self.length += len(piece)
            self.digest.update(piece)
            if self.pause and self.closing.wait(self.pause):
                return
        sock.sendall(OK)


class SlowWriter(Upstream):
    """Answers with `pieces`, `pause` seconds apart, then closes."""

    def __init__(self, pieces: Sequence[bytes], pause: float) -> None:
        super().__init__()
        self.pieces, self.pause = pieces, pause

    def talk(self, sock: socket.socket, index: int) -> None:
        self.read_request(sock, index)
        for piece in self.pieces:
            sock.sendall(piece)
            if self.closing.wait(self.pause):
                return


class BigBody(Upstream):
    """Answers each request with `length` bytes of the numbered blocks; `sent` counts what the kernel took."""

    def __init__(self, length: int, chunked: bool = False) -> None:
        super().__init__()
        self.length, self.chunked, self.sent = length, chunked, 0

    def talk(self, sock: socket.socket, index: int) -> None:
        framing = b"Transfer-Encoding: chunked" if self.chunked else b"Content-Length: %d" % self.length
        while self.read_request(sock, index):
            sock.sendall(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
            for piece in big_body(self.length):
                sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if self.chunked else piece)
                self.sent += len(piece)
            if self.chunked:
                sock.sendall(b"0\r\n\r\n")


def big_body(length: int) -> Iterator[bytes]:
    """The same bytes that the echo upstream's /bytes serves, piece by piece."""
    for start in range(0, length, BLOCK_BYTES):
        yield block(start // BLOCK_BYTES)[: length - start]


def big_digest(length: int) -> str:
    digest = hashlib.sha256()
    for piece in big_body(length):
        digest.update(piece)
    return digest.hexdigest()


# ---- just enough of HTTP to know where a request ends --------------------------------------------


def content_length(head: bytes) -> int | None:
    found = re.search(rb"(?im)^content-length:[ \t]*(\d+)[ \t]*\r$", head)
    return int(found[1]) if found else None


def request_end(data: bytes) -> int | None:
    """Offset behind the first request in `data`; None while it is not whole."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head, body = data[: end + 2], end + 4
    if re.search(rb"(?im)^transfer-encoding:.*chunked[ \t]*\r$", head):
        return chunked_end(data, body)
    whole = body + (content_length(head) or 0)
    return whole if len(data) >= whole else None


def chunked_end(data: bytes, at: int) -> int | None:
    while (line := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:line].partition(b";")[0], 16)
        at = line + 2 + size + 2
        if size == 0:
            trailer_end = data.find(b"\r\n\r\n", line)  # the size line's own CRLF ends an empty trailer
            return trailer_end + 4 if trailer_end >= 0 else None
    return None
