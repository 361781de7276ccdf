"""Limits that several gateways share by way of a Redis are exact over all of them, and stay so when Redis goes and comes back."""

import contextlib
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import Gateway, gateways, one_route
from tests.support.load import Load
from tests.support.redis import MASTER, Cluster, Sentinels, Server, acquainted
from tests.support.waiting import until
from tests.support.wire import Address

REQUEST = b"GET /get HTTP/1.1\r\nHost: test\r\n\r\n"
COUNTER = "fastgw:limit:v1:routes/r/limit-count:all"


def shared(redis: Server, echo: Address, workers: int = 1, **limit: Any) -> dict[str, Any]:
    conf = {"key_type": "constant", "key": "all", "rejected_code": 429, "time_window": 3600, "count": 5}
    place = {"policy": "redis", "redis_host": str(redis.address.host), "redis_port": redis.address.port}
    return {"workers": workers, **one_route(echo, plugins={"limit-count": {**conf, **place, **limit}})}


@pytest.fixture
def redis(directory: Path) -> Iterator[Server]:
    with Server(directory) as server:
        yield server


@contextlib.contextmanager
def loaded(made: Sequence[Gateway], connections: int, total: int | None = None) -> Iterator[list[Load]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Load(gateway.data, REQUEST, connections, total)) for gateway in made]


def sum_of(loads: Sequence[Load]) -> Counter[int]:
    assert [(load.lost, load.refused) for load in loads] == [(0, 0)] * len(loads)
    return sum((load.statuses for load in loads), Counter())


def away(gateway: Gateway) -> int:
    """How often the gateway said that its store went."""
    return len(re.findall("limits go on by this gateway's share", gateway.log()))


def back(gateway: Gateway) -> int:
    return len(re.findall("answers again", gateway.log()))


def test_one_gateway_counts_as_with_any_other_policy(directory: Path, redis: Server, echo: Address) -> None:
    with Gateway(directory, shared(redis, echo, count=2, time_window=60, key="remote_addr", key_type="var")) as gateway:
        answers = [gateway.get("/get") for _ in range(3)]
        assert [each.status for each in answers] == [200, 200, 429]
        assert [each.headers.get("x-ratelimit-remaining") for each in answers] == ["1", "0", "0"]
        assert {each.headers.get("x-ratelimit-limit") for each in answers} == {"2"}
        assert all(59 <= float(each.headers.get("x-ratelimit-reset") or 0) <= 60 for each in answers)
        assert 1 <= int(answers[2].headers.get("retry-after") or 0) <= 60
        key = "fastgw:limit:v1:routes/r/limit-count:127.0.0.1"
        assert 59_000 <= int(redis.cli("PTTL", key)) <= 60_000
        assert redis.cli("HVALS", key) == "2"


def test_three_gateways_admit_exactly_the_limit(directory: Path, redis: Server, echo: Address) -> None:
    with gateways(directory, shared(redis, echo, 2, count=1000), 3) as made:
        with loaded(made, 32, 1500) as loads:
            pass
        assert sum_of(loads) == {200: 1000, 429: 3500}


def test_an_edit_of_the_limit_lets_the_difference_in(directory: Path, redis: Server, echo: Address) -> None:
    with gateways(directory, shared(redis, echo, count=3), 2) as (one, two):
        assert [one.get("/get").status for _ in range(4)] == [200, 200, 200, 429]
        for gateway in (one, two):
            gateway.reload(shared(redis, echo, count=5))
        assert [two.get("/get").status for _ in range(4)] == [200, 200, 429, 429]


def test_killed_workers_lose_no_count(directory: Path, redis: Server, echo: Address) -> None:
    with gateways(directory, shared(redis, echo, 2, count=1000), 2) as made:
        with loaded(made, 32, 2000) as loads:
            until(lambda: loads[0].done > 100, "the load runs")
            os.kill(made[0].workers()[0], signal.SIGKILL)
        assert loads[0].refused == 0
        passed = sum(load.statuses[200] for load in loads)
        assert passed <= 1000 <= passed + loads[0].lost
        assert {status for load in loads for status in load.statuses} == {200, 429}


