"""What a client may get of what an upstream said, by the route: another status or body, a coding, or what was kept of it.

Owns: what plugins (plugged.py) make of an answer, and what they answer themselves. Must not know lines or time.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

from fastgw.plugins.codings import brotli
from tests.fuzz import asked as requests
from tests.fuzz.plugged import AFTER, BEFORE, MOCKED, MOST_SEARCHED, ORIGIN, REPLACED, SEARCHED, STRUCK
from tests.fuzz.scene import FIXED, SAID, swapped
from tests.oracle import http1

# No 500: nothing in here may fail.
OWN_STATUS = {400, 401, 404, 405, 408, 413, 414, 417, 431, 501, 502, 503, 504, 505}
OWN_BODY = re.compile(rb'(?:\{"(?:error_msg|message)":"[^"]*"(?:,"reason":"[a-z_.]+","request_id":"(?:[^"\\]|\\.)*")?\}\n)?\Z')
CODING = {b"gzip", b"brotli", b"mixed"}
KEEPING = {b"cache", b"cache-told", b"mixed"}
FILTERED = {b"echo", b"mixed", b"swap", b"swap-coded", b"filters"}
_STATUS = {b"to-200": 200, b"to-204": 204}
_REDIRECTS = {b"redirect": (302,), b"goto": (302,), b"moved": (308,), b"secure": (301, 308)}
_KEPT = {200, 301, 404}
_NOT_KEPT = {b"no-store", b"private", b"no-cache"}


def is_bare(message: http1.Message, asked: http1.Message) -> bool:
    """Whether there is no body to be seen."""
    return asked.start[0] == b"HEAD" or message.status in (204, 304)


def may_be_of(message: http1.Message, asked: http1.Message, said: http1.Message) -> bool:
    """Whether an answer is what the upstream said, as this route gives it; one that looks whole must be."""
    name = requests.route(asked)
    if message.status != _STATUS.get(name, said.status):
        return False
    if is_bare(message, asked):
        return True
    if message.status == 205 and name in FILTERED:  # has no content (RFC 9110 section 15.3.6), whatever came and comes
        return not message.body
    if name == b"fixed":  # before the upstream's own ends
        fixed = FIXED if message.status != 205 else b""
        return message.body == fixed or (not message.whole and fixed.startswith(message.body))
    looks_whole = ends_itself(message)
    return any(_fits(body, looks_whole, said, wanted) for body in shown(message, name) for wanted in bodies(asked, said))


def ends_itself(message: http1.Message) -> bool:
    """Whether it is whole beyond doubt: one that ends with its connection may have been cut."""
    return message.whole and bool(message.values(b"content-length") or message.values(b"transfer-encoding"))


def _fits(body: bytes, looks_whole: bool, said: http1.Message, wanted: bytes) -> bool:
    return said.whole and body == wanted if looks_whole else wanted.startswith(body)


def bodies(asked: http1.Message, said: http1.Message) -> list[bytes]:
    """What the route makes of a body that the upstream sent."""
    name = requests.route(asked)
    if (said.status == 205 and not said.body) or (name in _STATUS and said.status in (204, 205, 304)):
        return [b""]  # has no content (RFC 9110 section 15.3.6)
    if name in (b"swap", b"swap-coded"):  # what has no body is not filtered
        return [swapped(said.body)] if name == b"swap" and said.body else [said.body, swapped(said.body)]
    if name == b"filters":
        return _searched(said)
    if name == b"echo":
        return [BEFORE + said.body + AFTER]
    if name == b"mixed":
        return [BEFORE + each + AFTER for each in _searched(said)]
    return [said.body]


def _searched(said: http1.Message) -> list[bytes]:
    """With numbers replaced: of a part, or of what nobody can read, nothing is."""
    codings = said.values(b"content-encoding")
    if said.status == 206 or any(part and not part[:-1].count(b"*") for part in said.values(b"content-range")[:1]):
        return [said.body]
    if codings not in ([], [b""]):
        plain = [each for coding in codings for each in _decoded(said.body, coding.lower(), whole=True)]
        return [said.body, *map(_replaced, plain)]
    return [_replaced(said.body) if len(said.body) <= MOST_SEARCHED else said.body]


def _names_a_part(said: http1.Message) -> bool:
    """Whether it tells where its body lies in another (RFC 9110 section 14.4), and not of the connection alone."""
    ranges = said.values(b"content-range")[:1]
    hop = {http1.folded(each.strip()) for line in said.values(b"connection") for each in line.split(b",")}
    return b"content-range" not in hop and any(each and b"*" not in each[:-1] for each in ranges)


def _replaced(body: bytes) -> bytes:
    return re.sub(SEARCHED.encode(), REPLACED.replace("$", "\\").encode(), body)


def shown(message: http1.Message, name: bytes) -> Iterator[bytes]:
    """The body as a client reads it: without its coding, where it may be the gateway's."""
    yield message.body
    if name in CODING:
        for coding in message.values(b"content-encoding"):
            yield from _decoded(message.body, coding, whole=ends_itself(message))


