"""Balancing from outside: real nodes, which of them answers, and what changes when nodes change."""

from collections import Counter
from pathlib import Path

import pytest

from tests.oracle import chash
from tests.proxying.nodes import asked, named, to
from tests.support.gateway import Gateway, free_addresses
from tests.support.upstreams import Scripted
from tests.support.wire import Address

KEYS = [f"/key-{i}" for i in range(60)]


def test_weights_of_roundrobin_are_kept_exactly(tmp_path: Path) -> None:
    with named("a", "b", "c") as nodes:
        weights = dict(zip(nodes, (1, 2, 3), strict=True))
        config = to({str(node.address): weights[name] for name, node in nodes.items()})
        with Gateway(tmp_path, config) as gateway:
            assert Counter(asked(gateway) for _ in range(24)) == {"a": 4, "b": 8, "c": 12}


@pytest.mark.parametrize(
    ("hash_on", "key", "place"),
    [
        ("vars", "uri", "target"),
        ("header", "X-User", "header"),
        ("cookie", "user", "cookie"),
        ("vars_combinations", "${uri}", "target"),
    ],
)
def test_chash_sends_a_key_where_its_definition_does(tmp_path: Path, hash_on: str, key: str, place: str) -> None:
    with named("a", "b", "c") as nodes:
        weights = {str(node.address): i + 1 for i, node in enumerate(nodes.values())}
        names = {str(node.address): name for name, node in nodes.items()}
        with Gateway(tmp_path, to(weights, type="chash", hash_on=hash_on, key=key)) as gateway:
            for text in KEYS:
                fields = {"header": {"X-User": text}, "cookie": {"Cookie": f"a=b; user={text}"}}.get(place, {})
                found = asked(gateway, text if place == "target" else "/", **fields)
                assert found == names[chash.node_of(weights, text.encode()) or ""]


def test_a_key_stays_with_its_node_when_another_goes(tmp_path: Path) -> None:
    with named("a", "b", "c", "d") as nodes, Gateway(tmp_path) as gateway:
        members = {str(node.address): 1 for node in nodes.values()}
        route = {"uri": "/*", "upstream": {"type": "chash", "key": "uri", "nodes": members}}
        gateway.put("routes/1", route)
        before = {key: asked(gateway, key) for key in KEYS}
        del members[str(nodes["b"].address)]
        gateway.put("routes/1", route)
        after = {key: asked(gateway, key) for key in KEYS}
        assert {key for key in KEYS if before[key] != after[key]} == {key for key in KEYS if before[key] == "b"} != set()


@pytest.mark.parametrize("type_", ["roundrobin", "chash", "least_conn", "ewma"])
def test_a_dead_node_fails_no_request(tmp_path: Path, type_: str) -> None:
    (dead,) = free_addresses(1)
    with named("a", "b") as nodes:
        addresses = {str(node.address): 1 for node in nodes.values()}
        with Gateway(tmp_path, to({str(dead): 1, **addresses}, type=type_, key="uri")) as gateway:
            assert {asked(gateway, key) for key in KEYS} == {"a", "b"}


def test_lower_priorities_wait_until_the_higher_fail(tmp_path: Path) -> None:
    (dead,) = free_addresses(1)
    with named("high", "low") as nodes, Gateway(tmp_path) as gateway:

        def put(high: Address) -> None:
            written = [
                {"host": high.host, "port": high.port, "weight": 1, "priority": 1},
                {"host": "127.0.0.1", "port": nodes["low"].address.port, "weight": 100, "priority": 0},
            ]
            gateway.put("routes/1", {"uri": "/*", "upstream": {"nodes": written}})

        put(nodes["high"].address)
        assert {asked(gateway) for _ in range(20)} == {"high"}
        put(dead)
        assert {asked(gateway) for _ in range(20)} == {"low"}


def test_retries_are_bounded_by_the_budget_where_nodes_get_the_requests(tmp_path: Path) -> None:
    """Two nodes, one of which breaks off each request that it has received: without budget every second one fails."""
    with Scripted([b""]) as breaking, named("good") as nodes:
        config = to({str(breaking.address): 1, str(nodes["good"].address): 1}, retry_budget={"ratio": 0, "per_second": 0})
        with Gateway(tmp_path, config) as gateway:
            found = Counter(gateway.get("/").status for _ in range(20))
            assert found == {200: 10, 502: 10}
            config["routes"][0]["upstream"]["retry_budget"] = {"ratio": 1}
            gateway.reload(config)
            assert {gateway.get("/").status for _ in range(20)} == {200}


def test_no_try_begins_after_retry_timeout(tmp_path: Path) -> None:
    """Both nodes never answer; the second is not asked, as the first took longer than retries may."""
    with Scripted([], keep_open=True) as silent, Scripted([], keep_open=True) as other:
        nodes = {str(silent.address): 1, str(other.address): 1}
        config = to(nodes, retry_timeout=0.5, timeout={"connect": 5, "send": 5, "read": 1})
        with Gateway(tmp_path, config) as gateway:
            assert gateway.get("/").status == 502
            assert len(silent.received) + len(other.received) == 1
