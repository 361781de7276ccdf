"""What the echo upstream answers: plain functions from a Request to a Reply, in httpbin's shapes.

Owns: the paths, and the head of a reply. Must not know: sockets, the loop.
Multipart bodies are shown under `data`, not taken apart.
"""

import asyncio
import base64
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

import msgspec

BLOCK_BYTES = 65536  # one write of a long body, and the unit that `block` numbers
NOISE = b"".join(hashlib.sha256(i.to_bytes(4, "big")).digest() for i in range(BLOCK_BYTES // 32))
PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Request:
    """One parsed request. `body` collects what the answer shows, `digest` hashes it; else dropped."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.target = b""
        self.method = ""
        self.version = "1.1"
        self.headers: dict[str, str] = {}
        self.body: bytearray | None = None
        self.digest: Any = None  # hashlib publishes no type for its objects
        self.received = 0
        self.keep_alive = True
        self.wants_continue = False

    def route(self) -> tuple[str, str]:
        """First path segment and what follows it, decoded."""
        path = self.target.partition(b"?")[0].decode("latin-1")
        if not path.startswith("/"):  # absolute-form (RFC 9112 section 3.2.2): the path follows the authority
            path = "/" + path.partition("://")[2].partition("/")[2]
        first, _, rest = path[1:].partition("/")
        return first, unquote(rest)

    def args(self) -> dict[str, str | list[str]]:
        return collected(self.target.partition(b"?")[2].decode("latin-1"))

    def arg(self, name: str, default: str) -> str:
        value = self.args().get(name, default)
        return value if isinstance(value, str) else value[0]

    def url(self) -> str:
        scheme = self.headers.get("X-Forwarded-Proto", "http")
        return f"{scheme}://{self.headers.get('Host', '')}{self.target.decode('latin-1')}"


class Reply(NamedTuple):
    """An answer. A body that is an iterator is sent with `length`, or chunked when that is None."""

    body: bytes | AsyncIterator[bytes] = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    length: int | None = None
    delay: float = 0.0


class Refusal(Exception):  # noqa: N818 - an answer, not a failure of this server
    """The request cannot be answered as asked."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def collected(query: str) -> dict[str, str | list[str]]:
    """Form-encoded pairs as httpbin shows them: a name that repeats has a list."""
    out: dict[str, str | list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        seen = out.get(name)
        if seen is None:
            out[name] = value
        elif isinstance(seen, list):
            seen.append(value)
        else:
            out[name] = [seen, value]
    return out


def json_reply(value: object, status: int = 200, delay: float = 0.0) -> Reply:
    body = msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2) + b"\n"
    return Reply(body, status, (("Content-Type", "application/json"),), delay=delay)


def number(text: str, what: str, type_: type[int] | type[float] = int, most: float = 2**53) -> Any:
    try:
        value = type_(text)
    except ValueError:
        raise Refusal(404, f"{what}: expected a number, found {text!r}") from None
    if not 0 <= value <= most:
        raise Refusal(400, f"{what}: expected 0 to {most:g}, found {text!r}")
    return value


def block(index: int) -> bytes:
    """The index-th BLOCK_BYTES of the one endless body that /bytes cuts from.

    No two blocks are alike, so a lost, doubled or reordered piece changes the digest of the whole.
    """
    return index.to_bytes(8, "big") + NOISE[8:]


FIRST_BLOCK = block(0)


async def blocks(total: int, size: int = BLOCK_BYTES) -> AsyncIterator[bytes]:
    for index in range(-(-total // size)):
        yield block(index)[: min(size, total - index * size)]


def get(request: Request, rest: str) -> Reply:
    if request.method not in ("GET", "HEAD"):
        raise Refusal(405, f"/get: expected GET, found {request.method}")
    return json_reply(shown_request(request))


def shown_body(request: Request) -> dict[str, Any]:
    body = bytes(request.body or b"")
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return {"data": "", "files": {}, "form": collected(body.decode("utf-8", "replace")), "json": None}
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = "data:application/octet-stream;base64," + base64.b64encode(body).decode()
    try:
        parsed = msgspec.json.decode(body) if body else None
    except msgspec.DecodeError:
        parsed = None
    return {"data": text, "files": {}, "form": {}, "json": parsed}


def shown_request(request: Request) -> dict[str, Any]:
    """What /get shows, and every other view includes."""
    return {
        "args": request.args(),
        "headers": request.headers,
        "origin": request.origin,
        "url": request.url(),
    }


def anything(request: Request, rest: str, delay: float = 0.0) -> Reply:
    shown = {**shown_request(request), **shown_body(request), "method": request.method}
    return json_reply(shown, delay=delay)


def post(request: Request, rest: str) -> Reply:
    if request.method != "POST":
        raise Refusal(405, f"/post: expected POST, found {request.method}")
    return json_reply({**shown_request(request), **shown_body(request)})


def headers(request: Request, rest: str) -> Reply:
    return json_reply({"headers": request.headers})


def digest(request: Request, rest: str) -> Reply:
    return json_reply({"length": request.received, "sha256": request.digest.hexdigest()})


def fixed_bytes(request: Request, rest: str) -> Reply:
    total = number(rest, "/bytes")
    body = blocks(total) if total > BLOCK_BYTES else FIRST_BLOCK[:total]
    return Reply(body, headers=(("Content-Type", "application/octet-stream"),), length=total)


def stream_bytes(request: Request, rest: str) -> Reply:
    size = max(1, number(request.arg("chunk_size", "10240"), "chunk_size", most=BLOCK_BYTES))
    body = blocks(number(rest, "/stream-bytes"), size)
    return Reply(body, headers=(("Content-Type", "application/octet-stream"),))


def stream(request: Request, rest: str) -> Reply:
    shown = shown_request(request)
    count = number(rest, "/stream")

    async def lines() -> AsyncIterator[bytes]:
        for index in range(count):
            yield msgspec.json.encode({**shown, "id": index}) + b"\n"

    return Reply(lines(), headers=(("Content-Type", "application/json"),))


def drip(request: Request, rest: str) -> Reply:
    """`numbytes` bytes spread evenly over `duration` seconds, after `delay` seconds, with status `code`."""
    count = number(request.arg("numbytes", "10"), "numbytes", most=10 * 1024 * 1024)
    pause = number(request.arg("duration", "2"), "duration", float, 3600) / max(1, count)

    async def drops() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"*"
            await asyncio.sleep(pause)

    code = number(request.arg("code", "200"), "code", most=599)
    delay = number(request.arg("delay", "0"), "delay", float, 3600)
    return Reply(drops(), code, (("Content-Type", "application/octet-stream"),), length=count, delay=delay)


def status(request: Request, rest: str) -> Reply:
    code = number(rest, "/status", most=599)
    if code < 200:
        raise Refusal(400, f"/status: expected 200 to 599, found {rest!r}")
    return Reply(b"", code)


def delayed(request: Request, rest: str) -> Reply:
    return anything(request, rest, number(rest, "/delay", float, 3600))


def redirect_to(request: Request, rest: str) -> Reply:
    code = number(request.arg("status_code", "302"), "status_code", most=399)
    location = request.arg("url", "/")
    if any(ord(c) < 0x21 or ord(c) > 0x7E for c in location):
        raise Refusal(400, "url: expected printable ASCII")
    return Reply(b"", code if code >= 300 else 302, (("Location", location),))


ROUTES: dict[str, Callable[[Request, str], Reply]] = {
    "anything": anything,
    "bytes": fixed_bytes,
    "delay": delayed,
    "digest": digest,
    "drip": drip,
    "get": get,
    "headers": headers,
    "post": post,
    "redirect-to": redirect_to,
    "status": status,
    "stream": stream,
    "stream-bytes": stream_bytes,
}
SHOW_BODY = frozenset({"anything", "delay", "post"})


def answer(request: Request) -> Reply:
    first, rest = request.route()
    handler = ROUTES.get(first)
    try:
        if handler is None:
            raise Refusal(404, f"/{first}: expected one of {', '.join('/' + name for name in ROUTES)}")
        return handler(request, rest)
    except Refusal as refusal:
        return json_reply({"error": str(refusal)}, refusal.status)


class Clock:
    """The Date header, made once a second."""

    second = 0
    line = b""

    @classmethod
    def date(cls) -> bytes:
        now = int(time.time())
        if now != cls.second:
            cls.second, cls.line = now, b"Date: " + formatdate(now, usegmt=True).encode() + b"\r\n"
        return cls.line


def head(request: Request, reply: Reply) -> tuple[bytes, bool]:
    """The reply's head, and whether its body goes out chunked."""
    lines = [f"HTTP/1.1 {reply.status} {PHRASES.get(reply.status, 'Unknown')}\r\nServer: fastgw-echo\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in reply.headers]
    chunked = False
    if isinstance(reply.body, bytes) and reply.length is None:
        if reply.status not in (204, 304):  # neither has a body (RFC 9110 sections 15.3.5, 15.4.5)
            lines.append(f"Content-Length: {len(reply.body)}\r\n")
    elif reply.length is not None:
        lines.append(f"Content-Length: {reply.length}\r\n")
    elif request.version == "1.1":
        chunked = True
        lines.append("Transfer-Encoding: chunked\r\n")
    else:
        request.keep_alive = False  # to an HTTP/1.0 client the end of the connection ends the body
    if not request.keep_alive:
        lines.append("Connection: close\r\n")
    elif request.version == "1.0":
        lines.append("Connection: keep-alive\r\n")
    return "".join(lines).encode("latin-1") + Clock.date() + b"\r\n", chunked
