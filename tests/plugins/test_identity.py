"""Who a request is taken for is the gateway's to say: a client's identity fields never reach the upstream, however spelled.

Owns: every way to write such a field, on routes with each way of authentication, the anonymous consumer, and none at all; what
the upstream saw is looked at byte by byte. Must not know how fields are dropped.
"""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.plugins.mirror import consumer, mirror
from tests.support import tokens, wire
from tests.support.gateway import Gateway
from tests.support.upstreams import Upstream

FORGED = b"f0rged"
NAMES = ["X-Consumer-Username", "X-Credential-Identifier", "X-Consumer-Custom-ID"]
MORE_NAMES = [
    "X-Consumer-Id",
    "X-Consumer-Groups",
    "X-Consumer-Group",
    "X-Consumer-X",
    "X-Consumer-Username-",
    "X-Consumer--Username",
]
PUNCTUATION = "-_.~!#$%&'*+^`|"  # what a name may be written with, and CGI-like upstreams fold together

CONSUMERS = [
    consumer("all", ("c-all", {"jwt-auth": {"key": "all-key", "secret": "all-secret"}}), labels={"custom_id": "all-id"}),
    consumer("keyed", ("c-keyed", {"key-auth": {"key": "k-e-y"}}), labels={"custom_id": "keyed-id"}),
    consumer("named", ("c-named", {"basic-auth": {"username": "ann", "password": "pass"}}), labels={"custom_id": "named-id"}),
    # Without a credential of its own and without labels: two of three fields are not set, and must not be there.
    consumer("bare", plugins={"key-auth": {"key": "bare-key"}}),
    {"username": "guest"},
]
ROUTES: dict[str, dict[str, Any]] = {
    "none": {},
    "jwt": {"jwt-auth": {}},
    "key": {"key-auth": {}},
    "basic": {"basic-auth": {}},
    "guest-jwt": {"jwt-auth": {"anonymous_consumer": "guest"}},
    "guest-key": {"key-auth": {"anonymous_consumer": "guest", "hide_credentials": True}},
    "guest-basic": {"basic-auth": {"anonymous_consumer": "guest", "hide_credentials": True}},
    "limited": {"limit-count": {"count": 10**9, "time_window": 60}, "request-id": {}},
}
ALL = (b"all", b"c-all", b"all-id")
KEYED = (b"keyed", b"c-keyed", b"keyed-id")
NAMED = (b"named", b"c-named", b"named-id")
CASES: dict[str, tuple[str, list[bytes], tuple[bytes, ...]]] = {  # route, credentials shown, what the upstream must be told
    "no authentication": ("none", [], ()),
    "other plugins only": ("limited", [], ()),
    "jwt-auth": ("jwt", [b"Authorization: Bearer " + tokens.token("all-key", "all-secret").encode()], ALL),
    "key-auth": ("key", [b"apikey: k-e-y"], KEYED),
    "key-auth of the consumer": ("key", [b"apikey: bare-key"], (b"bare", b"", b"")),
    "basic-auth": ("basic", [b"Authorization: Basic " + base64.b64encode(b"ann:pass")], NAMED),
    "anonymous by jwt-auth": ("guest-jwt", [], (b"guest", b"", b"")),
    "anonymous by key-auth": ("guest-key", [b"apikey: wrong"], (b"guest", b"", b"")),
    "anonymous by basic-auth": ("guest-basic", [b"Authorization: Basic eDp5"], (b"guest", b"", b"")),
    "no longer anonymous": ("guest-key", [b"apikey: k-e-y"], KEYED),
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with mirror() as upstream:
        node = {"type": "roundrobin", "nodes": {str(upstream.address): 1}}
        routes = [{"id": name, "uri": f"/{name}", "upstream": node, "plugins": plugins} for name, plugins in ROUTES.items()]
        with Gateway(tmp_path_factory.mktemp("identity"), {"consumers": CONSUMERS, "routes": routes}) as gateway:
            yield gateway


def spellings(name: str) -> list[str]:
    """Cases, each punctuation for each hyphen, and both at once."""
    found = [name, name.lower(), name.upper(), name.swapcase(), name.title()]
    found += [name.replace("-", mark) for mark in PUNCTUATION]
    parts = name.split("-")
    for marks in itertools.product("-_.", repeat=len(parts) - 1):
        found.append("".join(itertools.chain(*zip(parts, [*marks, ""], strict=True))))
    return list(dict.fromkeys([*found, *(spelt.upper() for spelt in found)]))


def request(case: str, *fields: bytes, version: bytes = b"1.1", tail: bytes = b"", method: bytes = b"GET") -> bytes:
    route, shown, _ = CASES[case]
    lines = [b"%b /%b HTTP/%b" % (method, route.encode(), version), b"Host: test", *shown, *fields]
    return b"\r\n".join([*lines, b"", b""]) + tail


def identity(sent: bytes) -> dict[bytes, list[bytes]]:
    """Every field of a request's head that somebody may take for one of identity, by its name as CGI has it."""
    found: dict[bytes, list[bytes]] = {}
    for line in sent.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        folded = re.sub(rb"[^a-z0-9]+", b"_", name.lower()).strip(b"_")
        if folded.startswith((b"x_consumer", b"x_credential")):
            found.setdefault(folded, []).append(value.strip())
    return found


def expected(case: str) -> dict[bytes, list[bytes]]:
    told = CASES[case][2]
    names = (b"x_consumer_username", b"x_credential_identifier", b"x_consumer_custom_id")
    return {name: [value] for name, value in zip(names, told, strict=False) if value}


def check(case: str, sent: bytes, what: object) -> None:
    assert identity(sent) == expected(case), what
    assert FORGED not in sent, what


def ask(gateway: Gateway, *requests: bytes) -> list[bytes]:
    """What the upstream saw of each; all must have come through."""
    with closing(wire.connect(gateway.data)) as sock:
        seen = []
        for one in requests:
            sock.sendall(one)
            (answer,) = wire.read_pipelined(sock, 1)
            assert answer.status == 200, (answer, one)
            seen.append(answer.body)
        return seen


@pytest.mark.parametrize("case", CASES)
def test_every_spelling(running: Gateway, case: str) -> None:
    """Each alone, so that one cannot hide behind another."""
    names = [spelt for name in [*NAMES, *MORE_NAMES] for spelt in spellings(name)]
    assert len(names) > 300
    sent = ask(running, *(request(case, b"X-A: 1", b"%b: %b" % (name.encode(), FORGED), b"X-B: 2") for name in names))
    for name, seen in zip(names, sent, strict=True):
        check(case, seen, name)
        assert b"\r\nX-A: 1\r\n" in seen
        assert b"\r\nX-B: 2\r\n" in seen


def twice(name: bytes) -> list[bytes]:
    return [name + b": " + FORGED, b"X-A: 1", name.lower() + b":" + FORGED, name.replace(b"-", b"_") + b": " + FORGED]


@pytest.mark.parametrize("case", CASES)
def test_every_way_to_say_it(running: Gateway, case: str) -> None:
    """Repeated, nominated by Connection, with blanks, empty, listed, long, in HTTP/1.0, between the gateway's own."""
    every = [name.encode() for name in NAMES]
    ways = {
        "all three twice": [line for name in every for line in twice(name)],
        "empty": [name + b":" for name in every],
        "blanks around": [name + b": \t " + FORGED + b" \t" for name in every],
        "as a list": [name + b": " + FORGED + b", " + FORGED for name in every],
        "long": [name + b": " + FORGED * 500 for name in every],
        "high bytes": [name + b": " + FORGED + b"\xc3\xa9\xff" for name in every],
        "nominated": [b"Connection: keep-alive, " + b", ".join(every), *[name + b": " + FORGED for name in every]],
        "nominated alone": [b"Connection: " + b", ".join(every)],
        "nominated in another spelling": [b"Connection: X_Consumer_Username, x_credential_identifier", *twice(every[0])],
        "nominated twice": [b"Connection: X-Consumer-Username", b"connection: X-Consumer-Custom-Id", b"Connection: keep-alive"],
        "as names of hop-by-hop": [b"TE: trailers", b"Trailer: " + b", ".join(every), b"Keep-Alive: X-Consumer-Username"],
        "crowd": [b"X-Consumer-%d: %b" % (i, FORGED) for i in range(80)],
    }
    for what, fields in ways.items():
        (sent,) = ask(running, request(case, *fields))
        check(case, sent, what)
    old = request(case, *ways["all three twice"], b"Connection: keep-alive", version=b"1.0")
    (sent,) = ask(running, old)
    check(case, sent, "HTTP/1.0")


@pytest.mark.parametrize("case", CASES)
def test_in_trailers(running: Gateway, case: str) -> None:
    trailers = b"".join(b"%b: %b\r\n" % (name.encode(), FORGED) for name in (*NAMES, *(n.replace("-", "_") for n in NAMES)))
    fields = [b"Transfer-Encoding: chunked", b"Trailer: X-Consumer-Username", b"TE: trailers"]
    body = b"2;X-Consumer-Username=f0rged\r\nhi\r\n0\r\n" + trailers + b"\r\n"
    first, second = ask(running, request(case, *fields, tail=body, method=b"POST"), request(case))
    assert first.endswith(b"\r\n\r\n2\r\nhi\r\n0\r\n\r\n")
    check(case, first, "trailers")
    check(case, second, "the request behind them")


@pytest.mark.parametrize("case", CASES)
def test_one_request_leaves_nothing_to_the_next(running: Gateway, case: str) -> None:
    """Others' identities on the same connections, before and after."""
    others = [name for name in CASES if name != case]
    order = [name for other in others for name in (other, case)]
    forged = [name.encode() + b": " + FORGED for name in NAMES]
    for name, sent in zip(order, ask(running, *(request(name, *forged) for name in order)), strict=True):
        check(name, sent, name)


@pytest.mark.parametrize(
    "line",
    [
        b"X-Consumer-Username : f0rged",
        b"X-Consumer-Username\t: f0rged",
        b" X-Consumer-Username: f0rged",
        b"\tX-Consumer-Username: f0rged",
        b"X-A: 1\r\n X-Consumer-Username: f0rged",
        b"X-Consumer-Username\x0b: f0rged",
        b"X-Consumer-Username\x85: f0rged",
        b"X-Consumer-Username\xa0: f0rged",
        b"X-Consumer\xe2\x80\x90Username: f0rged",
        b"X-Consumer-Username\x00: f0rged",
        b"X-Consumer-Username: f0\x00rged",
        b"X-Consumer-Username: a\nX-Consumer-Username: f0rged",
        b"X-Consumer-Username: a\rX-Consumer-Username: f0rged",
        b"X-A: a\nX-Consumer-Username: f0rged",
        b"X-Consumer Username: f0rged",
        b"(X-Consumer-Username): f0rged",
        b'"X-Consumer-Username": f0rged',
        b"X-Consumer-Username",
        b"X-Consumer-Username=f0rged",
    ],
)
def test_what_is_no_field_refuses_the_request(running: Gateway, line: bytes) -> None:
    for case in ("no authentication", "jwt-auth"):
        received = wire.raw(running.data, request(case, line) + request(case, b"Connection: close"))
        assert received.startswith(b"HTTP/1.1 400 "), line
        assert received.count(b"HTTP/1.1 ") == 1, line


def test_a_consumers_name_cannot_add_a_field(running: Gateway) -> None:
    """What is told of a consumer is one line, whatever its labels say: such a label is refused where it is written."""
    for value in ("a\r\nX-Consumer-Username: root", "a\nb", "a\0b"):
        body = {"username": "evil", "labels": {"custom_id": value}, "plugins": {"key-auth": {"key": "evil-key"}}}
        answer = running.api("PUT", "consumers/evil", body)
        if answer.status in (200, 201):
            (sent,) = ask(running, b"GET /key HTTP/1.1\r\nHost: test\r\napikey: evil-key\r\n\r\n")
            assert identity(sent) == {b"x_consumer_username": [b"evil"], b"x_consumer_custom_id": [value.encode()]}
            running.api("DELETE", "consumers/evil")
        else:
            assert answer.status == 400


def test_the_mirror_shows_what_it_gets() -> None:
    """The upstream of these tests would show a forged field."""
    with mirror() as upstream:
        assert isinstance(upstream, Upstream)
        with closing(wire.connect(upstream.address)) as sock:
            sock.sendall(request("no authentication", b"X_Consumer_Username: " + FORGED))
            (seen,) = wire.read_pipelined(sock, 1)
    assert identity(seen.body) == {b"x_consumer_username": [FORGED]}
