"""The gateway's chain in front of an ASGI application: Starlette, FastAPI, Litestar, or a bare one.

Owns: how a scope is asked about, what the application is told, how a refusal is sent (ASGI 3.0: HTTP and WebSocket). Must not
know: how a request is judged.

    app = GatewayMiddleware(app, config="config.json")

The same objects as a gateway's, the same steps, in this process: routes are found, tokens and keys verified, limits counted. Who
a request is from is `scope["state"]["consumer"]`, a Caller or None; see docs/embedding.md.
"""

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from fastgw._core import Caller, Gate, Visit
from fastgw.core import Table
from fastgw.embedded import Embedded, Unmatched

__all__ = ["Caller", "GatewayMiddleware", "consumer", "optional_consumer"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY_VIOLATION: Final = 1008  # RFC 6455 section 7.4.1
DENIAL: Final = "websocket.http.response"  # the extension by which a handshake is answered with a status of ours

log = logging.getLogger("fastgw.embedded")


class GatewayMiddleware:
    """An ASGI application that judges requests before the one it wraps.

    app: the application
    config: the path of a config file, or its content as a mapping
    table: the path of a table, or a Table, in place of the file's `shared_memory.path`: that of a running gateway is shared with
    it
    unmatched: refuse: a request that no route takes gets 404, as a gateway's; pass: it is the application's, behind global rules
    ConfigError, EmbeddingError, RegionError: what is wrong with them, when it is made, and so before anything is served.
    """

    def __init__(
        self,
        app: App,
        *,
        config: "str | os.PathLike[str] | Mapping[str, Any]",
        table: "str | os.PathLike[str] | Table | None" = None,
        unmatched: Unmatched = "refuse",
    ) -> None:
        self.app = app
        self._embedded = Embedded(config, table=table, unmatched=unmatched)
        self._gates: dict[asyncio.AbstractEventLoop, Gate] = {}
        # The one used last: nearly always there is one loop. Both in one, so that threads never see one of each.
        self._last: tuple[asyncio.AbstractEventLoop | None, Gate | None] = (None, None)

    @property
    def table(self) -> Table:
        """Where it counts."""
        return self._embedded.table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind != "http" and kind != "websocket":
            await self.app(scope, receive, send)
            return
        loop, gate = self._last
        if gate is None or loop is not asyncio.get_running_loop():
            gate = self._of_this_loop()
        visit = gate.ask(scope)
        if visit.waiting:
            await self._settled(visit)
        if visit.status:
            await _refuse(visit, scope, send)
            return
        state = scope.get("state")
        if state is None:
            state = scope["state"] = {}
        state["consumer"] = visit.caller
        if visit.claims is not None:
            state["claims"] = json.loads(visit.claims)
        if visit.forward is not None:
            scope["headers"] = visit.forward
        if visit.query is not None:
            scope["query_string"] = visit.query
        if not visit.open and visit.headers is None:
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, receive, _Told(visit, send))
        finally:
            visit.end()

    def _of_this_loop(self) -> Gate:
        """The chain on the running loop; those of loops that have gone (a test's) go too."""
        loop = asyncio.get_running_loop()
        gate = self._gates.get(loop)
        if gate is None:
            for other in [each for each in self._gates if each.is_closed()]:
                del self._gates[other]
            self._gates[loop] = gate = self._embedded.gate(loop)
            loop.add_reader(gate.fileno(), gate.drain)
        self._last = (loop, gate)
        return gate

    @staticmethod
    async def _settled(visit: Visit) -> None:
        visit.future = asyncio.get_running_loop().create_future()
        try:
            await visit.future
        except BaseException:
            visit.end()  # the client has gone, or the server ends
            raise


class _Told:
    """The way back of an answer to which the chain adds header lines."""

    __slots__ = ("_send", "_visit")

    def __init__(self, visit: Visit, send: Send) -> None:
        self._visit = visit
        self._send = send

    def __call__(self, message: Message) -> Awaitable[None]:
        kind = message["type"]
        if kind == "http.response.start":
            added = self._visit.answered(message["status"])
        elif kind == "websocket.accept":
            added = self._visit.answered(101)
        else:
            return self._send(message)
        # The message is the application's, which may send the same one again.
        return self._send({**message, "headers": [*message.get("headers", ()), *added]})


async def _refuse(visit: Visit, scope: Scope, send: Send) -> None:
    log.debug("refused: %s", visit.reason)
    kind = "http.response"
    if scope["type"] == "websocket":
        if DENIAL not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": ""})
            return
        kind = DENIAL
    await send({"type": f"{kind}.start", "status": visit.status, "headers": visit.headers})
    await send({"type": f"{kind}.body", "body": visit.body})


def _from(connection: Any) -> Caller | None:
    found: Caller | None = connection.scope.get("state", {}).get("consumer")
    return found


try:
    from starlette.requests import HTTPConnection
except ImportError:  # `consumer` is for who has it
    HTTPConnection = Any  # type: ignore[assignment,misc]


def optional_consumer(connection: HTTPConnection) -> Caller | None:
    """For `Depends(optional_consumer)`: who the request is from, None of one that no step authenticated."""
    return _from(connection)


def consumer(connection: HTTPConnection) -> Caller:
    """For `Depends(consumer)`: who the request is from; 401 for one that no step authenticated."""
    found = _from(connection)
    if found is None:
        from starlette.exceptions import HTTPException

        raise HTTPException(401, "no consumer")
    return found
