"""What loggers are told of an exchange, and what is masked before they, and the access log, are told."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from fastgw import _core
from tests.support.core import OK, snapshot

FIELDS = b"Host: h\r\nReferer: http://r/?x=1\r\nUser-Agent: me\r\nX-A: 1\r\nx-a: 2\r\n"
GET = b"GET /a%2f/b?one=1&two=2 HTTP/1.1\r\n" + FIELDS + b"\r\n"
Log = Callable[[_core.Request], None]


def talk(log: Log, request: bytes = GET, answer: bytes = OK, *steps: _core.Step) -> dict[str, Any]:
    """One request, whose log phase this is; gives its line of the access log."""
    failed: list[BaseException] = []
    step = _core.PythonStep("test", "log", lambda _, asked: log(asked), None)
    wire = _core.Wire(snapshot(*steps, step), on_error=lambda *told: failed.append(told[2]))
    reader, writer = os.pipe()
    try:
        wire.access_log(writer)
        line = wire.open()
        wire.push(line, request)
        if len(wire.lines()) > 1:
            wire.push(1, answer)
        del wire
        assert failed == []
        found: dict[str, Any] = json.loads(os.read(reader, 65536))
        return found
    finally:
        os.close(reader)
        os.close(writer)


def test_the_account_of_an_exchange() -> None:
    told: list[dict[str, Any]] = []
    talk(
        lambda request: told.append(_core.ledger_account(request)), b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
    )
    (account,) = told
    assert (account["received"], account["sent"], account["upstream"], account["upstream_status"]) == (4, 2, "127.0.0.1:81", 200)
    assert account["start"] <= account["asked"] <= account["answered"] <= account["now"]
    assert (account["service"], account["refused"]) == (None, None)


def test_the_account_of_a_refusal() -> None:
    told: list[dict[str, Any]] = []
    refuse = _core.PythonStep("no", "access", lambda c, r: _core.Reply(403, b"no", reason="my.reason"), None)
    talk(lambda request: told.append(_core.ledger_account(request)), GET, OK, refuse)
    assert (told[0]["upstream"], told[0]["asked"], told[0]["refused"], told[0]["sent"]) == (None, 0, "my.reason", 2)


def test_the_target_has_no_credentials() -> None:
    _core.KeyAuthStep(query="the-secret-arg")
    told: list[str] = []
    for target in ("/a?b=1&the-secret-arg=x&c='", "/a", "/?%74he-secret-arg=x"):
        line = talk(
            lambda request: told.append(_core.ledger_target(request)),
            f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode("latin-1"),
        )
        assert told[-1] == line["uri"]
        assert "=x" not in told[-1]


def test_the_headers_of_an_answer() -> None:
    told: list[list[tuple[str, str]]] = []

    def look(_: None, request: _core.Request) -> None:
        request.set_response_header("X-B", "ours")
        told.append(_core.ledger_answer(request))

    step = _core.PythonStep("look", "header_filter", look, None)
    answer = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-b: theirs\r\nConnection: x-c\r\nX-C: 2\r\nContent-Length: 2\r\n\r\nok"
    talk(lambda request: None, GET, answer, step)
    assert told == [[("X-A", "1"), ("X-B", "ours"), ("Content-Length", "2")]]
    told.clear()
    refuse = _core.PythonStep("no", "access", lambda c, r: _core.Reply(403, {"a": 1}, {"X-D": "4"}), None)
    talk(lambda request: None, GET, OK, refuse, step)
    assert told == [[("Content-Type", "application/json"), ("X-D", "4"), ("X-B", "ours"), ("Content-Length", "8")]]


@pytest.mark.parametrize("query", [b"", b"one=***", b"x" * 5000])
@pytest.mark.parametrize("request_", [GET, GET.replace(b"?one=1&two=2", b""), GET.replace(b"%2f", b"")])
def test_a_query_is_masked(query: bytes, request_: bytes) -> None:
    seen: list[tuple[str, ...]] = []
    uri = _core.Template("request_uri")

    def mask(request: _core.Request) -> None:
        path = request.path
        _core.ledger_query(request, query)
        assert request.path == path
        seen.append((request.query, request.target, request.uri, request.text(uri)))

    line = talk(mask, request_)
    path = request_.split(b" ")[1].partition(b"?")[0].decode()
    asked = path + ("?" + query.decode() if query else "")
    assert line["uri"] == asked
    assert seen == [(query.decode(), asked, asked, asked.replace("%2f", "%2F"))]


def test_headers_are_masked() -> None:
    seen: list[list[tuple[str, str]]] = []

    def mask(request: _core.Request) -> None:
        _core.ledger_field(request, "referer", ["http://***/"])
        _core.ledger_field(request, "User-Agent", None)
        _core.ledger_field(request, "X-A", ["one"])
        _core.ledger_field(request, "X-None", ["one"])
        seen.append([field for name in ("Referer", "User-Agent", "X-A", "X-None") for field in request.fields(name)])

    line = talk(mask)
    assert line["referer"] == "http://***/"
    assert "user_agent" not in line
    assert seen == [[("Referer", "http://***/"), ("X-A", "one")]]


def test_what_a_step_has_set_is_masked_as_well() -> None:
    seen: list[str | None] = []
    step = _core.PythonStep("set", "access", lambda c, r: r.set_header("X-A", "secret"), None)

    def mask(request: _core.Request) -> None:
        _core.ledger_field(request, "X-A", ["***"])
        seen.append(request.header("x-a"))

    talk(mask, GET, OK, step)
    assert seen == ["***"]
