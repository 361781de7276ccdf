"""What goes upstream of a request, by the route that it is for: another target, method, Host, address or field.

Owns: the routes of requests, and what plugins (plugged.py) make of what was asked. Must not know lines, time or answers.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from tests.fuzz.plugged import OTHER, SHOWN, SMALL, TRUSTED
from tests.fuzz.scene import NAMES, REWRITTEN
from tests.oracle import http1, uri

_ROUTES = sorted(
    ((b"/a", b"other"), (b"/none", b"none"), *((b"/" + name, name) for name in NAMES)), key=lambda pair: -len(pair[0])
)
_METHODS = {b"to-post": b"POST", b"to-head": b"HEAD", b"to-get": b"GET"}
_BELIEVED = [ipaddress.ip_network(text) for text in TRUSTED]
# Fields that a route's plugins say, beside those of every route.
SAID = {
    b"rewrite": {b"x-more", b"x-part", b"x-arg"},
    b"peer": {b"x-peer"},
    b"hops": {b"x-peer"},
    b"mixed": {b"x-peer"},
}
_REMOVED = (b"x-b", b"accept-encoding")  # by /rewrite


class Target(NamedTuple):
    """What may be asked of the upstream; `query` None: what hangs on the request's own arguments (`said`)."""

    method: bytes
    path: bytes
    query: bytes | None


def target(message: http1.Message) -> bytes:
    """The target; an absolute-form loses its authority on the way."""
    return re.sub(rb"(?i)\Ahttps?://[^/?]*", b"", message.start[1])


def path(message: http1.Message) -> bytes:
    """Path of the target."""
    return target(message).partition(b"?")[0] or b"/"


def query(message: http1.Message) -> bytes:
    """Arguments of the target."""
    return target(message).partition(b"?")[2]


def named(message: http1.Message, name: bytes) -> list[bytes]:
    """Values of the fields of that very name."""
    return [value for found, value in message.fields if found.lower() == name]


def normal(message: http1.Message) -> bytes:
    """The path as routes are matched; b"" where there is none."""
    return uri.normalise(path(message)) or b""


def route(message: http1.Message) -> bytes:
    """The name of the route, b"" where there is none."""
    place = normal(message)
    return next((name for start, name in _ROUTES if place.startswith(start) and (name != b"none" or place == start)), b"")


def targets(message: http1.Message) -> list[Target]:
    """What may be asked of the upstream for it; nothing where it is answered before."""
    name, place, rest = route(message), normal(message), query(message)
    method = _METHODS.get(name, message.start[0])
    if name in (b"moved", b"goto", b"mock") or (name == b"redirect" and place.startswith(b"/redirect/")):
        return []
    if name == b"fault" and rest == b"s=1":
        return []
    if name == b"rewrite":
        place = _rewritten(place)
        return [Target(method, place, rest)] if place else []
    if name == b"made":
        return [Target(method, b"/made" + place, None)]
    if name == b"mixed":
        return [Target(method, b"/mixed/x" + place, rest)]
    if name == b"raw":
        cooked = re.sub(rb"\A/raw/", b"/cooked/", target(message) or b"/")
        start, _, end = cooked.partition(b"?")
        return [Target(method, start, end)]
    if name in _METHODS or name in (b"peer", b"hops"):
        return [Target(method, place, rest)]
    return [Target(method, path(message), rest)]


def _rewritten(place: bytes) -> bytes:
    """What /rewrite makes of a path; b"" where its dots would climb."""
    match = re.match(rb"/rewrite/([^/]*)/(.*)", place)
    if match is None:
        return place
    made = b"/re/." + match[1] + b"/" + match[2]
    if not {b".", b".."}.isdisjoint(made.split(b"/")):
        return b""
    return re.sub(rb"/+", b"/", made)


