"""fault-injection from outside: what it answers, whom it strikes, and that a delay holds up nobody else."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fastgw.plugins.check import check_plugin
from tests.plugins.mirror import ask
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering

Json = dict[str, Any]
A, B = [["arg_name", "==", "jack"]], [["http_age", ">", 18], ["arg_x", "in", ["1", "2"]]]
CONFS: dict[str, Json] = {
    "tea": {"abort": {"http_status": 418, "body": "tea for $remote_addr"}},
    "bare": {"abort": {"http_status": 503}},
    "fine": {"abort": {"http_status": 200}},
    "empty": {"abort": {"http_status": 500, "body": ""}},
    "headers": {
        "abort": {"http_status": 403, "body": "{}", "headers": {"X-N": 5, "X-V": "$arg_v", "Content-Type": "application/json"}}
    },
    "some": {"abort": {"http_status": 418, "percentage": 50}},
    "none": {"abort": {"http_status": 418, "percentage": 0}},
    "vars": {"abort": {"http_status": 418, "vars": [A, B]}},
    "slow": {"delay": {"duration": 1.2}},
    "unslow": {"delay": {"duration": 100, "vars": [A]}},
    "both": {"delay": {"duration": 0.3}, "abort": {"http_status": 418}},
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, up: Answering) -> Iterator[Gateway]:
    node = {"type": "roundrobin", "nodes": {str(up.address): 1}}
    routes = [{"id": n, "uri": f"/{n}", "upstream": node, "plugins": {"fault-injection": c}} for n, c in CONFS.items()]
    with Gateway(tmp_path_factory.mktemp("fault"), {"routes": routes}) as running:
        yield running


def test_what_is_answered(gateway: Gateway) -> None:
    tea = ask(gateway, "/tea")
    assert (tea.status, tea.body, tea.sent) == (418, b"tea for 127.0.0.1", "")
    assert tea.header("Content-Type") == ["text/plain; charset=utf-8"]
    assert (ask(gateway, "/bare").status, ask(gateway, "/bare").body) == (503, b'{"error_msg":"Service Unavailable"}\n')
    assert (ask(gateway, "/fine").status, ask(gateway, "/fine").body) == (200, b"")
    assert (ask(gateway, "/empty").status, ask(gateway, "/empty").body) == (500, b"")
    headers = ask(gateway, "/headers?v=1")
    assert [headers.header(name) for name in ("X-N", "X-V", "Content-Type")] == [["5"], ["1"], ["application/json"]]


def test_whom_it_strikes(gateway: Gateway) -> None:
    assert {ask(gateway, "/none").status for _ in range(20)} == {200}
    assert {ask(gateway, "/some").status for _ in range(64)} == {200, 418}  # by chance otherwise once in 2 ** 63
    for target, fields, status in (
        ("/vars", (), 200),
        ("/vars?name=jack", (), 418),
        ("/vars?x=1", ("Age: 19",), 418),
        ("/vars?x=3", ("Age: 19",), 200),
        ("/unslow", (), 200),
    ):
        assert ask(gateway, target, *fields).status == status


def test_a_delay_holds_up_its_request_alone(gateway: Gateway) -> None:
    import threading

    ended: list[tuple[str, float]] = []

    def get(target: str) -> None:
        assert ask(gateway, target).status == 200
        ended.append((target, time.monotonic()))

    start = time.monotonic()
    slow = threading.Thread(target=get, args=("/slow",))
    slow.start()
    get("/none")
    slow.join()
    assert [target for target, _ in ended] == ["/none", "/slow"]
    assert ended[1][1] - start >= 1.1


def test_a_delay_goes_before_an_abort(gateway: Gateway) -> None:
    start = time.monotonic()
    assert ask(gateway, "/both").status == 418
    assert time.monotonic() - start >= 0.29


REFUSED: list[tuple[Json, str]] = [
    ({}, ""),
    ({"abort": {}}, "abort.http_status"),
    ({"abort": {"http_status": 100}}, "abort.http_status"),
    ({"abort": {"http_status": 600}}, "abort.http_status"),
    ({"abort": {"http_status": 200, "percentage": 101}}, "abort.percentage"),
    ({"abort": {"http_status": 200, "percentage": -1}}, "abort.percentage"),
    ({"abort": {"http_status": 200, "headers": {}}}, "abort.headers"),
    ({"abort": {"http_status": 200, "headers": {"X": "a\nb"}}}, "abort.headers.X"),
    ({"abort": {"http_status": 200, "headers": {"Connection": "x"}}}, "abort.headers.Connection"),
    ({"abort": {"http_status": 200, "vars": [[["arg_a", "=", "1"]]]}}, "abort.vars[0][0][1]"),
    ({"abort": {"http_status": 200, "vars": [A] * 21}}, "abort.vars"),
    ({"delay": {}}, "delay.duration"),
    ({"delay": {"duration": -1}}, "delay.duration"),
    ({"delay": {"duration": "1"}}, "delay.duration"),
    ({"delay": {"duration": 1, "vars": [A[0]]}}, "delay.vars[0][0]"),
]


@pytest.mark.parametrize(("conf", "where"), REFUSED, ids=lambda value: json.dumps(value)[:60])
def test_confs_that_are_refused(conf: Json, where: str) -> None:
    assert where in [str(fault.path) for fault in check_plugin("routes", "fault-injection", conf)[0]]


@pytest.mark.parametrize("conf", CONFS.values())
def test_confs_that_are_taken(conf: Json) -> None:
    assert check_plugin("routes", "fault-injection", conf) == ([], [])
