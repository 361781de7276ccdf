"""What is refused, and in which words: a table of requests to one running admin process.

Rows marked B are section B of the transcripts of APISIX 3.11; others are from APISIX 3.18's source and tests.
"""

from typing import Any

import pytest

from .conftest import KEY, Admin

UPSTREAM = {"type": "roundrobin", "nodes": {"127.0.0.1:8088": 1}}
INVALID = "invalid configuration: "
NO_PATH = INVALID + "allOf 1 failed: value should match only one schema, but matches "
LABEL = 'failed to validate a (matching ".*"): '
NO_MATCH = "object matches none of the required"
COUNT = "failed to check the configuration of plugin limit-count err: "
JWT = "invalid plugins configuration: failed to check the configuration of plugin jwt-auth err: "
TAKEN = "duplicate key of plugin jwt-auth found with "


def at(*way: str) -> str:
    """The reason's way down to the member at fault; a number is an item."""
    return "".join(
        f"failed to validate item {name}: " if name.isdecimal() else f'property "{name}" validation failed: ' for name in way
    )


def missing(noun: str, id: str) -> str:
    return f"failed to fetch {noun} info by {noun} id [{id}], response code: 404"


def needs(name: str) -> str:
    return f'property "{name}" is required'


def route(**members: Any) -> dict[str, Any]:
    return {"uri": "/x", "upstream": UPSTREAM, **members}


def jwt(**members: Any) -> dict[str, Any]:
    return {"plugins": {"jwt-auth": {"key": "k9", **members}}}


RULE = {"count": 1, "time_window": 1, "key": "$uri"}


def limit(**members: Any) -> dict[str, Any]:
    conf = {"count": 1, "time_window": 1, **members}
    return {"limit-count": {name: value for name, value in conf.items() if value is not None}}


@pytest.fixture(scope="module", autouse=True)
def objects(admin: Admin) -> None:
    for path, body in (
        ("/consumers", {"username": "john"}),
        ("/consumers", {"username": "own", "plugins": {"jwt-auth": {"key": "own-key", "secret": "s"}}}),
        ("/consumers/john/credentials/first", {"plugins": {"jwt-auth": {"key": "john-key", "secret": "s"}}}),
        ("/global_rules/1", {"plugins": limit()}),
        ("/routes/grouped", route(plugins=limit(group="g"))),
    ):
        assert admin.call("PUT", path, body).status == 201


