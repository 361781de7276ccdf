"""Scripts on Redis, many at once: one server, a cluster, or the master that sentinels know.

Owns: connections, which node has a key, the deadline, and that a server which lost its scripts gets them again. Must not
know what the scripts do, or what to do without their results. Nothing is tried twice where it may have run: a script whose
answer was lost may have counted. To wait and try again is for the caller to decide, who has a breaker.

A cluster is a server per node here, and not redis-py's RedisCluster: that one's pipeline loses the answers of all nodes
when one of them cannot be reached, so that one dead node would stop every count.
"""

import asyncio
import random
import ssl
from collections.abc import Awaitable, Iterable, Sequence
from hashlib import sha1
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from redis.asyncio import ConnectionPool, Redis, Sentinel, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, NoScriptError, RedisError

from fastgw.errors import FastgwError
from fastgw.plugins.redis_fields import RedisSettings

__all__ = ["Call", "Client", "RedisDownError", "Script", "connect"]

Address = tuple[str, int]
T = TypeVar("T")

HOPS: Final = 3  # times that a key is looked for: where it was, where it went, and where it went from there
SLOTS: Final = 16384
ASKED: Final = 5  # nodes, which of them has which slots


class RedisDownError(FastgwError):
    """No result, and why: without a secret, and without what was asked."""


class Script:
    """A Lua script, and the digest that Redis finds it by."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = sha1(text.encode(), usedforsecurity=False).hexdigest()


class Call(NamedTuple):
    """One run of a script on one key."""

    script: Script
    key: bytes
    args: Sequence[bytes | int | float] = ()


class Client(Protocol):
    """All that one process asks of one Redis. Belongs to the event loop it first runs on."""

    label: str
    """What logs call it."""

    def place(self, key: bytes) -> str:
        """The server that has the key, as far as is known: who runs calls of one place together, and has a breaker for each,
        lets no node wait for another."""

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """What each call gave, in order: a RedisDownError in the place of one that gave nothing. Calls of one server go in one
        write, and are run in order. RedisDownError is raised where none gave anything."""

    async def close(self) -> None:
        """Ends all connections."""


def connect(settings: RedisSettings) -> Client:
    """A client. It connects when it is first asked."""
    if settings.kind == "redis-cluster":
        return _Cluster(settings)
    one = settings.kind == "redis"
    return _Server(settings, _redis(settings.addresses[0], _options(settings)) if one else _master(settings))


_PLAIN: Final[dict[str, Any]] = {"protocol": 2, "driver_info": None, "retry": Retry(NoBackoff(), 0)}
"""Connections that say nothing of themselves when they open, which would be a round trip more, and try nothing again."""


def _options(settings: RedisSettings) -> dict[str, Any]:
    """What every connection is made with."""
    return {
        "max_connections": settings.connections,
        "db": settings.database,
        "username": settings.username or None,
        "password": settings.password or None,
        "socket_connect_timeout": settings.connect_timeout,
        "socket_timeout": settings.read_timeout,
        **_PLAIN,
        **({"connection_class": _TlsConnection, "context": _trust(settings.verify)} if settings.tls else {}),
    }


def _trust(verify: bool) -> ssl.SSLContext:
    """Whom connections believe. To read the system's authorities takes some 70 ms."""
    if verify:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class _TlsConnection(SSLConnection):
    """One whose context is that of all: redis-py would make one for each connection."""

    def __init__(self, context: ssl.SSLContext, **more: Any) -> None:
        super().__init__(**more)
        self.ssl_context.context = context

    async def disconnect(self, nowait: bool = False, *more: Any, **named: Any) -> None:
        """nowait: at once. redis-py lets go of it then, and it would stay for as long as the other side takes to say goodbye."""
        writer: asyncio.StreamWriter | None = self._writer
        await super().disconnect(nowait, *more, **named)
        if nowait and writer is not None:
            writer.transport.abort()


def _redis(address: Address, options: dict[str, Any]) -> "Redis":
    host, port = address
    return Redis.from_pool(ConnectionPool(host=host, port=port, **options))


def _master(settings: RedisSettings) -> "Redis":
    """Whichever server is the master when a connection is made."""
    least = settings.connect_timeout / (len(settings.addresses) + 1)  # one that hangs leaves time to ask the others
    asked = {"socket_connect_timeout": least, "socket_timeout": least, **_PLAIN}
    user = {"username": settings.sentinel_username or None, "password": settings.sentinel_password or None}
    sentinel = Sentinel(settings.addresses, sentinel_kwargs={**asked, **user}, **_options(settings))  # type: ignore[no-untyped-call]
    master: Redis = sentinel.master_for(settings.name)
    return master


