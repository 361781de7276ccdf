"""The echo upstream's server: connections that read requests and write replies with backpressure.

Owns: reading, order of answers, the listening socket, the life of an echo process.
Must not know: what the paths mean (replies.py), the gateway.

A body is held only where the answer shows it; /digest hashes the pieces as they come, other paths drop them.
"""

import asyncio
import hashlib
import signal
import socket
from collections import deque
from collections.abc import AsyncIterator

import httptools
import uvloop

from fastgw.echo.replies import SHOW_BODY, Reply, Request, answer, head, json_reply
from fastgw.sockets import BACKLOG, Listener

ECHOED_BODY_BYTES = 64 * 1024 * 1024  # an echoed body is held in memory and escaped on its way back


class Connection(asyncio.Protocol):
    """One client: requests are answered in order, one at a time; reading stops while answers wait."""

    def __init__(self, open_connections: set["Connection"]) -> None:
        self.open_connections = open_connections
        self.parser = httptools.HttpRequestParser(self)
        self.waiting: deque[Request] = deque()
        self.sender: asyncio.Task[None] | None = None
        self.writable = asyncio.Event()
        self.writable.set()
        self.reading = True
        self.half_closed = False
        self.transport: asyncio.Transport

    # transport events

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if isinstance(peer, tuple) and peer else "unix"
        self.request = Request(self.peer)
        self.open_connections.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # no protocol to change to: the request was answered, with Connection: close
        except httptools.HttpParserCallbackError:
            raise  # a fault of ours, not of the bytes
        except httptools.HttpParserError as error:
            self.refuse(400, str(error))

    def eof_received(self) -> bool:
        self.half_closed = True
        return bool(self.waiting or self.sender)

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()
        self.advance()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open_connections.discard(self)
        self.waiting.clear()
        self.writable.set()
        if self.sender is not None:
            self.sender.cancel()

    # parser callbacks

    def on_message_begin(self) -> None:
        self.request = Request(self.peer)

    def on_url(self, url: bytes) -> None:
        self.request.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        headers, title = self.request.headers, name.decode("latin-1").title()
        seen = headers.get(title)
        headers[title] = value.decode("latin-1") if seen is None else f"{seen},{value.decode('latin-1')}"

    def on_headers_complete(self) -> None:
        request = self.request
        request.method = self.parser.get_method().decode()
        request.version = self.parser.get_http_version()
        request.keep_alive = self.parser.should_keep_alive() and not self.parser.should_upgrade()
        request.origin = request.headers.get("X-Forwarded-For", self.peer)
        first, _ = request.route()
        if first in SHOW_BODY:
            request.body = bytearray()
        elif first == "digest":
            request.digest = hashlib.sha256()
        if request.headers.get("Expect", "").lower() == "100-continue" and request.version == "1.1":
            request.wants_continue = True
            self.advance()

    def on_body(self, piece: bytes) -> None:
        request = self.request
        request.received += len(piece)
        if request.digest is not None:
            request.digest.update(piece)
        elif request.body is not None:
            if request.received > ECHOED_BODY_BYTES:
                self.refuse(413, f"body: expected at most {ECHOED_BODY_BYTES} bytes; /digest takes any length")
            else:
                request.body += piece

    def on_message_complete(self) -> None:
        self.request.wants_continue = False  # the client did not wait for it
        self.waiting.append(self.request)
        self.advance()

    # answers

    def refuse(self, status: int, message: str) -> None:
        """Answer what cannot be read on, and close: the rest of the stream has lost its meaning."""
        if self.transport.is_closing():
            return
        request = Request(self.peer)
        request.keep_alive = False
        reply = json_reply({"error": message}, status)
        if not self.sender and isinstance(reply.body, bytes):
            self.transport.write(head(request, reply)[0] + reply.body)
        self.transport.close()

    def advance(self) -> None:
        """Answer waiting requests until one needs time or the client stops reading."""
        while not self.transport.is_closing() and self.waiting and self.sender is None and self.writable.is_set():
            request = self.waiting.popleft()
            reply = answer(request)
            if reply.delay or not isinstance(reply.body, bytes):
                self.sender = asyncio.get_running_loop().create_task(self.send(request, reply))
                break
            start, _ = head(request, reply)
            self.transport.write(start if request.method == "HEAD" else start + reply.body)
            self.after(request)
        if self.transport.is_closing():
            return
        if self.request.wants_continue and not (self.waiting or self.sender):
            self.request.wants_continue = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self.half_closed:
            if not (self.waiting or self.sender):
                self.transport.close()
        elif self.reading == bool(self.waiting):
            self.reading = not self.reading
            (self.transport.resume_reading if self.reading else self.transport.pause_reading)()

    def after(self, request: Request) -> None:
        if not request.keep_alive:
            self.waiting.clear()
            self.transport.close()

    async def send(self, request: Request, reply: Reply) -> None:
        if reply.delay:
            await asyncio.sleep(reply.delay)
        start, chunked = head(request, reply)
        self.transport.write(start)
        if request.method != "HEAD":
            if isinstance(reply.body, bytes):
                self.transport.write(reply.body)
            else:
                await self.send_pieces(reply.body, chunked)
        self.sender = None
        self.after(request)
        self.advance()

    async def send_pieces(self, pieces: AsyncIterator[bytes], chunked: bool) -> None:
        async for piece in pieces:
            await self.writable.wait()
            self.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            self.transport.write(b"0\r\n\r\n")


async def serve(sock: socket.socket) -> None:
    """Answer on a bound socket until cancelled; then the open connections are closed."""
    loop = asyncio.get_running_loop()
    connections: set[Connection] = set()
    sock.setblocking(False)
    create = loop.create_unix_server if sock.family == socket.AF_UNIX else loop.create_server
    server = await create(lambda: Connection(connections), sock=sock, backlog=BACKLOG)
    try:
        await asyncio.Event().wait()
    finally:
        server.close()
        for connection in list(connections):
            connection.transport.abort()


async def serve_until_signalled(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    serving = loop.create_task(serve(sock))
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, serving.cancel)
    await asyncio.wait([serving])
    if not serving.cancelled():
        serving.result()


def run_on(sock: socket.socket) -> None:
    """Serve in this process, on a loop of its own, until TERM or INT: the whole life of an echo process."""
    uvloop.run(serve_until_signalled(sock))


def run(listen: str) -> None:
    """The command: listen, say where, serve. A taken address is an OSError that names it."""
    listener = Listener(listen, slots=1)
    try:
        print(f"fastgw echo: listening on {listener.text}", flush=True)
        run_on(listener.socket(0))
    finally:
        listener.remove()