def test_a_cluster_counts_as_one_server_does(directory: Path, echo: Address) -> None:
    """Each key where it belongs; a node that dies leaves those of the others exact, and its own to the gateway's share."""
    with Cluster(directory) as cluster:
        place = {"policy": "redis-cluster", "redis_cluster_nodes": cluster.addresses, "redis_cluster_name": "limits"}
        limit = {"count": 3, "time_window": 3600, "key": "arg_k", "rejected_code": 429, **place}
        with gateways(directory, one_route(echo, plugins={"limit-count": limit}), 2) as (one, two):
            for key in range(12):
                answers = [gateway.get(f"/get?k={key}").status for gateway in (one, two, one, two)]
                assert answers == [200, 200, 200, 429]
            cluster.of("fastgw:limit:v1:routes/r/limit-count:0").kill()
            for key in range(12):
                assert one.get(f"/get?k={key}").status == 429
            assert away(one) == 1


def test_sentinels_tell_where_the_count_is(directory: Path, echo: Address) -> None:
    """Also after they have made another server the master, which has a copy of the count."""
    with Sentinels(directory) as sentinels:
        known = [{"host": str(each.host), "port": each.port} for each in sentinels.addresses]
        place = {"policy": "redis-sentinel", "redis_sentinels": known, "redis_master_name": MASTER}
        limit = {"count": 4, "time_window": 3600, "key_type": "constant", "key": "all", "rejected_code": 429, **place}
        with gateways(directory, one_route(echo, plugins={"limit-count": limit}), 2) as (one, two):
            assert [gateway.get("/get").status for gateway in (one, two, one)] == [200, 200, 200]
            sentinels.fail_over()
            two.get("/get")
            until(lambda: all(back(each) == away(each) for each in (one, two)), "the new master is asked")
            assert one.get("/get").status == 429
            assert two.get("/get").status == 429


@pytest.mark.parametrize("kind", ["sliding", "token-bucket"])
def test_what_moves_on_is_one_count_too(directory: Path, redis: Server, echo: Address, kind: str) -> None:
    with gateways(directory, shared(redis, echo, count=3, time_window=86400, window_type=kind), 2) as (one, two):
        answers = [gateway.get("/get") for gateway in (one, two, one, two, one)]
        assert [each.status for each in answers] == [200, 200, 200, 429, 429]
        assert [each.headers.get("x-ratelimit-remaining") for each in answers] == ["2", "1", "0", "0", "0"]


def test_leases_admit_exactly_the_limit(directory: Path, redis: Server, echo: Address) -> None:
    """Never more; and all of it, once the gateways that have a rest of a lease have given it back."""
    with gateways(directory, shared(redis, echo, 2, count=1000, sync_interval=0.2), 3) as made:
        with loaded(made, 16, 1500) as loads:
            pass
        statuses = sum_of(loads)
        assert set(statuses) <= {200, 429}
        passed = statuses[200]
        assert 500 < passed <= 1000

        def all_passed() -> bool:
            nonlocal passed
            passed += sum(gateway.get("/get").status == 200 for gateway in made)
            return passed == 1000

        until(all_passed, "the rest was given back")
        with loaded(made, 4, 100) as loads:
            pass
        assert sum_of(loads) == {429: 300}


def test_a_killed_worker_leaves_its_leases_to_the_others(directory: Path, redis: Server, echo: Address) -> None:
    with Gateway(directory, shared(redis, echo, 2, count=2000, sync_interval=0.2)) as gateway:
        with Load(gateway.data, REQUEST, 32, 3000) as load:
            until(lambda: load.done > 200, "the load runs")
            os.kill(gateway.workers()[0], signal.SIGKILL)
        assert load.refused == 0
        assert set(load.statuses) == {200, 429}
        # A lease that was on its way to the dead one is lost, and may have been as much as was granted before.
        assert 500 < load.statuses[200] <= 2000


