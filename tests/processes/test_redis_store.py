"""The store of a worker, on a Redis that is not there or says what the test wants."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from fastgw import _core
from fastgw.plugins.redis_fields import RedisSettings
from fastgw.redis_client import Call, RedisDownError
from fastgw.redis_limits import store as stores
from fastgw.redis_limits.scripts import BEAT
from tests.support.core import snapshot

SETTINGS = RedisSettings(kind="redis", addresses=(("127.0.0.1", 1),))
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Said:
    """A client that gives what the test says."""

    label = "redis"

    def __init__(self) -> None:
        self.names: list[bytes] = []
        self.down = False
        self.most = 0

    def place(self, key: bytes) -> str:
        return ""

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        self.most = max(self.most, len(calls))
        if self.down:
            raise RedisDownError("redis: away")
        return [sorted(self.names) if call.script is BEAT else [0, 0, 0, 0, 60_000] for call in calls]

    async def close(self) -> None:
        pass


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Said:
    said = Said()
    monkeypatch.setattr(stores, "connect", lambda settings: said)
    return said


def wire(store: stores.Store, region: _core.Region, count: int = 9) -> _core.Wire:
    key = _core.Template("uri", "var")
    step = _core.LimitCountStep(b"r", key, count=count, window=3600, store=store)
    return _core.Wire(snapshot(step), loop=asyncio.get_running_loop(), region=region)


async def statuses(gateway: _core.Wire, requests: int) -> list[int]:
    lines = []
    for _ in range(requests):
        lines.append(gateway.open())
        gateway.push(lines[-1], GET)
    for _ in range(50):
        await asyncio.sleep(0)
    return [0 if not (head := gateway.pull(line)) else int(head.split()[1]) for line in lines]


def test_fewer_nodes_are_believed_after_a_while(client: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that comes back empty, or as a part of a cluster, hears of one node first."""

    async def scene() -> list[int]:
        store = stores.Store(SETTINGS)
        gateway = wire(store, _core.Region.create(1024, slots=2))
        gateway.push(gateway.open(), GET)
        own = store.node
        seen = []
        for names in ([own, b"b", b"c"], [own], [own], [own, b"b", b"c"], [own, b"b", b"c", b"d"]):
            client.names = names
            await store._beat()
            seen.append(store.nodes)
        monkeypatch.setattr(stores, "FEWER_S", 0)
        client.names = [own]
        await store._beat()
        return [*seen, store.nodes]

    assert asyncio.run(scene()) == [3, 3, 3, 3, 4, 1]


def test_a_worker_that_begins_while_redis_is_away_has_its_nodes_share(client: Said) -> None:
    async def scene() -> int:
        region = _core.Region.create(1024, slots=3)
        old, new = stores.Store(SETTINGS), stores.Store(SETTINGS)
        await statuses(wire(old, region), 1)
        client.names = [old.node, b"b", b"c"]
        await old._beat()
        client.down = True
        found = await statuses(wire(new, region), 9)
        return 9 - found.count(503)

    assert asyncio.run(scene()) == 3


def test_a_redis_that_goes_again_is_not_asked(client: Said) -> None:
    """Requests would wait for it."""

    async def scene() -> list[bool]:
        store = stores.Store(SETTINGS)
        gateway = wire(store, _core.Region.create(1024, slots=2))
        client.down = True
        await statuses(gateway, 1)
        found = [store.away, await store.back(""), store.away]
        client.down = False
        return [*found, await store.back(""), store.away]

    assert asyncio.run(scene()) == [True, False, True, True, False]


def test_many_counts_are_told_in_pieces(client: Said) -> None:
    """Else their requests would wait as long as it takes to write all of them."""

    async def scene() -> int:
        store = stores.Store(SETTINGS)
        gateway = wire(store, _core.Region.create(16384, slots=2))
        client.names = [b"x"]
        await statuses(gateway, 1)
        store.away = True
        for number in range(2 * stores.CHUNK + 1):
            gateway.push(gateway.open(), b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number)
        minded = store.minded()
        await store.tell_all()
        return minded

    assert asyncio.run(scene()) == 2 * stores.CHUNK + 1
    assert client.most == stores.CHUNK
