"""Sets that are refused: with what words, at which place, and without a trace."""

from typing import Any

import pytest

from .conftest import Admin

UPSTREAM = {"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}}
JOHN: dict[str, Any] = {"username": "john"}
KEYED: dict[str, Any] = {"id": "john/credentials/c", "plugins": {"key-auth": {"key": "k"}}}
GROUPED = {"limit-count": {"count": 1, "time_window": 1, "group": "g"}}


def route(id: str, **fields: Any) -> dict[str, Any]:
    return {"id": id, "uri": "/x", "upstream": UPSTREAM, **fields}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "schema": (
        {"routes": [{"id": "r", "uri": 123}]},
        'invalid routes at index 0, err: invalid configuration: property "uri" validation failed: '
        "wrong type: expected string, got number",
    ),
    "plugin": (
        {"services": [{"id": "s"}, {"id": "t", "plugins": {"no-such": {}}}]},
        "invalid services at index 1, err: unknown plugin [no-such]",
    ),
    "credential's plugin": (
        {"consumers": [JOHN, {**KEYED, "plugins": {"limit-count": {}}}]},
        "invalid consumers at index 1, err: only supports auth type plugins in consumer credential",
    ),
    "id twice": ({"routes": [route("r1"), route("r1")]}, "found duplicate id r1 in routes"),
    "id twice, as text and number": ({"routes": [route("1"), {**route("1"), "id": 1}]}, "found duplicate id 1 in routes"),
    "username twice": ({"consumers": [JOHN, JOHN]}, "found duplicate username john in consumers"),
    "credential twice": (
        {"consumers": [JOHN, KEYED, KEYED]},
        "found duplicate credential id john/credentials/c in consumers",
    ),
    "no id": ({"routes": [{"uri": "/x", "upstream": UPSTREAM}]}, "invalid routes at index 0, err: missing route id"),
    "no object": (
        {"routes": [7]},
        "invalid routes at index 0, err: invalid configuration: wrong type: expected object, got number",
    ),
    "no list": ({"routes": {}}, "invalid routes, err: wrong type: expected array, got table"),
    "credentials no list": (
        {"consumers": [{**JOHN, "credentials": {}}]},
        'invalid consumers at index 0, err: invalid configuration: property "credentials" validation failed: '
        "wrong type: expected array, got table",
    ),
    "unknown list": ({"rutes": []}, 'invalid rutes, err: unknown key; nearest known key is "routes"'),
    "stream routes": (
        {"stream_routes": [{"id": "1"}]},
        "invalid stream_routes, err: not available in this release; expected no objects here",
    ),
    "dangling": (
        {"routes": [route("a"), {"id": "r", "uri": "/r", "upstream_id": "gone"}]},
        "invalid routes at index 1, err: failed to fetch upstream info by upstream id [gone], response code: 404",
    ),
    "credential without consumer": (
        {"consumers": [KEYED]},
        "invalid consumers at index 0, err: consumer not found",
    ),
    "one key of two": (
        {"consumers": [JOHN, KEYED, {"username": "jane", "plugins": {"key-auth": {"key": "k"}}}]},
        "invalid consumers at index 1, err: duplicate key of plugin key-auth found with consumer: jane",
    ),
    "unlike groups": (
        {"routes": [route("a", plugins=GROUPED), route("b", plugins={"limit-count": {**GROUPED["limit-count"], "count": 2}})]},
        "invalid routes at index 0, err: failed to check the configuration of plugin limit-count err: group conf mismatched",
    ),
    "a plugin in two global rules": (
        {"global_rules": [{"id": "1", "plugins": {"request-id": {}}}, {"id": "2", "plugins": {"request-id": {}}}]},
        "invalid global_rules at index 0, err: plugin 'request-id' already exists in global rule with id '2'",
    ),
    "times of an upstream": (
        {"routes": [route("r", upstream={**UPSTREAM, "create_time": 1})]},
        "invalid routes at index 0, err: the property is forbidden:  upstream.create_time",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_set_changes_nothing(name: str, admin: Admin) -> None:
    body, text = REFUSED[name]
    good = {"services": [{"id": "new"}], **body}
    before, revision = admin.call("GET", "/configs").body, admin.store().revision()
    for query in ("", "?dry_run=true"):
        answer = admin.call("PUT", f"/configs{query}", good, headers={"X-Digest": name.replace("'", "")})
        assert (answer.status, answer.body["error_msg"]) == (400, text)
        assert answer.body["errors"][0]["error"] == text
    assert admin.call("GET", "/configs").body == before
    assert admin.store().revision() == revision


@pytest.mark.parametrize("word", ["", "True", "1", "yes"])
def test_a_rehearsal_that_is_misspelt_is_not_taken_for_the_real_thing(admin: Admin, word: str) -> None:
    revision = admin.store().revision()
    answer = admin.call("PUT", f"/configs?dry_run={word}", {"services": [{"id": "new"}]}, headers={"X-Digest": "d"})
    message = f"invalid argument dry_run: expected true or false, found {word}"
    assert (answer.status, answer.body) == (400, {"error_msg": message})
    assert admin.store().revision() == revision


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "invalid request body: empty request body"),
        (b" \n", "invalid request body: empty request body"),
        (b"{abcd", "invalid request body: 1:2: "),
        (b"[]", "invalid request body: expected an object, found list"),
        (b'{"routes": [], "routes": []}', "invalid request body: routes: found twice in the same object"),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("PUT", "/configs"), ("POST", "/configs/validate")])
def test_a_body_that_is_no_set(admin: Admin, method: str, path: str, body: bytes, text: str) -> None:
    answer = admin.call(method, path, body, headers={"X-Digest": "d"})
    assert answer.status == 400
    assert answer.body["error_msg"].startswith(text)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/configs"), ("DELETE", "/configs"), ("GET", "/configs/validate"), ("PUT", "/configs/x")]
)
def test_what_is_not_there(admin: Admin, method: str, path: str) -> None:
    assert admin.call(method, path, {}).status == 404


def test_validation_tells_every_fault(admin: Admin) -> None:
    body = {
        "routes": [
            route("a", uri=1, priority="x"),
            route("ok"),
            route("ok"),
            {"id": "r", "uri": "/r", "upstream_id": "not-looked-at"},
        ],
        "consumers": [JOHN, {**KEYED, "plugins": {"no-such": {}}}],
        "routes_conf_version": "not_a_number",
    }
    answer = admin.call("POST", "/configs/validate", body)
    assert (answer.status, answer.body["error_msg"]) == (400, "Configuration validation failed")
    wrong = "validation failed: wrong type: expected"
    assert answer.body["errors"] == [
        {"resource_type": "routes", "error": "routes_conf_version must be a number"},
        {
            "resource_type": "routes",
            "resource_id": "a",
            "index": 0,
            "error": f'invalid routes at index 0, err: invalid configuration: property "uri" {wrong} string, got number',
        },
        {
            "resource_type": "routes",
            "resource_id": "a",
            "index": 0,
            "error": f'invalid routes at index 0, err: invalid configuration: property "priority" {wrong} integer, got string',
        },
        {"resource_type": "routes", "resource_id": "ok", "index": 2, "error": "found duplicate id ok in routes"},
        {
            "resource_type": "consumers",
            "resource_id": "john/credentials/c",
            "index": 1,
            "error": "invalid consumers at index 1, err: invalid plugins configuration: unknown plugin [no-such]",
        },
    ]
