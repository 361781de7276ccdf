"""pystep: one Python plugin with a lazy request, against none, and against one that is handed everything decoded."""

import time
from email.utils import formatdate
from typing import Any

from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.duel import Job, Loop, Side, between
from fastgw import _core

MOST = 2500  # ns
HEADERS = [("Host", "example.org"), ("Accept", "*/*"), ("User-Agent", "bench"), ("X-Debug-Not", "1"), ("Date", formatdate(0))]
REQUEST = "GET /orders?page=2 HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in HEADERS) + "\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Stamp:
    """What the first plugin of docs/writing-a-plugin.md does."""

    def access(self, conf: Any, request: Any) -> Any:
        if request.header("X-Debug") is not None:
            return _core.Reply(400)
        request.set_header("X-Route", request.route_id or "")
        return None


class Eager:
    """A request of which everything is decoded."""

    def __init__(self, raw: bytes) -> None:
        head, *lines = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        self.method, self.target, _ = head.split(" ")
        self.path, _, self.query = self.target.partition("?")
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.route_id = "route"

    def header(self, name: str) -> str | None:
        return self.headers.get(name.lower())

    def set_header(self, name: str, value: str) -> None:
        self.headers[name.lower()] = value


def wire(*steps: _core.Step) -> tuple[_core.Wire, int]:
    pool = _core.Pool("127.0.0.1:81")
    pool.resolve("127.0.0.1", 81)
    upstream = _core.Upstream([(pool, 1, 0, b"127.0.0.1:81")])
    chain = _core.Steps([(100, 1000, step) for step in steps])
    plan = _core.Plan(b"route", chain, upstream)
    made = _core.Wire(_core.Snapshot([(plan, b"", b"/*")], {}, _core.Steps([])))
    return made, made.open()


WITH, WITHOUT = wire(_core.PythonStep("stamp", "access", Stamp().access, None)), wire()


def _served(of: tuple[_core.Wire, int], n: int) -> float:
    started = time.thread_time_ns()
    of[0].run(of[1], REQUEST.encode(), ANSWER, n)
    return (time.thread_time_ns() - started) / n


def _eager(plugin: Stamp = Stamp(), raw: bytes = REQUEST.encode()) -> None:  # noqa: B008 (made once)
    plugin.access(None, Eager(raw))


@between(
    Job("a whole request with a Python plugin that stamps a header", at_most=MOST),
    lambda n: _served(WITH, n),
    {"no plugin": Loop(lambda n: _served(WITHOUT, n)), "the plugin alone, eager": _eager},
)
def test_stamp(side: Side, benchmark: BenchmarkFixture) -> None:
    side.time(benchmark)
