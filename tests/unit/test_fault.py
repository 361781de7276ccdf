"""What a client is told where the gateway cannot serve its request, and what the log has of the same request."""

from __future__ import annotations

import json
import os
import re
import uuid

import pytest

from fastgw import _core
from tests.support.core import OK, snapshot, upstream

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
CHUNKED = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
DOWN, UP = 0, 1


class Scene:
    """A client, a route to some nodes, and what the log says."""

    def __init__(self, *steps: _core.Step, nodes: int = 1, limits: dict[str, float] | None = None, **options: object) -> None:
        self.region = _core.Region.create(64)
        self.log = os.memfd_create("log")
        self.wire = _core.Wire(
            snapshot(*steps, to=upstream(nodes, connect=5, send=5, read=5, budget=(1000, 1000))),
            limits=limits,
            region=self.region,
            **options,  # type: ignore[arg-type]
        )
        self.wire.access_log(self.log)
        self.wire.open()

    def ask(self, request: bytes = GET) -> Scene:
        self.wire.push(DOWN, request)
        return self

    def up(self) -> int:
        """The upstream's line in use."""
        return [i for i, side, is_open in self.wire.lines() if side == "up" and is_open][-1]

    def told(self) -> tuple[int, dict[str, str], dict[str, object]]:
        """Status, header and JSON of the answer."""
        head, _, body = self.wire.pull(DOWN).partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        return int(lines[0][9:12]), dict(line.split(": ", 1) for line in lines[1:]), json.loads(body) if body else {}

    def logged(self) -> dict[str, object]:
        self.wire.access_log(-1)
        line = os.pread(self.log, 1 << 16, 0).splitlines()[-1]
        os.close(self.log)
        return dict(json.loads(line))

    def counted(self, name: str) -> int:
        return int(self.region.metrics()[name])


def outcome(scene: Scene) -> tuple[int, str]:
    """Status and reason; that answer and log agree, and tell no more."""
    status, headers, body = scene.told()
    logged = scene.logged()
    assert list(body) == ["error_msg", "reason", "request_id"]
    assert (body["reason"], body["request_id"], status) == (logged["refused"], logged["request_id"], logged["status"])
    assert re.fullmatch(rf"{status} [A-Z][A-Za-z ]+", str(body["error_msg"]))
    assert headers["Content-Type"] == "application/json"
    assert "127.0.0.1" not in json.dumps([headers, body])
    return status, str(body["reason"])


# ---- each cause ----------------------------------------------------------------------------------


def refused() -> Scene:
    scene = Scene()
    scene.wire.connecting("refused")
    return scene.ask()


def refused_later() -> Scene:
    scene = Scene()
    scene.wire.connecting("later")
    scene.ask()
    scene.wire.reset(UP)
    return scene


def never_connected() -> Scene:
    scene = Scene()
    scene.wire.connecting("later")
    scene.ask()
    scene.wire.advance(6)
    return scene


def spoke_first() -> Scene:
    scene = Scene()
    scene.wire.connecting("later")
    scene.ask()
    scene.wire.push(UP, OK)
    assert scene.wire.pull(UP) == b""
    return scene


def hung_up_first() -> Scene:
    scene = Scene()
    scene.wire.connecting("later")
    scene.ask()
    scene.wire.end(UP)
    scene.wire.connected(UP)
    return scene


def closed() -> Scene:
    scene = Scene().ask()
    scene.wire.end(UP)
    return scene


def broke() -> Scene:
    scene = Scene().ask()
    scene.wire.reset(UP)
    return scene


