"""Copies of what passes: the same bytes however they come, none where a body breaks off or is too long; nothing else changes."""

from typing import Any

import pytest

from fastgw import _core
from tests.support.core import OK, snapshot
from tests.support.wire import bytewise

GET = b"GET /a?b=c HTTP/1.1\r\nHost: h\r\nX-Own: 1\r\nTE: trailers\r\n\r\n"
BODY = b"0123456789" * 7
CHUNKS = b"a;x=y\r\n" + BODY[:10] + b"\r\n3c\r\n" + BODY[10:] + b"\r\n0\r\nX-T: 1\r\n\r\n"
POSTS = {
    "length": b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 70\r\n\r\n" + BODY,
    "chunks": b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
}
ANSWERS = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\n" + BODY,
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
}


def copier(taken: list[Any], most: int = 100, phase: str = "before_proxy") -> _core.Step:
    def of_body(_: None, request: _core.Request) -> None:
        taken.append(_core.copy_body(request, most, taken.append))

    def of_answer(_: None, request: _core.Request) -> None:
        _core.copy_answer(request, most, taken.append)

    return _core.PythonStep("test", phase, of_body if phase == "before_proxy" else of_answer, None)


def exchange(step: _core.Step, request: list[bytes], answer: list[bytes]) -> tuple[bytes, bytes]:
    """What the upstream and the client got of one request, given in pieces."""
    wire = _core.Wire(snapshot(step))
    line, sent, got = wire.open(), b"", b""
    for piece in request:
        wire.push(line, piece)
        if len(wire.lines()) > 1:
            sent += wire.pull(1)
    for piece in answer:
        wire.push(1, piece)
        got += wire.pull(line)
    return sent, got


@pytest.mark.parametrize("framing", POSTS)
@pytest.mark.parametrize("cut", [False, True])
def test_bodies_of_requests(framing: str, cut: bool) -> None:
    request = list(bytewise(POSTS[framing])) if cut else [POSTS[framing]]
    taken: list[Any] = []
    copied = exchange(copier(taken), request, [OK])
    assert taken == ([True, BODY] if cut else [BODY, True]) or taken == [True, BODY]
    assert copied == exchange(_core.PythonStep("test", "before_proxy", lambda *_: None, None), request, [OK])


@pytest.mark.parametrize("framing", ANSWERS)
@pytest.mark.parametrize("cut", [False, True])
def test_bodies_of_answers(framing: str, cut: bool) -> None:
    answer = list(bytewise(ANSWERS[framing])) if cut else [ANSWERS[framing]]
    taken: list[Any] = []
    copied = exchange(copier(taken, phase="header_filter"), [GET], answer)
    assert taken == [BODY]
    assert copied == exchange(_core.PythonStep("test", "header_filter", lambda *_: None, None), [GET], answer)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 204 No\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
def test_answers_without_a_body(answer: bytes) -> None:
    taken: list[Any] = []
    exchange(copier(taken, phase="header_filter"), [GET], [answer])
    assert taken == [b""]


@pytest.mark.parametrize("most", [0, 69, 70])
@pytest.mark.parametrize("framing", POSTS)
def test_bodies_that_are_too_long(framing: str, most: int) -> None:
    want = BODY if most == 70 else None
    taken: list[Any] = []
    sent, _ = exchange(copier(taken, most), [POSTS[framing]], [OK])
    assert [each for each in taken if each is not True] == [want]
    assert BODY[-10:] in sent
    taken.clear()
    _, got = exchange(copier(taken, most, "header_filter"), [GET], [ANSWERS[framing]])
    assert taken == [want]
    assert BODY[-10:] in got


def test_what_breaks_off_is_not_copied() -> None:
    taken: list[Any] = []
    wire = _core.Wire(snapshot(copier(taken)))
    line = wire.open()
    wire.push(line, POSTS["length"][:-1])
    wire.end(line)
    assert taken == [True]
    taken.clear()
    wire = _core.Wire(snapshot(copier(taken, phase="header_filter")))
    line = wire.open()
    wire.push(line, GET)
    wire.push(1, ANSWERS["length"][:-1])
    wire.end(1)
    assert taken == []


def test_a_request_without_a_body_has_none_to_copy() -> None:
    taken: list[Any] = []
    exchange(copier(taken), [GET], [OK])
    assert taken == [False]


def test_who_has_a_copy_may_fail() -> None:
    def fail(_: bytes | None) -> None:
        raise RuntimeError("mine")

    failed: list[str] = []

    def of_both(_: None, request: _core.Request) -> None:
        _core.copy_answer(request, 100, fail)

    step = _core.PythonStep("test", "header_filter", of_both, None)
    wire = _core.Wire(snapshot(step), on_error=lambda plugin, phase, error: failed.append(f"{phase}: {error}"))
    line = wire.open()
    wire.push(line, GET)
    wire.pull(1)
    wire.push(1, OK)
    assert wire.pull(line).endswith(b"\r\n\r\nok")
    assert failed == ["header_filter: mine"]


def test_a_head_is_what_the_upstream_gets_for_another_server() -> None:
    heads: list[bytes | None] = []

    def of_head(_: None, request: _core.Request) -> None:
        request.set_header("X-Set", "2")
        heads.append(_core.copy_head(request, b"other:80", b"/t"))

    sent, _ = exchange(_core.PythonStep("test", "before_proxy", of_head, None), [GET], [OK])
    assert heads[0] is not None
    assert heads[0].replace(b" /t ", b" /a?b=c ") + b"\r\n" == sent
    assert b"TE:" not in sent


def test_when_copies_cannot_be_asked_for() -> None:
    found: list[str] = []

    def asks(_: None, request: _core.Request) -> None:
        for call in (
            lambda: _core.copy_body(request, -1, print),
            lambda: _core.copy_body(request, 2**31, print),
            lambda: _core.copy_answer(request, 1, print),
        ):
            with pytest.raises((_core.PluginError, ValueError)) as raised:
                call()
            found.append(str(raised.value))
        _core.copy_body(request, 100, lambda body: None)
        with pytest.raises(_core.PluginError, match="by one who asks"):
            _core.copy_body(request, 100, print)

    exchange(_core.PythonStep("test", "before_proxy", asks, None), [POSTS["length"]], [OK])
    assert len(found) == 3


@pytest.mark.parametrize("phase", ["before_proxy", "header_filter"])
def test_a_copy_under_way_goes_with_its_request(phase: str) -> None:
    """Else a few hundred clients that leave in time would be the end of all copies."""
    before = _core._test_copies_held()
    wire = _core.Wire(snapshot(copier([], 2**30, phase)))
    line = wire.open()
    wire.push(line, POSTS["length"][:-1] if phase == "before_proxy" else GET)
    wire.pull(1)
    if phase == "header_filter":
        wire.push(1, ANSWERS["length"][:-1])
    assert _core._test_copies_held() > before
    wire.reset(line)
    assert wire.active == 0
    assert _core._test_copies_held() == before
