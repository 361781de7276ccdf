"""WebSocket through the gateway, as the library `websockets` speaks it on both sides."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support import tokens
from tests.support.certificates import Authority
from tests.support.gateway import Gateway
from tests.support.processes import alive
from tests.support.tls import client_context, server_context
from tests.support.waiting import until
from tests.support.websocket import EchoServer, client
from tests.support.wire import TIMEOUT, Address

MIB = 1 << 20
CA = Authority()


def config(upstream: Address | str, *, scheme: str = "http", **fields: Any) -> dict[str, Any]:
    node = {"scheme": scheme, "nodes": {str(upstream): 1}}
    return {"routes": [{"id": "r", "uri": "/*", "enable_websocket": True, "upstream": node}], **fields}


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoServer]:
    with EchoServer() as echo:
        yield echo


@pytest.fixture(scope="module")
def gateway(echo: EchoServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """/plain lets nothing through; /service inherits the word of its service, /own has its own."""
    directory = tmp_path_factory.mktemp("websocket")
    node = {"nodes": {str(echo.address): 1}}
    routes = [
        {"id": "plain", "uri": "/plain", "upstream": node},
        {"id": "service", "uri": "/service", "service_id": "on"},
        {"id": "own", "uri": "/own", "service_id": "on", "enable_websocket": False},
        {"id": "jwt", "uri": "/jwt", "service_id": "on", "plugins": {"jwt-auth": {"hide_credentials": True}}},
        {"id": "conn", "uri": "/conn", "service_id": "on", "plugins": {"limit-conn": LIMIT}},
    ]
    consumer = {"username": "john", "plugins": {"jwt-auth": tokens.JOHN}}
    settings = config(echo.address, services=[{"id": "on", "enable_websocket": True, "upstream": node}], consumers=[consumer])
    settings["routes"] += routes
    settings["access_log"] = {"path": str(directory / "access.log")}
    with Gateway(directory, settings) as gateway:
        yield gateway


LIMIT = {"conn": 1, "burst": 0, "default_conn_delay": 0.1, "key": "remote_addr", "rejected_code": 429}


async def echoed(connection: ClientConnection, message: str | bytes) -> None:
    await connection.send(message)
    assert await asyncio.wait_for(connection.recv(), TIMEOUT) == message


# -- what the protocol can do ----------------------------------------------------------------------


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_messages_of_every_kind_and_size(gateway: Gateway, compression: str | None) -> None:
    async def talk() -> None:
        async with client(gateway.data, compression=compression) as connection:
            assert bool(connection.protocol.extensions) == (compression is not None)
            for message in ("text", "žluťoučký kůň", "", b"", b"\0\xff" * 7, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"):
                await echoed(connection, message)
            for size in (125, 126, 65535, 65536, MIB):
                await echoed(connection, hashlib.shake_128(b"m").digest(size))

    asyncio.run(talk())


def test_a_message_of_16_mebibytes(gateway: Gateway) -> None:
    async def talk() -> None:
        async with client(gateway.data, compression=None) as connection:
            await echoed(connection, hashlib.shake_128(b"big").digest(16 * MIB))

    asyncio.run(talk())


def test_fragments(gateway: Gateway) -> None:
    async def talk() -> None:
        async with client(gateway.data) as connection:
            await connection.send(["one ", "two ", "three"])
            assert await connection.recv() == "one two three"
            await connection.send([b"x" * 70_000] * 3)
            assert await connection.recv() == b"x" * 210_000

    asyncio.run(talk())


def test_ping_and_pong(gateway: Gateway) -> None:
    async def talk() -> None:
        async with client(gateway.data) as connection:
            for payload in (b"", b"payload", b"x" * 125):
                await asyncio.wait_for(await connection.ping(payload), TIMEOUT)
            await connection.pong(b"nobody asked")
            await echoed(connection, "still there")

    asyncio.run(talk())


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
def test_close_codes_of_the_server(gateway: Gateway, code: int) -> None:
    async def talk() -> None:
        async with client(gateway.data) as connection:
            await connection.send(f"close {code} because of it")
            with pytest.raises(ConnectionClosed):
                await connection.recv()
            assert (connection.close_code, connection.close_reason) == (code, "because of it")

    asyncio.run(talk())


def test_close_codes_of_the_client(gateway: Gateway, echo: EchoServer) -> None:
    async def talk() -> None:
        async with client(gateway.data, "/closed") as connection:
            await connection.close(4321, "done")

    asyncio.run(talk())
    until(lambda: "/closed" in echo.codes, "the server sees the end")
    assert echo.codes["/closed"] == 4321


def test_a_connection_that_is_dropped_is_dropped_on_the_other_side(gateway: Gateway, echo: EchoServer) -> None:
    async def talk() -> None:
        async with client(gateway.data, "/dropped") as connection:
            await echoed(connection, "there")
            connection.transport.abort()

    asyncio.run(talk())
    until(lambda: "/dropped" in echo.codes, "the server sees the end")
    assert echo.codes["/dropped"] == 1006


def test_subprotocols(gateway: Gateway) -> None:
    async def talk() -> None:
        async with client(gateway.data, subprotocols=["other", "superchat"]) as connection:
            assert connection.subprotocol == "superchat"
        async with client(gateway.data) as connection:
            assert connection.subprotocol is None

    asyncio.run(talk())


# -- who may ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "status"), [("/plain", 426), ("/own", 426), ("/jwt", 401)])
def test_where_it_is_not_for_them(gateway: Gateway, path: str, status: int) -> None:
    """426 is the server's own word for a handshake that has lost its Upgrade on the way."""

    async def talk() -> int:
        try:
            async with client(gateway.data, path):
                return 101
        except InvalidStatus as error:
            return error.response.status_code

    assert asyncio.run(talk()) == status


