"""limit-conn of several gateways on one Redis: exact over all of them, and again when one dies, or Redis does."""

import contextlib
import re
import select
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.test_limit_conn import Gated, asking, statuses
from tests.support.gateway import Gateway, gateways, one_route
from tests.support.load import Load
from tests.support.redis import Cluster, Server, acquainted
from tests.support.waiting import until
from tests.support.wire import connect, read_response

REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
KEY = "fastgw:limit:v1:slots:routes/r/limit-conn:127.0.0.1"


def shared(upstream: Gated, place: dict[str, Any], workers: int = 2, **limit: Any) -> dict[str, Any]:
    conf = {"conn": 5, "burst": 0, "default_conn_delay": 0.1, "key": "remote_addr", "rejected_code": 429, **place, **limit}
    return {"workers": workers, **one_route(upstream.address, plugins={"limit-conn": conf})}


@pytest.fixture
def redis(directory: Path) -> Iterator[Server]:
    with Server(directory) as server:
        yield server


def used(redis: Server) -> list[int]:
    """How many slots each gateway uses, as Redis knows it, those with none left out."""
    return sorted(n for n in (int(each.split()[0]) for each in redis.cli("HVALS", KEY).splitlines() if each) if n)


def test_two_gateways_let_conn_through_and_no_more(directory: Path, redis: Server) -> None:
    with Gated() as upstream, gateways(directory, shared(upstream, redis.policy)) as (one, two):
        for _ in range(3):
            with asking(one, upstream, 3, 3):
                # The other has two left: and they are the last.
                assert used(redis) == [3]
                with_two = statuses_beside(two, upstream, 6, 3, 2)
                assert with_two == [200] * 2 + [429] * 4
            until(lambda: used(redis) == [], "all slots are given back")
        assert statuses(two, upstream, 7, 5) == [200] * 5 + [429] * 2
        assert upstream.most == 5


def statuses_beside(gateway: Gateway, upstream: Gated, count: int, others: int, running: int) -> list[int]:
    """How `count` clients that ask at once are answered while `others` run elsewhere; `running` are let through."""
    with asking_beside(gateway, count) as socks:
        until(lambda: upstream.running == others + running, f"{others + running} requests run")
        until(lambda: len(select.select(socks, [], [], 0)[0]) == count - running, "the others are refused")
        refused = select.select(socks, [], [], 0)[0]
        answers = [read_response(sock).status for sock in refused]
        upstream.gate.set()
        return sorted(answers + [read_response(sock).status for sock in socks if sock not in refused])


@contextlib.contextmanager
def asking_beside(gateway: Gateway, count: int, request: bytes = REQUEST) -> Iterator[list[socket.socket]]:
    """Clients that ask at once, while others do elsewhere."""
    socks = [connect(gateway.data) for _ in range(count)]
    try:
        for sock in socks:
            sock.sendall(request)
        yield socks
    finally:
        for sock in socks:
            sock.close()


def test_under_load_no_more_than_conn_run(directory: Path, redis: Server) -> None:
    with Gated() as upstream, gateways(directory, shared(upstream, redis.policy, conn=4)) as made:
        with Load(made[0].data, REQUEST, 24, 3000) as one, Load(made[1].data, REQUEST, 24, 3000) as two:
            pass
        for load in (one, two):
            assert (load.lost, load.refused) == (0, 0)
            assert set(load.statuses) == {200, 429}
        assert upstream.most <= 4
        until(lambda: used(redis) == [], "all slots are given back")
        assert statuses(made[0], upstream, 6, 4) == [200] * 4 + [429] * 2


def test_killed_workers_give_their_slots_back(directory: Path, redis: Server) -> None:
    """Of a gateway that lives: the next request tells Redis how many run."""
    with Gated() as upstream, gateways(directory, shared(upstream, redis.policy)) as (one, two):
        with asking(one, upstream, 5, 5):
            assert two.get("/").status == 429
            for pid in one.workers():
                one.kill_worker(pid)
        until(lambda: upstream.running == 0, "the upstream is done with those of the dead")
        assert one.get("/").status == 200
        until(lambda: used(redis) == [], "Redis knows that none runs")
        assert statuses(two, upstream, 7, 5) == [200] * 5 + [429] * 2


def test_a_gateway_that_is_gone_gives_its_slots_back_in_time(directory: Path, redis: Server) -> None:
    """Killed, with all of its processes: what it held is believed for key_ttl, and no longer."""
    with Gated() as upstream, gateways(directory, shared(upstream, redis.policy, key_ttl=3), 1) as (one,):
        (directory / "gone").mkdir()
        gone = Gateway(directory / "gone", shared(upstream, redis.policy, key_ttl=3))
        gone.__enter__()
        with asking(gone, upstream, 5, 5):
            gone.process.kill()
            assert one.get("/").status == 429
        until(lambda: one.get("/").status == 200, "its slots are free", seconds=30)
        assert statuses(one, upstream, 6, 5) == [200] * 5 + [429]


