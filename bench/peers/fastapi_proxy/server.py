"""FastAPI as a gateway: the consumer as a dependency (PyJWT), its count in memory, proxying by httpx.

Run as a program: `server.py <port> <upstream port> <consumers.json>`.
"""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import jwt
import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
# Beside those of one hop: httpx has decoded the body when it hands it over.
DROPPED = {"connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade", "content-encoding"}


def passed_on(headers: httpx.Headers) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in DROPPED}


def gateway(upstream: str, consumers: dict[str, dict[str, Any]]) -> FastAPI:
    counts: dict[str, int] = {}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=512, keepalive_expiry=60)
        async with httpx.AsyncClient(base_url=upstream, limits=limits, timeout=60) as app.state.client:
            yield

    app = FastAPI(lifespan=lifespan, openapi_url=None)

    async def consumer(authorization: Annotated[str, Header()] = "") -> dict[str, Any]:
        token = authorization.removeprefix("Bearer ")
        try:
            key = jwt.decode(token, options={"verify_signature": False})["key"]
            found = consumers[key]
            jwt.decode(token, found["secret"], algorithms=["HS256"])
        except (jwt.InvalidTokenError, KeyError):
            raise HTTPException(401, "failed to verify jwt") from None
        return found

    async def allowed(caller: Annotated[dict[str, Any], Depends(consumer)]) -> dict[str, Any]:
        count = counts[caller["name"]] = counts.get(caller["name"], 0) + 1
        if count > caller["limit"]:
            raise HTTPException(429, "Too Many Requests")
        return caller

    @app.api_route("/{path:path}", methods=METHODS)
    async def forward(request: Request, caller: Annotated[dict[str, Any], Depends(allowed)]) -> Response:
        client: httpx.AsyncClient = request.app.state.client
        headers = passed_on(httpx.Headers(request.headers.raw))
        headers["x-consumer-username"] = caller["name"]
        target = httpx.URL(path=request.url.path, query=request.url.query.encode())
        found = await client.request(request.method, target, headers=headers, content=await request.body())
        return Response(found.content, found.status_code, passed_on(found.headers))

    return app


def main(port: str, upstream_port: str, consumers: str) -> None:
    app = gateway(f"http://127.0.0.1:{upstream_port}", json.loads(Path(consumers).read_text()))
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(port),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        backlog=4096,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
