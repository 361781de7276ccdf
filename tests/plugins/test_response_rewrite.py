"""response-rewrite from outside: APISIX's rows, the forms of its configuration, searches in bodies."""

import base64
import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from fastgw.plugins.check import check_plugin
from fastgw.plugins.response_rewrite import Conf, _Search
from tests.plugins.mirror import ask
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering

Json = dict[str, Any]
TEXT = b"Hello hello HELLO caf\xe9 a.b"
FILTERS: dict[str, tuple[list[Json], bytes]] = {
    "once": ([{"regex": "hello", "replace": "bye"}], b"Hello bye HELLO caf\xe9 a.b"),
    "global": (
        [{"regex": "hello", "scope": "global", "replace": "$0-$0", "options": "jio"}],
        b"Hello-Hello hello-hello HELLO-HELLO",
    ),
    "groups": ([{"regex": r"(\w)\.(\w)", "replace": "$2 ${1}$$$9"}], b"b a$"),
    "escape": ([{"regex": r"a\.b", "replace": r"\1\n"}], rb"\1\n"),
    "anchored": ([{"regex": "hello", "replace": "bye", "options": "a"}], TEXT),
    "two": ([{"regex": "Hello", "replace": "one"}, {"regex": "one hello", "replace": "two"}], b"two HELLO"),
    "bytes": ([{"regex": r"caf\xe9", "replace": "cafe"}], b"cafe a.b"),
}
MOCKED = {"response_example": "hello", "response_headers": {"Content-Range": "bytes 0-4/9", "ETag": "x"}}
RANGED: dict[str, Json] = {  # what stands beside a search
    "part": {},
    "mocked": {"mocking": {"response_status": 206, **MOCKED}},
    "kept": {"proxy-cache": {"cache_strategy": "memory", "cache_zone": "memory_cache"}},
}
CONFS: dict[str, Json] = {
    "all": {
        "status_code": 201,
        "body": "mine\n",
        "headers": {"set": {"X-Server-id": 3, "X-S": "$status", "X-Up": "$upstream_status"}},
    },
    "short": {"headers": {"X-Server-id": 3.5, "X-Server-status": "on", "Content-Type": ""}},
    "lists": {
        "headers": {"add": ["X-Own: a:b", "Set-Cookie: c=$arg_c; Max-Age=1"], "set": {"X-Own2": "s"}, "remove": ["X-Theirs"]}
    },
    "base64": {"body": "SGVsbG8K", "body_base64": True},
    "vars": {"body": "sorry", "status_code": 403, "vars": [["status", "==", 500]]},
    **{name: {"filters": filters} for name, (filters, _) in FILTERS.items()},
    "compressed": {"filters": FILTERS["once"][0]},
    "small": {"filters": FILTERS["once"][0], "max_resp_body_size": 10},
    "refused": {"status_code": 418, "filters": [{"regex": "API", "replace": "tea"}]},
}


def answer(request: bytes) -> bytes:
    route = request.split(b" ")[1].strip(b"/").partition(b"?")[0].decode()
    if route == "part":
        return b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/9\r\nETag: x\r\nContent-Length: 5\r\n\r\nhello"
    body, fields, status = TEXT, b"ETag: x\r\nX-Own: 0\r\nX-Theirs: 1\r\nContent-Type: text/x\r\n", b"200 OK"
    if route == "compressed":
        body, fields = gzip.compress(TEXT), b"Content-Encoding: gzip\r\n"
    if b"?fail" in request:
        status = b"500 Internal Server Error"
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, fields, len(body), body)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Answering(answer) as upstream:
        node = {"type": "roundrobin", "nodes": {str(upstream.address): 1}}
        routes = [{"id": n, "uri": f"/{n}", "upstream": node, "plugins": {"response-rewrite": c}} for n, c in CONFS.items()]
        routes[-1]["plugins"]["key-auth"] = {}  # type: ignore[index]
        search = {"status_code": 200, "filters": FILTERS["once"][0]}
        for name, beside in RANGED.items():
            routes.append({"id": name, "uri": f"/{name}", "upstream": node, "plugins": {"response-rewrite": search, **beside}})
        with Gateway(tmp_path_factory.mktemp("rewrite"), {"routes": routes}) as running:
            yield running


def test_status_body_and_headers_are_the_configured_ones(gateway: Gateway) -> None:
    got = gateway.get("/all")
    assert (got.status, got.body) == (201, b"mine\n")
    assert [got.headers[name] for name in ("x-server-id", "x-s", "x-up", "content-length")] == ["3", "201", "200", "5"]
    assert "etag" not in got.headers
    got = gateway.get("/short")
    assert (got.headers["x-server-id"], got.headers["x-server-status"], got.body) == ("3.5", "on", TEXT)
    assert "content-type" not in got.headers
    assert got.headers["etag"] == "x"


def test_lists_add_set_and_remove(gateway: Gateway) -> None:
    got = ask(gateway, "/lists?c=7")
    assert (got.header("X-Own"), got.header("X-Own2")) == (["0", "a:b"], ["s"])
    assert (got.header("Set-Cookie"), got.header("X-Theirs")) == (["c=7; Max-Age=1"], [])