def test_a_gateway_that_stops_leaves_no_slot_behind(directory: Path, redis: Server) -> None:
    with Gated() as upstream:
        with gateways(directory, shared(upstream, redis.policy), 1) as (one,), asking(one, upstream, 3, 3):
            assert used(redis) == [3]
        until(lambda: used(redis) == [], "all slots are given back")


def test_slots_of_long_requests_stay(directory: Path, redis: Server) -> None:
    """Longer than key_ttl: the gateway says again and again that they run."""
    with (
        Gated() as upstream,
        gateways(directory, shared(upstream, redis.policy, key_ttl=1)) as (one, two),
        asking(one, upstream, 5, 5),
    ):
        first = believed(redis)
        until(lambda: believed(redis) > first + 3000, "three lives of a slot have passed")
        assert two.get("/").status == 429
        assert used(redis) == [5]


def test_slots_of_a_worker_stay_when_another_dies(directory: Path, redis: Server) -> None:
    """And those of the dead one are given back, without a further request."""
    limit = {"key_ttl": 1, "conn": 20}
    with Gated() as upstream, gateways(directory, shared(upstream, redis.policy, **limit), 1) as (one,):  # noqa: SIM117
        with asking(one, upstream, 20, 20) as socks:
            for pid in one.workers():
                one.kill_worker(pid)
                if gone := select.select(socks, [], [], 0)[0]:
                    break
            living = len(socks) - len(gone)
            until(lambda: sum(used(redis)) == living, "those of the dead are given back")
            first = believed(redis)
            until(lambda: believed(redis) > first + 3000, "three lives of a slot have passed")
            assert sum(used(redis)) == living


def believed(redis: Server) -> int:
    """Until when, in ms, by Redis' clock."""
    return max(int(each.split()[1]) for each in redis.cli("HVALS", KEY).splitlines())


def test_without_redis_each_gateway_has_its_share(directory: Path, redis: Server) -> None:
    """Nobody waits, and none fails; what ran meanwhile is known to Redis when it is back."""
    with Gated() as upstream, gateways(directory, shared(upstream, redis.policy, workers=1, conn=6)) as (one, two):
        for gateway in (one, two):
            until(lambda each=gateway: each.get("/").status == 200, "it counts")
        acquainted(redis, 2)
        redis.kill()
        for gateway in (one, two):
            until(lambda each=gateway: each.get("/").status == 200 and "limits go on" in each.log(), "it goes on alone")
        assert statuses(one, upstream, 5, 3) == [200] * 3 + [429] * 2
        with asking(two, upstream, 4, 3):
            redis.start()
            until(lambda: used(redis) == [3], "Redis knows what runs", seconds=60)
            for gateway in (one, two):
                until(lambda each=gateway: "answers again" in each.log(), "it is asked again", seconds=60)
            assert statuses_beside(one, upstream, 5, 3, 3) == [200] * 3 + [429] * 2
        assert {status for gateway in (one, two) for status in logged(gateway)} <= {200, 429, 499}


def logged(gateway: Gateway) -> list[int]:
    return [int(status) for status in re.findall(r'"status":(\d+)', gateway.log())]


def test_without_redis_requests_may_pass_uncounted(directory: Path, redis: Server) -> None:
    with Gated() as upstream, gateways(directory, shared(upstream, redis.policy, conn=1, allow_degradation=True), 1) as (one,):
        assert statuses(one, upstream, 3, 1) == [200, 429, 429]
        redis.kill()
        until(lambda: one.get("/").status == 200 and "limits go on" in one.log(), "it goes on alone")
        assert one.get("/").status == 200


def test_those_above_conn_wait(directory: Path, redis: Server) -> None:
    """Over all gateways: the one that is let through above conn is let through later."""
    limit = {"conn": 2, "burst": 1, "default_conn_delay": 3600, "only_use_default_delay": True}
    with Gated() as upstream, gateways(directory, shared(upstream, redis.policy, **limit)) as (one, two):
        with asking(one, upstream, 2, 2), asking_beside(two, 1):
            until(lambda: used(redis) == [1, 2], "it has a slot")
            assert upstream.running == 2
            assert one.get("/").status == 429
        until(lambda: used(redis) == [], "all slots are given back")


def test_a_cluster(directory: Path) -> None:
    with Cluster(directory) as cluster, Gated() as upstream:
        config = shared(upstream, cluster.policy, key="http_x_key", conn=2)
        with gateways(directory, config) as (one, two):
            for key in ("a", "b", "c", "d", "e"):
                request = f"GET / HTTP/1.1\r\nHost: test\r\nX-Key: {key}\r\n\r\n".encode()
                upstream.gate.clear()
                with asking_beside(one, 1, request), asking_beside(two, 1, request):
                    until(lambda: upstream.running == 2, "two run")
                    assert [gateway.get("/", headers={"X-Key": key}).status for gateway in (one, two)] == [429, 429]
                    upstream.gate.set()
                    until(lambda: upstream.running == 0, "they end")
