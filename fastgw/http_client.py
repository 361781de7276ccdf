"""HTTP/1.1 requests to other servers, on the event loop of whoever asks.

Owns: connections to one origin and their reuse, TLS, the deadline and the sizes of an answer; and that nothing that is sent can
be read as another request. Must not know: who asks, or why. Redirects are answers like any other; proxies of the environment
are not used. Answers are parsed by llhttp (httptools), which is strict unless told otherwise.
"""

import asyncio
import re
import ssl
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import httptools

from fastgw.errors import FastgwError

__all__ = ["Answer", "Client", "Fields", "UnreachableError", "split_url"]

Fields = list[tuple[str, str]]

MOST_HEAD: Final = 65536  # bytes that an answer may have beside its body, interim answers included
CHUNKED: Final = 9  # and that each byte of a body may take on the way, where it comes in chunks
MOST_BODY: Final = 1048576
MOST_INTERIM: Final = 16  # answers of status 1xx before the final one
OURS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect", "te", "trailer", "upgrade"})
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]")
_TARGET: Final = re.compile(r"[!-~]+")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class UnreachableError(FastgwError):
    """No answer, or none that HTTP allows; the message says why, without a part of what was asked. `status`: that of an answer
    which broke off behind its head, 0 where there was none."""

    def __init__(self, why: str, status: int = 0) -> None:
        super().__init__(why)
        self.status = status


class Answer(NamedTuple):
    """One whole answer; field names as they came."""

    status: int
    fields: Fields
    body: bytes

    def values(self, name: str) -> list[str]:
        """Every value of that field."""
        return [value for found, value in self.fields if found.lower() == name.lower()]


