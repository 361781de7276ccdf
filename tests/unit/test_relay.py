"""Bodies and answers on their way through the core: the faults that were found there once."""

from __future__ import annotations

from fastgw import _core
from tests.support.core import OK, TOKEN, john, snapshot, upstream

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"


def started(data: bytes = GET, **options: object) -> tuple[_core.Wire, int]:
    """A client's line 0 with its request on the way; the upstream's is line 1."""
    wire = _core.Wire(snapshot(), **options)
    client = wire.open()
    wire.push(client, data)
    return wire, client


def test_an_informational_head_that_comes_alone_is_no_body() -> None:
    wire, client = started()
    wire.push(1, b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n")
    assert wire.pull(client).startswith(b"HTTP/1.1 103 ")
    wire.push(1, OK)
    assert wire.pull(client).endswith(b"\r\n\r\nok")
    assert wire.active == 0


def test_a_reset_ends_no_close_delimited_body() -> None:
    wire, client = started()
    wire.push(1, b"HTTP/1.1 200 OK\r\n\r\nabc")
    wire.reset(1)
    assert not wire.pull(client).endswith(b"0\r\n\r\n")
    assert not wire.is_open(client)


def test_what_is_pipelined_behind_a_body_survives_a_failed_send() -> None:
    wire, client = started(POST + b"ab")
    wire.breaks(1)  # found out by the send of the body's rest
    wire.push(client, b"cd" + GET)
    assert wire.pull(client).startswith(b"HTTP/1.1 502 ")
    line = next(i for i, side, is_open in wire.lines() if side == "up" and is_open)
    assert wire.pull(line).startswith(b"GET ")
    wire.push(line, OK)
    assert wire.pull(client).endswith(b"ok")


def test_a_client_that_only_writes_is_not_read() -> None:
    wire = _core.Wire(snapshot(path=b"/elsewhere"))
    client = wire.open()
    wire.room(client, 0)
    for _ in range(50):
        wire.push(client, GET * 500)
    assert wire.held() < 320 * 1024
    wire.room(client, 1 << 30)
    assert wire.pull(client).count(b"HTTP/1.1 404 ") == 25000


def test_a_half_closed_slow_client_gets_all_of_its_answer() -> None:
    wire, client = started()
    wire.room(client, 10)
    wire.push(1, OK)
    wire.end(client)
    wire.room(client, 1 << 20)
    assert wire.pull(client).endswith(b"ok")
    assert not wire.is_open(client)


def test_a_half_closed_client_is_not_cut_while_its_answer_comes() -> None:
    wire, client = started()
    wire.end(client)
    wire.push(1, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
    wire.advance(5)
    wire.push(1, b"cd")
    assert wire.pull(client).endswith(b"abcd")


def test_an_upstream_that_does_not_take_the_body_is_a_504() -> None:
    wire = _core.Wire(snapshot(to=upstream(send=2)), limits={"body_timeout": 3})
    client = wire.open()
    wire.connecting("later")
    wire.push(client, POST + b"ab")
    wire.room(1, 10)
    wire.connected(1)
    wire.advance(2.5)
    assert wire.pull(client).startswith(b"HTTP/1.1 504 ")
    assert wire.active == 0


def test_hiding_the_only_argument_of_a_target_without_a_path() -> None:
    wire = _core.Wire(snapshot(_core.JwtAuthStep(hide_credentials=True), credentials=(john(),)))
    client = wire.open()
    wire.push(client, b"GET http://a?jwt=" + TOKEN + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert wire.pull(1).startswith(b"GET / HTTP/1.1\r\n")


def test_the_asterisk_goes_upstream_as_it_is() -> None:
    wire = _core.Wire(snapshot(path=b"*"))
    client = wire.open()
    wire.push(client, b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
    assert wire.pull(1).startswith(b"OPTIONS * HTTP/1.1\r\n")


def test_a_before_proxy_step_may_answer() -> None:
    step = _core.PythonStep("p", "before_proxy", lambda conf, request: _core.Reply(418), None)
    wire = _core.Wire(snapshot(step))
    client = wire.open()
    wire.push(client, GET)
    assert wire.pull(client).startswith(b"HTTP/1.1 418 ")
    assert len(wire.lines()) == 1


def test_framing_fields_are_not_a_plugins_to_set() -> None:
    errors: list[BaseException] = []
    for name in ("Content-Length", "Transfer-Encoding", "Host", "Connection"):
        step = _core.PythonStep("p", "rewrite", lambda conf, request, name=name: request.set_header(name, "1"), None)
        wire = _core.Wire(snapshot(step), on_error=lambda plugin, phase, error: errors.append(error))
        client = wire.open()
        wire.push(client, GET)
        assert wire.pull(client).startswith(b"HTTP/1.1 500 ")
    assert [type(error) for error in errors] == [ValueError] * 4
