"""What is refused, and in which words: a table of requests to one running admin process.

Rows marked B are section B of the transcripts of APISIX 3.11; others are from APISIX 3.18's source and tests.
"""

from typing import Any

import pytest

from .conftest import Admin

UPSTREAM = {"type": "roundrobin", "nodes": {"127.0.0.1:8088": 1}}
NO_PATH = "invalid configuration: allOf 1 failed: value should match only one schema, but matches "
JWT = "invalid plugins configuration: failed to check the configuration of plugin jwt-auth err: "
COUNT = "failed to check the configuration of plugin limit-count err: "
NO_MATCH = "object matches none of the required"


def route(**members: Any) -> dict[str, Any]:
    return {"uri": "/x", "upstream": UPSTREAM, **members}


def jwt(**members: Any) -> dict[str, Any]:
    return {"plugins": {"jwt-auth": {"key": "k9", **members}}}


@pytest.fixture(scope="module", autouse=True)
def objects(admin: Admin) -> None:
    for path, body in (
        ("/consumers", {"username": "john"}),
        ("/consumers", {"username": "own", "plugins": {"jwt-auth": {"key": "own-key", "secret": "s"}}}),
        ("/consumers/john/credentials/first", {"plugins": {"jwt-auth": {"key": "john-key", "secret": "s"}}}),
        ("/global_rules/1", {"plugins": {"limit-count": {"count": 1, "time_window": 1}}}),
        ("/routes/grouped", route(plugins={"limit-count": {"count": 1, "time_window": 1, "group": "g"}})),
    ):
        assert admin.call("PUT", path, body).status == 201