class Client:
    """One URL to ask, and the idle connections to its origin."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        verify: bool = True,
        idle: float = 60.0,
        keep: int = 5,
        most_body: int = MOST_BODY,
    ) -> None:
        """timeout: seconds for everything from connecting to the end of the answer. idle: seconds that a connection is kept;
        keep: how many, 0 for none. ValueError: no URL that can be asked."""
        self.scheme, self.host, self.port, self._authority, self._target = split_url(url)
        self._timeout = timeout
        self._verify = verify
        self._idle_s = idle
        self._keep = keep
        self._most_body = most_body
        self._free: list[_Connection] = []
        self._context: ssl.SSLContext | None = None

    @property
    def origin(self) -> str:
        """Scheme and authority: what may be logged of the URL."""
        return f"{self.scheme}://{self._authority}"

    async def ask(self, method: str, fields: Fields, body: bytes | None = None) -> Answer:
        """One request; the framing is ours. ValueError: a method or field that HTTP does not allow."""
        head = self._head(method, fields, body)
        return await self.send(head if body is None else head + body)

    async def send(self, request: bytes, *, head_only: bool = False) -> Answer:
        """One request that was written elsewhere, byte for byte. head_only: nobody needs more of its answer than the head, as of
        HEAD, whose answers have no more."""
        seen = _Seen()
        seen.suffices = head_only
        try:
            return await asyncio.wait_for(self._exchange(request, seen), self._timeout)
        except asyncio.TimeoutError:
            raise UnreachableError(f"no answer within {self._timeout:g} s", seen.status) from None
        except (OSError, UnicodeError) as error:  # the latter: a host that no name server takes
            raise UnreachableError(str(error) or type(error).__name__) from None

    def close(self) -> None:
        """Closes what is idle."""
        while self._free:
            self._free.pop().close()

    def _head(self, method: str, fields: Fields, body: bytes | None) -> bytes:
        lines = [f"{method} {self._target} HTTP/1.1", f"Host: {self._authority}"]
        if not _TOKEN.fullmatch(method):
            raise ValueError(f"method: expected a token, found {method!r}")
        for name, value in fields:
            if not _TOKEN.fullmatch(name) or _CONTROL.search(value):
                raise ValueError(f"header {name!r}: a name or value with control bytes")
            if name.lower() in OURS:
                raise ValueError(f"header {name!r}: the client sets it itself")
            lines.append(f"{name}: {value}")
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        if not self._keep:
            lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    async def _exchange(self, request: bytes, seen: "_Seen") -> Answer:
        while True:
            reused = bool(self._free)
            connection = self._free.pop() if reused else await self._connect()
            try:
                answer = await connection.exchange(request, self._most_body, seen)
            except _Stale:
                if reused:
                    continue  # closed by the other side as it idled, before it saw the request
                raise UnreachableError("the connection was closed without an answer") from None
            finally:
                if not connection.reusable:
                    connection.close()
            if connection.reusable:
                self._put_back(connection)
            return answer

    def _put_back(self, connection: "_Connection") -> None:
        if len(self._free) >= self._keep:
            connection.close()
            return
        self._free.append(connection)
        connection.idle(self._idle_s, lambda: self._free.remove(connection) if connection in self._free else None)

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        options: dict[str, Any] = {}
        if self.scheme == "https":
            options = {"ssl": self._tls(), "server_hostname": self.host}
        _, connection = await loop.create_connection(_Connection, self.host, self.port, **options)
        return connection

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            context = ssl.create_default_context()
            if not self._verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            self._context = context
        return self._context


class _Seen:
    """What has come of an answer, for whoever gives up waiting for the rest."""

    status = 0  # of the final answer, when its head is here
    suffices = False  # its head does


class _Stale(Exception):  # noqa: N818 (a turn, no error)
    """The connection ended before a byte of the answer."""


class _Connection(asyncio.Protocol):
    """One connection, and at most one request on it. httptools calls the methods on_…"""

    def __init__(self) -> None:
        self.reusable = False
        self._transport: asyncio.Transport
        self._waiter: asyncio.Future[Answer] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._forget: Any = None

    async def exchange(self, request: bytes, most_body: int, seen: _Seen) -> Answer:
        """Sends a request and gives its answer; `reusable` then tells whether another may follow."""
        self.reusable = False
        self._left()
        if self._transport.is_closing():
            raise _Stale
        self._most_body = most_body
        self._told = seen
        self._seen = self._interim = 0
        self._parser = httptools.HttpResponseParser(self)
        self._begin()
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._waiter
        except asyncio.CancelledError:
            self.reusable = False  # the answer may be here, but nobody takes it, nor puts the connection back
            raise
        finally:
            self._waiter = None

    def idle(self, seconds: float, forget: Any) -> None:
        """Nobody needs it now. It closes itself after a time, or when the other side does, and says so."""
        self._forget = forget
        self._timer = asyncio.get_running_loop().call_later(seconds, self.close)

    def close(self) -> None:
        """Cuts it."""
        self._left()
        self._transport.abort()

    def _left(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._forget is not None:
            self._forget()
            self._forget = None

    # what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:
            self.close()  # nobody asked
            return
        if self._waiter.done():
            self.reusable = False  # more than the answer
            return
        self._seen += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.reusable = False
            self._fail(f"no HTTP/1.1 answer ({type(error).__name__})")
        if self._seen > MOST_HEAD + CHUNKED * self._size:
            self._fail("an answer with too long a head or framing")

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        self._left()
        if self._waiter is None or self._waiter.done():
            return
        if self._seen == 0:
            self._waiter.set_exception(_Stale())
        elif exc is None and self._in_body and self._until_close:
            self._finish()
        else:
            self._fail("the connection was closed in the middle of the answer")

    # what the parser calls

    def on_message_begin(self) -> None:
        if self._waiter is None or self._waiter.done():
            self.reusable = False  # a second answer to one question, be it a byte of it
            return
        self._begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:
            return  # a trailer, which says nothing here (RFC 9110 section 6.5.1)
        self._fields.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        framed = {name.lower() for name, _ in self._fields} & {"content-length", "transfer-encoding"}
        self._until_close = not framed
        self._in_body = True
        if (status := self._parser.get_status_code()) >= 200:
            self._told.status = status
            if self._told.suffices and self._waiter is not None and not self._waiter.done():
                self._finish()  # what follows, if anything, is read by nobody

    def on_body(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._most_body:
            self._fail("an answer that is too long")
            return
        self._body += piece

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:
            self._in_body = False  # the final one follows
            self._interim += 1
            if self._interim > MOST_INTERIM:
                self._fail("too many interim answers")
            return
        if self._waiter is not None and not self._waiter.done():
            self.reusable = self._parser.should_keep_alive()
            self._finish()

    def _begin(self) -> None:
        self._fields: Fields = []
        self._body = bytearray()
        self._size = 0
        self._in_body = self._until_close = False

    def _finish(self) -> None:
        assert self._waiter is not None  # noqa: S101
        self._waiter.set_result(Answer(self._parser.get_status_code(), self._fields, bytes(self._body)))

    def _fail(self, why: str) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(UnreachableError(why, self._told.status))


def split_url(url: str) -> tuple[str, str, int, str, str]:
    """Scheme, host, port, authority and target of a URL that can be asked; ValueError says what is wrong, and not the URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("expected a host, and a port from 1 to 65535 if any") from None
    if port == 0:
        raise ValueError("expected a host, and a port from 1 to 65535 if any")
    if parts.scheme not in _DEFAULT_PORTS or not host:
        raise ValueError("expected http:// or https:// and a host")
    if "@" in parts.netloc:
        raise ValueError("expected no user name or password in it")
    if parts.fragment or "#" in url:
        raise ValueError("expected no fragment")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not _TARGET.fullmatch(target) or not _TARGET.fullmatch(parts.netloc):
        raise ValueError("expected visible ASCII only")
    return parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme], parts.netloc, target