GENERAL: list[tuple[str, str, Any, int, str]] = [
    # paths and bodies
    ("GET", "/nothing", None, 404, "Unsupported resource type: nothing"),  # B4
    ("GET", "/credentials", None, 404, "Unsupported resource type: credentials"),
    ("GET", "", None, 404, "Unsupported resource type: "),
    ("GET", "/routes/x/y", None, 404, "not found"),
    ("GET", "/stream_routes", None, 400, "stream mode is disabled, can not add stream routes"),
    ("PUT", "/routes/x", None, 400, "missing configurations"),  # B6
    ("PUT", "/routes/x", [], 400, INVALID + "wrong type: expected object, got array"),
    ("PUT", "/routes/x", b"null", 400, INVALID + "wrong type: expected object, got userdata"),
    # identity
    ("PUT", "/routes/x", route(id="y"), 400, "wrong route id"),  # B19
    ("PUT", "/routes/a%20b", route(), 400, INVALID + at("id") + NO_MATCH),  # B20
    ("PUT", "/routes/a%2Fb", route(), 400, INVALID + at("id") + NO_MATCH),
    ("PUT", "/routes/x", route(id=None), 400, "wrong route id"),
    ("POST", "/routes", route(id=None), 400, "wrong route id, do not need it"),
    ("PUT", "/routes", route(id=0), 400, INVALID + at("id") + NO_MATCH),
    ("PUT", "/routes", route(id=True), 400, INVALID + at("id") + NO_MATCH),
    ("PUT", "/routes", route(), 400, "missing route id"),  # B21
    ("PUT", "/consumer_groups", {"plugins": {}}, 400, "missing consumer group id"),
    ("POST", "/routes/x", route(), 400, "wrong route id, do not need it"),
    ("POST", "/routes", route(id="x"), 400, "wrong route id, do not need it"),
    ("DELETE", "/routes", None, 400, "missing route id"),
    ("PATCH", "/routes", {}, 400, "missing route id"),
    ("PUT", "/consumers", {"plugins": {}}, 400, INVALID + needs("username")),  # B23
    ("PUT", "/consumers/x1", {"username": "x2"}, 400, "wrong username"),  # B25
    ("PUT", "/consumers/nope/credentials/c", jwt(secret="s"), 404, "consumer not found"),  # B28
    ("PUT", "/consumers/john/credentials", jwt(secret="s"), 400, "missing credential id"),
    ("PUT", "/plugin_metadata", {}, 400, "missing plugin name"),
    ("PUT", "/plugin_metadata/no-such", {}, 400, "invalid plugin name"),
    # methods
    ("POST", "/consumers", {"username": "x1"}, 405, "not supported `POST` method for consumer"),  # B35
    ("PATCH", "/consumers/john", {"desc": "x"}, 405, "not supported `PATCH` method for consumer"),
    ("POST", "/consumers/john/credentials", {}, 405, "not supported `POST` method for credential"),
    ("POST", "/plugin_configs", {}, 405, "not supported `POST` method for plugin config"),
    ("OPTIONS", "/routes", None, 404, "not found"),
    ("PURGE", "/routes", None, 404, "not found"),
    # time stamps and queries
    ("POST", "/routes", route(update_time=1), 400, "the property is forbidden:  update_time"),
    ("PUT", "/consumers", {"username": "x", "create_time": 1}, 400, "the property is forbidden:  create_time"),
    ("PUT", "/routes/x?ttl=soon", route(), 400, "invalid argument ttl: should be a number"),
    ("PUT", "/routes/x?ttl=nan", route(), 400, "invalid argument ttl: should be a number"),
    ("GET", "/routes?name=(", None, 400, "invalid name pattern: missing ): ("),
]

ROUTES: list[tuple[dict[str, Any], str]] = [
    (route(create_time=1), "the property is forbidden:  create_time"),
    (route(upstream={**UPSTREAM, "create_time": 1}), "the property is forbidden:  upstream.create_time"),
    ({}, NO_PATH + "none"),  # B7
    ({"upstream": UPSTREAM}, NO_PATH + "none"),  # B8
    (route(uris=["/y"]), NO_PATH + "both schemas 1 and 2"),  # B15
    (route(uri=1), INVALID + at("uri") + "wrong type: expected string, got number"),  # B9
    (route(uri=""), INVALID + at("uri") + "string too short, expected at least 1, got 0"),
    (route(foo=1), INVALID + "additional properties forbidden, found foo"),  # B10
    (route(methods=["FOO"]), INVALID + at("methods", "1") + "matches none of the enum values"),  # B18
    (route(methods=["PUT"] * 2), INVALID + at("methods") + "expected unique items but items 1 and 2 are equal"),
    (route(hosts=[]), INVALID + at("hosts") + "expect array to have at least 1 items"),
    (route(host="a", hosts=["b"]), "only one of host or hosts is allowed"),
    (route(remote_addr="::1", remote_addrs=["::1"]), "only one of remote_addr or remote_addrs is allowed"),
    (route(remote_addr="nope"), INVALID + at("remote_addr") + NO_MATCH),
    (route(status=2), INVALID + at("status") + "matches none of the enum values"),
    (
        {"uri": "/x"},
        INVALID + NO_MATCH + ': ["plugins","uri"] or ["upstream","uri"] or ["upstream_id","uri"] or ["service_id","uri"]',
    ),
    (
        route(timeout={"connect": 0, "send": 1, "read": 1}),
        INVALID + at("timeout", "connect") + "expected 0 to be greater than 0",
    ),
    (route(timeout={"connect": 1}), INVALID + at("timeout") + needs("send")),
    (route(labels={"a": 1}), INVALID + at("labels") + LABEL + "wrong type: expected string, got number"),
    # plugins
    (route(plugins={"no-such": {}}), "unknown plugin [no-such]"),  # B11
    (route(plugins={"limit-count": 1}), 'invalid plugin conf "1" for plugin [limit-count]'),
    (route(plugins=limit(count=None)), COUNT + needs("count")),  # B12
    (route(plugins=limit(count="a")), COUNT + at("count") + "wrong type: expected integer, got string"),  # B13
    (route(plugins=limit(count=2, group="g")), COUNT + "group conf mismatched"),
    (route(plugins=limit(count=1.5)), COUNT + at("count") + "value should match only one schema, but matches none"),
    (
        route(plugins=limit(time_window=None, rules=[RULE])),
        COUNT + "count/time_window and rules cannot be specified at the same time",
    ),
    (
        route(plugins=limit(count=None, time_window=None, rules=[RULE], group="h")),
        COUNT + "group and rules cannot be specified at the same time",
    ),
    (route(plugins=limit(count=None, time_window=None, rules=[RULE, RULE])), COUNT + "duplicate key '$uri' in rules"),
    # references
    ({"uri": "/x", "upstream_id": "nope"}, missing("upstream", "nope")),  # B16
    ({"uri": "/x", "service_id": "nope"}, missing("service", "nope")),  # B17
    (route(plugin_config_id=7), missing("plugin config", "7")),
]

