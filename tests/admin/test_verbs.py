"""What each verb does where it is not refused: POST, PATCH, lists, references, guards, ttl."""

import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.waiting import until

from .conftest import KEY, VIEWER, Admin

UPSTREAM = {"nodes": {"127.0.0.1:80": 1}}


@pytest.fixture
def put(admin: Admin) -> Iterator[Callable[[str, Any], dict[str, Any]]]:
    """PUTs an object and takes it away after the test."""
    done: list[str] = []

    def call(path: str, body: Any) -> dict[str, Any]:
        answer = admin.call("PUT", path, body)
        assert answer.status in (200, 201), answer.body
        done.append(answer.body["key"].removeprefix("/apisix"))
        return dict(answer.body["value"])

    yield call
    for path in reversed(done):
        admin.call("DELETE", f"{path}?force=true")


Put = Callable[[str, Any], dict[str, Any]]


def test_post_makes_an_id(admin: Admin) -> None:
    keys = []
    for _ in range(3):
        answer = admin.call("POST", "/routes", {"uri": "/post", "upstream": UPSTREAM})
        assert answer.status == 201
        id = answer.body["value"]["id"]
        assert len(id) == 20
        assert id.isdecimal()
        assert answer.body["key"] == f"/apisix/routes/{id}"
        keys.append(id)
    assert sorted(set(keys)) == keys
    for id in keys:
        assert admin.call("DELETE", f"/routes/{id}").status == 200


def test_put_keeps_the_time_of_creation(put: Put) -> None:
    first = put("/routes/t", {"uri": "/t", "upstream": UPSTREAM})
    until(lambda: int(time.time()) > first["update_time"], "the next second")
    second = put("/routes/t", {"uri": "/t", "upstream": UPSTREAM})
    assert second["create_time"] == first["create_time"]
    assert second["update_time"] > first["update_time"]


def test_numbers_are_ids_too(admin: Admin, put: Put) -> None:
    assert put("/upstreams", {"id": 7, **UPSTREAM})["id"] == 7
    assert put("/upstreams/8", UPSTREAM)["id"] == "8"
    assert put("/upstreams/7", {"id": 7, **UPSTREAM})["id"] in (7, "7")
    assert put("/routes/n", {"uri": "/n", "upstream_id": "7"})["upstream_id"] == "7"
    refused = admin.call("DELETE", "/upstreams/7")
    assert refused.status == 400


NODES = [{"host": "h", "port": 1, "weight": 1}]
PATCHES = [
    ("", {"desc": "new"}, {"desc": "new"}),
    ("", {"desc": None}, {"desc": None}),
    ("", {"labels": {"b": "2"}}, {"labels": {"a": "1", "b": "2"}}),
    ("", {"labels": {"a": None, "c": "3"}}, {"labels": {"c": "3"}}),
    ("", {"methods": ["PUT"]}, {"methods": ["PUT"]}),
    ("", {"upstream": {"nodes": NODES}}, {"upstream": {"nodes": NODES}}),
    ("", {"plugins": {"limit-count": {"count": 2}}}, {"plugins": {"limit-count": {"count": 2, "time_window": 1}}}),
    ("/desc", "there", {"desc": "there"}),
    ("/labels", {"z": "9"}, {"labels": {"z": "9"}}),
    ("/labels/a", "9", {"labels": {"a": "9"}}),
    ("/timeout", {"connect": 1, "send": 1, "read": 1}, {"timeout": {"connect": 1, "send": 1, "read": 1}}),
    ("/plugins/limit-count/count", 5, {"plugins": {"limit-count": {"count": 5, "time_window": 1}}}),
    (
        "/plugins/jwt-auth/_meta/disable",
        True,
        {"plugins": {"limit-count": {"count": 1, "time_window": 1}, "jwt-auth": {"_meta": {"disable": True}}}},
    ),
    ("", {"create_time": 5}, {"create_time": 5}),
]


@pytest.mark.parametrize(("sub", "patch", "expected"), PATCHES)
def test_patch(admin: Admin, put: Put, sub: str, patch: Any, expected: dict[str, Any]) -> None:
    before = put(
        "/routes/p",
        {
            "uri": "/p",
            "desc": "old",
            "labels": {"a": "1"},
            "methods": ["GET", "POST"],
            "upstream": UPSTREAM,
            "plugins": {"limit-count": {"count": 1, "time_window": 1}},
        },
    )
    answer = admin.call("PATCH", f"/routes/p{sub}", patch)
    assert answer.status == 200
    assert answer.body.keys() == {"key", "value"}
    want = {name: value for name, value in {**before, **expected}.items() if value is not None}
    assert {**answer.body["value"], "update_time": 0} == {**want, "update_time": 0}
    assert admin.call("GET", "/routes/p").body["value"] == answer.body["value"]


