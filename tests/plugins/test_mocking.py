"""mocking from outside: examples and schemas, status, headers and delay; nothing goes upstream."""

import json
import time
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest

from fastgw import __version__
from fastgw.plugins.check import check_plugin
from tests.plugins.mirror import ask
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering
from tests.support.wire import request

Json = dict[str, Any]
SCHEMA: Json = {
    "type": "object",
    "properties": {
        "s": {"type": "string"},
        "fixed": {"type": "string", "example": "<b>"},
        "i": {"type": "integer"},
        "seven": {"type": "INTEGER", "example": 7.9},
        "n": {"type": "number", "example": 1.5},
        "b": {"type": "boolean"},
        "yes": {"type": "boolean", "example": True},
        "list": {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "string", "example": "v"}}}},
        "odd": {"type": "null"},
        "no items": {"type": "array"},
    },
}
DEEP: Json = {"type": "string", "example": "x"}
for _ in range(30):
    DEEP = {"type": "array", "items": DEEP}
CONFS: dict[str, Json] = {
    "example": {"response_example": '{"a":"$remote_addr","b":"$arg_b"}'},
    "status": {"response_example": "gone\n", "response_status": 410, "content_type": "text/plain", "with_mock_header": False},
    "headers": {"response_example": "x", "response_headers": {"X-N": 5, "X-V": "$arg_v", "content-type": "text/x"}},
    "schema": {"response_schema": SCHEMA},
    "xml": {"response_schema": SCHEMA, "content_type": "text/xml"},
    "deep": {"response_schema": {"type": "object", "properties": {"d": DEEP}}},
    "nothing": {"response_example": "", "response_status": 204},
    "posted": {"response_example": "$post_arg_v", "response_headers": {"X-V": "$post_arg_v"}},
    "slow": {"response_example": "late", "delay": 1},
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, up: Answering) -> Iterator[Gateway]:
    node = {"type": "roundrobin", "nodes": {str(up.address): 1}}
    routes = [{"id": n, "uri": f"/{n}", "upstream": node, "plugins": {"mocking": c}} for n, c in CONFS.items()]
    with Gateway(tmp_path_factory.mktemp("mock"), {"routes": routes}) as running:
        yield running


def test_an_example_is_answered(gateway: Gateway) -> None:
    got = ask(gateway, "/example?b=%22")
    assert (got.status, got.body, got.sent) == (200, b'{"a":"127.0.0.1","b":"%22"}', "")
    assert (got.header("Content-Type"), got.header("x-mock-by")) == (["application/json;charset=utf8"], [f"fastgw/{__version__}"])
    got = ask(gateway, "/status")
    assert (got.status, got.body) == (410, b"gone\n")
    assert (got.header("Content-Type"), got.header("x-mock-by")) == (["text/plain"], [])
    got = ask(gateway, "/headers?v=1")
    assert [got.header(name) for name in ("X-N", "X-V", "Content-Type")] == [["5"], ["1"], ["text/x"]]
    assert (ask(gateway, "/nothing").status, ask(gateway, "/nothing").body) == (204, b"")


def test_no_client_breaks_a_head(gateway: Gateway) -> None:
    got = request(gateway.data, "POST", "/posted", "v=a%0d%0aX-Evil:%201", {"Content-Type": "application/x-www-form-urlencoded"})
    assert (got.status, got.body, got.headers.get("x-v")) == (200, b"a\r\nX-Evil: 1", None)
    assert "x-evil" not in got.headers


def test_a_schema_is_filled_by_chance(gateway: Gateway) -> None:
    seen = [json.loads(ask(gateway, "/schema").body) for _ in range(20)]
    for one in seen:
        assert (one["fixed"], one["seven"], one["n"], one["yes"], one["odd"], one["no items"]) == (
            "<b>",
            7,
            1.5,
            True,
            None,
            None,
        )
        assert (1 <= len(one["s"]) <= 10, 1 <= one["i"] <= 10000, isinstance(one["b"], bool)) == (True, True, True)
        assert one["list"] == [{"k": "v"}] * len(one["list"])
        assert 1 <= len(one["list"]) <= 3
    assert len({one["s"] for one in seen}) > 1
    assert len(ask(gateway, "/deep").body) < 10_000


def test_xml(gateway: Gateway) -> None:
    root = ElementTree.fromstring(ask(gateway, "/xml").body)
    assert (root.tag, root.findtext("fixed"), root.findtext("yes")) == ("data", "<b>", "true")
    assert [each.findtext("k") for each in root.findall("list")] == ["v"] * len(root.findall("list"))


def test_a_delay(gateway: Gateway) -> None:
    start = time.monotonic()
    assert ask(gateway, "/slow").body == b"late"
    assert time.monotonic() - start >= 0.99


REFUSED: list[tuple[Json, str]] = [
    ({}, ""),
    ({"response_example": 1}, "response_example"),
    ({"response_example": "x", "content_type": "image/png"}, "content_type"),
    ({"response_example": "x", "content_type": "text/html;\r\nX: y"}, "content_type"),
    ({"response_example": "x", "response_status": 99}, "response_status"),
    ({"response_example": "x", "response_status": 100}, "response_status"),
    ({"response_example": "x", "response_status": 600}, "response_status"),
    ({"response_example": "x", "delay": -1}, "delay"),
    ({"response_example": "x", "response_headers": {}}, "response_headers"),
    ({"response_example": "x", "response_headers": {"a b": "x"}}, 'response_headers["a b"]'),
    ({"response_schema": []}, "response_schema"),
    ({"response_example": "x", "response_headers": {"content-type": "$arg_x"}}, "response_headers.content-type"),
]


@pytest.mark.parametrize(("conf", "where"), REFUSED, ids=lambda value: json.dumps(value)[:60])
def test_confs_that_are_refused(conf: Json, where: str) -> None:
    assert where in [str(fault.path) for fault in check_plugin("routes", "mocking", conf)[0]]


@pytest.mark.parametrize("conf", CONFS.values())
def test_confs_that_are_taken(conf: Json) -> None:
    assert check_plugin("routes", "mocking", conf) == ([], [])