def lied() -> Scene:
    scene = Scene().ask()
    scene.wire.push(UP, b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n")
    return scene


def silent() -> Scene:
    scene = Scene().ask()
    scene.wire.advance(6)
    return scene


def took_nothing() -> Scene:
    scene = Scene()
    scene.wire.connecting("later")
    scene.ask(POST)
    scene.wire.room(UP, 5)
    scene.wire.connected(UP)
    scene.wire.advance(6)
    return scene


def without_a_node() -> Scene:
    scene = Scene()
    scene.wire.install(snapshot(to=_core.Upstream([])))
    return scene.ask()


def without_an_address() -> Scene:
    scene = Scene()
    scene.wire.install(snapshot(to=_core.Upstream([(_core.Pool("a.test:80"), 1, 0, b"a.test")])))
    return scene.ask()


def without_a_configuration() -> Scene:
    scene = Scene()
    bare = Scene.__new__(Scene)
    bare.region, bare.log = scene.region, scene.log
    bare.wire = _core.Wire(region=scene.region)
    bare.wire.access_log(bare.log)
    bare.wire.open()
    return bare.ask()


def broken(conf: object, request: object) -> None:
    raise RuntimeError("127.0.0.1")


CAUSES = {
    refused: (502, "upstream.refused"),
    refused_later: (502, "upstream.refused"),
    never_connected: (504, "upstream.connect_timeout"),
    spoke_first: (502, "upstream.early"),
    hung_up_first: (502, "upstream.closed"),
    closed: (502, "upstream.closed"),
    broke: (502, "upstream.reset"),
    lied: (502, "upstream.bad_answer"),
    silent: (504, "upstream.timeout"),
    took_nothing: (504, "upstream.send_timeout"),
    without_a_node: (503, "upstream.missing"),
    without_an_address: (503, "upstream.unresolved"),
    without_a_configuration: (503, "config.missing"),
}


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.__name__)
def test_each_cause_has_its_reason(cause) -> None:  # type: ignore[no-untyped-def]
    assert outcome(cause()) == CAUSES[cause]


