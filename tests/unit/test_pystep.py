"""Python plugins as steps: whatever a method gives or raises, its request has one answer, and it is counted."""

from collections.abc import Callable
from typing import Any

import pytest

from fastgw import _core
from tests.support.core import OK, ask, snapshot

REQUEST = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"


def one(phase: str, call: Callable[..., Any], *, on_error: Callable[..., None] | None = None) -> tuple[bytes, dict[str, Any]]:
    """What the client got, and how the plugin was counted."""
    region = _core.Region.create(16, slots=1, revocations=1)
    wire = _core.Wire(snapshot(_core.PythonStep("one", phase, call, None)), region=region, on_error=on_error)
    line = wire.open()
    wire.push(line, REQUEST)
    if len(wire.lines()) > 1:
        wire.push(1, BODY)
    got = wire.pull(line)
    assert wire.active == 0
    return got, region.plugins()["one"]


def fails(conf: Any, request: _core.Request, *piece: Any) -> None:
    raise ValueError


@pytest.mark.parametrize("phase", ["rewrite", "access", "before_proxy"])
def test_what_raises_is_answered_500(phase: str) -> None:
    got, counted = one(phase, fails)
    assert got.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b'"reason":"plugin.failed"' in got
    assert (counted["calls"], counted["failures"], counted["timeouts"]) == (1, 1, 0)


@pytest.mark.parametrize("phase", ["header_filter", "body_filter", "log"])
def test_where_the_answer_is_there_it_goes_on(phase: str) -> None:
    got, counted = one(phase, fails)
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"body" in got
    assert counted["failures"] == counted["calls"] > 0


@pytest.mark.parametrize("error", [_core.PluginTimeout(), SystemExit(), KeyboardInterrupt(), MemoryError(), GeneratorExit()])
def test_whatever_it_raises(error: BaseException) -> None:
    def raising(conf: Any, request: _core.Request) -> None:
        raise error

    late = isinstance(error, _core.PluginTimeout)
    got, counted = one("access", raising)
    assert got.startswith(b"HTTP/1.1 504 " if late else b"HTTP/1.1 500 ")
    assert (counted["failures"], counted["timeouts"]) == ((0, 1) if late else (1, 0))


def test_who_is_told_of_errors_may_fail_as_well() -> None:
    def failing(*_: Any) -> None:
        raise SystemExit

    got, _ = one("access", fails, on_error=failing)
    assert got.startswith(b"HTTP/1.1 500 ")
    got, _ = one("log", fails, on_error=failing)
    assert got.startswith(b"HTTP/1.1 200 ")


def test_headers_of_a_reply_that_failed_are_not_sent() -> None:
    reply = _core.Reply(200, b"", [("X-One", "1"), ("X-Two", "a\r\nb")])
    got, _ = one("access", lambda conf, request: reply)
    assert got.startswith(b"HTTP/1.1 500 ")
    assert b"X-One" not in got


def test_what_plugins_tell_each_other_is_theirs() -> None:
    def first(conf: Any, request: _core.Request) -> None:
        assert request.ctx == {}
        request.ctx["told"] = "by the first"

    def second(conf: Any, request: _core.Request) -> None:
        request.set_header("X-Told", request.ctx["told"])

    steps = [_core.PythonStep(name, "access", call, None) for name, call in (("a", first), ("b", second))]
    assert b"X-Told: by the first\r\n" in ask(snapshot(*steps), REQUEST, OK)[0]


@pytest.mark.parametrize(
    "asks",
    [
        lambda request: request.forwarded(),
        lambda request: request.text(_core.Template("a text of $host", "var_combination")),
        lambda request: request.remove_header("X-Set"),
    ],
)
def test_what_is_asked_in_a_body_filter_changes_no_answer(asks: Callable[[_core.Request], Any]) -> None:
    """The answer's head may be made, and not yet sent."""

    def rewrite(conf: Any, request: _core.Request) -> None:
        request.set_header("X-Set", "1")

    def body_filter(conf: Any, request: _core.Request, piece: bytes, last: bool) -> None:
        asks(request)

    steps = [_core.PythonStep("one", call.__name__, call, None) for call in (rewrite, body_filter)]
    got = ask(snapshot(*steps), REQUEST, BODY)[1]
    plain = ask(snapshot(_core.PythonStep("one", "body_filter", lambda *_: None, None)), REQUEST, BODY)[1]
    assert got == plain
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