CREDENTIALS: list[tuple[dict[str, Any], str]] = [
    ({"plugins": limit()}, "only supports auth type plugins in consumer credential"),  # B30
    (
        {"plugins": {"jwt-auth": {}, "limit-count": {}}},
        INVALID + at("plugins") + "expect object to have at most 1 properties",
    ),  # B31
    (jwt(secret=5), JWT + at("secret") + "wrong type: expected string, got number"),  # B37
    (jwt(algorithm="nope"), JWT + at("algorithm") + "matches none of the enum values"),  # B38
    (jwt(), JWT + needs("secret") + " when using HS based algorithms"),
    (jwt(algorithm="RS256"), JWT + "missing valid public key"),
    (
        jwt(secret="%", base64_secret=True),
        JWT + "base64_secret required but the secret is not in base64 format",
    ),
    (jwt(key="own-key", secret="s"), TAKEN + "consumer: own"),
]

OTHERS: list[tuple[str, dict[str, Any], str]] = [
    (
        "/consumers",
        {"username": "a b"},
        INVALID + at("username") + 'failed to match pattern "^[a-zA-Z0-9_\\-]+$" with "a b"',
    ),  # B24
    ("/consumers", {"username": "x", "group_id": "nope"}, missing("consumer group", "nope")),
    ("/consumers", {"username": "x", "plugins": {"jwt-auth": {}}}, JWT + needs("key")),  # B26
    (
        "/consumers",
        {"username": "x", "plugins": {"no-such": {}}},
        "invalid plugins configuration: unknown plugin [no-such]",
    ),
    (
        "/consumers",
        {"username": "x", **jwt(key="john-key", secret="s")},
        TAKEN + "credential: first of consumer: john",
    ),
    (
        "/consumers/own/credentials/c",
        jwt(key="john-key", secret="s"),
        TAKEN + "credential: first of consumer: john",
    ),
    ("/upstreams/x", {"type": "chash", "nodes": {"a:1": 1}}, "missing key"),
    (
        "/upstreams/x",
        {"nodes": {"a:1": 1}, "pass_host": "rewrite"},
        "`upstream_host` can't be empty when `pass_host` is `rewrite`",
    ),
    (
        "/upstreams/x",
        {"nodes": [{"host": "a", "port": 70000, "weight": 1}]},
        INVALID + at("nodes", "1", "port") + "expected 70000 to be at most 65535",
    ),
    ("/consumer_groups/x", {}, INVALID + needs("plugins")),
    ("/global_rules/2", {"plugins": limit()}, "plugin 'limit-count' already exists in global rule with id '1'"),
    (
        "/ssls/1",
        {"cert": "a", "key": "b", "sni": "a.test"},
        INVALID + at("cert") + "value should match only one schema, but matches none",
    ),  # C21
]

ROWS = [
    *GENERAL,
    *(("PUT", "/routes/x", body, 400, message) for body, message in ROUTES),
    *(("PUT", "/consumers/john/credentials/c", body, 400, message) for body, message in CREDENTIALS),
    *(("PUT", path, body, 400, message) for path, body, message in OTHERS),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "message"), ROWS)