@pytest.mark.parametrize("kept", [False, True], ids=["empty", "with its data"])
def test_redis_that_is_killed_and_comes_back(directory: Path, redis: Server, echo: Address, kept: bool) -> None:
    """In the window that sees it no request fails and next to none too many passes; the next window is exact."""
    count = 3000
    with gateways(directory, shared(redis, echo, count=count, time_window=24), 3) as made:
        began = time.monotonic()
        assert [gateway.get("/get").status for gateway in made] == [200] * len(made)
        acquainted(redis, len(made))
        with loaded(made, 8) as loads:
            until(lambda: sum(load.done for load in loads) > count // 3, "a third has passed")
            if kept:
                redis.cli("SAVE")
            redis.kill()
            until(lambda: all(away(gateway) == 1 for gateway in made), "Redis is known to be away")
            seen = sum(load.done for load in loads)
            until(lambda: sum(load.done for load in loads) > seen + 200, "limits go on")
            if not kept:
                redis.clear()
            redis.start()
            until(lambda: all(back(gateway) == 1 for gateway in made), "Redis is asked again")
            seen = sum(load.done for load in loads)
            until(lambda: sum(load.done for load in loads) > seen + 500, "the load goes on")
        assert time.monotonic() - began < 22, "slower than the window"
        statuses = sum_of(loads)
        assert set(statuses) <= {200, 429}
        assert statuses[200] + 3 <= count * 1.05
        assert statuses[200] + 3 >= count * 0.95
        until(lambda: redis.cli("EXISTS", COUNTER) == "0", "the window is over", seconds=40)
        with loaded(made, 8, 2000) as loads:
            pass
        assert sum_of(loads) == {200: count, 429: 3 * 2000 - count}


def test_redis_that_hangs_is_waited_for_once(directory: Path, redis: Server, echo: Address) -> None:
    """Requests in flight wait for the timeout; none does after them."""
    with gateways(directory, shared(redis, echo, count=1_000_000, redis_timeout=2000), 1) as (gateway,):
        assert gateway.get("/get").status == 200
        redis.pause()
        with Load(gateway.data, REQUEST, 16) as load:
            until(lambda: away(gateway) == 1, "Redis is known to be away")
            seen = load.done
            began = time.monotonic()
            until(lambda: load.done >= seen + 500, "requests pass without it")
            # Each client waits for the answer before its next request: 500 that wait for Redis would take a minute.
            assert time.monotonic() - began < 20
        redis.go_on()
        until(lambda: back(gateway) == 1, "Redis is asked again")
        assert load.statuses.keys() == {200}
        spent = load.statuses[200] + 1
        assert gateway.get("/get").headers.get("x-ratelimit-remaining") is not None
        assert int(redis.cli("HVALS", COUNTER)) >= spent + 1


def test_without_redis_a_gateway_may_be_open(directory: Path, redis: Server, echo: Address) -> None:
    with Gateway(directory, shared(redis, echo, count=1, allow_degradation=True)) as gateway:
        assert [gateway.get("/get").status for _ in range(2)] == [200, 429]
        redis.kill()
        until(lambda: gateway.get("/get").status == 200, "it is open")
        assert gateway.get("/get").headers.get("x-ratelimit-limit") is None
        redis.start()
        until(lambda: back(gateway) == 1, "Redis is asked again")
        assert gateway.get("/get").status == 429  # of what passed uncounted nothing; what was counted before, Redis is told anew


def test_a_redis_that_never_answered(directory: Path, redis: Server, echo: Address) -> None:
    """A gateway that knows of no other one counts for itself."""
    redis.kill()
    with Gateway(directory, shared(redis, echo, count=2)) as gateway:
        assert [gateway.get("/get").status for _ in range(3)] == [200, 200, 429]
        redis.start()
        until(lambda: back(gateway) == 1, "Redis is asked")
        assert redis.cli("HVALS", COUNTER) == "2"
        assert gateway.get("/get").status == 429


def test_no_secret_is_logged(directory: Path, echo: Address) -> None:
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(Server(directory, password="right"))
        gateway = stack.enter_context(Gateway(directory, shared(redis, echo, count=1, redis_password="wr0ng-secret")))
        assert [gateway.get("/get").status for _ in range(2)] == [200, 429]
        assert away(gateway) == 1
        assert "wr0ng-secret" not in gateway.log()
        assert str(redis.address) in gateway.log()