class _Server:
    """One server, asked by pipelines: with the same connection for all that goes in one of them."""

    def __init__(self, settings: RedisSettings, redis: "Redis", label: str = "") -> None:
        self.label = label or settings.label
        self._redis = redis
        self._deadline = settings.read_timeout + (settings.connect_timeout if settings.kind == "redis-sentinel" else 0)
        self._free = asyncio.Semaphore(settings.connections)
        self._idle = settings.idle
        self._used = 0.0
        self._sweep: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def place(self, key: bytes) -> str:
        return ""

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        return [_told(each, self.label) for each in await self.ask(calls)]

    async def ask(self, calls: Sequence[Call], asking: bool = False) -> list[Any]:
        """Redis' own errors in the place of results; RedisDownError where there was no conversation.

        asking: of keys that are on their way to this node."""
        return await self._in_time(self._converse(calls, asking))

    async def slots(self) -> list[Any]:
        """What a cluster's node knows of who has which slots: first, last, then host, port and more of the one that has them."""
        asked: Awaitable[list[Any]] = self._redis.execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
        return await self._in_time(asked)

    async def _in_time(self, talk: Awaitable[T]) -> T:
        try:
            return await asyncio.wait_for(talk, self._deadline)
        except asyncio.TimeoutError:
            raise RedisDownError(f"{self.label}: no answer within {self._deadline:g} s") from None
        except Exception as error:  # of a closed transport uvloop says RuntimeError, and redis-py hands it on
            raise RedisDownError(f"{self.label}: {error}") from None

    async def _converse(self, calls: Sequence[Call], asking: bool) -> list[Any]:
        async with self._free:
            try:
                results = await self._send(calls, asking)
                # Nothing of these has run; and where a key has moved on, what came with it was no news to the server.
                while lost := [index for index, result in enumerate(results) if isinstance(result, NoScriptError)]:
                    again = await self._send([calls[index] for index in lost], asking, first=True)
                    for index, result in zip(lost, again, strict=True):
                        results[index] = result
                return results
            finally:
                self._keep()

    async def _send(self, calls: Sequence[Call], asking: bool, first: bool = False) -> list[Any]:
        """first: the server gets each script once, and has it for the calls that follow."""
        pipeline = self._redis.pipeline(transaction=False)
        new = {call.script for call in calls} if first else set()
        for script, key, args in calls:
            if asking:
                pipeline.execute_command("ASKING")
            if script in new:
                new.remove(script)
                pipeline.execute_command("EVAL", script.text, 1, key, *args)
            else:
                pipeline.execute_command("EVALSHA", script.digest, 1, key, *args)
        results = await pipeline.execute(raise_on_error=False)
        return results[1::2] if asking else results

    def _keep(self) -> None:
        """Connections stay open for a while."""
        loop = asyncio.get_running_loop()
        self._used = loop.time()
        if self._sweep is None:
            self._sweep = loop.call_later(self._idle, self._close_idle, loop)

    def _close_idle(self, loop: asyncio.AbstractEventLoop) -> None:
        left = self._used + self._idle - loop.time()
        if left > 0:
            self._sweep = loop.call_later(left, self._close_idle, loop)
            return
        self._sweep = None
        task = loop.create_task(self._redis.connection_pool.disconnect(inuse_connections=False))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        await self._redis.aclose()
        pool = self._redis.connection_pool
        if hasattr(pool, "sentinel_manager"):
            await pool.sentinel_manager.aclose()