def _decoded(body: bytes, coding: bytes, *, whole: bool) -> Iterator[bytes]:
    """The body without it, as far as there is any; nothing where it is not in that coding."""
    try:
        if coding == b"gzip":
            gzip = zlib.decompressobj(16 + zlib.MAX_WBITS)
            plain = gzip.decompress(body)
            if not gzip.unused_data and (gzip.eof or not whole):
                yield plain
        elif coding == b"br" and brotli() is not None:
            decoder = brotli().Decompressor()
            plain = decoder.process(body)
            if decoder.is_finished() or not whole:
                yield plain
    except Exception:
        return


# ---- out of the cache ----------------------------------------------------------------------------


def may_be_kept(message: http1.Message, asked: http1.Message, first: http1.Message, said: http1.Message) -> bool:
    """Whether an answer is what an upstream once said to `first`, which had the same question."""
    if asked.start[0] not in (b"GET", b"HEAD") or first.start[0] != b"GET" or not said.whole or said.status not in _KEPT:
        return False
    if requests.route(asked) != requests.route(first) or requests.path(asked) != requests.path(first):
        return False
    if requests.query(asked) != requests.query(first) and requests.route(asked) != b"mixed":
        return False
    if not _may_keep(first, said) or not _chosen_alike(asked, first, said):
        return False
    return _part_of(message, asked, said)


def _may_keep(first: http1.Message, said: http1.Message) -> bool:
    control = b",".join(said.values(b"cache-control")).lower()
    told = {each.partition(b"=")[0].strip() for each in control.split(b",")}
    if not _NOT_KEPT.isdisjoint(told) or said.values(b"set-cookie"):
        return False
    return not requests.named(first, b"authorization") or not told.isdisjoint({b"public", b"must-revalidate", b"s-maxage"})


def _chosen_alike(asked: http1.Message, first: http1.Message, said: http1.Message) -> bool:
    names = {name.strip().lower() for line in said.values(b"vary") for name in line.split(b",")} - {b""}
    return b"*" not in names and all(_value(asked, name) == _value(first, name) for name in names)


def _value(message: http1.Message, name: bytes) -> bytes | None:
    said = requests.named(message, name)
    return b",".join(each.replace(b" ", b"") for each in said) if said else None


def _part_of(message: http1.Message, asked: http1.Message, said: http1.Message) -> bool:
    name = requests.route(asked)
    if message.status == 304:
        return any(requests.named(asked, each) for each in (b"if-none-match", b"if-modified-since"))
    if message.status in (206, 416) and said.status == 200:
        if not requests.named(asked, b"range"):
            return False
        return message.status == 416 or any(_inner(body, name) in said.body for body in shown(message, name))
    if message.status != said.status:
        return False
    if is_bare(message, asked):
        return True
    return any(not message.whole or body == wanted for body in shown(message, name) for wanted in bodies(asked, said))


