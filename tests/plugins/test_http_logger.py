"""http-logger from outside: what reaches the server, when, and what becomes of it where there is none."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastgw import __version__
from fastgw.plugins.check import check_plugin
from tests.plugins.mirror import Answer, ask, mirror, parse
from tests.support import wire
from tests.support.gateway import Gateway, free_addresses
from tests.support.upstreams import OK, Answering, Scripted
from tests.support.waiting import until

AT_ONCE = {"batch_max_size": 1}


class Sink(Answering):
    """The server that is told. `status` is what it answers."""

    def __init__(self) -> None:
        super().__init__(lambda request: OK.replace(b"200", self.status))
        self.status = b"200"

    def requests(self) -> list[tuple[str, bytes]]:
        """Head and body of each."""
        found = []
        for data in self.received:
            rest = bytes(data)
            while b"\r\n\r\n" in rest:
                head, _, rest = rest.partition(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                if len(rest) < length:
                    break
                found.append((head.decode("latin-1"), rest[:length]))
                rest = rest[length:]
        return found

    def entries(self, path: str) -> list[dict[str, Any]]:
        """Those for requests to this path, once there are some."""

        def there() -> list[dict[str, Any]]:
            bodies = [json.loads(line) for _, body in self.requests() for line in body.splitlines()]
            each = [entry for body in bodies for entry in (body if isinstance(body, list) else [body])]
            return [entry for entry in each if path in json.dumps(entry)]

        return until(there, f"an entry for {path}")


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with Sink() as server:
        yield server


def body_expr(name: str) -> list[list[str]]:
    return [[name, "==", "1"]]


@pytest.fixture(scope="module")
def gateway(up: Answering, sink: Sink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    node = {"type": "roundrobin", "nodes": {str(up.address): 1}}
    uri = {"uri": f"http://{sink.address}/logs?a=b"}
    formatted = {
        "path": "$uri",
        "host": "$host",
        "both": "$request_method ${status} é",
        "absent": "$arg_none",
        "number": 7,
        "deep": {"a": {"b": "$arg_x"}},
        "when": "$time_iso8601",
        "auth": "$http_authorization",
    }
    confs: dict[str, dict[str, Any]] = {
        "plain": AT_ONCE,
        "format": {**AT_ONCE, "log_format": formatted},
        "extra": {**AT_ONCE, "log_format_extra": {"more": "$arg_x"}},
        "bodies": {**AT_ONCE, "include_req_body": True, "include_resp_body": True},
        "few": {
            **AT_ONCE,
            "include_req_body": True,
            "include_resp_body": True,
            "max_req_body_bytes": 3,
            "max_resp_body_bytes": 4,
        },
        "asked": {
            **AT_ONCE,
            "include_req_body": True,
            "include_req_body_expr": body_expr("arg_in"),
            "include_resp_body": True,
            "include_resp_body_expr": body_expr("arg_out"),
        },
        "three": {"batch_max_size": 3, "inactive_timeout": 3600, "buffer_duration": 3600},
        "lines": {"batch_max_size": 2, "concat_method": "new_line", "inactive_timeout": 3600, "auth_header": "Basic c2VjcmV0"},
        "soon": {"inactive_timeout": 1},
        "end": {"inactive_timeout": 3600, "buffer_duration": 3600},
    }
    routes: list[dict[str, Any]] = [
        {"id": n, "uri": f"/{n}", "upstream": node, "plugins": {"http-logger": {**uri, **c}}} for n, c in confs.items()
    ]
    keyed = {"key-auth": {"header": "X-Own-Key", "query": "own"}, "http-logger": {**uri, **AT_ONCE}}
    moved = {"uri": "/there", "append_query_string": True}
    pages = {"page": "$http_referer", "both": "$uri of $http_x_page"}
    masked = {
        "request": [
            {"type": "query", "name": "a", "action": "replace", "value": "*"},
            {"type": "header", "name": "X-Secret", "action": "remove"},
            {"type": "body", "body_format": "json", "name": "$.pin", "action": "replace", "value": "*"},
        ]
    }
    hidden = {"data-mask": masked, "http-logger": {**uri, **AT_ONCE, "include_req_body": True}}
    routes += [
        {"id": "keyed", "uri": "/keyed", "upstream": node, "plugins": keyed, "service_id": "s"},
        {"id": "masked", "uri": "/masked", "upstream": node, "plugins": hidden},
        {"id": "moved", "uri": "/moved", "upstream": node, "plugins": {**keyed, "redirect": moved}},
        {"id": "pages", "uri": "/pages", "upstream": node, "plugins": {"http-logger": {**uri, **AT_ONCE, "log_format": pages}}},
    ]
    config = {
        "routes": routes,
        "services": [{"id": "s", "upstream": node}],
        "consumers": [{"username": "kim", "plugins": {"key-auth": {"key": "kims-key"}}}],
        "global_rules": [
            {"id": "g", "plugins": {"http-logger": {**uri, **AT_ONCE, "_meta": {"filter": [["uri", "~~", "^/none"]]}}}}
        ],
    }
    with Gateway(tmp_path_factory.mktemp("http-logger"), config) as running:
        yield running


def post(gateway: Gateway, target: str, body: bytes, *fields: str) -> Answer:
    lines = [f"POST {target} HTTP/1.1", "Host: Test:80", "Connection: close", f"Content-Length: {len(body)}", *fields, "", ""]
    return parse(wire.raw(gateway.data, "\r\n".join(lines).encode() + body))


def test_what_an_entry_says(gateway: Gateway, sink: Sink, up: Answering) -> None:
    post(gateway, "/plain?x=1&x=2&y=%20z&flag", b"four", "X-A: 1", "x-a: 2", "Authorization: Bearer secret", "Cookie: a=secret")
    (entry,) = sink.entries("/plain")
    asked, answered = entry["request"], entry["response"]
    assert asked["uri"] == "/plain?x=1&x=2&y=%20z&flag"
    assert asked["url"] == f"http://test:{gateway.data.port}/plain?x=1&x=2&y=%20z&flag"
    assert (asked["method"], asked["querystring"]) == ("POST", {"x": ["1", "2"], "y": " z", "flag": ""})
    assert (asked["headers"]["x-a"], asked["headers"]["host"]) == (["1", "2"], "Test:80")
    assert asked["headers"]["authorization"] == asked["headers"]["cookie"] == "***"
    assert "body" not in asked
    assert "body" not in answered
    assert asked["size"] > 4
    assert (answered["status"], answered["headers"]["x-mirror"]) == (200, "1")
    assert answered["size"] == int(answered["headers"]["content-length"])
    assert entry["server"] == {"hostname": socket.gethostname(), "version": __version__}
    assert (entry["upstream"], entry["route_id"], entry["service_id"]) == (str(up.address), "plain", "")
    assert (entry["client_ip"], "consumer" in entry) == ("127.0.0.1", False)
    assert entry["latency"] >= entry["upstream_latency"] >= 0
    assert abs(entry["latency"] - entry["upstream_latency"] - entry["apisix_latency"]) < 0.001
    head, _ = next(each for each in sink.requests() if b"/plain" in each[1])
    assert head.startswith("POST /logs?a=b HTTP/1.1\r\n")
    assert "\r\nContent-Type: application/json" in head


def test_of_whom_and_why_not(gateway: Gateway, sink: Sink) -> None:
    """Credentials are not told, wherever a plugin takes them from."""
    ask(gateway, "/keyed?own=kims-key&z=1", "X-Other: 1")
    ask(gateway, "/keyed?z=2", "X-Own-Key: kims-key")
    ask(gateway, "/keyed?z=3", "X-Own-Key: wrong-key")
    until(lambda: len(sink.entries("/keyed")) == 3, "three entries")
    entries = {entry["request"]["querystring"]["z"]: entry for entry in sink.entries("/keyed")}
    assert entries["1"]["request"]["uri"] == "/keyed?own=***&z=1"
    assert entries["2"]["request"]["headers"]["x-own-key"] == "***"
    assert (entries["1"]["consumer"], entries["1"]["service_id"]) == ({"username": "kim"}, "s")
    assert (entries["3"]["response"]["status"], entries["3"]["refused"], "consumer" in entries["3"]) == (
        401,
        "key.unknown",
        False,
    )
    assert entries["3"]["upstream"] == ""
    assert entries["3"]["response"]["headers"]["content-type"] == "application/json"
    assert not any(b"kims-key" in body or b"wrong-key" in body for _, body in sink.requests())


def test_urls_in_headers_have_no_credentials(gateway: Gateway, sink: Sink) -> None:
    """The page before was asked with one, and where the client is sent it asks with one again."""
    ask(gateway, "/moved?own=kims-key&z=1", "Referer: http://test/moved?own=kims-key&y=2")
    (entry,) = sink.entries("/moved")
    assert entry["request"]["headers"]["referer"] == "http://test/moved?own=***&y=2"
    assert entry["response"]["headers"]["location"] == "/there?own=***&z=1"
    ask(gateway, "/pages", "Referer: http://test/?own=kims-key", "X-Page: /b?a=1&o%77n=kims-key&c=?")
    (entry,) = sink.entries("/pages")
    assert (entry["page"], entry["both"]) == ("http://test/?own=***", "/pages of /b?a=1&o%77n=***&c=?")
    assert not any(b"kims-key" in body for _, body in sink.requests())


def test_a_format_of_ones_own(gateway: Gateway, sink: Sink) -> None:
    ask(gateway, "/format?x=a%20b", "Authorization: secret")
    (entry,) = sink.entries("/format")
    assert entry.pop("when")[:2] == "20"
    assert entry == {
        "path": "/format",
        "host": "test",
        "both": "GET 200 é",
        "number": 7,
        "deep": {"a": {"b": "a b"}},
        "auth": "***",
        "route_id": "format",
    }
    ask(gateway, "/extra?x=1")
    assert sink.entries("/extra")[0]["more"] == "1"


def test_bodies(gateway: Gateway, sink: Sink) -> None:
    answer = post(gateway, "/bodies", b"h\xc3\xa9llo \xff")
    assert "\r\n\r\nh\xc3\xa9llo \xff\r\n" in answer.sent  # in chunks, as of any answer that a plugin looks at
    (entry,) = sink.entries("/bodies")
    assert entry["request"]["body"] == "héllo �"
    assert entry["response"]["body"].encode()[:18] == b"POST /bodies HTTP/"
    post(gateway, "/few", b"four")
    (entry,) = sink.entries("/few")
    assert (entry["request"]["body"], entry["response"]["body"]) == ("fou", "POST")
    assert ask(gateway, "/bodies").status == 200


def test_bodies_under_a_condition(gateway: Gateway, sink: Sink) -> None:
    for query in ("in=1&out=0", "in=0&out=1"):
        post(gateway, f"/asked?{query}", b"body")
    until(lambda: len(sink.entries("/asked")) == 2, "two entries")
    shown = {e["request"]["uri"][-9:]: ("body" in e["request"], "body" in e["response"]) for e in sink.entries("/asked?")}
    assert shown == {"n=1&out=0": (True, False), "n=0&out=1": (False, True)}


def test_what_is_masked_is_masked_here_too(gateway: Gateway, sink: Sink) -> None:
    answer = post(gateway, "/masked?a=1&b=2", b'{"pin": 1234, "x": 1}', "X-Secret: me")
    assert answer.sent.endswith('{"pin": 1234, "x": 1}')
    (entry,) = sink.entries("/masked")
    assert entry["request"]["uri"] == "/masked?a=*&b=2"
    assert entry["request"]["querystring"] == {"a": "*", "b": "2"}
    assert json.loads(entry["request"]["body"]) == {"pin": "*", "x": 1}
    assert "x-secret" not in entry["request"]["headers"]


def test_batches(gateway: Gateway, sink: Sink) -> None:
    for i in range(6):
        ask(gateway, f"/three?i={i}")
    until(lambda: len(sink.entries("/three")) == 6, "six entries")
    sizes = [len(json.loads(body)) for _, body in sink.requests() if b'"/three?' in body]
    assert sizes == [3, 3]
    for i in range(2):
        ask(gateway, f"/lines?i={i}")
    head, body = until(lambda: [each for each in sink.requests() if b'"/lines?' in each[1]], "the lines")[0]
    assert [json.loads(line)["request"]["querystring"]["i"] for line in body.splitlines()] == ["0", "1"]
    assert "\r\nContent-Type: text/plain" in head
    assert "\r\nAuthorization: Basic c2VjcmV0" in head
    ask(gateway, "/soon")
    assert len(sink.entries("/soon")) == 1


def test_a_global_rule_logs_what_has_no_route(gateway: Gateway, sink: Sink) -> None:
    assert ask(gateway, "/none/a").status == 404
    (entry,) = sink.entries("/none/a")
    assert (entry["route_id"], entry["service_id"], entry["response"]["status"]) == ("no-matched", "test", 404)


def test_what_no_text_is_breaks_nothing(gateway: Gateway, sink: Sink) -> None:
    post(gateway, "/bodies?odd=%ff%00%zz&%", b"\x00\xff\xfe", "X-Odd: \x7f\u00ff".replace("\x7f", ""), "Content-Type: \u00ff")
    (entry,) = sink.entries("odd=")
    assert entry["request"]["uri"] == "/bodies?odd=%ff%00%zz&%"
    assert entry["request"]["body"] == "\0��"


def test_what_waits_goes_when_the_gateway_ends(directory: Path) -> None:
    with mirror() as upstream, Sink() as sink:
        node = {"type": "roundrobin", "nodes": {str(upstream.address): 1}}
        conf = {"uri": f"http://{sink.address}/", "inactive_timeout": 3600, "buffer_duration": 3600}
        with Gateway(
            directory, {"routes": [{"id": "r", "uri": "/*", "upstream": node, "plugins": {"http-logger": conf}}]}
        ) as gateway:
            for i in range(3):
                ask(gateway, f"/end?i={i}")
            assert sink.requests() == []
        assert len(sink.entries("/end")) == 3


def test_a_server_that_is_away_harms_nobody_and_is_named(directory: Path) -> None:
    """Dead, refusing, or silent: requests are served as ever, what is lost is counted."""
    dead = free_addresses(1)[0]
    with mirror() as upstream, Sink() as sink, Scripted([], keep_open=True) as silent:
        sink.status = b"503"
        node = {"type": "roundrobin", "nodes": {str(upstream.address): 1}}
        places = {"dead": dead, "refusing": sink.address, "silent": silent.address}
        routes = [
            {
                "id": name,
                "uri": f"/{name}",
                "upstream": node,
                "plugins": {"http-logger": {"uri": f"http://{place}/?token=secret", "batch_max_size": 2, "timeout": 1}},
            }
            for name, place in places.items()
        ]
        metadata = [{"id": "http-logger", "max_pending_entries": 4}]
        with Gateway(directory, {"routes": routes, "plugin_metadata": metadata}) as gateway:
            for name in places:
                for _ in range(20):
                    assert ask(gateway, f"/{name}").status == 200
            for name, place in places.items():
                until(lambda place=place, name=name: f"routes/{name}: http-logger: http://{place}: " in gateway.log(), name)
            text = gateway.log()
            assert "entries dropped" in text
            assert "an answer of status 503" in text
            assert "secret" not in text


def test_metadata_has_the_format_of_all(directory: Path) -> None:
    with mirror() as upstream, Sink() as sink:
        node = {"type": "roundrobin", "nodes": {str(upstream.address): 1}}
        conf = {"uri": f"http://{sink.address}/", **AT_ONCE}
        route = {"id": "r", "uri": "/*", "upstream": node, "plugins": {"http-logger": conf}}
        with Gateway(directory, {"routes": [route]}) as gateway:
            ask(gateway, "/first")
            assert "request" in sink.entries("/first")[0]
            gateway.put("plugin_metadata/http-logger", {"log_format": {"path": "$uri"}})
            ask(gateway, "/second")
            assert sink.entries("/second") == [{"path": "/second", "route_id": "r"}]


def test_faults_name_their_place() -> None:
    good = {"uri": "http://127.0.0.1/"}
    deep: Any = "x"
    for _ in range(6):
        deep = {"a": deep}
    for change, place in (
        ({"uri": "ftp://a/"}, "uri"),
        ({"uri": "http://user:pw@a/"}, "uri"),
        ({"auth_header": "a\r\nb"}, "auth_header"),
        ({"auth_header": "é"}, "auth_header"),
        ({"timeout": 0}, "timeout"),
        ({"concat_method": "xml"}, "concat_method"),
        ({"batch_max_size": 0}, "batch_max_size"),
        ({"inactive_timeout": 0}, "inactive_timeout"),
        ({"buffer_duration": 0}, "buffer_duration"),
        ({"max_retry_count": -1}, "max_retry_count"),
        ({"retry_delay": -1}, "retry_delay"),
        ({"log_format": {"a": [1]}}, "log_format.a"),
        ({"log_format": deep}, "log_format.a.a.a.a.a"),
        ({"include_req_body_expr": [["arg_a", "=", "1"]]}, "include_req_body_expr[0][1]"),
        ({"include_resp_body_expr": []}, "include_resp_body_expr"),
        ({"max_req_body_bytes": 0}, "max_req_body_bytes"),
    ):
        faults, _ = check_plugin("routes", "http-logger", {**good, **change})
        assert [str(fault.path) for fault in faults] == [place], change
    assert check_plugin("routes", "http-logger", {})[0]