def test_a_service_speaks_for_its_routes(gateway: Gateway) -> None:
    async def talk() -> None:
        async with client(gateway.data, "/service") as connection:
            await echoed(connection, "hello")

    asyncio.run(talk())


def test_authentication_comes_first(gateway: Gateway, echo: EchoServer) -> None:
    async def talk() -> None:
        async with client(gateway.data, "/jwt", additional_headers={"Authorization": tokens.john()}) as connection:
            await echoed(connection, "hello")
        with pytest.raises(InvalidStatus):
            async with client(gateway.data, "/jwt", additional_headers={"Authorization": tokens.tampered(tokens.john())}):
                pass

    before = len(echo.seen)
    asyncio.run(talk())
    (seen,) = echo.seen[before:]
    assert (seen["x-consumer-username"], "authorization" in seen) == ("john", False)
    assert (seen["connection"], seen["upgrade"]) == ("upgrade", "websocket")


def test_a_slot_of_limit_conn_is_held_for_life(gateway: Gateway) -> None:
    async def refused() -> bool:
        try:
            async with client(gateway.data, "/conn"):
                return False
        except InvalidStatus as error:
            return error.response.status_code == 429

    async def talk() -> None:
        async with client(gateway.data, "/conn") as connection:
            await echoed(connection, "hello")
            assert await refused()

    asyncio.run(talk())
    until(lambda: not asyncio.run(refused()), "the slot is free")


def test_one_line_in_the_log(gateway: Gateway) -> None:
    async def talk() -> None:
        async with client(gateway.data, "/logged", compression=None) as connection:
            await echoed(connection, "x" * 100)

    asyncio.run(talk())
    log = gateway.directory / "access.log"
    text = until(lambda: [each for each in log.read_text().splitlines() if '"/logged"' in each], "the line is there")
    (line,) = map(json.loads, text)
    assert (line["status"], line["upstream_status"], line["route"], "refused" in line) == (101, 101, "r", False)
    # Frames of the client bear four bytes more, the mask; either side closes with two bytes of a code.
    assert (line["bytes_in"], line["bytes_out"]) == (106 + 8, 102 + 4)


# -- over other lines ------------------------------------------------------------------------------


@pytest.mark.parametrize("upstream", ["plain", "tls", "unix"])
@pytest.mark.parametrize("listener", ["plain", "tls"])
def test_every_kind_of_line(tmp_path: Path, listener: str, upstream: str) -> None:
    cert, key = CA.issue("localhost", "127.0.0.1")
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(CA.pem)
    path = tmp_path / "up.sock"
    server = EchoServer(path if upstream == "unix" else None, server_context(cert, key) if upstream == "tls" else None)
    with server as echo:
        where = f"unix:{path}" if upstream == "unix" else echo.address
        settings = config(where, scheme="https" if upstream == "tls" else "http")
        settings["ssls"] = [{"id": "a", "snis": ["localhost"], "cert": cert, "key": key}]
        settings["tls"] = {"listen": ["127.0.0.1:0"], "trusted_certificate": str(trusted)}
        with Gateway(tmp_path, settings) as gateway:
            secure: dict[str, Any] = {"scheme": "wss", "ssl": client_context(CA.pem), "server_hostname": "localhost"}

            async def talk() -> None:
                address = gateway.tls if listener == "tls" else gateway.data
                async with client(address, **secure if listener == "tls" else {}) as connection:
                    await echoed(connection, "hello")
                    await echoed(connection, hashlib.shake_128(b"m").digest(3 * MIB))
                    await connection.send("close 4001 bye")
                    with pytest.raises(ConnectionClosed):
                        await connection.recv()
                    assert connection.close_code == 4001

            asyncio.run(talk())
            until(lambda: not echo.open, "the server's side has ended")