def _inner(body: bytes, name: bytes) -> bytes:
    return body.removeprefix(BEFORE).removesuffix(AFTER) if name in (b"echo", b"mixed") else body


# ---- the gateway's own ---------------------------------------------------------------------------


def check_own(message: http1.Message, asked: http1.Message) -> None:
    """An answer that no upstream gave is one of the few that the gateway makes itself."""
    name = requests.route(asked)
    found = any(_is_own(message, asked, name, body) for body in _plain(message, name))
    assert found, f"nobody said {message}, asked {asked}"
    if name in _REDIRECTS and message.status < 400:
        _check_location(message, asked, name)


def _plain(message: http1.Message, name: bytes) -> Iterator[bytes]:
    """The body as it was before plugins were at it; what is refused before there is a route they do not see."""
    for body in shown(message, name):
        yield body
        yield _inner(body, name)
        if name == b"swap-coded" and message.values(b"content-encoding"):
            yield body[:-1].swapcase()


def _is_own(message: http1.Message, asked: http1.Message, name: bytes, body: bytes) -> bool:
    status, method = message.status, asked.start[0]
    if name == b"fixed" and message.whole and body == FIXED and status in OWN_STATUS:
        return True
    error = not message.whole or OWN_BODY.match(body) is not None
    if status in OWN_STATUS:
        return error
    if status == 200 and method == b"OPTIONS" and (message.values(b"allow") or name in (b"cors", b"cors-any", b"mixed")):
        return not body
    if status == 200 and method == b"PURGE" and name in KEEPING:
        return not body
    if status == _STATUS.get(name):
        return error
    own = {(b"say", 200): SAID, (b"mock", 200): MOCKED, (b"fault", 418): STRUCK}.get((name, status))
    if own is not None:
        return body == own or (own.startswith(body) and not message.whole) or is_bare(message, asked)
    return status in _REDIRECTS.get(name, ()) and not body


def _check_location(message: http1.Message, asked: http1.Message, name: bytes) -> None:
    """Where the configuration says, and on the host that was asked."""
    (location,) = message.values(b"location")
    place, given = requests.normal(asked), requests.query(asked)
    rest = b"?" + given if given else b""
    if name == b"redirect":
        assert location == b"/to/" + place.removeprefix(b"/redirect/") + rest, message
        return
    if name == b"goto":
        assert location.startswith(b"/"), message
        assert not location.startswith(b"//"), message
        return
    start, host, path = re.fullmatch(rb"(https://)([^/?#]*)(.*)", location, re.DOTALL).groups()  # type: ignore[union-attr]
    wanted = (b"/m" if name == b"moved" else b"") + place + rest
    assert (start, path) == (b"https://", wanted), message
    named = [each.lower() for each in requests.hosts(asked, [b""])]
    assert any(each.startswith(host.removesuffix(b".")) for each in named), message


# ---- who may read it -----------------------------------------------------------------------------


def check_readers(message: http1.Message, asked: http1.Message) -> None:
    """An answer that an upstream gave, or of those to OPTIONS, tells browsers what the route's configuration says."""
    name = requests.route(asked)
    if name not in (b"cors", b"cors-any", b"mixed") or message.status == 101:
        return
    told, origins = message.values(b"access-control-allow-origin"), requests.named(asked, b"origin")
    vary = {each.strip().lower() for line in message.values(b"vary") for each in line.split(b",")}
    assert not vary.isdisjoint({b"origin", b"*"}), message
    if origins == [ORIGIN] or (name == b"cors-any" and len(origins) == 1):
        assert told == origins, message
        assert message.values(b"access-control-allow-methods"), message
    elif name == b"cors-any":
        assert len(told) == 1 or len(origins) > 1, message