@pytest.mark.parametrize(
    ("request_", "limits", "expected"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", {}, (400, "framing.refused")),
        (b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n", {}, (501, "framing.refused")),
        (b"GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n", {}, (400, "framing.refused")),
        (POST, {"body_bytes": 3}, (413, "framing.refused")),
        (CHUNKED + b"5\r\n", {"body_bytes": 4}, (413, "body.too_large")),
        (CHUNKED + b"x\r\n", {}, (400, "framing.chunk")),
    ],
)
def test_what_the_gateway_refuses_of_itself(request_: bytes, limits: dict[str, float], expected: tuple[int, str]) -> None:
    scene = Scene(limits=limits).ask(request_)
    framing = expected[1].startswith("framing.")
    assert (outcome(scene), scene.counted("refused_framing")) == (expected, framing)


def test_a_request_that_does_not_come() -> None:
    scene = Scene().ask(b"GET / HT")
    scene.wire.advance(11)
    assert (outcome(scene), scene.counted("refused_framing")) == ((408, "timeout.head"), 0)


def test_a_plugin_that_raises() -> None:
    scene = Scene(_core.PythonStep("p", "rewrite", broken, None)).ask()
    assert outcome(scene) == (500, "plugin.failed")


def test_HEAD_is_told_by_the_head_alone() -> None:
    scene = Scene()
    scene.wire.connecting("refused")
    status, headers, body = scene.ask(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n").told()
    assert (status, body, int(headers["Content-Length"]) > 0) == (502, {}, True)


# ---- the id --------------------------------------------------------------------------------------


def both() -> tuple[_core.Step, _core.Step]:
    return _core.RequestIdStep("rewrite"), _core.RequestIdStep("header_filter")


def test_the_id_is_the_one_of_the_request() -> None:
    scene = Scene(*both())
    scene.wire.connecting("refused")
    scene.ask(b'GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: my "own"\r\n\r\n')
    _, headers, body = scene.told()
    assert headers["X-Request-Id"] == body["request_id"] == scene.logged()["request_id"] == 'my "own"'


def test_else_it_is_made_for_the_answer_and_cannot_be_foretold() -> None:
    seen = set()
    for _ in range(20):
        scene = Scene()
        scene.wire.connecting("refused")
        made = str(scene.ask().told()[2]["request_id"])
        assert uuid.UUID(made).version == 4
        seen.add(made)
    assert len(seen) == 20


def test_a_request_that_fails_before_its_id_is_made_has_one_nevertheless() -> None:
    before, after = both()
    scene = Scene(_core.PythonStep("p", "rewrite", broken, None), before, after).ask()
    _, headers, body = scene.told()
    assert headers["X-Request-Id"] == body["request_id"]


def test_the_next_request_of_the_connection_has_another() -> None:
    scene = Scene()
    scene.wire.connecting("refused")
    first = scene.ask().told()[2]["request_id"]
    second = scene.ask().told()[2]["request_id"]
    scene.wire.connecting("at once")
    scene.ask().wire.push(UP, OK)
    assert first != second
    assert "request_id" not in scene.logged()


# ---- X-APISIX-Upstream-Status --------------------------------------------------------------------

STATUS = "X-APISIX-Upstream-Status"


def answering(status: int, *fields: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\n%bContent-Length: 0\r\n\r\n" % (status, b"".join(field + b"\r\n" for field in fields))


@pytest.mark.parametrize("status", [200, 404, 499, 500, 502, 503, 599])
@pytest.mark.parametrize("always", [False, True])
def test_the_upstreams_status_is_told_of_its_own_failures_or_always(status: int, always: bool) -> None:
    scene = Scene(show_upstream_status=always).ask()
    scene.wire.push(UP, answering(status, b"x-apisix-upstream-status: 200", b"X_APISIX_Upstream_Status: 200"))
    text = scene.wire.pull(DOWN)
    expected = [str(status).encode()] if always or status >= 500 else []
    assert re.findall(rb"(?im)^x[-_]apisix[-_]upstream[-_]status: (.*)\r$", text) == expected


def test_each_try_is_told() -> None:
    scene = Scene(nodes=4).ask()
    scene.wire.reset(scene.up())
    scene.wire.advance(6)
    scene.wire.end(scene.up())
    assert scene.counted("upstream_retries") == 3
    scene.wire.push(scene.up(), answering(503))
    assert scene.told()[1][STATUS] == "502, 504, 502, 503"
    assert (scene.counted("upstream_failures"), scene.counted("upstream_connects")) == (3, 4)


def test_a_good_answer_after_a_failed_try_says_nothing_of_it_unless_asked() -> None:
    for always in (False, True):
        scene = Scene(nodes=2, show_upstream_status=always).ask()
        scene.wire.reset(scene.up())
        scene.wire.push(scene.up(), OK)
        assert (b"Upstream-Status: 502, 200" in scene.wire.pull(DOWN)) is always


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        (refused, "502"),
        (never_connected, "504"),
        (lied, "502"),
        (silent, "504"),
        (without_a_node, None),
        (without_an_address, None),
    ],
)
def test_the_gateways_own_answer_tells_of_tries_if_there_were_any(cause, told: str | None) -> None:  # type: ignore[no-untyped-def]
    assert cause().told()[1].get(STATUS) == told


def test_all_tries_without_an_answer() -> None:
    scene = Scene(nodes=3)
    scene.wire.connecting("refused")
    assert scene.ask().told()[1][STATUS] == "502, 502, 502"


def test_a_long_list_keeps_its_end() -> None:
    nodes = [(_core.Pool("127.0.0.1:81"), 1, 0, b"h")]
    nodes[0][0].resolve("127.0.0.1", 81)
    scene = Scene()
    scene.wire.install(snapshot(to=_core.Upstream(nodes, retries=200, budget=(1000, 1000))))
    scene.wire.connecting("refused")
    assert scene.ask().told()[1][STATUS] == ", ".join(["502"] * 64)


def test_a_kept_connection_that_turned_out_closed_is_no_try() -> None:
    scene = Scene(show_upstream_status=True).ask()
    scene.wire.push(UP, OK)
    scene.wire.pull(DOWN)
    scene.ask()
    scene.wire.end(UP)
    scene.wire.push(scene.up(), OK)
    assert b"Upstream-Status: 200\r\n" in scene.wire.pull(DOWN)


def test_nothing_of_one_requests_tries_is_told_of_the_next() -> None:
    scene = Scene(nodes=2).ask()
    scene.wire.reset(scene.up())
    scene.wire.push(scene.up(), OK)
    scene.wire.pull(DOWN)
    scene.ask()
    scene.wire.push(scene.up(), answering(500))
    assert scene.told()[1][STATUS] == "500"


# ---- counters ------------------------------------------------------------------------------------


def test_refusals_of_authentication_are_counted_once_each() -> None:
    key = _core.KeyAuthStep()
    for step in (key, _core.MultiAuthStep([key, _core.JwtAuthStep()])):
        scene = Scene(step)
        scene.ask().ask()
        assert (scene.counted("refused_auth"), scene.counted("responses_4xx")) == (2, 2)


def test_clients_that_leave_are_counted() -> None:
    scene = Scene().ask()
    scene.wire.reset(DOWN)
    assert scene.counted("client_left") == 1