ROWS: list[tuple[str, str, Any, int, str]] = [
    # JSON, bodies, paths
    ("GET", "/nothing", None, 404, "Unsupported resource type: nothing"),  # B4
    ("GET", "/credentials", None, 404, "Unsupported resource type: credentials"),
    ("GET", "", None, 404, "Unsupported resource type: "),
    ("GET", "/routes/x/y", None, 404, "not found"),
    ("GET", "/stream_routes", None, 400, "stream mode is disabled, can not add stream routes"),
    ("PUT", "/routes/x", None, 400, "missing configurations"),  # B6
    ("PUT", "/routes/x", [], 400, "invalid configuration: wrong type: expected object, got array"),
    ("PUT", "/routes/x", b"null", 400, "invalid configuration: wrong type: expected object, got userdata"),
    # identity
    ("PUT", "/routes/x", route(id="y"), 400, "wrong route id"),  # B19
    ("PUT", "/routes/a%20b", route(), 400, f'invalid configuration: property "id" validation failed: {NO_MATCH}'),  # B20
    ("PUT", "/routes/a%2Fb", route(), 400, f'invalid configuration: property "id" validation failed: {NO_MATCH}'),
    ("PUT", "/routes", route(id=0), 400, f'invalid configuration: property "id" validation failed: {NO_MATCH}'),
    ("PUT", "/routes", route(id=True), 400, f'invalid configuration: property "id" validation failed: {NO_MATCH}'),
    ("PUT", "/routes", route(), 400, "missing route id"),  # B21
    ("PUT", "/consumer_groups", {"plugins": {}}, 400, "missing consumer group id"),
    ("POST", "/routes/x", route(), 400, "wrong route id, do not need it"),
    ("POST", "/routes", route(id="x"), 400, "wrong route id, do not need it"),
    ("DELETE", "/routes", None, 400, "missing route id"),
    ("PATCH", "/routes", {}, 400, "missing route id"),
    ("PUT", "/consumers", {"plugins": {}}, 400, 'invalid configuration: property "username" is required'),  # B23
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
    # time stamps
    ("PUT", "/routes/x", route(create_time=1), 400, "the property is forbidden:  create_time"),
    ("POST", "/routes", route(update_time=1), 400, "the property is forbidden:  update_time"),
    ("PUT", "/routes/x", {"uri": "/x", "upstream": {**UPSTREAM, "create_time": 1}}, 400, "the property is forbidden:  upstream.create_time"),
    ("PUT", "/consumers", {"username": "x", "create_time": 1}, 400, "the property is forbidden:  create_time"),
    # the schema of routes
    ("PUT", "/routes/x", {}, 400, NO_PATH + "none"),  # B7
    ("PUT", "/routes/x", {"upstream": UPSTREAM}, 400, NO_PATH + "none"),  # B8
    ("PUT", "/routes/x", route(uris=["/y"]), 400, NO_PATH + "both schemas 1 and 2"),  # B15
    ("PUT", "/routes/x", route(uri=1), 400, 'invalid configuration: property "uri" validation failed: wrong type: expected string, got number'),  # B9
    ("PUT", "/routes/x", route(uri=""), 400, 'invalid configuration: property "uri" validation failed: string too short, expected at least 1, got 0'),
    ("PUT", "/routes/x", route(foo=1), 400, "invalid configuration: additional properties forbidden, found foo"),  # B10
    ("PUT", "/routes/x", route(methods=["FOO"]), 400, 'invalid configuration: property "methods" validation failed: failed to validate item 1: matches none of the enum values'),  # B18
    ("PUT", "/routes/x", route(methods=["GET", "GET"]), 400, 'invalid configuration: property "methods" validation failed: expected unique items but items 1 and 2 are equal'),
    ("PUT", "/routes/x", route(hosts=[]), 400, 'invalid configuration: property "hosts" validation failed: expect array to have at least 1 items'),
    ("PUT", "/routes/x", route(host="a", hosts=["b"]), 400, "only one of host or hosts is allowed"),
    ("PUT", "/routes/x", route(remote_addr="::1", remote_addrs=["::1"]), 400, "only one of remote_addr or remote_addrs is allowed"),
    ("PUT", "/routes/x", route(remote_addr="nope"), 400, f'invalid configuration: property "remote_addr" validation failed: {NO_MATCH}'),
    ("PUT", "/routes/x", route(status=2), 400, 'invalid configuration: property "status" validation failed: matches none of the enum values'),
    ("PUT", "/routes/x", {"uri": "/x"}, 400, f'invalid configuration: {NO_MATCH}: ["plugins","uri"] or ["upstream","uri"] or ["upstream_id","uri"] or ["service_id","uri"]'),
    ("PUT", "/routes/x", route(timeout={"connect": 0, "send": 1, "read": 1}), 400, 'invalid configuration: property "timeout" validation failed: property "connect" validation failed: expected 0 to be greater than 0'),
    ("PUT", "/routes/x", route(timeout={"connect": 1}), 400, 'invalid configuration: property "timeout" validation failed: property "send" is required'),
    ("PUT", "/routes/x", route(labels={"a": 1}), 400, 'invalid configuration: property "labels" validation failed: property "a" validation failed: wrong type: expected string, got number'),
    # other kinds
    ("PUT", "/consumers", {"username": "a b"}, 400, 'invalid configuration: property "username" validation failed: failed to match pattern "^[a-zA-Z0-9_\\-]+$" with "a b"'),  # B24
    ("PUT", "/upstreams/x", {"type": "chash", "nodes": {"a:1": 1}}, 400, "missing key"),
    ("PUT", "/upstreams/x", {"nodes": {"a:1": 1}, "pass_host": "rewrite"}, 400, "`upstream_host` can't be empty when `pass_host` is `rewrite`"),
    ("PUT", "/upstreams/x", {"nodes": [{"host": "a", "port": 70000, "weight": 1}]}, 400, 'invalid configuration: property "nodes" validation failed: failed to validate item 1: property "port" validation failed: expected 70000 to be at most 65535'),
    ("PUT", "/consumer_groups/x", {}, 400, 'invalid configuration: property "plugins" is required'),
    ("PUT", "/ssls/1", {"cert": "a", "key": "b", "sni": "a.test"}, 400, 'invalid configuration: property "cert" validation failed: value should match only one schema, but matches none'),  # C21
    # plugins
    ("PUT", "/routes/x", route(plugins={"no-such": {}}), 400, "unknown plugin [no-such]"),  # B11
    ("PUT", "/consumers", {"username": "x", "plugins": {"no-such": {}}}, 400, "invalid plugins configuration: unknown plugin [no-such]"),
    ("PUT", "/routes/x", route(plugins={"limit-count": 1}), 400, 'invalid plugin conf "1" for plugin [limit-count]'),
    ("PUT", "/routes/x", route(plugins={"limit-count": {"time_window": 30}}), 400, COUNT + 'property "count" is required'),  # B12
    ("PUT", "/routes/x", route(plugins={"limit-count": {"count": "a", "time_window": 30}}), 400, COUNT + 'property "count" validation failed: wrong type: expected integer, got string'),  # B13
    ("PUT", "/routes/x", route(plugins={"limit-count": {"count": 2, "time_window": 1, "group": "g"}}), 400, COUNT + "group conf mismatched"),
    ("PUT", "/routes/x", route(plugins={"jwt-auth": {"_meta": {"filter": ["a", "="]}}}), 400, "failed to validate the 'vars' expression: "),
    ("PUT", "/consumers", {"username": "x", "plugins": {"jwt-auth": {}}}, 400, JWT + 'property "key" is required'),  # B26
    ("PUT", "/consumers/john/credentials/c", {"plugins": {"limit-count": {"count": 1, "time_window": 1}}}, 400, "only supports auth type plugins in consumer credential"),  # B30
    ("PUT", "/consumers/john/credentials/c", {"plugins": {"jwt-auth": {}, "limit-count": {}}}, 400, 'invalid configuration: property "plugins" validation failed: expect object to have at most 1 properties'),  # B31
    ("PUT", "/consumers/john/credentials/c", jwt(secret=5), 400, JWT + 'property "secret" validation failed: wrong type: expected string, got number'),  # B37
    ("PUT", "/consumers/john/credentials/c", jwt(algorithm="nope"), 400, JWT + 'property "algorithm" validation failed: matches none of the enum values'),  # B38
    ("PUT", "/consumers/john/credentials/c", jwt(), 400, JWT + 'property "secret" is required when using HS based algorithms'),
    ("PUT", "/consumers/john/credentials/c", jwt(algorithm="RS256"), 400, JWT + "missing valid public key"),
    ("PUT", "/consumers/john/credentials/c", jwt(secret="%", base64_secret=True), 400, JWT + "base64_secret required but the secret is not in base64 format"),
    # keys that are taken
    ("PUT", "/consumers/john/credentials/c", jwt(key="own-key", secret="s"), 400, "duplicate key of plugin jwt-auth found with consumer: own"),
    ("PUT", "/consumers/own/credentials/c", jwt(key="john-key", secret="s"), 400, "duplicate key of plugin jwt-auth found with credential: first of consumer: john"),
    ("PUT", "/consumers", {"username": "x", **jwt(key="john-key", secret="s")}, 400, "duplicate key of plugin jwt-auth found with credential: first of consumer: john"),
    ("PUT", "/global_rules/2", {"plugins": {"limit-count": {"count": 1, "time_window": 1}}}, 400, "plugin 'limit-count' already exists in global rule with id '1'"),
    # references
    ("PUT", "/routes/x", {"uri": "/x", "upstream_id": "nope"}, 400, "failed to fetch upstream info by upstream id [nope], response code: 404"),  # B16
    ("PUT", "/routes/x", {"uri": "/x", "service_id": "nope"}, 400, "failed to fetch service info by service id [nope], response code: 404"),  # B17
    ("PUT", "/routes/x", route(plugin_config_id=7), 400, "failed to fetch plugin config info by plugin config id [7], response code: 404"),
    ("PUT", "/consumers", {"username": "x", "group_id": "nope"}, 400, "failed to fetch consumer group info by consumer group id [nope], response code: 404"),
    ("PUT", "/upstreams/x", {"nodes": {"a:1": 1}, "tls": {"client_cert_id": "nope"}}, 400, "failed to fetch ssl info by ssl id [nope], response code: 404"),
    # queries
    ("PUT", "/routes/x?ttl=soon", route(), 400, "invalid argument ttl: should be a number"),
    ("PUT", "/routes/x?ttl=nan", route(), 400, "invalid argument ttl: should be a number"),
    ("GET", "/routes?name=(", None, 400, "invalid name pattern: "),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "status", "message"), ROWS)