def test_patch_may_set_the_time_of_the_update(admin: Admin, put: Put) -> None:
    put("/routes/u", {"uri": "/u", "upstream": UPSTREAM})
    assert admin.call("PATCH", "/routes/u", {"update_time": 9}).body["value"]["update_time"] == 9
    assert admin.call("PATCH", "/routes/u", {"desc": "x"}).body["value"]["update_time"] > 9


@pytest.mark.parametrize(
    ("sub", "patch", "message"),
    [
        ("", None, "missing new configuration"),
        ("", "text", "invalid configuration"),
        ("", [], "invalid configuration"),
        ("/uri/deep", 1, "invalid sub-path: /uri/deep"),
        ("/labels/a/b", "x", "invalid sub-path: /labels/a/b"),
        ("/uri", 5, 'invalid configuration: property "uri" validation failed: wrong type: expected string, got number'),
        ("", {"id": "other"}, "wrong route id"),
        ("", {"upstream_id": "nope"}, "failed to fetch upstream info by upstream id [nope], response code: 404"),
    ],
)
def test_patch_refused(admin: Admin, put: Put, sub: str, patch: Any, message: str) -> None:
    put("/routes/q", {"uri": "/q", "labels": {"a": "1"}, "upstream": UPSTREAM})
    before = admin.call("GET", "/routes/q").body
    answer = admin.call("PATCH", f"/routes/q{sub}", patch)
    assert (answer.status, answer.body) == (400, {"error_msg": message})
    assert admin.call("GET", "/routes/q").body == before


def test_guards(admin: Admin, put: Put) -> None:
    put("/upstreams/g", UPSTREAM)
    put("/services/g", {"upstream_id": "g"})
    put("/plugin_configs/g", {"plugins": {}})
    put("/consumer_groups/g", {"plugins": {}})
    put("/routes/g", {"uri": "/g", "service_id": "g", "plugin_config_id": "g"})
    put("/consumers", {"username": "g", "group_id": "g"})
    for path, message in (
        ("/upstreams/g", "can not delete this upstream, service [g] is still using it now"),
        ("/services/g", "can not delete this service directly, route [g] is still using it now"),
        ("/plugin_configs/g", "can not delete this plugin config, route [g] is still using it now"),
        ("/consumer_groups/g", "can not delete this consumer group, consumer [g] is still using it now"),
    ):
        for query in ("", "?force=false", "?force=1"):
            answer = admin.call("DELETE", path + query)
            assert (answer.status, answer.body) == (400, {"error_msg": message})
    answer = admin.call("DELETE", "/services/g?force=true")
    assert (answer.status, answer.body) == (200, {"key": "/apisix/services/g", "deleted": "1"})


def split(*ids: str | int, **more: Any) -> dict[str, Any]:
    """traffic-split, of which each rule but an empty one names the route's own upstream and one of these."""
    rules = [{}, *({"weighted_upstreams": [{"weight": 1}, {"upstream_id": each}]} for each in ids)]
    return {"plugins": {"traffic-split": {"rules": rules, **more}}}


SPLITS = {
    "/routes/w": ({"uri": "/w"}, "route [w]"),
    "/services/w": ({}, "service [w]"),
    "/plugin_configs/w": ({}, "plugin_config [w]"),
    "/consumer_groups/w": ({}, "consumer_group [w]"),
    "/consumers": ({"username": "w"}, "consumer [w]"),
    "/global_rules/w": ({}, "global_rules [w]"),
}


@pytest.mark.parametrize("path", SPLITS)
def test_upstreams_that_traffic_split_names(admin: Admin, put: Put, path: str) -> None:
    body, user = SPLITS[path]
    put("/upstreams/w1", UPSTREAM)
    put("/upstreams/w2", UPSTREAM)
    refused = admin.call("PUT", path, {**body, **split("w1", "w9")})
    why = "failed to fetch upstream info by upstream id [w9], response code: 404"
    at = "failed to check the configuration of plugin traffic-split err: rules[2].weighted_upstreams[1].upstream_id"
    assert (refused.status, refused.body) == (400, {"error_msg": f"{at}: {why}"})
    put(path, {**body, **split("w9", _meta={"disable": True})})  # nothing of it is looked at
    put(path, {**body, **split("w1", "w2")})
    message = f"can not delete this upstream, plugin in {user} is still using it now"
    for id in ("w1", "w2"):
        kept = admin.call("DELETE", f"/upstreams/{id}")
        assert (kept.status, kept.body) == (400, {"error_msg": message})
    put(path, {**body, **split("w1")})
    assert admin.call("DELETE", "/upstreams/w2").status == 200
    assert admin.call("DELETE", "/upstreams/w1?force=true").status == 200


