"""limit-req of several gateways on one Redis: one bucket for all of them, each its part while Redis is away."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.test_limit_conn_redis import logged
from tests.support.gateway import gateways, one_route
from tests.support.load import Load
from tests.support.redis import Cluster, Server, acquainted
from tests.support.waiting import until
from tests.support.wire import Address

REQUEST = b"GET /get HTTP/1.1\r\nHost: test\r\n\r\n"
SLOW = {"rate": 0.001, "nodelay": True}  # next to none comes anew while a test lasts


def shared(echo: Address, place: dict[str, Any], workers: int = 2, **limit: Any) -> dict[str, Any]:
    conf = {"key": "remote_addr", "rejected_code": 429, **place, **limit}
    return {"workers": workers, **one_route(echo, plugins={"limit-req": conf})}


@pytest.fixture
def redis(directory: Path) -> Iterator[Server]:
    with Server(directory) as server:
        yield server


def test_two_gateways_share_a_bucket(directory: Path, redis: Server, echo: Address) -> None:
    with gateways(directory, shared(echo, redis.policy, **SLOW, burst=4)) as (one, two):
        assert [gateway.get("/get").status for gateway in (one, two, one, two, one, two, one)] == [200] * 5 + [429] * 2
        assert all(900 < int(each.get("/get").headers["retry-after"]) <= 1000 for each in (one, two))


def test_under_load_the_bucket_is_exact(directory: Path, redis: Server, echo: Address) -> None:
    with gateways(directory, shared(echo, redis.policy, **SLOW, burst=499)) as made:
        with Load(made[0].data, REQUEST, 24, 1500) as one, Load(made[1].data, REQUEST, 24, 1500) as two:
            pass
        assert one.statuses + two.statuses == {200: 500, 429: 2500}


def test_requests_wait_for_their_turn(directory: Path, redis: Server, echo: Address) -> None:
    """Also behind those of another gateway: the third has to wait for two turns, of which less than one is over."""
    with gateways(directory, shared(echo, redis.policy, rate=0.5, burst=2)) as (one, two):
        start = time.monotonic()
        assert one.get("/get").status == 200
        with Load(one.data, REQUEST, 1, 1), Load(two.data, REQUEST, 1, 1):
            pass
        assert time.monotonic() - start >= 3.9


def test_an_edit_of_the_rate_keeps_the_bucket(directory: Path, redis: Server, echo: Address) -> None:
    with gateways(directory, shared(echo, redis.policy, **SLOW, burst=1)) as (one, two):
        assert [one.get("/get").status for _ in range(3)] == [200, 200, 429]
        for gateway in (one, two):
            gateway.reload(shared(echo, redis.policy, **SLOW, burst=3))
        assert [two.get("/get").status for _ in range(3)] == [200, 200, 429]


def test_without_redis_each_gateway_has_its_part(directory: Path, redis: Server, echo: Address) -> None:
    """One request of each may come at once, as long as the bucket has room for another, and no request fails."""
    with gateways(directory, shared(echo, redis.policy, workers=1, **SLOW, burst=10, key="http_x_key")) as (one, two):
        for gateway in (one, two):
            assert gateway.get("/get", headers={"X-Key": "a"}).status == 200
        acquainted(redis, 2)
        redis.kill()
        for gateway in (one, two):
            assert [gateway.get("/get", headers={"X-Key": "b"}).status for _ in range(8)] == [200] * 6 + [429] * 2
        redis.start()
        for gateway in (one, two):
            until(lambda each=gateway: re.search("answers again", each.log()), "it is asked again", seconds=60)
        answers = [gateway.get("/get", headers={"X-Key": "c"}).status for _ in range(6) for gateway in (one, two)]
        assert answers == [200] * 11 + [429]
        assert {status for gateway in (one, two) for status in logged(gateway)} == {200, 429}


def test_without_redis_requests_may_pass_uncounted(directory: Path, redis: Server, echo: Address) -> None:
    with gateways(directory, shared(echo, redis.policy, **SLOW, burst=0, allow_degradation=True), 1) as (one,):
        assert [one.get("/get").status for _ in range(2)] == [200, 429]
        redis.kill()
        until(lambda: one.get("/get").status == 200, "it goes on without", seconds=30)
        assert [one.get("/get").status for _ in range(5)] == [200] * 5


def test_a_cluster(directory: Path, echo: Address) -> None:
    with Cluster(directory) as cluster:
        config = shared(echo, cluster.policy, **SLOW, burst=2, key="http_x_key")
        with gateways(directory, config) as (one, two):
            for key in ("a", "b", "c", "d", "e"):
                answers = [gateway.get("/get", headers={"X-Key": key}).status for _ in range(2) for gateway in (one, two)]
                assert answers == [200, 200, 200, 429]