def test_refusal(admin: Admin, method: str, path: str, body: Any, status: int, message: str) -> None:
    answer = admin.call(method, path, body)
    told = answer.body["error_msg"]
    assert (answer.status, told) == (status, told if message.endswith(": ") and told.startswith(message) else message)
    assert answer.headers["Content-Type"] == "application/json"


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
        assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "raw", [b"{not json", b"{", b'{"a":1}x', b'"\xff"', b"[" * 100_000, b'{"a":"\\ud800"}', b"1e999", b"\xff\xfe"]
)
def test_a_body_that_is_no_json_comes_back(admin: Admin, raw: bytes) -> None:
    answer = admin.call("PUT", "/routes/x", raw)
    assert answer.status == 400
    assert answer.body["error_msg"].startswith("invalid request body: ")  # B5; the parser's own words follow
    assert answer.body["req_body"] == raw.decode(errors="replace")
    assert answer.headers["X-API-VERSION"] is None


def test_deep_nesting_is_refused(admin: Admin) -> None:
    deep = b'{"uri":"/x","vars":' + b"[" * 900 + b"]" * 900 + b"}"
    answer = admin.call("PUT", "/routes/x", deep)
    assert answer.status == 400


def test_nothing_that_was_refused_is_there(admin: Admin) -> None:
    assert [each["value"]["id"] for each in admin.call("GET", "/routes").body["list"]] == ["grouped"]


def test_what_apisix_takes_and_some_would_refuse(admin: Admin) -> None:
    """B22: an unknown balancer; B29: a credential without a plugin."""
    assert admin.call("PUT", "/routes/b22", {"uri": "/", "upstream": {"type": "foo", "nodes": {"a:1": 1}}}).status == 201
    assert admin.call("PUT", "/consumers/john/credentials/b29", {"plugins": {}}).status == 201
    assert admin.call("DELETE", "/consumers/john/credentials/b29").status == 200  # B33