class _Cluster:
    """Nodes, each asked for its own keys."""

    def __init__(self, settings: RedisSettings) -> None:
        self.label = settings.label
        self._settings = settings
        self._options = _options(settings)
        self._nodes: dict[Address, _Server] = {}
        self._slots: list[Address | None] = []  # by slot; empty until a node was asked
        self._looking: asyncio.Task[RedisDownError | None] | None = None
        self._late: set[asyncio.Task[list[Address | None]]] = set()  # who is asked which node has what, and was not the first

    def place(self, key: bytes) -> str:
        if not self._slots:
            return ""
        address = self._slots[key_slot(key)]
        return f"{address[0]}:{address[1]}" if address else "nobody"

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        if not self._slots and (failed := await asyncio.shield(self._look_soon())):
            raise failed
        results: list[Any] = [None] * len(calls)
        left: list[tuple[int, Address | None]] = [(index, None) for index in range(len(calls))]
        for _ in range(HOPS):
            left = await self._hop(calls, left, results)
            if not left:
                break
        if results and all(isinstance(each, RedisDownError) for each in results):
            raise results[0]
        return [_told(each, self.label) for each in results]

    async def _hop(
        self, calls: Sequence[Call], left: Iterable[tuple[int, Address | None]], results: list[Any]
    ) -> list[tuple[int, Address | None]]:
        """Asks each of these calls once, and answers those to be asked elsewhere. An address: to be asked there, by ASK."""
        parts: dict[tuple[Address, bool], list[int]] = {}
        for index, asked in left:
            address = asked or self._slots[key_slot(calls[index].key)]
            if address is None:
                results[index] = RedisDownError(f"{self.label}: no node has the slot of the key")
                self._look_soon()
            else:
                parts.setdefault((address, asked is not None), []).append(index)
        asks: list[Awaitable[list[Any]]] = [
            self._node(address).ask([calls[index] for index in indices], asking) for (address, asking), indices in parts.items()
        ]
        elsewhere: list[tuple[int, Address | None]] = []
        for ((address, _), indices), answer in zip(
            parts.items(), await asyncio.gather(*asks, return_exceptions=True), strict=True
        ):
            if isinstance(answer, BaseException):
                if not isinstance(answer, RedisDownError):
                    raise answer
                self._look_soon()
                answer = [answer] * len(indices)
            for index, result in zip(indices, answer, strict=True):
                results[index] = result
                if isinstance(result, MovedError):
                    self._slots[result.slot_id] = self._at(result, address)
                    self._look_soon()  # it will not be the only one
                    elsewhere.append((index, None))
                elif isinstance(result, AskError):
                    elsewhere.append((index, self._at(result, address)))
        return elsewhere

    @staticmethod
    def _at(error: AskError, asked: Address) -> Address:
        """Where a node says that a key is; a node that does not know how it is called leaves its host out."""
        return error.host or asked[0], error.port

    def _node(self, address: Address) -> _Server:
        server = self._nodes.get(address)
        if server is None:
            label = f"redis-cluster {self._settings.name} {address[0]}:{address[1]}"
            server = self._nodes[address] = _Server(self._settings, _redis(address, self._options), label)
        return server

    def _look_soon(self) -> "asyncio.Task[RedisDownError | None]":
        """Asks which node has what: once at a time, however many want to know."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())
        return self._looking

    async def _look(self) -> RedisDownError | None:
        """Takes the first map that a node gives; of many nodes a few are asked, all at once."""
        known = list({*self._settings.addresses, *self._nodes})
        asked = [asyncio.create_task(self._map(each)) for each in random.sample(known, min(len(known), ASKED))]
        failed = None
        try:
            for each in asyncio.as_completed(asked):
                try:
                    self._slots = await each
                    break
                except RedisDownError as error:
                    failed = error
            else:
                return failed
        finally:
            for task in asked:  # not cancelled: a connection that is being made would be left to the garbage collector
                self._late.add(task)
                task.add_done_callback(self._ended)
        kept = {*self._settings.addresses, *self._slots}
        for address in [each for each in self._nodes if each not in kept]:
            await self._nodes.pop(address).close()
        return None

    def _ended(self, task: "asyncio.Task[list[Address | None]]") -> None:
        self._late.discard(task)
        if not task.cancelled():
            task.exception()  # nobody else is told of it

    async def _map(self, address: Address) -> list[Address | None]:
        """Which node has which slot, as the node at this address knows it."""
        slots: list[Address | None] = [None] * SLOTS
        node = self._node(address)
        told = await node.slots()
        try:
            for first, last, (host, port, *_), *_ in told:
                slots[first : last + 1] = [(host.decode() if host else address[0], port)] * (last + 1 - first)
        except (TypeError, ValueError):
            raise RedisDownError(f"{node.label}: no map of slots") from None
        return slots

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await asyncio.gather(*self._late, return_exceptions=True)  # each has its deadline
        for server in self._nodes.values():
            await server.close()


def _told(result: Any, label: str) -> Any:
    """A result as the caller gets it: no error of redis-py's."""
    return RedisDownError(f"{label}: {result}") if isinstance(result, RedisError) else result
