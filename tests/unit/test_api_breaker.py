"""The api-breaker steps on memory: what opens, what is answered meanwhile, which statuses count."""

import json
import os
from pathlib import Path

import pytest

from fastgw import _core
from fastgw.plugins import api_breaker, order
from fastgw.plugins.contract import Env
from fastgw.schema.decode import faults_of
from tests.support.core import snapshot, upstream


class _Env(Env):
    owner = "routes/r"


def steps(**conf: object) -> list[_core.Step]:
    plugin = order.get("api-breaker")
    decoded, faults = faults_of({"break_response_code": 502, **conf}, api_breaker.Conf)
    assert plugin is not None
    assert faults == []
    return plugin.provision(decoded, _Env())


class Scene:
    """A wire to one upstream that answers with the status it is told."""

    def __init__(self, *more: _core.Step, to: _core.Upstream | None = None, **conf: object) -> None:
        self.region = _core.Region.create(1024)
        self.wire = _core.Wire(snapshot(*steps(**conf), *more, to=to), region=self.region)
        self.line = self.wire.open()

    def ask(self, status: int = 200, path: str = "/", host: str = "x", fields: str = "") -> bytes:
        """The answer to one request; the upstream, if it is asked, answers with the status."""
        if not self.wire.lines() or not any(i == self.line for i, _, _ in self.wire.lines()):
            self.line = self.wire.open()
        self.wire.push(self.line, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n".encode())
        self.asked = False
        for i, side, is_open in self.wire.lines():
            if side == "up" and is_open and self.wire.pull(i):
                self.asked = True
                self.wire.push(i, b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)
        return self.wire.pull(self.line)

    def opens_after(self, *statuses: int) -> bool:
        for status in statuses:
            self.ask(status)
            assert self.asked
        self.ask()
        return not self.asked


@pytest.mark.parametrize(
    ("conf", "statuses", "opens"),
    [
        ({}, [500, 500], False),
        ({}, [500, 500, 500], True),
        ({}, [500, 200, 500, 200, 500], True),
        ({}, [500, 500, 200, 200, 200, 500], False),
        ({}, [500, 500, 201, 404, 200, 200, 502, 500], True),
        ({}, [500, 500, 200, 200, 500], True),
        ({}, [503, 503, 503, 503], False),
        ({"unhealthy": {"http_statuses": [503, 599], "failures": 2}}, [503, 599], True),
        ({"unhealthy": {"http_statuses": [503]}}, [500, 500, 500], False),
        ({"unhealthy": {"failures": 1}}, [500], True),
        ({"healthy": {"successes": 1}}, [500, 500, 200, 500, 500], False),
        ({"healthy": {"http_statuses": [404], "successes": 1}}, [500, 500, 404, 500, 200, 500], False),
    ],
)
def test_what_opens_it(conf: dict[str, object], statuses: list[int], opens: bool) -> None:
    assert Scene(**conf).opens_after(*statuses) == opens


def test_it_opens_for_twice_as_long_after_as_many_failures_more() -> None:
    scene = Scene(unhealthy={"failures": 2}, max_breaker_sec=7)
    for seconds in (2, 4, 7, 7):
        assert scene.opens_after(500, 500)
        scene.wire.advance(seconds - 0.1)
        scene.ask()
        assert not scene.asked
        scene.wire.advance(0.2)
    for _ in range(3):
        scene.ask(200)
        assert scene.asked
    assert scene.opens_after(500, 500)
    scene.wire.advance(2.1)
    scene.ask()
    assert scene.asked


def test_a_place_is_a_host_and_a_path() -> None:
    scene = Scene(unhealthy={"failures": 1})
    scene.ask(500, "/a?b=c", "one.test")
    for path, host, asked in (
        ("/a", "one.test", False),
        ("/a?d", "ONE.test:81", False),
        ("/%61", "one.test", False),
        ("/b", "one.test", True),
        ("/a", "two.test", True),
    ):
        scene.ask(200, path, host)
        assert scene.asked == asked, (path, host)


def test_the_answer_without_a_body(tmp_path: Path) -> None:
    scene = Scene(unhealthy={"failures": 1}, break_response_headers=[{"key": "X-A", "value": "b"}])
    log = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT)
    scene.wire.access_log(log)
    scene.ask(500)
    got = scene.ask()
    scene.wire.access_log(-1)
    assert got.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert got.endswith(b'\r\n\r\n{"error_msg":"Bad Gateway"}\n')
    assert b"X-A" not in got
    line = json.loads(os.pread(log, 9999, 0).splitlines()[1])
    os.close(log)
    assert (line["status"], line["refused"], "upstream" in line) == (502, "api-breaker.open", False)
    assert Scene(unhealthy={"failures": 1}, break_response_code=204).opens_after(500)


def test_the_answer_with_a_body_and_headers() -> None:
    scene = Scene(
        unhealthy={"failures": 1},
        break_response_code=200,
        break_response_body='{"later":true}',
        break_response_headers=[
            {"key": "Content-Type", "value": "application/json"},
            {"key": "X-Where", "value": "$host$uri for $http_x_who!"},
            {"key": "X-None", "value": "$arg_none"},
        ],
    )
    scene.ask(500, "/p", "h")
    got = scene.ask(200, "/p", "h", "X-Who: me\r\n")
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nX-Where: h/p for me!\r\n" in got
    assert b"\r\nX-None: \r\n" in got
    assert got.count(b"Content-Type: ") == 1
    assert b"\r\nContent-Type: application/json\r\n" in got
    assert got.endswith(b'\r\n\r\n{"later":true}')


