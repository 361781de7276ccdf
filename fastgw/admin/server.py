"""A small HTTP/1.1 server for the Admin listener: bytes in, one Request to a handler, one Reply out.

Owns: framing, bounds on what a peer may send and how slowly, keep-alive, the headers every answer
carries. Must not know: resources, keys, the store. Requests of one connection are answered in order;
while one is being answered nothing more is read. A handler that fails is logged here and answered
with 500, so a client never sees a traceback.
"""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Final, NamedTuple, cast

import httptools

from fastgw.admin.envelope import Reply, error

__all__ = ["Admission", "Handler", "Request", "Server"]

MAX_HEAD: Final = 32 * 1024
MAX_HEADERS: Final = 100
MAX_BODY: Final = 1_572_864  # APISIX's limit, 1.5 MiB
MAX_CONNECTIONS: Final = 1024
IDLE_TIMEOUT_S: Final = 60.0
HEAD_TIMEOUT_S: Final = 10.0  # from the first byte of a head to its end
BODY_TIMEOUT_S: Final = 60.0  # also for a peer that does not read its answer
LINGER_TIMEOUT_S: Final = 5.0  # for a refused peer to notice
STOP_TIMEOUT_S: Final = 10.0  # how long a stop waits for answers that are due; live-on-return takes up to 5 s

log = logging.getLogger("fastgw.admin")


class Request(NamedTuple):
    """One whole request; header names are lower-case, a repeated header is joined with commas."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    peer: str | None  # None: a unix socket
    admitted: Any = None  # what was found out of the head when it was admitted


class Admission(NamedTuple):
    """A head whose body is wanted."""

    found: Any = None
    """What the handler is to know of it, as `Request.admitted`."""
    max_body: int | None = None
    """How large the body may be; None: the usual size."""


Handler = Callable[[Request], Awaitable[Reply]]
Admit = Callable[[Request], Reply | Admission]
"""What is said to a head: the answer, where nobody will look at the body, or its admission."""


class Server:
    """What the connections share."""

    def __init__(
        self, handler: Handler, software: str, max_body: int = MAX_BODY, admit: Admit = lambda head: Admission()
    ) -> None:
        self.handler = handler
        self.max_body = max_body
        self.admit = admit
        self.software = software  # the Server header
        self.connections: set[Connection] = set()
        self.answering: set[asyncio.Task[None]] = set()  # outlive their connections: a write goes on whose client has gone
        self.stopping = False
        self._listeners: list[asyncio.AbstractServer] = []
        self._empty = asyncio.Event()

    async def listen(self, sock: socket.socket) -> None:
        """Accepts from a socket that already listens, TCP or unix."""
        loop = asyncio.get_running_loop()
        create = loop.create_unix_server if sock.family == socket.AF_UNIX else loop.create_server
        self._listeners.append(await create(lambda: Connection(self), sock=sock))

    async def stop(self) -> None:
        """Accepts no more, lets answers that are due go out, then closes. Once this returns no handler runs."""
        for listener in self._listeners:
            listener.close()
        self.stopping = True
        for connection in list(self.connections):
            connection.finish()
        await asyncio.sleep(0)  # one that was accepted just now is made in the event loop's next turn
        self._settle()
        try:
            await asyncio.wait_for(self._empty.wait(), STOP_TIMEOUT_S)
        except asyncio.TimeoutError:
            for connection in list(self.connections):
                connection.abort()
            for task in list(self.answering):
                task.cancel()
            await asyncio.gather(*self.answering, return_exceptions=True)

    def forget(self, connection: "Connection") -> None:
        self.connections.discard(connection)
        self._settle()

    def answer(self, connection: "Connection") -> "asyncio.Task[None]":
        """The task of what a connection has asked."""
        task = asyncio.get_running_loop().create_task(connection.answer_all())
        self.answering.add(task)
        task.add_done_callback(self._answered)
        return task

    def _answered(self, task: "asyncio.Task[None]") -> None:
        self.answering.discard(task)
        self._settle()

    def _settle(self) -> None:
        if self.connections or self.answering:
            self._empty.clear()
        else:
            self._empty.set()


class _Refused(Exception):  # noqa: N818
    """What the peer sends is not wanted; the reply says why, and the connection ends."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply


class Connection(asyncio.Protocol):
    """One client connection: httptools calls the on_* methods while data_received feeds it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Request, bool, Reply | None]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._closing = False  # what still arrives is dropped
        self._refusal: Reply | None = None
        self._reset()

    def _reset(self) -> None:
        self._target = bytearray()
        self._headers: dict[str, str] = {}
        self._header_count = self._head_size = self._head_raw = 0
        self._body = bytearray()
        self._body_size = 0
        self._early: Reply | None = None  # the answer is known, and the body is not kept
        self._found: Any = None
        self._max_body = self._server.max_body
        self._in_head = self._in_body = False

    # Transport events

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername")
        self._peer: str | None = address[0] if isinstance(address, tuple) else None
        if len(self._server.connections) >= MAX_CONNECTIONS:
            log.warning("%d admin connections are open, closing a new one", MAX_CONNECTIONS)
            self._closing = True
            transport.close()
            return
        self._server.connections.add(self)
        self._wait_for(IDLE_TIMEOUT_S)
        if self._server.stopping:
            self.finish()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._wait_for(None)
        self._writable.set()
        self._server.forget(self)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        try:
            self._parser.feed_data(data)
            if self._in_head:
                self._head_raw += len(data)  # an unfinished header is not yet counted by on_header
                self._check_head()
        except httptools.HttpParserUpgrade:
            self._closing = True  # the request is answered as if it had not asked for an upgrade
        except (_Refused, httptools.HttpParserError) as exc:
            why = exc.__context__ if isinstance(exc, httptools.HttpParserCallbackError) else exc
            self._refuse(why.reply if isinstance(why, _Refused) else error(400, f"invalid request: {exc}"))
        else:
            self._expect()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # Parser events

    def on_message_begin(self) -> None:
        self._reset()
        self._in_head = True

    def on_url(self, part: bytes) -> None:
        self._target += part
        self._head_size += len(part)
        self._check_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_count += 1
        self._head_size += len(name) + len(value) + 4
        self._check_head()
        if not self._in_head:
            return  # a trailer: what decides about a request stands before its body
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        self._in_head, self._in_body = False, True
        method, target = self._parser.get_method().decode("latin-1"), self._target.decode("latin-1")
        admitted = self._server.admit(Request(method, target, self._headers, b"", self._peer))
        if isinstance(admitted, Reply):
            self._early = admitted
        else:
            self._found = admitted.found
            self._max_body = admitted.max_body or self._max_body
        length = self._headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > self._max_body:
            raise _Refused(self._early or self._too_large(int(length[:20])))
        if self._headers.get("expect", "").lower() == "100-continue" and not self._task:
            if self._early is not None:
                raise _Refused(self._early)
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        self._body_size += len(part)
        if self._body_size > self._max_body:
            raise _Refused(self._early or self._too_large(self._body_size))
        if self._early is None:
            self._body += part

    def on_message_complete(self) -> None:
        self._in_body = False
        method, target = self._parser.get_method().decode("latin-1"), self._target.decode("latin-1")
        request = Request(method, target, self._headers, bytes(self._body), self._peer, self._found)
        self._waiting.append((request, self._parser.should_keep_alive(), self._early))
        self._early = None
        if self._task is None:
            self._task = self._server.answer(self)
        else:
            self._transport.pause_reading()

    def _check_head(self) -> None:
        if max(self._head_size, self._head_raw) > MAX_HEAD or self._header_count > MAX_HEADERS:
            text = f"expected at most {MAX_HEAD} bytes and {MAX_HEADERS} headers"
            raise _Refused(error(431, f"invalid request head: {text}"))

    def _too_large(self, size: int) -> Reply:
        text = f"request size {size} is greater than the maximum size {self._max_body} allowed"
        return error(400, f"invalid request body: {text}")

    # Answers

    async def answer_all(self) -> None:
        """What has arrived, in order."""
        while self._waiting and not self._transport.is_closing():
            self._wait_for(None)
            request, keep, early = self._waiting.popleft()
            reply = early or await self._answer(request)
            last = self._closing and not self._waiting and self._refusal is None
            self._write(reply, keep and not last, request.method)
            self._wait_for(BODY_TIMEOUT_S)
            await self._writable.wait()
        self._task = None
        if self._transport.is_closing():
            return
        if self._refusal is not None:
            self._refuse(self._refusal)
        else:
            self._transport.resume_reading()
            self._expect()

    async def _answer(self, request: Request) -> Reply:
        try:
            return await self._server.handler(request)
        except Exception:
            log.exception("%s %s failed", request.method, request.target.partition("?")[0])
            return error(500, "internal error, the gateway's log has the details")

    def _write(self, reply: Reply, keep: bool, method: str) -> None:
        if self._transport.is_closing():
            return
        content = [f"Content-Type: {reply.content_type}", f"Content-Length: {len(reply.body)}"]
        lines = [
            f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}",
            f"Date: {formatdate(usegmt=True)}",
            *(content if reply.status != 304 else ()),  # they would be those of the 200 (RFC 9110 section 8.6)
            f"Connection: {'keep-alive' if keep and not self._closing else 'close'}",
            f"Server: {self._server.software}",
            *(f"{name}: {value}" for name, value in reply.headers),
        ]
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        self._transport.write(head if method == "HEAD" else head + reply.body)
        if not keep:
            self._closing = True
            self._transport.close()

    def _refuse(self, reply: Reply) -> None:
        """Answers after what is due before, then drops what the peer is still sending.

        Closing with unread bytes would reset the connection and take the answer with it.
        """
        self._closing = True
        if self._task is not None:
            self._refusal = reply
            return
        if self._transport.is_closing():
            return
        self._write(reply, keep=True, method="")
        self._transport.write_eof()
        self._wait_for(LINGER_TIMEOUT_S)

    # Time

    def _expect(self) -> None:
        """Sets the clock for what the peer has to send next."""
        if self._task is None and not self._closing:
            limit = HEAD_TIMEOUT_S if self._in_head else BODY_TIMEOUT_S if self._in_body else IDLE_TIMEOUT_S
            unwanted = self._in_head or self._early is not None
            if not (
                unwanted and self._timer_is == limit
            ):  # the clock of a head, or of a body for nobody, runs from the first byte
                self._wait_for(limit)

    def _wait_for(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_is = seconds
        self._timer = self._loop.call_later(seconds, self._on_timeout) if seconds is not None else None

    def _on_timeout(self) -> None:
        if self._closing or self._task is not None:
            self.abort()  # it does not read
        elif self._in_head or self._in_body:
            self._refuse(error(408, "the request did not arrive in time"))
        else:
            self._transport.close()

    def finish(self) -> None:
        """Closes after the answers that are due."""
        self._closing = True
        if self._task is None:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()
