"""Steps in their order, native and Python in one chain: who runs, who answers, what a failure costs."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from fastgw import _core
from tests.support.core import CREDENTIAL, OK, TOKEN, john, snapshot, upstream

GET = b"GET /a?b=1 HTTP/1.1\r\nHost: x\r\n\r\n"
Call = Callable[..., Any]


def step(phase: str, call: Call, name: str = "test") -> _core.PythonStep:
    return _core.PythonStep(name, phase, call, {"conf": True})


def talk(*steps: _core.Step, request: bytes = GET, answer: bytes = OK, **options: Any) -> tuple[bytes, bytes]:
    """One request through these steps; what the upstream saw and what the client got."""
    wire = _core.Wire(snapshot(*steps, credentials=(john(),)), **options)
    line = wire.open()
    wire.push(line, request)
    sent = b""
    if len(wire.lines()) > 1:
        sent = wire.pull(1)
        wire.push(1, answer)
    got = wire.pull(line)
    assert wire.active == 0
    return sent, got


def test_a_lazy_request_tells_what_it_is_asked() -> None:
    seen: dict[str, Any] = {}

    def look(conf: dict[str, bool], request: _core.Request) -> None:
        seen.update(conf, method=request.method, path=request.path, target=request.target, query=request.query, host=request.host)
        seen.update(arg=request.arg("b"), none=request.arg("c"), header=request.header("user_agent"), route=request.route_id)
        seen.update(address=request.remote_addr, headers=request.headers, consumer=request.consumer_name, status=request.status)

    talk(step("rewrite", look), request=b"GET /x/../a?b=1 HTTP/1.1\r\nHost: X:80\r\nUser-Agent: t\r\n\r\n")
    assert seen == {
        "conf": True,
        "method": "GET",
        "path": "/a",
        "target": "/x/../a?b=1",
        "query": "b=1",
        "host": "x",
        "arg": "1",
        "none": None,
        "header": "t",
        "route": "route",
        "address": "192.0.2.1",
        "headers": [("Host", "X:80"), ("User-Agent", "t")],
        "consumer": None,
        "status": 0,
    }


def test_steps_run_by_phase_and_then_by_priority() -> None:
    order: list[str] = []
    noted = [step(phase, lambda c, r, n=f"{phase}{i}": order.append(n)) for phase in ("access", "rewrite", "log") for i in (1, 2)]
    talk(*noted)
    assert order == ["rewrite1", "rewrite2", "access1", "access2", "log1", "log2"]


def test_a_reply_stops_the_chain_but_not_the_log() -> None:
    order: list[str] = []
    sent, got = talk(
        step("rewrite", lambda c, r: _core.Reply(418, {"a": 1}, {"X-A": "b"})),
        step("access", lambda c, r: order.append("access")),
        step("log", lambda c, r: order.append(f"log {r.status}")),
    )
    assert (sent, order) == (b"", ["log 418"])
    assert got.startswith(b"HTTP/1.1 418 I'm a Teapot\r\nContent-Type: application/json\r\n")
    assert got.endswith(b'\r\nX-A: b\r\n\r\n{"a":1}\n')


@pytest.mark.parametrize(
    ("body", "type_"), [(b"x", b"application/octet-stream"), ("x", b"text/plain; charset=utf-8"), (["x"], b"application/json")]
)
def test_a_replys_type_follows_from_its_body(body: Any, type_: bytes) -> None:
    assert b"Content-Type: " + type_ + b"\r\n" in talk(step("access", lambda c, r: _core.Reply(200, body)))[1]


def test_headers_set_replace_those_that_came() -> None:
    def request_side(conf: Any, request: _core.Request) -> None:
        request.set_header("X-Mine", "new")

    def answer_side(conf: Any, request: _core.Request) -> None:
        request.set_response_header("X-Theirs", str(request.status))

    sent, got = talk(
        step("rewrite", request_side),
        step("header_filter", answer_side),
        request=b"GET / HTTP/1.1\r\nHost: x\r\nx_mine: old\r\nX-Mine: older\r\n\r\n",
        answer=b"HTTP/1.1 201 Created\r\nX-Theirs: old\r\nContent-Length: 0\r\n\r\n",
    )
    assert (sent.lower().count(b"mine"), b"X-Mine: new\r\n" in sent) == (1, True)
    assert (got.count(b"X-Theirs"), b"X-Theirs: 201\r\n" in got) == (1, True)


def test_a_header_that_is_set_again_is_there_once_and_one_that_is_added_beside_it() -> None:
    def request_side(conf: Any, request: _core.Request) -> None:
        for name, value in (("X-Mine", "1"), ("X-Other", "o"), ("x_mine", "2"), ("X-Mine", "3")):
            request.set_header(name, value)
        request.add_header("X-Mine", "4")
        with pytest.raises(ValueError):
            request.set_header("X-Mine", "\0")  # and all stays

    def answer_side(conf: Any, request: _core.Request) -> None:
        for name, value in (("X-Theirs", "1"), ("X-Other", "o"), ("x-theirs", "2")):
            request.set_response_header(name, value)
        request.add_response_header("X-Theirs", "3")
        request.add_response_header("Set-Cookie", "b=2")
        with pytest.raises(ValueError):
            request.set_response_header("X-Theirs", "\0")

    sent, got = talk(
        step("rewrite", request_side),
        step("header_filter", answer_side),
        answer=b"HTTP/1.1 201 Created\r\nX-Theirs: old\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n",
    )
    assert [line for line in sent.split(b"\r\n") if b"mine" in line.lower() or b"Other" in line] == [
        b"X-Other: o",
        b"X-Mine: 3",
        b"X-Mine: 4",
    ]
    told = (b"theirs", b"set-cookie", b"x-other")
    assert [
        line for line in got.split(b"\r\n") if line.lower().split(b":")[0].removeprefix(b"x-") in told or b"Other" in line
    ] == [
        b"X-Other: o",
        b"x-theirs: 2",
        b"X-Theirs: 3",
        b"Set-Cookie: a=1",
        b"Set-Cookie: b=2",
    ]


def test_the_type_of_an_answer_of_ones_own_can_be_set() -> None:
    _, got = talk(
        step("access", lambda c, r: _core.Reply(200, {"a": 1})),
        step("header_filter", lambda c, r: r.set_response_header("Content-Type", "application/own+json")),
    )
    lines = [line for line in got.split(b"\r\n") if b"ontent-" in line]
    assert sorted(lines) == [b"Content-Length: 8", b"Content-Type: application/own+json"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("X", "a\r\nb"), ("X\r\n", "a"), ("", "a"), ("X Y", "a"), ("X", "\0"), ("Content-Length", "5"), ("Host", "y")],
)
def test_no_header_is_injected(name: str, value: str) -> None:
    errors: list[BaseException] = []
    sent, got = talk(
        step("access", lambda c, r: r.set_header(name, value)), on_error=lambda plugin, phase, error: errors.append(error)
    )
    assert (sent, got[9:12], type(errors[0])) == (b"", b"500", ValueError)


def broken(conf: Any, request: _core.Request, *piece: Any) -> Any:
    raise RuntimeError("a plugin's fault")


@pytest.mark.parametrize(
    ("phase", "status"),
    [
        ("rewrite", b"500"),
        ("access", b"500"),
        ("before_proxy", b"500"),
        ("header_filter", b"200"),
        ("body_filter", b"200"),
        ("log", b"200"),
    ],
)
def test_a_fault_costs_its_own_request_only(phase: str, status: bytes) -> None:
    told: list[tuple[str, str, str]] = []
    wire = _core.Wire(
        snapshot(step(phase, broken)), on_error=lambda plugin, phase, error: told.append((plugin, phase, str(error)))
    )
    line = wire.open()
    for _ in range(2):
        wire.push(line, GET)
        if len(wire.lines()) > 1:
            wire.push(1, OK)
        assert wire.pull(line)[9:12] == status
    assert told[0] == ("test", phase, "a plugin's fault")


@pytest.mark.parametrize("result", [5, "text", object()])
def test_nonsense_from_a_plugin_is_its_fault(result: Any) -> None:
    assert talk(step("access", lambda c, r: result), on_error=lambda *_: None)[1][9:12] == b"500"


def test_body_filters_see_pieces_and_the_end() -> None:
    pieces: list[tuple[bytes, bool]] = []

    def shout(conf: Any, request: _core.Request, piece: bytes, last: bool) -> bytes:
        pieces.append((piece, last))
        return piece.upper() + (b"!" if last else b"")

    got = talk(step("body_filter", shout))[1]
    assert pieces == [(b"ok", False), (b"", True)]
    assert b"Content-Length" not in got
    assert got.endswith(b"\r\n\r\n2\r\nOK\r\n1\r\n!\r\n0\r\n\r\n")


def test_a_coroutine_suspends_its_request_and_no_other() -> None:
    async def play() -> None:
        gate = asyncio.Event()

        async def wait(conf: Any, request: _core.Request) -> _core.Reply | None:
            if request.path == "/slow":
                await gate.wait()
                return _core.Reply(202, "late")
            return None

        wire = _core.Wire(snapshot(step("access", wait)), loop=asyncio.get_running_loop())
        slow, fast, gone = wire.open(), wire.open(), wire.open()
        for line, path in ((slow, b"/slow"), (gone, b"/slow"), (fast, b"/")):
            wire.push(line, b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
        wire.reset(gone)  # leaves while its step waits
        for _ in range(5):
            await asyncio.sleep(0)
        up = next(i for i, side, _ in wire.lines() if side == "up")
        wire.push(up, OK)
        assert wire.pull(fast).endswith(b"ok")
        assert wire.pull(slow) == b""
        gate.set()
        for _ in range(5):
            await asyncio.sleep(0)
        assert wire.pull(slow).endswith(b"late")
        assert wire.active == 0

    asyncio.run(play())


def test_a_request_is_over_when_it_is_over() -> None:
    kept: list[_core.Request] = []
    talk(step("access", lambda c, r: kept.append(r)))
    with pytest.raises(_core.PluginError, match="the request is over"):
        _ = kept[0].method


# -- native steps ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [b"Authorization: %b", b"Authorization: Bearer %b", b"Authorization: bearer %b", b"Cookie: a=b; jwt=%b; c=d", b"?jwt=%b&z=1"],
)
@pytest.mark.parametrize("hide", [True, False])
def test_a_token_is_found_and_hidden(place: bytes, hide: bool) -> None:
    target, field = (b"/" + place % TOKEN, b"X: y") if place.startswith(b"?") else (b"/", place % TOKEN)
    request = b"GET %b HTTP/1.1\r\nHost: x\r\nX-Consumer-Username: root\r\nx_credential_identifier: root\r\n%b\r\n\r\n" % (
        target,
        field,
    )
    sent, _ = talk(_core.JwtAuthStep(hide_credentials=hide), request=request)
    assert (TOKEN in sent) is not hide
    assert b"root" not in sent
    assert b"X-Consumer-Username: john\r\nX-Credential-Identifier: %b\r\n" % CREDENTIAL in sent
    if hide and b"Cookie" in place:
        assert b"Cookie: a=b; c=d\r\n" in sent
    if hide and place.startswith(b"?"):
        assert sent.startswith(b"GET /?z=1 HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (b"X: y", b"Missing JWT token in request"),
        (b"Authorization:", b"failed to verify jwt"),
        (b"Authorization: BEARER %b" % TOKEN, b"failed to verify jwt"),
        (b"Authorization: %b\r\nAuthorization: %b" % (TOKEN, TOKEN), b"failed to verify jwt"),
        (b"Authorization: \r\nCookie: jwt=%b" % TOKEN, b"failed to verify jwt"),
        (b"Authorization: %b" % TOKEN[:-4], b"failed to verify jwt"),
    ],
)
def test_no_good_token_no_entry(field: bytes, message: bytes) -> None:
    sent, got = talk(_core.JwtAuthStep(), request=b"GET / HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n" % field)
    assert (sent, got[9:12]) == (b"", b"401")
    assert b'WWW-Authenticate: Bearer realm="jwt"\r\n' in got
    assert got.endswith(b'{"message":"' + message + b'"}\n')


def test_a_consumers_step_replaces_the_routes_of_the_same_plugin() -> None:
    def limit(count: int, owner: bytes) -> _core.LimitCountStep:
        return _core.LimitCountStep(owner, _core.Template("k", "constant"), count=count, window=60)

    own = john((1002, limit(5, b"consumers/john")), number=9)
    route = _core.Steps([(8, 2510, _core.JwtAuthStep(anonymous=None)), (9, 1002, limit(1, b"routes/r"))])
    snap = _core.Snapshot([(_core.Plan(b"r", route, upstream()), b"", b"/*")], {"jwt": [own]}, _core.Steps([]))
    wire = _core.Wire(snap)
    line = wire.open()
    wire.push(line, b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: %b\r\n\r\n" % TOKEN)
    wire.push(1, OK)
    assert b"X-RateLimit-Limit: 5\r\n" in wire.pull(line)


def test_quota_headers_and_retry_after() -> None:
    step_ = _core.LimitCountStep(
        b"r", _core.Template("remote_addr"), count=1, window=30, rejected_code=429, rejected_body=b'{"error_msg":"slow down"}\n'
    )
    wire = _core.Wire(snapshot(step_))
    line = wire.open()
    wire.push(line, GET)
    wire.push(1, OK)
    quota = b"X-RateLimit-Limit: 1\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 30\r\n"
    assert quota in wire.pull(line)
    wire.push(line, GET)
    refused = wire.pull(line)
    assert refused.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert quota + b"Retry-After: 30\r\n" in refused
    assert refused.endswith(b'{"error_msg":"slow down"}\n')
    other = wire.open("192.0.2.99")
    wire.push(other, GET)
    assert wire.pull(1).startswith(b"GET ")