def test_a_body_alone_is_text() -> None:
    scene = Scene(unhealthy={"failures": 1}, break_response_body="closed for now")
    scene.ask(500)
    got = scene.ask()
    assert b"\r\nContent-Type: text/plain; charset=utf-8\r\n" in got
    assert got.endswith(b"\r\n\r\nclosed for now")


# -- statuses that the upstream never gave -----------------------------------------------------------


@pytest.mark.parametrize(("how", "status"), [("refused", 502), ("later", 504)])
def test_a_failed_connection_counts_as_its_status(how: str, status: int) -> None:
    for counted in (502, 504):
        scene = Scene(to=upstream(connect=1), unhealthy={"http_statuses": [counted], "failures": 1}, break_response_code=599)
        scene.wire.connecting(how)
        got = scene.ask()
        if how == "later":
            scene.wire.advance(2)
            got = scene.wire.pull(scene.line)
        assert got.startswith(b"HTTP/1.1 %d " % status)
        scene.wire.connecting("at once")
        scene.ask(200)
        assert scene.asked == (counted != status)


def test_what_the_gateway_says_itself_does_not_count() -> None:
    """A limit behind it that answers 500; its own answers; clients that leave."""
    limit = _core.LimitCountStep(b"r", _core.Template("all", "constant"), count=1, window=3600, rejected_code=500)
    scene = Scene(limit, unhealthy={"failures": 1})
    scene.ask(200)
    for _ in range(3):
        assert scene.ask().startswith(b"HTTP/1.1 500 ")
    assert _core._TestBreaker(scene.region, failures=1, successes=1, max_s=3) is not None
    assert len(_core._test_cells(_core.Table(scene.region))) == 1  # the limit's

    scene = Scene(unhealthy={"failures": 1}, break_response_code=500)
    scene.ask(500)
    for _ in range(4):
        scene.ask()
    scene.wire.advance(2.1)  # its own answers have not made it longer
    scene.ask()
    assert scene.asked

    scene = Scene(unhealthy={"failures": 1, "http_statuses": [502, 504, 503, 500]})
    line = scene.wire.open()
    scene.wire.push(line, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    scene.wire.reset(line)
    scene.ask()
    assert scene.asked


def test_an_answer_that_breaks_off_counts_as_its_status() -> None:
    scene = Scene(unhealthy={"failures": 1})
    line = scene.wire.open()
    scene.wire.push(line, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    up = max(i for i, side, _ in scene.wire.lines() if side == "up")
    scene.wire.push(up, b"HTTP/1.1 500 X\r\nContent-Length: 4\r\n\r\nab")
    scene.wire.end(up)
    scene.ask()
    assert not scene.asked


def test_the_last_of_several_nodes_counts() -> None:
    scene = Scene(to=upstream(2), unhealthy={"http_statuses": [502], "failures": 1})
    scene.wire.connecting("later")
    scene.wire.push(scene.line, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    (first,) = (i for i, side, _ in scene.wire.lines() if side == "up")
    scene.wire.connecting("at once")
    scene.wire.reset(first)
    (second,) = (i for i, side, _ in scene.wire.lines() if side == "up" and i != first)
    scene.wire.push(second, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert scene.wire.pull(scene.line).startswith(b"HTTP/1.1 200 ")
    scene.ask(200)
    assert scene.asked


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"break_response_code": 199}, "break_response_code: expected at least 200, found 199"),
        ({"break_response_code": 600}, "break_response_code: expected at most 599, found 600"),
        ({"max_breaker_sec": 2}, "max_breaker_sec: expected at least 3, found 2"),
        ({"unhealthy": {"http_statuses": [499]}}, "unhealthy.http_statuses[0]: expected at least 500, found 499"),
        ({"unhealthy": {"http_statuses": []}}, "unhealthy.http_statuses: expected at least 1 item, found 0"),
        ({"unhealthy": {"failures": 0}}, "unhealthy.failures: expected at least 1, found 0"),
        ({"healthy": {"http_statuses": [500]}}, "healthy.http_statuses[0]: expected at most 499, found 500"),
        ({"healthy": {"successes": 0}}, "healthy.successes: expected at least 1, found 0"),
        ({"break_response_headers": [{"key": "a b", "value": "c"}]},
         "break_response_headers[0].key: expected a name of letters, digits and !#$%&'*+-.^_`|~, found \"a b\""),
        ({"break_response_headers": [{"key": "Content-Length", "value": "0"}]},
         "break_response_headers[0].key: expected a header that the gateway does not set itself"),
        ({"break_response_headers": [{"key": "A", "value": "b\r\nC: d"}]},
         "break_response_headers[0].value: expected no control characters"),
        ({"break_response_headers": [{"key": "content-type", "value": "$arg_x"}]},
         "break_response_headers[0].value: expected a type without variables"),
    ],
)  # fmt: skip
def test_faults_are_named(conf: dict[str, object], message: str) -> None:
    whole = {"break_response_code": 502, **conf}
    assert [str(fault) for fault in faults_of(whole, api_breaker.Conf)[1]] == [message]


def test_defaults_are_those_of_apisix() -> None:
    conf, faults = faults_of({"break_response_code": 502}, api_breaker.Conf)
    assert faults == []
    assert (conf.max_breaker_sec, conf.unhealthy.http_statuses, conf.unhealthy.failures) == (300, (500,), 3)
    assert (conf.healthy.http_statuses, conf.healthy.successes) == ((200,), 3)