def test_ids_of_upstreams_that_traffic_split_names_may_be_numbers(admin: Admin, put: Put) -> None:
    put("/upstreams/77", UPSTREAM)
    put("/routes/n", {"uri": "/n", **split(77)})
    assert admin.call("DELETE", "/upstreams/77").status == 400


@pytest.fixture(scope="module")
def listed(admin: Admin) -> Iterator[None]:
    for number in range(25):
        body = {"uri": f"/list/{number}", "name": f"name-{number}", "upstream": UPSTREAM}
        body |= {"labels": {"even": "yes"}} if number % 2 == 0 else {}
        admin.call("PUT", f"/routes/list-{number}", body)
    admin.call("PUT", "/services/s", {"desc": "of list-uris"})
    admin.call("PUT", "/routes/list-uris", {"uris": ["/first", "/second"], "service_id": "s"})
    yield
    for row in admin.call("GET", "/routes?uri=.").body["list"]:
        admin.call("DELETE", row["key"].removeprefix("/apisix"))
    admin.call("DELETE", "/services/s")


@pytest.mark.parametrize(
    ("query", "total", "shown"),
    [
        ("", 26, 26),
        ("page=1&page_size=10", 26, 10),
        ("page=3&page_size=10", 26, 6),
        ("page=4&page_size=10", 26, 0),
        ("page=0&page_size=10", 26, 10),
        ("page=x&page_size=10", 26, 26),
        ("page_size=5", 26, 26),
        ("name=name-1", 11, 11),
        ("name=^name-1$", 1, 1),
        ("label=even", 13, 13),
        ("label=yes", 0, 0),
        ("label=", 0, 0),
        ("label=even&name=2&page=1&page_size=10", 5, 5),
        ("uri=^/second$", 1, 1),
        ("uri=/list/2", 6, 6),
        ("filter=" + quote("service_id=s"), 1, 1),
        ("filter=" + quote("service_id=s&service_id=t"), 0, 0),
        ("filter=" + quote("desc=x"), 26, 26),
        ("ttl=5&unknown=1", 26, 26),
    ],
)
@pytest.mark.usefixtures("listed")
def test_lists(admin: Admin, query: str, total: int, shown: int) -> None:
    answer = admin.call("GET", f"/routes?{query}")
    assert answer.status == 200
    assert (answer.body["total"], len(answer.body["list"])) == (total, shown)
    created = [each["createdIndex"] for each in answer.body["list"]]
    assert created == sorted(created)


def test_ttl_takes_the_object_away(admin: Admin) -> None:
    follower = admin.follow(0)
    assert admin.call("PUT", "/routes/short?ttl=0.2", {"uri": "/s", "upstream": UPSTREAM}).status == 201
    until(lambda: admin.call("GET", "/routes/short").status == 404, "the route is gone")
    until(lambda: follower.objects["routes", "short"] is None, "and the worker knows")
    assert admin.call("PUT", "/routes/long?ttl=1000", {"uri": "/s", "upstream": UPSTREAM}).status == 201
    assert admin.call("DELETE", "/routes/long").status == 200


def test_plugin_metadata(admin: Admin, put: Put) -> None:
    body = {"limit_header": "X-Limit"}
    assert put("/plugin_metadata/limit-count", body) == body
    for key in (KEY, VIEWER):
        one = admin.call("GET", "/plugin_metadata/limit-count", key=key).body
        assert (one["key"], one["value"]) == ("/apisix/plugin_metadata/limit-count", body)
        assert [row["value"] for row in admin.call("GET", "/plugin_metadata", key=key).body["list"]] == [body]


def test_trailing_slash_and_escapes_name_the_same(admin: Admin, put: Put) -> None:
    put("/routes/a.b", {"uri": "/", "upstream": UPSTREAM})
    for path in ("/routes/a.b/", "/routes/a%2Eb"):
        assert admin.call("GET", path).status == 200