def test_base64_and_conditions(gateway: Gateway) -> None:
    assert gateway.get("/base64").body == b"Hello\n"
    assert (gateway.get("/vars").status, gateway.get("/vars").body) == (200, TEXT)
    assert (gateway.get("/vars?fail").status, gateway.get("/vars?fail").body) == (403, b"sorry")


@pytest.mark.parametrize("name", FILTERS)
def test_what_is_found_is_replaced(gateway: Gateway, name: str) -> None:
    got = gateway.get(f"/{name}")
    assert FILTERS[name][1] in got.body
    assert "etag" not in got.headers


def test_compressed_bodies_long_ones_and_the_gateways_own(gateway: Gateway) -> None:
    got = gateway.get("/compressed")
    assert (got.body, got.headers.get("content-encoding")) == (FILTERS["once"][1], None)
    assert gateway.get("/small").body == TEXT
    got = gateway.get("/refused")
    assert (got.status, got.json()) == (418, {"message": "Missing tea key in request"})


@pytest.mark.parametrize("name", RANGED)
def test_in_a_part_of_a_body_nothing_is_replaced(gateway: Gateway, name: str) -> None:
    """Whoever made it: an upstream, a plugin, a cache. All else that is to be done with it is."""
    if name == "kept":
        assert b"Hello bye" in gateway.get("/kept").body
    got = gateway.get(f"/{name}", headers={"Range": "bytes=6-10"})
    assert (got.status, got.body, got.headers["etag"]) == (200, b"hello", "x")


def test_what_a_search_does_with_codings() -> None:
    codings = pytest.importorskip("fastgw.plugins.codings")
    search = _Search(Conf(filters=(), max_resp_body_size=100))
    assert search(gzip.compress(b"a") + gzip.compress(b"b"), "gzip") == b"ab"
    br = codings.brotli().compress(b"hello")
    assert search(br, "br") == b"hello"
    bombs = [(gzip.compress(b"x" * 101), "gzip"), (codings.brotli().compress(b"x" * 101), "br")]
    for body, coding in [(gzip.compress(b"a")[:-1], "gzip"), (b"plain", "gzip"), (br[:-1], "br"), (b"\xff\xff", "br"), *bombs]:
        with pytest.raises(ValueError):
            search(body, coding)


REFUSED: list[tuple[Json, str]] = [
    ({"status_code": 599}, "status_code"),
    ({"status_code": 199}, "status_code"),
    ({"body": 2}, "body"),
    ({"body": "1", "body_base64": True}, "body"),
    ({"body": "a?b=", "body_base64": True}, "body"),
    ({"body_base64": True}, "body"),
    ({"headers": {"": 2}}, 'headers[""]'),
    ({"headers": {"X-Name": {}}}, "headers.X-Name"),
    ({"headers": {"X-Name": True}}, "headers.X-Name"),
    ({"headers": {"Content-Length": "2"}}, "headers.Content-Length"),
    ({"headers": {"X": "a\r\nY: b"}}, "headers.X"),
    ({"headers": {"set": {"a b": "x"}}}, 'headers.set["a b"]'),
    ({"headers": {"add": ["none"]}}, "headers.add[0]"),
    ({"headers": {"add": ["X: a\nb"]}}, "headers.add[0]"),
    ({"headers": {"add": []}}, "headers.add"),
    ({"headers": {"set": {"X": "y"}, "remove": "X"}}, "headers.remove"),
    ({"headers": {"remove": ["Transfer-Encoding"]}}, "headers.remove[0]"),
    ({"filters": []}, "filters"),
    ({"filters": [{"regex": "", "replace": ""}]}, "filters[0].regex"),
    ({"filters": [{"regex": "(", "replace": ""}]}, "filters[0].regex"),
    ({"filters": [{"regex": "a)|(b", "replace": ""}]}, "filters[0].regex"),
    ({"filters": [{"regex": "a", "replace": "", "options": "x"}]}, "filters[0].options"),
    ({"filters": [{"regex": "a"}]}, "filters[0].replace"),
    ({"filters": [{"regex": "a", "replace": ""}], "body": "x"}, ""),
    ({"vars": [["status", "=", 200]]}, "vars[0][1]"),
    ({"max_resp_body_size": 0}, "max_resp_body_size"),
]


@pytest.mark.parametrize(("conf", "where"), REFUSED, ids=lambda value: json.dumps(value)[:60])
def test_confs_that_are_refused(conf: Json, where: str) -> None:
    assert where in [str(fault.path) for fault in check_plugin("routes", "response-rewrite", conf)[0]]


def test_confs_that_are_taken() -> None:
    more = [
        {"body": base64.b64encode(b"ab").decode().rstrip("="), "body_base64": True},
        {"headers": {"add": ["A:b"], "what": 1}},
        {},
    ]
    for conf in [*CONFS.values(), *more]:
        assert check_plugin("routes", "response-rewrite", conf) == ([], [])
