"""proxy-rewrite from outside: what the upstream gets, and configurations that are refused."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from fastgw.plugins.check import check_plugin
from tests.plugins.mirror import Answer, ask, mirror, parse
from tests.support import wire
from tests.support.gateway import Gateway
from tests.support.waiting import until

CONFS: dict[str, dict[str, Any]] = {
    # APISIX 3.11, transcripts H40 and H41
    "rw": {
        "uri": "/new/b",
        "host": "h.test",
        "headers": {"add": {"X-A": "2"}, "set": {"X-S": 1, "X-V": "$remote_addr"}, "remove": ["X-Del"]},
    },
    "rx": {"regex_uri": ["^/rx/(.*)/(.*)", "/$2/$1"], "method": "POST"},
    "smuggle": {"regex_uri": ["^/smuggle-(.*)", "/files/$1"]},
    "re2": {"regex_uri": ["^/re2/(.*)/(.*)", "/$2/$1"]},
    "two": {"regex_uri": ["^/two/a", "/A", "^/two/b", "/B"]},
    "head": {"method": "GET"},
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("rewrite")
    with mirror() as upstream:
        node = {"type": "roundrobin", "nodes": {str(upstream.address): 1}}
        routes = [{"id": n, "uri": f"/{n}*", "upstream": node, "plugins": {"proxy-rewrite": c}} for n, c in CONFS.items()]
        routes.append(
            {
                "id": "key",
                "uri": "/key",
                "upstream": node,
                "plugins": {"key-auth": {}, "proxy-rewrite": {"uri": "/$consumer_name"}},
            }
        )
        consumers = [
            {"username": "kim", "plugins": {"key-auth": {"key": "kim-key"}}},
            {"username": "lee", "plugins": {"key-auth": {"key": "lee-key"}, "proxy-rewrite": {"uri": "/lees"}}},
        ]
        config = {"routes": routes, "consumers": consumers, "access_log": {"path": str(directory / "access.log")}}
        with Gateway(directory, config) as running:
            yield running


def fields(answer: Answer, name: str) -> list[str]:
    lines = (line.partition(": ") for line in answer.sent.split("\r\n"))
    return [value for found, _, value in lines if found.lower() == name.lower()]


def test_as_apisix_does_it(gateway: Gateway) -> None:
    answer = ask(gateway, "/rw?a=b", "X-Del: 1", "X-A: 0")
    assert answer.sent.startswith("GET /new/b?a=b HTTP/1.1\r\nHost: h.test\r\n")
    assert (fields(answer, "X-A"), fields(answer, "X-S"), fields(answer, "X-V")) == (["0", "2"], ["1"], ["127.0.0.1"])
    assert fields(answer, "X-Del") == []
    assert fields(answer, "X-Forwarded-Host") == ["test"]
    answer = ask(gateway, "/rx/one/two?q=1")
    assert answer.sent.startswith("POST /two/one?q=1 HTTP/1.1\r\n")
    assert ask(gateway, "/re2/one/x/two").sent.startswith("GET /two/one/x HTTP/1.1\r\n")
    assert [ask(gateway, f"/two/{x}/c").sent.split(" ")[1] for x in "abc"] == ["/A/c", "/B/c", "/two/c/c"]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("/smuggle-../admin", 400),
        ("/smuggle-%2e%2e/admin", 400),
        ("/smuggle-.%2E", 400),
        ("/smuggle-%00", 400),
        ("/smuggle-a%0D%0AX:%201", "/files/a%0D%0AX:%201"),
        ("/smuggle-a%20HTTP/1.1%0d%0a", "/files/a%20HTTP/1.1%0D%0A"),
        ("/smuggle-..%2Fadmin", "/files/..%2Fadmin"),
        ("/smuggle-%5C..%5Ca", "/files/%5C..%5Ca"),
        ("/smuggle-%3Fa=b%23c", "/files/%3Fa=b%23c"),
        ("/smuggle-//..a", "/files/..a"),
    ],
)
def test_no_request_gets_out_of_where_it_is_put(gateway: Gateway, asked: str, status: int | str) -> None:
    answer = ask(gateway, asked)
    if isinstance(status, int):
        assert (answer.status, answer.sent) == (status, "")
    else:
        assert answer.sent.startswith(f"GET {status} HTTP/1.1\r\n")


def test_the_log_says_why_and_what_the_client_asked(gateway: Gateway) -> None:
    ask(gateway, "/smuggle-../x?why=1")
    log = gateway.directory / "access.log"
    text = until(lambda: re.search(r'\{[^\n]*"/smuggle-\.\./x\?why=1"[^\n]*\n', log.read_text()), "the request's line")
    line = json.loads(text[0])
    assert (line["status"], line["refused"], line["method"]) == (400, "proxy-rewrite.unsafe", "GET")


def test_a_head_request_asked_otherwise_has_no_body(gateway: Gateway) -> None:
    head = "HEAD /head HTTP/1.1\r\nHost: test\r\n\r\n"
    again = "GET /head HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
    received = wire.raw(gateway.data, (head + again).encode())
    first, _, second = received.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200 ")
    assert parse(second).sent.startswith("GET /head HTTP/1.1\r\n")


def test_it_runs_when_the_consumer_is_known_and_a_consumers_own_does_not_replace_it(gateway: Gateway) -> None:
    assert ask(gateway, "/key", "apikey: kim-key").sent.startswith("GET /kim HTTP/1.1\r\n")
    assert ask(gateway, "/key", "apikey: lee-key").sent.startswith("GET /lee HTTP/1.1\r\n")
    assert ask(gateway, "/key").status == 401


@pytest.mark.parametrize(
    ("conf", "found"),
    [
        ({}, "expected at least one of uri, regex_uri"),
        ({"uri": "a"}, "expected a path"),
        ({"uri": ""}, "expected at least 1 character"),
        ({"uri": "/" + "a" * 4096}, "expected at most 4096"),
        ({"uri": "/../a"}, "expected one that a request could ask for"),
        ({"uri": "/a/../$uri"}, "expected a path without segments '.' and '..'"),
        ({"uri": "/%00"}, "expected no %00"),
        ({"regex_uri": ["^/a"]}, "expected at least 2"),
        ({"regex_uri": ["^/a", "/b", "^/c"]}, "expected pairs, found 3 texts"),
        ({"regex_uri": ["(", "/b"]}, "expected a regular expression"),
        ({"regex_uri": ["(?<=a)b", "/b"]}, "expected a regular expression"),
        ({"regex_uri": ["^/(a)", "/$2"]}, "expected at most $1"),
        ({"method": "FOO"}, "expected one of"),
        ({"method": "TRACE"}, "not supported"),
        ({"host": "a b"}, "expected a host name"),
        ({"host": "a\n"}, "expected a host name"),
        ({"host": "a/b"}, "expected a host name"),
        ({"scheme": "https"}, "not supported; it is the upstream's"),
        ({"headers": {}}, "expected at least 1"),
        ({"headers": {"set": {}}}, "expected at least one header"),
        ({"headers": {"set": {"A": "b"}, "more": {}}}, "expected one of add, set, remove"),
        ({"headers": {"set": {"A": "b"}, "remove": {"B": "c"}}}, "expected a list of names"),
        ({"headers": {"remove": ["a b"]}}, "expected a name of letters"),
        ({"headers": {"remove": [1]}}, "expected text"),
        ({"headers": {"a:b": "c"}}, "expected a name of letters"),
        ({"headers": {"A": "b\r\nC: d"}}, "expected no control characters"),
        ({"headers": {"A": "\0"}}, "expected no control characters"),
        ({"headers": {"A": True}}, "expected text, a number"),
        ({"headers": {"A": []}}, "expected text, a number"),
        ({"headers": {"A": {"b": "c"}}}, "expected text, a number"),
        ({"headers": {"Host": "a"}}, "expected a header that the gateway does not set itself"),
        ({"headers": {"add": {"Content-Length": "1"}}}, "expected a header that the gateway does not set itself"),
        ({"headers": {"x_consumer_username": "a"}}, "expected a header that the gateway does not set itself"),
        ({"headers": {f"H{i}": "v" for i in range(49)}}, "expected at most 48 headers"),
    ],
)
def test_confs_that_are_refused(conf: dict[str, Any], found: str) -> None:
    faults = check_plugin("routes", "proxy-rewrite", conf)[0]
    assert any(found in fault.message for fault in faults), faults


def test_the_admin_api_refuses_in_apisixs_words(gateway: Gateway) -> None:
    conf = {"regex_uri": ["^/a", "/b", "^/c"]}
    answer = gateway.api("PUT", "routes/x", {"uri": "/x", "plugins": {"proxy-rewrite": conf}})
    assert answer.status == 400
    assert b"failed to check the configuration of plugin proxy-rewrite err: " in answer.body
    assert b"The length of regex_uri should be an even number" in answer.body
