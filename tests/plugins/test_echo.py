"""echo from outside: text before, behind and instead of bodies."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from fastgw.plugins.check import check_plugin
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering
from tests.support.wire import request

Json = dict[str, Any]
CONFS: dict[str, Json] = {
    "whole": {"before_body": "<", "body": "mine", "after_body": ">", "headers": {"X-E": "$status", "Location": "there"}},
    "around": {"before_body": "<", "after_body": ">"},
    "behind": {"after_body": ">\n"},
    "refused": {"before_body": "<", "after_body": ">"},
}
THEIRS = b"their body" * 10_000


def answer(request: bytes) -> bytes:
    body = b"" if b"?empty" in request.split(b"\r\n")[0] else THEIRS
    said = b"" if request.startswith(b"HEAD") else body
    return b"HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), said)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Answering(answer) as upstream:
        node = {"type": "roundrobin", "nodes": {str(upstream.address): 1}}
        routes = [{"id": n, "uri": f"/{n}", "upstream": node, "plugins": {"echo": c}} for n, c in CONFS.items()]
        routes[-1]["plugins"]["key-auth"] = {}  # type: ignore[index]
        with Gateway(tmp_path_factory.mktemp("echo"), {"routes": routes}) as running:
            yield running


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/whole", b"<mine>"),
        ("/whole?empty", b"<mine>"),
        ("/around", b"<" + THEIRS + b">"),
        ("/around?empty", b"<>"),
        ("/behind", THEIRS + b">\n"),
        ("/refused", b'<{"message":"Missing API key in request"}\n>'),
    ],
)
def test_what_is_said(gateway: Gateway, target: str, body: bytes) -> None:
    got = gateway.get(target)
    assert (got.body, got.headers.get("etag")) == (body, None)


def test_headers_and_head(gateway: Gateway) -> None:
    got = gateway.get("/whole")
    assert (got.headers["x-e"], got.headers["location"], got.headers["content-length"]) == ("200", "there", "6")
    head = request(gateway.data, "HEAD", "/around")
    assert (head.status, head.body, head.headers.get("content-length")) == (200, b"", None)


@pytest.mark.parametrize(
    ("conf", "where"),
    [
        ({}, ""),
        ({"headers": {"X": "y"}}, ""),
        ({"body": 1}, "body"),
        ({"body": "x", "headers": {}}, "headers"),
        ({"body": "x", "headers": {"X": []}}, "headers.X"),
        ({"body": "x", "headers": {"Upgrade": "y"}}, "headers.Upgrade"),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_confs_that_are_refused(conf: Json, where: str) -> None:
    assert where in [str(fault.path) for fault in check_plugin("routes", "echo", conf)[0]]


@pytest.mark.parametrize("conf", CONFS.values())
def test_confs_that_are_taken(conf: Json) -> None:
    assert check_plugin("routes", "echo", conf) == ([], [])
