"""GatewayMiddleware: what a request to an ASGI application costs on top of the application itself, when its token is verified,
it is counted against a limit and the answer tells of it; against PyJWT and the limiter that slowapi is made of, in a middleware
of Python.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import jwt
from limits import RateLimitItemPerHour
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from pytest_benchmark.fixture import BenchmarkFixture
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

from bench.micro.bench_jwt import SECRET, TOKEN
from bench.micro.duel import Job, Loop, Side, between
from bench.tokens import ORDINARY
from fastgw.asgi import GatewayMiddleware

PLENTY = 2**40
App = Callable[[Any, Any, Any], Awaitable[None]]
SCOPE: dict[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.3"},
    "http_version": "1.1",
    "server": ("127.0.0.1", 8000),
    "client": ("192.0.2.7", 51234),
    "scheme": "http",
    "method": "GET",
    "root_path": "",
    "path": "/items/7",
    "raw_path": b"/items/7",
    "query_string": b"q=1",
    "headers": [
        (b"host", b"app.example"),
        (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64)"),
        (b"accept", b"*/*"),
        (b"accept-encoding", b"gzip, deflate"),
        (b"connection", b"keep-alive"),
        (b"authorization", b"Bearer " + TOKEN.encode()),
    ],
}
CONFIG = {
    "routes": [{"id": "r", "uri": "/*", "plugins": {"jwt-auth": {}}}],
    "consumers": [
        {
            "username": "someone",
            "plugins": {"limit-count": {"count": PLENTY, "time_window": 3600, "key": "consumer_name"}},
            "credentials": [{"id": "1", "plugins": {"jwt-auth": {"key": ORDINARY.key, "secret": SECRET}}}],
        }
    ],
}
SENT: list[Any] = []


START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
BODY = {"type": "http.response.body", "body": b"ok"}


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Next to nothing, so that all else is the middleware's."""
    await send(dict(START))
    await send(BODY)


async def by_starlette(scope: Any, receive: Any, send: Any) -> None:
    """What a bare answer of Starlette's takes, for comparison."""
    await JSONResponse({"hello": "world"})(scope, receive, send)


class Naive:
    """As teams write it who have PyJWT and slowapi."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.limiter = FixedWindowRateLimiter(MemoryStorage())
        self.limit = RateLimitItemPerHour(PLENTY)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        header = Headers(scope=scope).get("authorization", "")
        try:
            claims = jwt.decode(header.removeprefix("Bearer "), SECRET, algorithms=["HS256"])
        except jwt.InvalidTokenError:
            await JSONResponse({"message": "failed to verify jwt"}, 401)(scope, receive, send)
            return
        allowed = self.limiter.hit(self.limit, claims["key"])
        reset, remaining = self.limiter.get_window_stats(self.limit, claims["key"])
        told = {
            "X-RateLimit-Limit": str(PLENTY),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset": str(reset - time.time()),
        }
        if not allowed:
            await JSONResponse({"error_msg": "too many"}, 429, told)(scope, receive, send)
            return
        scope.setdefault("state", {})["consumer"] = claims["key"]

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(told)
            await send(message)

        await self.app(scope, receive, answer)


async def receive() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: Any) -> None:
    SENT.append(message)
    if len(SENT) > 2:
        del SENT[:-2]


def requests(app: App, times: int) -> float:
    """Nanoseconds of each of so many requests."""

    async def all_() -> float:
        started = time.perf_counter_ns()
        for _ in range(times):
            await app({**SCOPE, "state": {}}, receive, send)
        return (time.perf_counter_ns() - started) / times

    return LOOP.run_until_complete(all_())


LOOP = asyncio.new_event_loop()
OURS, NAIVE = GatewayMiddleware(application, config=CONFIG), Naive(application)


def headers(app: App) -> dict[str, str]:
    del SENT[:]
    requests(app, 1)
    return {name.decode().lower(): value.decode() for name, value in SENT[0]["headers"]}


def same_answers() -> None:
    """The same lines for the same request; of both the first is counted."""
    ours, theirs = headers(OURS), headers(NAIVE)
    assert ours.keys() == theirs.keys()
    assert ours["x-ratelimit-limit"] == theirs["x-ratelimit-limit"] == str(PLENTY)
    assert SENT[0]["status"] == 200


@between(
    Job("request to an ASGI application: token verified, limit counted, answer told; the application does nothing", at_most=4000),
    lambda n: requests(OURS, n),
    {
        "PyJWT + limits": Loop(lambda n: requests(NAIVE, n)),
        "neither, a bare answer of Starlette's": Loop(lambda n: requests(by_starlette, n)),
    },
)
def test_middleware(side: Side, benchmark: BenchmarkFixture) -> None:
    same_answers()
    side.time(benchmark)