def test_refusal(admin: Admin, method: str, path: str, body: Any, status: int, message: str) -> None:
    answer = admin.call(method, path, body)
    assert (answer.status, answer.body) == (status, {"error_msg": message})
    assert answer.headers["Content-Type"] == "application/json"


def test_refusal_of_an_expression(admin: Admin) -> None:
    answer = admin.call("PUT", "/routes/x", route(plugins={"jwt-auth": {"_meta": {"filter": ["a", "="]}}}))
    assert answer.status == 400
    assert answer.body["error_msg"].startswith("failed to validate the 'vars' expression: ")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/routes/nope"),  # B18 of A
        ("GET", "/consumers/nope"),
        ("GET", "/consumers/nope/credentials"),
        ("GET", "/consumers/own/credentials"),
        ("DELETE", "/routes/nope"),  # B34
        ("DELETE", "/consumers/john/credentials/nope"),
        ("PATCH", "/routes/nope"),
    ],
)
def test_what_is_not_there(admin: Admin, method: str, path: str) -> None:
    answer = admin.call(method, path, {} if method == "PATCH" else None)
    assert (answer.status, answer.body) == (404, {"message": "Key not found"})
    assert answer.headers["X-API-VERSION"] == "v3"


def test_page_size_is_refused_as_bare_text(admin: Admin) -> None:
    for size in ("5", "501"):
        answer = admin.call("GET", f"/consumers?page=1&page_size={size}")
        assert (answer.status, answer.body) == (400, "page_size must be between 10 and 500")  # A17
        assert answer.headers["Content-Type"] == "text/plain"


@pytest.mark.parametrize(
    "raw",
    [
        b"{not json",
        b"{",
        b'{"a":1}x',
        b'"\xff"',
        b"[" * 100_000,
        b'{"a":"\\ud800"}',
        b"1e999",
        b"\xff\xfe",
        b'{"a":1,"a":1}',
        b"%d" % 2**64,
    ],
)
def test_a_body_that_is_no_json_comes_back(admin: Admin, raw: bytes) -> None:
    answer = admin.call("PUT", "/routes/x", raw)
    assert answer.status == 400
    assert answer.body["error_msg"].startswith("invalid request body: ")  # B5; the parser's own words follow
    assert answer.body["req_body"] == raw.decode(errors="replace")
    assert answer.headers["X-API-VERSION"] is None


@pytest.mark.parametrize("depth", [70, 900, 100_000])
def test_deep_nesting_is_refused(admin: Admin, depth: int) -> None:
    deep = b'{"uri":"/x","vars":' + b"[" * depth + b"]" * depth + b"}"
    answer = admin.call("PUT", "/routes/x", deep)
    assert answer.status == 400
    assert "64 levels of nesting" in answer.body["error_msg"]


def test_nothing_that_was_refused_is_there(admin: Admin) -> None:
    assert [each["value"]["id"] for each in admin.call("GET", "/routes").body["list"]] == ["grouped"]


def test_a_credential_may_have_no_plugin(admin: Admin) -> None:
    """As in APISIX (B29); it admits nobody."""
    assert admin.call("PUT", "/consumers/john/credentials/b29", {"plugins": {}}).status == 201
    assert admin.call("DELETE", "/consumers/john/credentials/b29").status == 200  # B33


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/stream_routes", "/stream_routes/1", "/stream_routes/1/plugins"])
@pytest.mark.parametrize("body", [None, {"upstream": UPSTREAM}, b"{not json"])
def test_stream_routes_are_off_whatever_is_asked(admin: Admin, method: str, path: str, body: Any) -> None:
    answer = admin.call(method, path, body)  # C22
    assert (answer.status, answer.body) == (400, {"error_msg": "stream mode is disabled, can not add stream routes"})
    assert answer.headers["X-API-VERSION"] is None


@pytest.mark.parametrize("method", ["OPTIONS", "GET", "HEAD"])
@pytest.mark.parametrize("key", [KEY, None])
def test_no_page_of_another_origin_is_let_in(admin: Admin, method: str, key: str | None) -> None:
    origin = {"Origin": "http://evil.test", "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-api-key"}
    answer = admin.call(method, "/routes", key=key, headers=origin)
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    assert (answer.status == 200) == (method == "GET" and key is not None)
