"""What a request asks for: methods that are not served, and OPTIONS, which may be about the gateway itself."""

import pytest

from fastgw import _core
from tests.support.core import chain, pool

DOWN, UP = 0, 1
PLAIN = b"GET /b HTTP/1.1\r\nHost: x\r\n\r\n"
TO = _core.Upstream([(pool(), 1, 0, b"a")], connect=5, send=4, read=10)


def status(answer: bytes) -> int:
    return int(answer[9:12])


def opened(uri: bytes = b"/*", *first: _core.Step) -> _core.Wire:
    """A client of a core with one route; `first` are a global rule's steps."""
    wire = _core.Wire(_core.Snapshot([(_core.Plan(b"r", chain(), TO), b"", uri)], {}, chain(*first)))
    wire.open()
    return wire


@pytest.mark.parametrize("request_", [b"CONNECT b:80", b"TRACE /"])
def test_connect_and_trace_are_not_served(request_: bytes) -> None:
    wire = opened()
    wire.push(DOWN, request_ + b" HTTP/1.1\r\nHost: x\r\n\r\n" + PLAIN)
    got = wire.pull(DOWN)
    assert (status(got), got.count(b"HTTP/1.1"), len(wire.lines())) == (405, 1, 1)
    allowed = got.partition(b"\r\nAllow: ")[2].partition(b"\r\n")[0].split(b", ")
    assert {b"GET", b"OPTIONS", b"PATCH"} <= set(allowed)
    assert not {b"CONNECT", b"TRACE", b"PRI"} & set(allowed)


ITSELF = [
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"OPTIONS /a HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\nMax-Forwards: 00\r\n\r\n",
    b"OPTIONS http://x HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n",
]


@pytest.mark.parametrize("request_", ITSELF)
def test_options_that_end_here(request_: bytes) -> None:
    wire = opened()
    wire.push(DOWN, request_)
    got = wire.pull(DOWN)
    assert (status(got), b"\r\nContent-Length: 0\r\n" in got, b"\r\nAllow: DELETE, GET, " in got) == (200, True, True)
    wire.push(DOWN, PLAIN)
    assert wire.pull(UP).startswith(b"GET /b ")


@pytest.mark.parametrize(("before", "after"), [(b"1", b"0"), (b"10", b"09"), (b"100", b"099"), (b"7", b"6"), (b"0200", b"0199")])
def test_max_forwards_of_options_goes_down(before: bytes, after: bytes) -> None:
    wire = opened()
    wire.push(DOWN, b"OPTIONS /a HTTP/1.1\r\nHost: x\r\nMax-Forwards: %b\r\n\r\n" % before)
    assert b"\r\nMax-Forwards: %b\r\n" % after in wire.pull(UP)


def test_max_forwards_of_others_is_theirs() -> None:
    wire = opened()
    wire.push(DOWN, b"GET /a HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n")
    assert b"\r\nMax-Forwards: 0\r\n" in wire.pull(UP)


@pytest.mark.parametrize("request_", ITSELF)
def test_options_that_end_here_meet_the_global_rules(request_: bytes) -> None:
    wire = opened(b"*", _core.IpRestrictionStep(["203.0.113.0/24"], admits=True, body=b"{}"))
    wire.push(DOWN, request_)
    assert status(wire.pull(DOWN)) == 403


def test_a_route_of_every_path_takes_the_asterisk_but_nothing_that_ends_here() -> None:
    wire = opened(b"*")
    for request in ITSELF[1:]:
        wire.push(DOWN, request)
        assert status(wire.pull(DOWN)) == 200
    wire.push(DOWN, ITSELF[0])
    assert wire.pull(UP).startswith(b"OPTIONS * HTTP/1.1\r\n")
