"""The Control API and the Status API of a running gateway: what is told, to whom, and that no secret is among it."""

import asyncio
import json
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastgw import __version__
from fastgw._core import Region
from fastgw.admin.server import Request
from fastgw.admin.status import Status
from fastgw.plugins import order
from fastgw.slots import Kind, State
from tests.support.control import ask
from tests.support.gateway import Gateway, one_route
from tests.support.waiting import until
from tests.support.wire import Address

UPSTREAM = {"nodes": {"127.0.0.1:80": 1}}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, echo: Address) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("control")
    listen = {name: f"unix:{directory}/{name}.sock" for name in ("control", "status")}
    with Gateway(directory, one_route(echo) | listen | {"workers": 2}) as started:
        started.put("upstreams/1", {**UPSTREAM, "desc": "the one"})
        started.put("services/s", {"upstream": UPSTREAM, "plugins": {"jwt-auth": {"sercet": "misspelt-secret"}}})
        started.put("plugin_metadata/limit-count", {"limit_header": "X-Limit"})
        yield started


def control(gateway: Gateway, target: str, method: str = "GET") -> tuple[int, Any]:
    return ask(gateway.directory / "control.sock", method, target)[:2]


def test_objects_are_there_as_the_admin_api_has_them(gateway: Gateway) -> None:
    for kind, noun, id in (("routes", "route", "r"), ("upstreams", "upstream", "1")):
        item = gateway.api("GET", f"{kind}/{id}").json()
        assert control(gateway, f"/v1/{noun}/{id}") == (200, item)
        assert control(gateway, f"/v1/{kind}") == (200, [item])


def test_what_no_schema_knows_is_not_shown(gateway: Gateway) -> None:
    status, item = control(gateway, "/v1/service/s")
    assert (status, item["key"], item["value"]["plugins"]) == (200, "/apisix/services/s", {"jwt-auth": {}})
    for path in ("services", "schema", "routes", "plugin_metadatas"):
        assert "misspelt-secret" not in str(control(gateway, f"/v1/{path}"))


def test_a_write_is_seen_at_once(gateway: Gateway) -> None:
    gateway.put("routes/new", {"uri": "/new", "upstream": UPSTREAM})
    assert control(gateway, "/v1/route/new")[0] == 200
    gateway.api("DELETE", "routes/new")
    assert control(gateway, "/v1/route/new") == (404, {"error_msg": "route[new] not found"})


def test_plugin_metadata(gateway: Gateway) -> None:
    metadata = {"id": "limit-count", "limit_header": "X-Limit"}
    assert control(gateway, "/v1/plugin_metadatas") == (200, [metadata])
    assert control(gateway, "/v1/plugin_metadata/limit-count") == (200, metadata)


def test_schema(gateway: Gateway) -> None:
    status, schema = control(gateway, "/v1/schema")
    assert (status, schema.keys()) == (200, {"main", "plugins", "stream_plugins"})
    assert schema["main"]["route"] == gateway.api("GET", "schema/route").json()
    assert schema["plugins"] == gateway.api("GET", "plugins?all=true").json()
    assert list(schema["plugins"]) == list(order.names())


