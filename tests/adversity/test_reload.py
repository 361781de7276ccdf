"""Reloads and killed workers under load: no request fails but those in flight on a killed worker."""

from pathlib import Path

from tests.support.gateway import Gateway, one_route
from tests.support.load import Load
from tests.support.upstreams import Answering
from tests.support.waiting import until

REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
CONNECTIONS = 64


def test_twenty_reloads_lose_nothing(directory: Path) -> None:
    with Answering() as upstream:
        config = {"workers": 2, **one_route(upstream.address)}
        with Gateway(directory, config) as gateway, Load(gateway.data, REQUEST, CONNECTIONS) as load:
            for turn in range(20):
                changed = {**config, **one_route(upstream.address, desc=f"turn {turn}")}
                changed["limits"] = {"idle_timeout": 60 + turn // 10}  # this one replaces the workers, once
                seen = load.done
                assert "refused" not in gateway.reload(changed)
                until(lambda seen=seen: load.done > seen + CONNECTIONS, "the load goes on")
    assert (set(load.statuses), load.lost, load.refused) == ({200}, 0, 0)


def test_killing_each_worker_loses_only_what_it_had_in_flight(directory: Path) -> None:
    with Answering() as upstream:
        config = {"workers": 3, **one_route(upstream.address)}
        with Gateway(directory, config) as gateway, Load(gateway.data, REQUEST, CONNECTIONS) as load:
            for victim in gateway.workers():
                seen = load.done
                until(lambda seen=seen: load.done > seen + CONNECTIONS, "the load goes on")
                gateway.kill_worker(victim)
    assert set(load.statuses) == {200}
    assert load.refused == 0
    assert load.lost <= 3 * CONNECTIONS
