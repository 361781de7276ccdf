"""Requests with conditions and ranges, answered out of an answer that is kept (RFC 9111 section 4.3.2, RFC 9110 sections 13, 14).

Owns: which part of it is sent, under which status, with which of its header lines. Must not know where it is kept.
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from fastgw.cache.control import Fields, date, values

__all__ = ["Part", "part"]

_RANGE: Final = re.compile(r"(?i:bytes)=[ \t]*(\d*)-(\d*)[ \t]*")
_TAG: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_OF_304: Final = frozenset(
    {"cache-control", "content-location", "date", "etag", "expires", "last-modified", "vary", "set-cookie"}
)


class Part(NamedTuple):
    """What is sent."""

    status: int
    fields: Fields
    body: bytes


def part(header: Callable[[str], str | None], method: str, status: int, fields: Fields, body: bytes, stored: int) -> Part:
    """header: gives a header of the request; stored: when the answer was, in seconds since 1970."""
    if status != 200 or method not in ("GET", "HEAD"):
        return Part(status, fields, body)
    if _unchanged(header, fields, stored):
        return Part(304, [field for field in fields if field[0].lower() in _OF_304], b"")
    wanted = header("Range")
    if (
        wanted is None
        or method == "HEAD"
        or "none" in values(fields, "accept-ranges")
        or not _applies(header("If-Range"), fields)
    ):
        return Part(status, fields, body)
    match = _RANGE.fullmatch(wanted)
    if match is None or match[1] == match[2] == "":
        return Part(status, fields, body)  # several, or another unit: a server may send all (RFC 9110 section 14.2)
    return _range(match[1], match[2], fields, body)


def _range(first: str, last: str, fields: Fields, body: bytes) -> Part:
    size = len(body)
    if len(first) > 18 or len(last) > 18:
        start, end = size, size
    elif first:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
        if last and int(last) < int(first):
            return Part(200, fields, body)  # no range at all
    else:
        start, end = max(0, size - int(last)), size - 1
    if start > end or start >= size:
        return Part(416, [("Content-Range", f"bytes */{size}"), *_named(fields, "date")], b"")
    return Part(206, [("Content-Range", f"bytes {start}-{end}/{size}"), *fields], body[start : end + 1])


def _unchanged(header: Callable[[str], str | None], fields: Fields, stored: int) -> bool:
    tags = header("If-None-Match")
    if tags is not None:
        mine = values(fields, "etag")
        if tags.strip() == "*":
            return True
        return bool(mine) and _opaque(mine[0]) in {_opaque(tag) for tag in _TAG.findall(tags)}
    since = header("If-Modified-Since")
    moment = None if since is None else date(since)
    if moment is None:
        return False
    for name in ("last-modified", "date"):
        told = values(fields, name)
        made = date(told[0]) if told else None
        if made is not None:
            return made <= moment
    return stored <= moment


def _opaque(tag: str) -> str:
    """For the weak comparison (RFC 9110 section 8.8.3.2)."""
    return tag.removeprefix("W/")


def _applies(condition: str | None, fields: Fields) -> bool:
    """Whether If-Range lets a range be sent: by a strong tag, or the exact date (RFC 9110 section 13.1.5)."""
    if condition is None:
        return True
    if condition.startswith('"'):
        return condition in values(fields, "etag")
    return not condition.startswith("W/") and condition in values(fields, "last-modified")


def _named(fields: Fields, *names: str) -> Fields:
    return [field for field in fields if field[0].lower() in names]