def may_become(out: http1.Message, asked: http1.Message, *, hides: bool) -> bool:
    """Whether this is the target of what was asked; `hides`: credentials may be gone from the query."""
    for each in targets(asked):
        if (out.start[0], path(out)) != each[:2]:
            continue
        if each.query is None:
            if _made_query(query(out), query(asked)):
                return True
        elif hides or query(out) == each.query:
            return True
    return False


def _made_query(out: bytes, given: bytes) -> bool:
    """The configuration's own arguments, of which one is the request's, and then the request's."""
    match = re.fullmatch(rb"u=([^&]*)&h=([^&]*)(?:&(.*))?", out, re.DOTALL)
    return match is not None and match[1] in given and (match[3] or b"") == given


def hosts(asked: http1.Message, nodes: list[bytes]) -> list[bytes]:
    """What the upstream may be told as Host: the absolute form's authority, else the client's Host, else the node."""
    absolute = re.match(rb"(?i)https?://([^/?]*)", asked.start[1])
    own = [absolute[1]] if absolute else named(asked, b"host")
    name, rest = route(asked), query(asked)
    if name == b"hash":
        return [REWRITTEN]
    if name == b"rewrite":
        return [SHOWN]
    if name == b"split" and rest in (b"b=1", b"b=2"):
        return [OTHER] if rest == b"b=1" else [OTHER, *(own or nodes)]
    if name == b"split" and b"=" in unquote_to_bytes(rest):
        return [OTHER, *(own or nodes)]
    return own or nodes


def check_said(out: http1.Message, asked: http1.Message) -> None:
    """What the route's plugins say to the upstream, and what they allow."""
    name = route(asked)
    if name in (b"small", b"mixed"):
        assert len(out.body) <= SMALL, f"too long: {out}"
    if name != b"rewrite":
        return
    match = re.match(rb"/rewrite/([^/]*)/", normal(asked))
    assert out.values(b"x-part") == [match[1] if match else b""], out
    assert len(out.values(b"x-arg")) == 1, out
    said = named(asked, b"x-a")
    assert out.values(b"x-more")[-1:] == [said[0] if said else b""] or len(said) > 1, out
    assert not any(out.values(each) for each in _REMOVED), out


def client_address(asked: http1.Message, own: bytes) -> bytes:
    """Whose request it is, as far as the route's plugins believe what it says; `own` is who is connected."""
    name = route(asked)
    if name in (b"peer", b"mixed") and _believed(own):
        said = named(asked, b"x-client")
        return (_address(said[0]) or own) if len(said) == 1 else own
    if name == b"hops" and _believed(own):
        return _first_foreign(b",".join(value for value in named(asked, b"x-forwarded-for") if value), own)
    return own


def _first_foreign(hops: bytes, own: bytes) -> bytes:
    found = own
    for hop in reversed(hops.split(b",")) if hops else ():
        address = _address(hop)
        if address is None:
            return own
        found = address
        if not _believed(found):
            break
    return found


def _believed(address: bytes) -> bool:
    return any(ipaddress.ip_address(address.decode()) in each for each in _BELIEVED)


def _address(text: bytes) -> bytes | None:
    """An address, maybe with a port, in its one spelling; None: it is none."""
    text = text.strip(b" \t")
    match = re.fullmatch(rb"(?:\[([^\]]+)\]|([^:]+))(?::([0-9]{1,5}))?", text)
    if match is not None and match[3] is not None and not 0 < int(match[3]) < 65536:
        return None
    host = text if match is None else match[1] or match[2]
    kinds = (socket.AF_INET6,) if match is not None and match[1] else (socket.AF_INET, socket.AF_INET6)
    for kind in kinds:
        try:
            number = socket.inet_pton(kind, host.decode())
        except (OSError, ValueError):
            continue
        if number.startswith(bytes(10) + b"\xff\xff"):  # IPv4, mapped
            kind, number = socket.AF_INET, number[12:]
        return socket.inet_ntop(kind, number).encode()
    return None
