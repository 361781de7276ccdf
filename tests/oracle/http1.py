"""HTTP/1.1 messages read back from a stream, strictly: what a careful peer would make of the bytes (RFC 9112).

Owns: where one message ends and the next begins. Must not know the gateway. Anything that two readers might take
differently is MalformedError: the reader stops there.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import NamedTuple

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([!-~]+) HTTP/1\.([01])\Z")
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [\t -~\x80-\xff]*)?\Z")
FIELD = re.compile(rb"(" + TOKEN + rb"):[ \t]*([\t -~\x80-\xff]*?)[ \t]*\Z")
SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[\t -~\x80-\xff]*)?\Z")


class MalformedError(ValueError):
    """What stands next in the stream is no message."""


class Message(NamedTuple):
    """One message. `whole` is false where the stream ends, or breaks, inside its body; its bytes stand from `at` to `end`."""

    start: tuple[bytes, ...]
    fields: list[tuple[bytes, bytes]]
    body: bytes
    whole: bool
    at: int
    end: int

    def values(self, name: bytes) -> list[bytes]:
        """Values of the fields of that name (lower case) in any spelling that an upstream may fold into it."""
        return [value for found, value in self.fields if folded(found) == name]

    @property
    def said(self) -> tuple[object, ...]:
        """What it is, wherever it stands."""
        return self[:4]

    @property
    def status(self) -> int:
        return int(self.start[1])

    @property
    def final(self) -> bool:
        """Of an answer: whether none comes behind it, to the same request. Behind a 101 nothing is HTTP."""
        return self.status >= 200 or self.status == 101


@functools.lru_cache(4096)
def folded(name: bytes) -> bytes:
    """The name as CGI-like upstreams know it: case and punctuation do not count."""
    return re.sub(rb"[^a-z0-9]", b"-", name.lower())


def requests(stream: bytes) -> Iterator[Message]:
    """Requests in their order. A partial head at the end is not given; what is wrong raises after the last good one."""
    at = 0
    while at < len(stream):
        if stream.startswith(b"\r\n", at):
            at += 2  # one empty line may stand before a request line (section 2.2)
        begun = at
        head = _head(stream, at, REQUEST_LINE)
        if head is None:
            return
        start, fields, at = head
        chunked, length = _framing(fields, start[2] == b"1")
        body, at, whole = _chunks(stream, at) if chunked else _counted(stream, at, length or 0)
        yield Message(start, fields, body, whole, begun, at)
        if not whole:
            return


def answers(stream: bytes, methods: list[bytes], *, closed: bool) -> Iterator[Message]:
    """Answers to requests of these methods in their order, with the 1xx before them; `closed`: nothing comes any more.

    What stands behind a 101 is its body.
    """
    at = answered = 0
    while at < len(stream):
        begun = at
        head = _head(stream, at, STATUS_LINE)
        if head is None:
            return
        start, fields, at = head
        chunked, length = _framing(fields, start[0] == b"1")
        status = int(start[1])
        final = status >= 200
        bare = not final or status in (204, 304) or methods[answered : answered + 1] == [b"HEAD"]
        if status == 101:
            body, at, whole = stream[at:], len(stream), True
        elif bare:
            body, whole = b"", True
        elif chunked:
            body, at, whole = _chunks(stream, at)
        elif length is not None:
            body, at, whole = _counted(stream, at, length)
        else:
            body, at, whole = stream[at:], len(stream), closed
        yield Message(start, fields, body, whole, begun, at)
        answered += final
        if not whole or status == 101:
            return


def _head(stream: bytes, at: int, first: re.Pattern[bytes]) -> tuple[tuple[bytes, ...], list[tuple[bytes, bytes]], int] | None:
    """First line's parts, fields and where the body begins; None where the head is not complete."""
    end = stream.find(b"\r\n\r\n", at)
    if end < 0:
        return None
    lines = stream[at:end].split(b"\r\n")
    start = first.match(lines[0])
    fields = [FIELD.match(line) for line in lines[1:]]
    if start is None or None in fields:
        raise MalformedError(stream[at:end])
    return start.groups(), [(f[1], f[2]) for f in fields if f is not None], end + 4


def _framing(fields: list[tuple[bytes, bytes]], later: bool) -> tuple[bool, int | None]:
    """Whether the body is chunked, and its length if one is given (section 6.3)."""
    lengths = [value for name, value in fields if name.lower() == b"content-length"]
    codings = [value for name, value in fields if name.lower() == b"transfer-encoding"]
    if len(lengths) + len(codings) > 1 or (codings and (codings[0].lower() != b"chunked" or not later)):
        raise MalformedError(f"framing: {lengths} {codings}")
    if lengths and (not re.fullmatch(rb"[0-9]+", lengths[0]) or int(lengths[0]) >= 1 << 63):
        raise MalformedError(f"length: {lengths}")
    return bool(codings), int(lengths[0]) if lengths else None


def _counted(stream: bytes, at: int, length: int) -> tuple[bytes, int, bool]:
    body = stream[at : at + length]
    return body, at + len(body), len(body) == length


def _chunks(stream: bytes, at: int) -> tuple[bytes, int, bool]:
    """Payload, where the coding ends, and whether it does; a broken coding is one that never ends."""
    body = b""
    while True:
        end = stream.find(b"\r\n", at)
        line = SIZE_LINE.match(stream[at:end]) if end >= 0 else None
        if line is None:
            return body, at, False
        size = int(line[1], 16)
        at = end + 2
        if size == 0:
            while not stream.startswith(b"\r\n", at):
                end = stream.find(b"\r\n", at)
                if end < 0 or not FIELD.match(stream[at:end]):
                    return body, at, False
                at = end + 2
            return body, at + 2, True
        body += stream[at : at + size]
        if stream[at + size : at + size + 2] != b"\r\n":
            return body, at, False
        at += size + 2