# -- many, and for long ----------------------------------------------------------------------------


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_thousand_at_once_through_one_worker(tmp_path: Path, secure: bool) -> None:
    many = 200 if secure else 1000
    cert, key = CA.issue("localhost")
    with EchoServer() as echo:
        settings = config(echo.address)
        settings["routes"][0]["plugins"] = {"jwt-auth": {}}
        settings["consumers"] = [{"username": "john", "plugins": {"jwt-auth": tokens.JOHN}}]
        settings["ssls"] = [{"id": "a", "snis": ["localhost"], "cert": cert, "key": key}]
        settings["tls"] = {"listen": ["127.0.0.1:0"]}
        with Gateway(tmp_path, settings) as gateway:
            options: dict[str, Any] = {"additional_headers": {"Authorization": tokens.john()}, "compression": None}
            if secure:
                options |= {"scheme": "wss", "ssl": client_context(CA.pem), "server_hostname": "localhost"}

            async def talk() -> None:
                async with contextlib.AsyncExitStack() as stack:
                    address = gateway.tls if secure else gateway.data
                    gate = asyncio.Semaphore(50)

                    async def joined() -> ClientConnection:
                        async with gate:
                            return await stack.enter_async_context(client(address, **options))

                    connections = await asyncio.gather(*(joined() for _ in range(many)))
                    while len(echo.open) < many:  # an answer is here before its server's own task has begun
                        await asyncio.sleep(0.01)
                    for _ in range(2):
                        await asyncio.gather(*(echoed(each, f"hello from {n}") for n, each in enumerate(connections)))

            asyncio.run(talk())
            until(lambda: not echo.open, "every server's side has ended")
            until(lambda: gateway.log().count('"status":101') == many, "every tunnel has its line")


def test_a_reload_leaves_tunnels_to_the_old_worker(tmp_path: Path) -> None:
    with EchoServer() as echo, Gateway(tmp_path, config(echo.address)) as gateway:
        (old,) = gateway.workers()

        async def talk() -> None:
            async with client(gateway.data, "/old") as connection:
                await echoed(connection, "before")
                reloaded = asyncio.to_thread(gateway.reload, {**gateway.config, "limits": {"idle_timeout": 50}})
                assert "refused" not in await reloaded
                await asyncio.to_thread(until, lambda: "draining" in gateway.log(), "the old worker drains")
                await echoed(connection, "after")
                async with client(gateway.data, "/new") as fresh:
                    await echoed(fresh, "the new worker's")
                    assert len(gateway.workers()) == 2
                    await connection.close()
                    await asyncio.to_thread(until, lambda: not alive(old), "the old worker has ended")
                    await echoed(fresh, "goes on")

        asyncio.run(talk())
        assert "are cut" not in gateway.log()


def test_a_drain_ends_tunnels_at_its_bound(tmp_path: Path) -> None:
    with EchoServer() as server:
        settings = config(server.address, limits={"drain_timeout": 1})
        with Gateway(tmp_path, settings) as gateway:

            async def talk() -> None:
                async with client(gateway.data) as connection:
                    await echoed(connection, "before")
                    assert "refused" not in await asyncio.to_thread(
                        gateway.reload, {**gateway.config, "limits": {"drain_timeout": 1, "idle_timeout": 50}}
                    )
                    with pytest.raises(ConnectionClosed):
                        await asyncio.wait_for(connection.recv(), TIMEOUT)
                    assert connection.close_code == 1006

            asyncio.run(talk())
            until(lambda: not server.open, "the server's side has ended")
            until(lambda: '"refused":"tunnel.drained"' in gateway.log(), "the log says why")
