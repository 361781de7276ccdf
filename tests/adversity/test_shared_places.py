"""limit-count in a real cluster, and behind real sentinels: exact, and no request fails when a node or the master dies."""

import contextlib
from collections import Counter
from pathlib import Path
from typing import Any

from tests.support.gateway import Gateway, gateways, one_route
from tests.support.load import Load
from tests.support.redis import Cluster, Sentinels, Server
from tests.support.waiting import until
from tests.support.wire import Address

REQUEST = b"GET /get HTTP/1.1\r\nHost: test\r\nX-Key: %b\r\n\r\n"
PREFIX = "fastgw:limit:v1:routes/r/limit-count:"
GONE = "limits go on by this gateway's share"
BACK = "answers again"


def shared(echo: Address, place: dict[str, Any], **limit: Any) -> dict[str, Any]:
    conf = {"key": "http_x_key", "rejected_code": 429, "time_window": 3600, "count": 100, **place, **limit}
    return {"workers": 2, **one_route(echo, plugins={"limit-count": conf})}


def counted(server: Server, key: str) -> int:
    """How many a Redis server knows to have been admitted; one that changes its part closes connections, and is asked again."""
    values = until(lambda: server.cli("HVALS", PREFIX + key, check=False) or None, "the server says what it has counted")
    return sum(int(value) for value in values.splitlines() if value.isdecimal())


def loads(stack: contextlib.ExitStack, made: list[Gateway], keys: list[str], total: int | None = None) -> list[Load]:
    wanted = [(gateway, key) for gateway in made for key in keys]
    return [stack.enter_context(Load(gateway.data, REQUEST % key.encode(), 4, total)) for gateway, key in wanted]


def test_a_cluster_counts_exactly(directory: Path, echo: Address) -> None:
    keys = [f"key {n}" for n in range(6)]
    with Cluster(directory) as cluster, gateways(directory, shared(echo, cluster.policy)) as made:
        with contextlib.ExitStack() as stack:
            running = loads(stack, made, keys, 150)
        assert len({cluster.of(PREFIX + key).address for key in keys}) > 1
        for key in range(len(keys)):
            one, two = running[key], running[key + len(keys)]
            assert one.statuses + two.statuses == Counter({200: 100, 429: 200})


def test_a_node_of_a_cluster_dies_under_load(directory: Path, echo: Address) -> None:
    """Its keys go on by shares, those of the others are counted as before; it is asked again when it is back."""
    keys = [f"key {n}" for n in range(12)]
    with Cluster(directory) as cluster, gateways(directory, shared(echo, cluster.policy, count=10**9)) as made:
        with contextlib.ExitStack() as stack:
            running = loads(stack, made, keys)
            until(lambda: all(load.done > 20 for load in running), "the load runs")
            dead = cluster.of(PREFIX + keys[0])
            living = next(key for key in keys if cluster.of(PREFIX + key) is not dead)
            server = cluster.of(PREFIX + living)
            dead.kill()
            until(lambda: all(GONE in gateway.log() for gateway in made), "both gateways know")
            before = counted(server, living)
            until(lambda: counted(server, living) > before, "the keys of the others are counted")
            dead.start()
            until(lambda: counted(dead, keys[0]) > 0, "its keys are counted again", seconds=60)
        assert [(load.lost, load.refused, set(load.statuses)) for load in running] == [(0, 0, {200})] * len(running)


def test_the_master_dies_under_load(directory: Path, echo: Address) -> None:
    """Sentinels give its place to the replica: meanwhile limits go on by shares."""
    with Sentinels(directory, password="of the servers") as watched:
        place = {**watched.policy, "redis_connect_timeout": 500, "redis_read_timeout": 500}
        with gateways(directory, shared(echo, place, count=10**9)) as made:
            with contextlib.ExitStack() as stack:
                running = loads(stack, made, ["a", "b"])
                until(lambda: counted(watched.replica, "a") > 50, "the load runs, and the replica knows")
                watched.fail_over()
                until(lambda: all(BACK in gateway.log() for gateway in made), "the new master is asked", seconds=60)
                before = counted(watched.master, "a")
                until(lambda: counted(watched.master, "a") > before, "it counts")
            assert [(load.lost, load.refused, set(load.statuses)) for load in running] == [(0, 0, {200})] * len(running)
        assert all("of the servers" not in gateway.log() for gateway in made)
