"""The upstream's side of an exchange: when a connection may be used again, and what comes before it was asked anything.

Hardening rule 20. Whether bytes came before a request is told by the order of events, so the tests say which come together.
"""

from __future__ import annotations

import pytest

from fastgw import _core
from tests.support.core import OK, snapshot, upstream

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
STOLEN = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"
DOWN, UP = 0, 1


def used(request: bytes = GET, answer: bytes = OK) -> _core.Wire:
    """A client whose first request was answered."""
    wire = _core.Wire(snapshot(to=upstream(1, budget=(1000, 1000))))
    wire.open()
    wire.push(DOWN, request)
    wire.push(UP, answer)
    assert wire.pull(DOWN)[8:12] == answer[8:12]
    wire.pull(UP)
    return wire


def ups(wire: _core.Wire) -> list[int]:
    return [i for i, side, is_open in wire.lines() if side == "up" and is_open]


@pytest.mark.parametrize("early", [STOLEN, b"H", b"\r\n", b"\0"])
def test_an_idle_connection_that_says_something_is_closed(early: bytes) -> None:
    wire = used()
    wire.push(UP, early)
    assert ups(wire) == []
    wire.push(DOWN, GET)
    wire.push(ups(wire)[-1], OK)
    assert wire.pull(DOWN).endswith(b"\r\n\r\nok")


@pytest.mark.parametrize("request_", [GET, POST])
@pytest.mark.parametrize("first", ["client", "upstream"])
def test_what_came_with_the_request_came_before_it(request_: bytes, first: str) -> None:
    wire = used()
    arrivals = [(DOWN, request_), (UP, STOLEN)]
    wire.together(arrivals if first == "client" else arrivals[::-1])
    assert not wire.is_open(UP)
    assert wire.pull(UP) == b""  # nothing was asked there
    (other,) = ups(wire)
    assert wire.pull(other).startswith(request_[:8])
    wire.push(other, OK)
    assert wire.pull(DOWN).endswith(b"\r\n\r\nok")


def test_an_event_that_brings_nothing_costs_no_connection() -> None:
    wire = used()
    wire.together([(DOWN, GET), (UP, b"")])
    assert ups(wire) == [UP]
    wire.push(UP, OK)
    assert wire.pull(DOWN).endswith(b"\r\n\r\nok")


@pytest.mark.parametrize("first", ["client", "upstream"])
def test_a_client_that_sent_more_has_its_last_answer_without_a_reset(first: str) -> None:
    """Hardening rule 12: to close with bytes unread would send one, and destroy what the client has not read yet."""
    wire = _core.Wire(snapshot())
    client = wire.open()
    wire.push(client, GET[:-2] + b"Connection: close\r\n\r\n")
    (up,) = ups(wire)
    arrivals = [(client, GET), (up, OK)]
    wire.together(arrivals if first == "client" else arrivals[::-1])
    assert wire.pull(client).endswith(b"\r\n\r\nok")
    assert wire.finished(client)
    assert wire.is_open(client)  # till what is unread has come


def test_only_the_connection_that_spoke_is_closed() -> None:
    wire = _core.Wire(snapshot())
    clients = [wire.open() for _ in range(3)]
    for client in clients:
        wire.push(client, GET)
    lines = ups(wire)
    for line in lines:
        wire.push(line, OK)
        wire.pull(line)
    wire.together([(clients[0], GET), (clients[1], GET), (lines[-1], STOLEN)])
    assert ups(wire) == lines[:-1]
    assert [wire.pull(line)[:3] for line in lines[:-1]] == [b"GET", b"GET"]


def test_a_node_that_speaks_before_it_is_asked_is_not_asked() -> None:
    wire = _core.Wire(snapshot(to=upstream(2)))
    client = wire.open()
    wire.connecting("later")
    wire.push(client, POST)
    wire.push(UP, STOLEN)
    assert (wire.pull(UP), wire.is_open(UP)) == (b"", False)
    wire.connected(2)
    assert wire.pull(2).startswith(b"POST ")  # nothing of it had been sent
    wire.push(2, OK)
    assert wire.pull(client).endswith(b"\r\n\r\nok")


@pytest.mark.parametrize("request_", [GET, POST])
def test_what_comes_while_a_full_line_takes_nothing_of_a_request_is_no_answer(request_: bytes) -> None:
    wire = used()
    wire.room(UP, 0)
    wire.push(DOWN, request_)
    wire.push(UP, STOLEN)
    assert (wire.pull(UP), wire.is_open(UP)) == (b"", False)
    assert wire.pull(2).startswith(request_[:5])  # on a new connection, since nothing of it had been sent
    wire.push(2, OK)
    assert wire.pull(DOWN).endswith(b"\r\n\r\nok")


def test_who_has_a_part_of_a_request_may_answer() -> None:
    wire = used()
    wire.room(UP, 1)
    wire.push(DOWN, POST)
    wire.push(UP, OK)
    assert wire.pull(DOWN).endswith(b"\r\n\r\nok")


@pytest.mark.parametrize(
    ("answer", "method", "kept"),
    [
        (OK, b"GET", True),
        (OK + b"\r\n", b"GET", False),
        (OK[:-2], b"HEAD", True),
        (OK, b"HEAD", False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"GET", True),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", b"GET", True),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n", b"GET", False),
        (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", b"GET", False),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", b"GET", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok", b"GET", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"GET", False),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok", b"GET", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", b"GET", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"GET", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\0", b"GET", False),
    ],
)
def test_a_connection_is_kept_where_nothing_is_in_doubt(answer: bytes, method: bytes, kept: bool) -> None:
    wire = used(GET.replace(b"GET", method), answer)
    assert (ups(wire) == [UP]) is kept
