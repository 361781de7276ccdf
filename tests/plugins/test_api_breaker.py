"""api-breaker over a real gateway with several workers: they act as one, also when one of them is killed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import Gateway, free_addresses
from tests.support.load import Load
from tests.support.upstreams import Answering
from tests.support.waiting import until
from tests.support.wire import Client, request

BREAKER: dict[str, Any] = {"break_response_code": 599, "unhealthy": {"http_statuses": [500, 502], "failures": 3}}


class Ailing(Answering):
    """Answers with `status`; `asked` lists the paths it was asked for."""

    def __init__(self) -> None:
        super().__init__(self.answer)
        self.status = 500
        self.asked: list[str] = []

    def answer(self, request: bytes) -> bytes:
        self.asked.append(request.split(b" ", 2)[1].decode())
        return b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % self.status


@pytest.fixture
def up() -> Iterator[Ailing]:
    with Ailing() as upstream:
        assert isinstance(upstream, Ailing)
        yield upstream


def config(up: Ailing, *routes: dict[str, Any], workers: int = 1, **breaker: Any) -> dict[str, Any]:
    node = {"type": "roundrobin", "nodes": {str(up.address): 1}}
    first = {"id": "r", "uri": "/*", "upstream": node, "plugins": {"api-breaker": {**BREAKER, **breaker}}}
    return {"workers": workers, "routes": [first, *({"upstream": node, **route} for route in routes)]}


def settled(gateway: Gateway) -> int:
    """The status of a request that is counted by now: its worker has served another one of the same client since."""
    with Client(gateway.data) as client:
        status = client.request("GET", "/").status
        assert client.request("OPTIONS", "*").status == 200  # the gateway's own answer
        return status


def test_all_workers_count_as_one_and_a_killed_one_loses_nothing(directory: Path, up: Ailing) -> None:
    with Gateway(directory, config(up, workers=4, unhealthy={"failures": 6}, max_breaker_sec=3600)) as gateway:
        for round_ in range(1, 3):
            until(lambda: settled(gateway) == 500, "the breaker lets one through")
            for _ in range(4):
                assert settled(gateway) == 500
            for pid in gateway.workers()[:2]:
                gateway.kill_worker(pid)
            assert settled(gateway) == 500
            assert [gateway.get("/").status for _ in range(8)] == [599] * 8
            assert len(up.asked) == 6 * round_
        assert gateway.get("/other").status == 500


def test_under_load_it_opens_once_and_lets_few_through(directory: Path, up: Ailing) -> None:
    """What is on its way when it opens may still fail; nobody else asks the upstream."""
    with Gateway(directory, config(up, workers=2, unhealthy={"failures": 20}, max_breaker_sec=3600)) as gateway:
        with Load(gateway.data, b"GET /a HTTP/1.1\r\nHost: test\r\n\r\n", connections=8, total=400) as load:
            pass
        assert set(load.statuses) == {500, 599}
        assert 20 <= load.statuses[500] == len(up.asked)


def test_after_its_time_requests_go_through_and_enough_good_ones_close_it(directory: Path, up: Ailing) -> None:
    with Gateway(directory, config(up, unhealthy={"failures": 1}, healthy={"successes": 2})) as gateway:
        assert gateway.get("/").status == 500
        assert gateway.get("/").status == 599
        up.status = 200
        until(lambda: gateway.get("/").status == 200, "two seconds are over")
        assert gateway.get("/").status == 200
        up.status = 500
        assert gateway.get("/").status == 500  # the first failure again: two seconds
        assert gateway.get("/").status == 599


def test_a_node_that_refuses_connections_is_left_alone(directory: Path, up: Ailing) -> None:
    (nobody,) = free_addresses(1)
    whole = config(up)
    whole["routes"][0]["upstream"] = {"type": "roundrobin", "nodes": {str(nobody): 1}}
    with Gateway(directory, whole) as gateway:
        assert [gateway.get("/").status for _ in range(4)] == [502, 502, 502, 599]


def test_routes_of_one_place_share_it(directory: Path, up: Ailing) -> None:
    """As in APISIX: the state is that of host and path, whatever route asks."""
    other = {"id": "p", "uri": "/*", "methods": ["POST"], "priority": 1, "plugins": {"api-breaker": {"break_response_code": 598}}}
    with Gateway(directory, config(up, other, max_breaker_sec=3600, unhealthy={"failures": 1})) as gateway:
        up.status = 500
        assert gateway.get("/x").status == 500
        assert gateway.get("/x").status == 599
        assert request(gateway.data, "POST", "/x").status == 598
        assert request(gateway.data, "POST", "/y").status == 500


def test_the_answer_may_be_given_in_full(directory: Path, up: Ailing) -> None:
    answer = {
        "break_response_code": 503,
        "break_response_body": json.dumps({"sorry": True}),
        "break_response_headers": [
            {"key": "Content-Type", "value": "application/problem+json"},
            {"key": "X-Path", "value": "$request_method $uri"},
        ],
    }
    with Gateway(directory, config(up, unhealthy={"failures": 1}, **answer)) as gateway:
        assert gateway.get("/x").status == 500
        got = gateway.get("/x")
        assert (got.status, json.loads(got.body)) == (503, {"sorry": True})
        assert got.headers["content-type"] == "application/problem+json"
        assert got.headers["x-path"] == "GET /x"
        assert up.asked == ["/x"]
