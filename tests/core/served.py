"""Applications to put the middlewares in front of, without any server, and the configuration that judges their requests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

from fastgw.asgi import GatewayMiddleware
from tests.support.tokens import token

JOHN, JANE = "john-hs256-secret", "jane-hs256-secret"
CONFIG: dict[str, Any] = {
    "routes": [
        {"id": "private", "uri": "/private/*", "plugins": {"jwt-auth": {"hide_credentials": True, "store_in_ctx": True}}},
        {"id": "open", "uri": "/open", "plugins": {}},
        {"id": "named", "uri": "/named", "plugins": {"request-id": {}}},
        {"id": "slow", "uri": "/slow", "plugins": {"limit-req": {"rate": 20, "burst": 5, "key": "remote_addr"}}},
    ],
    "consumers": [
        {
            "username": "john",
            "labels": {"custom_id": "id-of-john"},
            "group_id": "few",
            "credentials": [{"id": "one", "plugins": {"jwt-auth": {"key": "john-key", "secret": JOHN}}}],
        },
        {
            "username": "jane",
            "credentials": [{"id": "two", "plugins": {"jwt-auth": {"key": "jane-key", "secret": JANE}}}],
        },
    ],
    "consumer_groups": [{"id": "few", "plugins": {"limit-count": {"count": 2, "time_window": 3600, "rejected_code": 429}}}],
}


def bearer(name: str = "jane", **claims: Any) -> tuple[bytes, bytes]:
    """The header of a good token."""
    return b"authorization", b"Bearer " + token(f"{name}-key", {"john": JOHN, "jane": JANE}[name], **claims).encode()


class Answer(NamedTuple):
    """What the server was sent, and the scope as the application saw it; None: it was not asked."""

    status: int
    headers: dict[str, str]
    body: bytes
    scope: dict[str, Any] | None
    messages: list[Mapping[str, Any]]


class Bare:
    """A bare ASGI application that says yes to everything."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(scope)
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-app", b"yes")]})
        await send({"type": "http.response.body", "body": b"yes"})


def scope_of(path: str, *headers: tuple[bytes, bytes], query: bytes = b"", kind: str = "http", **more: Any) -> dict[str, Any]:
    """As uvicorn has it."""
    made = {
        "type": kind,
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "root_path": "",
        "headers": [(b"host", b"app.example"), (b"user-agent", b"test"), *headers],
        "client": ("192.0.2.7", 40000),
        "server": ("127.0.0.1", 8000),
        "state": {},
        **more,
    }
    if kind == "websocket":
        del made["method"]
    return made


async def asked(app: GatewayMiddleware, scope: dict[str, Any]) -> Answer:
    """One request of the application."""
    inner: Any = app.app
    before = len(inner.seen)
    messages: list[Mapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(3600)
        return {}

    async def send(message: Any) -> None:
        messages.append(message)

    await app(scope, receive, send)
    start = next((each for each in messages if each["type"].endswith(".start")), {"status": 0, "headers": []})
    body = b"".join(each.get("body", b"") for each in messages)
    told = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], told, body, inner.seen[-1] if len(inner.seen) > before else None, messages)


def under_way(app: GatewayMiddleware) -> int:
    """Requests that the running loop's chain knows of."""
    gate = app._last[1]
    assert gate is not None
    return gate.requests


def ask(app: GatewayMiddleware, *scopes: dict[str, Any]) -> list[Answer]:
    """Requests one after the other, on an event loop of their own. Afterwards nothing may be under way."""

    async def all_() -> list[Answer]:
        found = [await asked(app, each) for each in scopes]
        assert under_way(app) == 0
        return found

    return asyncio.run(all_())


@contextlib.asynccontextmanager
async def task(coroutine: Any) -> AsyncIterator[asyncio.Task[Any]]:
    """It runs meanwhile."""
    made = asyncio.ensure_future(coroutine)
    try:
        yield made
    finally:
        made.cancel()
