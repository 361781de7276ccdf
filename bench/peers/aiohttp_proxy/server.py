"""aiohttp as a gateway: JWT by PyJWT, a count per consumer in memory, proxying by aiohttp's client.

Run as a program: `server.py <port> <upstream port> <consumers.json>`. What one would write in an
afternoon, on uvloop, without an access log.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import uvloop
from aiohttp import web

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade"}


class Gateway:
    def __init__(self, upstream: str, consumers: dict[str, dict[str, Any]]) -> None:
        self._upstream = upstream
        self._consumers = consumers
        self._counts: dict[str, int] = {}
        self._session: aiohttp.ClientSession

    async def on_startup(self, _app: web.Application) -> None:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)

    async def on_cleanup(self, _app: web.Application) -> None:
        await self._session.close()

    def _consumer(self, request: web.Request) -> dict[str, Any] | None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            key = jwt.decode(token, options={"verify_signature": False})["key"]
            consumer = self._consumers[key]
            jwt.decode(token, consumer["secret"], algorithms=["HS256"])
        except (jwt.InvalidTokenError, KeyError):
            return None
        return consumer

    async def handle(self, request: web.Request) -> web.StreamResponse:
        consumer = self._consumer(request)
        if consumer is None:
            return web.json_response({"message": "failed to verify jwt"}, status=401)
        count = self._counts[consumer["name"]] = self._counts.get(consumer["name"], 0) + 1
        if count > consumer["limit"]:
            return web.json_response({"error_msg": "Too Many Requests"}, status=429)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        headers["X-Consumer-Username"] = consumer["name"]
        body = request.content if request.can_read_body else None
        async with self._session.request(request.method, self._upstream + request.path_qs, headers=headers, data=body) as found:
            kept = {name: value for name, value in found.headers.items() if name.lower() not in HOP_BY_HOP}
            return web.Response(status=found.status, headers=kept, body=await found.read())


def main(port: str, upstream_port: str, consumers: str) -> None:
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    gateway = Gateway(f"http://127.0.0.1:{upstream_port}", json.loads(Path(consumers).read_text()))
    app = web.Application()
    app.on_startup.append(gateway.on_startup)
    app.on_cleanup.append(gateway.on_cleanup)
    app.router.add_route("*", "/{rest:.*}", gateway.handle)
    web.run_app(app, host="127.0.0.1", port=int(port), access_log=None, print=lambda *_: None, backlog=4096)


if __name__ == "__main__":
    main(*sys.argv[1:])
