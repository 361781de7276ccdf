"""Nodes that are unix sockets."""

from pathlib import Path
from typing import Any

import pytest

from tests.proxying.nodes import asked, named, saying, to
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering
from tests.support.waiting import until

FORMS = [
    lambda path: {f"unix:{path}": 1},
    lambda path: [{"host": f"unix:{path}", "weight": 1}],
]


@pytest.mark.parametrize("form", FORMS, ids=["map", "list"])
def test_a_unix_socket_is_a_node(tmp_path: Path, form: Any) -> None:
    path = tmp_path / "up.sock"
    with Answering(saying("socket"), path) as upstream, Gateway(tmp_path, to(form(path), pass_host="node")) as gateway:
        assert [asked(gateway) for _ in range(3)] == ["socket"] * 3
        assert b"\r\nHost: localhost\r\n" in upstream.received[0]
        assert len(upstream.received) == 1  # the connection is kept


def test_a_socket_beside_a_port_and_gone(tmp_path: Path) -> None:
    path = tmp_path / "up.sock"
    with named("port") as nodes:
        config = to({f"unix:{path}": 1, str(nodes["port"].address): 1})
        with Gateway(tmp_path, config) as gateway:
            assert {asked(gateway) for _ in range(4)} == {"port"}  # nothing is there: the next one
            with Answering(saying("socket"), path):
                assert {asked(gateway) for _ in range(4)} == {"port", "socket"}
                until(lambda: f'"upstream":"unix:{path}"' in gateway.log(), "the log has the socket")


def test_what_is_no_path_is_refused_by_the_admin_api(tmp_path: Path) -> None:
    with Gateway(tmp_path) as gateway:
        for nodes in ({"unix:/" + "x" * 110: 1}, [{"host": "unix:/run/a.sock", "port": 1, "weight": 1}]):
            assert gateway.api("PUT", "upstreams/1", {"nodes": nodes}).status == 400
        assert gateway.api("PUT", "upstreams/1", {"nodes": {"unix:/run/a.sock": 1}}).status == 201