@pytest.mark.parametrize(
    ("method", "target", "status", "body"),
    [
        ("GET", "/v1/healthcheck", 200, []),
        ("GET", "/v1/healthcheck/upstreams", 404, {"error_msg": "missing src id for src type upstreams"}),
        ("GET", "/v1/healthcheck/x/1", 400, {"error_msg": "invalid src type x"}),
        ("GET", "/v1/healthcheck/upstreams/1", 404, {"error_msg": "no checker for upstreams[1]"}),
        ("GET", "/v1/healthcheck/upstreams/2", 404, {"error_msg": "upstreams[2] not found"}),
        ("GET", "/v1/healthcheck/stream_routes/2", 404, {"error_msg": "stream_routes[2] not found"}),
        ("GET", "/v1/route/x", 404, {"error_msg": "route[x] not found"}),
        ("GET", "/v1/service/x", 404, {"error_msg": "service[x] not found"}),
        ("GET", "/v1/upstream/x", 404, {"error_msg": "upstream[x] not found"}),
        ("GET", "/v1/plugin_metadata/x", 404, {"error_msg": "plugin metadata[x] not found"}),
        ("PUT", "/v1/plugins/reload", 200, "done"),
        ("POST", "/v1/gc", 200, ""),
        ("GET", "/v1/gc", 404, {"error_msg": "not found"}),
        ("GET", "/v1/plugins/reload", 404, {"error_msg": "not found"}),
        ("DELETE", "/v1/route/r", 404, {"error_msg": "not found"}),
        ("GET", "/v1/consumers", 404, {"error_msg": "not found"}),
        ("GET", "/v1/ssls", 404, {"error_msg": "not found"}),
        ("GET", "/v1", 404, {"error_msg": "not found"}),
        ("GET", "/", 404, {"error_msg": "not found"}),
        ("GET", "/apisix/admin/routes", 404, {"error_msg": "not found"}),
    ],
)
def test_the_rest(gateway: Gateway, method: str, target: str, status: int, body: Any) -> None:
    assert control(gateway, target, method) == (status, body)


def test_headers(gateway: Gateway) -> None:
    headers = ask(gateway.directory / "control.sock", "GET", "/v1/routes")[2]
    assert headers["Server"] == f"APISIX/3.18.0 fastgw/{__version__}"
    assert headers["Content-Type"] == "application/json"
    assert headers["X-API-VERSION"] is None


def test_only_the_owner_can_connect(gateway: Gateway) -> None:
    for name in ("control", "status"):
        assert stat.S_IMODE(os.stat(gateway.directory / f"{name}.sock").st_mode) & 0o022 == 0


def test_status_of_a_gateway(gateway: Gateway) -> None:
    path = gateway.directory / "status.sock"
    for target in ("/status", "/status/ready"):
        assert ask(path, "GET", target)[:2] == (200, {"status": "ok"})
        assert ask(path, "HEAD", target)[0] == 200
    assert ask(path, "GET", "/v1/routes")[:2] == (404, {"error_msg": "not found"})
    assert ask(path, "POST", "/status")[0] == 404


def test_both_go_on_after_the_admin_process_died(gateway: Gateway) -> None:
    (old,) = gateway.pids("admin")
    os.kill(old, signal.SIGKILL)
    until(lambda: gateway.pids("admin") not in ([], [old]), "a new admin process")
    assert control(gateway, "/v1/route/r")[0] == 200
    assert ask(gateway.directory / "status.sock", "GET", "/status/ready")[:2] == (200, {"status": "ok"})


def test_neither_listens_unless_it_is_told_to(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo)) as started:
        (admin,) = started.pids("admin")
        table = Path(f"/proc/{admin}/net/tcp").read_text().splitlines()[1:]
        listening = {line.split()[9] for line in table if line.split()[3] == "0A"}
        held = [os.readlink(f"/proc/{admin}/fd/{fd}") for fd in os.listdir(f"/proc/{admin}/fd")]
        assert len([each for each in held if each.removeprefix("socket:[").removesuffix("]") in listening]) == 1


def test_ready_means_that_every_worker_has_served_and_one_serves() -> None:
    region = Region.create(1024, None, 4)
    status = Status(region, 2)

    def ready() -> tuple[int, Any]:
        reply = asyncio.run(status(Request("GET", "/status/ready", {}, b"", None)))
        return reply.status, json.loads(reply.body)

    def late(serving: int, wanted: int) -> tuple[int, Any]:
        return 503, {"status": "error", "error": f"{serving} of {wanted} workers hold the configuration"}

    region.set_slot(0, 1, Kind.ADMIN, State.SERVING)
    assert ready() == late(0, 2)
    region.set_slot(1, 2, Kind.WORKER, State.SERVING)
    region.set_slot(2, 3, Kind.WORKER, State.STARTING)
    assert ready() == late(1, 2)
    region.set_state(2, State.SERVING)
    assert ready() == (200, {"status": "ok"})
    region.set_slot(2, 0, 0, State.FREE)
    assert ready() == (200, {"status": "ok"}), "it died, the other one serves"
    region.set_state(1, State.DRAINING)
    assert ready() == late(0, 1)
