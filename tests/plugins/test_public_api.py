"""public-api and server-info from outside: what plugins answer themselves, shipped ones and one's own."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastgw import __version__
from tests.plugins.mirror import ask, parse
from tests.support import wire
from tests.support.gateway import Gateway, free_addresses
from tests.support.wire import Address

OWN = '''"""An endpoint of one's own."""

from fastgw.plugin import Plugin, PluginConf, Reply, Request


class Conf(PluginConf, frozen=True, kw_only=True):
    """own: nothing."""


class Own(Plugin):
    """Says what it was asked."""

    name = "own"
    priority = 10
    phases = ()
    conf = Conf
    endpoints = {"GET /own": "told", "POST /own": "posted", "GET /broken": "broken", "GET /v1/server_info": "told"}

    def told(self, request: Request) -> Reply:
        return Reply(200, {"query": request.query})

    def posted(self, request: Request) -> Reply:
        return Reply(201, "posted")

    def broken(self, request: Request) -> Reply:
        raise ValueError("no")
'''


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory: Path = tmp_path_factory.mktemp("public")
    (directory / "plugins").mkdir()
    (directory / "plugins" / "own.py").write_text(OWN)
    routes = [
        {"id": "all", "uri": "/*", "plugins": {"public-api": {}, "server-info": {}}},
        {"id": "named", "uri": "/named", "plugins": {"public-api": {"uri": "/own"}}},
        {"id": "guarded", "uri": "/guarded", "plugins": {"public-api": {"uri": "/own"}, "key-auth": {}}},
    ]
    control = free_addresses(1)[0]
    with Gateway(directory, {"routes": routes, "plugins_dir": "plugins", "control": str(control)}) as running:
        yield running


def test_endpoints_are_published(gateway: Gateway) -> None:
    for target in ("/own?a=1", "/named?a=1", "//own?a=1"):
        answer = ask(gateway, target)
        assert (answer.status, json.loads(answer.body)) == (200, {"query": "a=1"})
    answer = parse(wire.raw(gateway.data, b"POST /own HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
    assert (answer.status, answer.body) == (201, b"posted")
    head = parse(wire.raw(gateway.data, b"HEAD /own HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"))
    assert (head.status, head.body) == (200, b"")


def test_what_nobody_has_is_404(gateway: Gateway) -> None:
    for target in ("/other", "/own/", "/OWN", "/own%20", "/%ff"):
        answer = ask(gateway, target)
        assert (answer.status, answer.body) == (404, b'{"error_msg":"Not Found"}\n')
    answer = parse(wire.raw(gateway.data, b"PUT /own HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
    assert answer.status == 404


def test_other_plugins_guard_an_endpoint(gateway: Gateway) -> None:
    assert ask(gateway, "/guarded").status == 401


def test_an_endpoint_that_raises_costs_its_own_request(gateway: Gateway) -> None:
    assert ask(gateway, "/broken").status == 500
    assert ask(gateway, "/own").status == 200


def test_server_info(gateway: Gateway) -> None:
    control = Address("127.0.0.1", int(gateway.config["control"].rpartition(":")[2]))
    shown = [ask(gateway, "/v1/server_info"), ask(control, "/v1/server_info"), ask(gateway, "/v1/server_info")]
    facts = [json.loads(answer.body) for answer in shown]
    for each in facts:
        assert (each["hostname"], each["version"]) == (socket.gethostname(), __version__)
        assert 0 <= each["up_time"] <= time.time() - each["boot_time"] + 1
        assert (each["last_report_time"], each["etcd_version"]) == (-1, "unknown")
    assert len({each["id"] for each in facts}) == len({each["boot_time"] for each in facts}) == 1


def test_lawful_configurations(gateway: Gateway) -> None:
    for name, conf in (("public-api", {"uri": ""}), ("public-api", {"uri": 1}), ("server-info", {"report_interval": 60})):
        answer = gateway.api("PUT", "routes/x", {"uri": "/x", "plugins": {name: conf}})
        assert answer.status == 400, conf
        assert f"failed to check the configuration of plugin {name} err: ".encode() in answer.body
