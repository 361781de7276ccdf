"""What Python steps change beside headers: the body that goes upstream, headers that are added to an answer's."""

import pytest

from fastgw import _core
from tests.support.core import ask, snapshot
from tests.unit.test_gather import HEAD, Talk, play

COOKIES = b"HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nContent-Length: 2\r\nSet-Cookie: b=2\r\n\r\nok"


@pytest.mark.parametrize(
    "framed", [b"Content-Length: 4\r\n\r\nbody", b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"]
)
@pytest.mark.parametrize("body", [b"", b"x", b"longer than before"])
def test_a_body_is_replaced_and_framed_anew(framed: bytes, body: bytes) -> None:
    async def scene() -> None:
        talk = Talk(then=lambda request, _: _core.replace_body(request, body))
        await talk.push(HEAD + framed)
        head, _, sent = talk.sent().partition(b"\r\n\r\n")
        assert sent == body
        assert b"\r\nContent-Length: %d" % len(body) in head
        assert b"Transfer-Encoding" not in head
        await talk.settle()
        assert talk.wire.pull(talk.line).endswith(b"\r\n\r\nok")

    play(scene)


def test_a_body_that_was_not_awaited_is_left_alone() -> None:
    failed: list[str] = []

    def early(_: None, request: _core.Request) -> None:
        with pytest.raises(_core.PluginError, match="once it was awaited") as raised:
            _core.replace_body(request, b"x")
        failed.append(str(raised.value))

    step = _core.PythonStep("test", "access", early, None)
    ask(snapshot(step), b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    wire = _core.Wire(snapshot(step))
    wire.push(wire.open(), HEAD + b"Content-Length: 4\r\n\r\nbo")
    assert len(failed) == 2


def adding(*lines: tuple[str, str]) -> _core.Step:
    def add(_: None, request: _core.Request) -> None:
        for name, value in lines:
            request.add_response_header(name, value)

    return _core.PythonStep("test", "header_filter", add, None)


def cookies(answer: bytes) -> list[bytes]:
    lines = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
    return [value for name, _, value in (line.partition(b": ") for line in lines) if name.lower() == b"set-cookie"]


def test_headers_are_added_to_those_of_the_upstream() -> None:
    _, got = ask(snapshot(adding(("Set-Cookie", "c=3"), ("SET-COOKIE", "d=4"))), b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", COOKIES)
    assert cookies(got) == [b"a=1", b"b=2", b"c=3", b"d=4"]
    assert got.endswith(b"\r\n\r\nok")


def test_headers_are_added_to_an_answer_of_the_gateways_own() -> None:
    refuse = _core.PythonStep("no", "access", lambda c, r: _core.Reply(403, b"", {"Set-Cookie": "a=1"}), None)
    _, got = ask(snapshot(refuse, adding(("Set-Cookie", "b=2"))), b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert cookies(got) == [b"a=1", b"b=2"]


@pytest.mark.parametrize(("name", "value"), [("X-A", "b\r\nX-C: d"), ("X A", "b"), ("X-A", "\0"), ("Content-Length", "1")])
def test_no_line_breaks_a_head(name: str, value: str) -> None:
    _, got = ask(snapshot(adding((name, value))), b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", COOKIES)
    assert cookies(got) == [b"a=1", b"b=2"]
    assert b"X-" not in got.partition(b"\r\n\r\n")[0].replace(b"X-APISIX", b"")
