"""The calls of APISIX's guide "Implement JWT Authentication", to the letter, and what they leave behind.

Expected answers are those recorded from APISIX 3.11, but for two decisions of ours: defaults are not
written into objects (as APISIX since 3.14), and secrets are shown as they were sent.
"""

from typing import Any

import pytest

from .conftest import Admin

JOHN = {
    "username": "johndoe",
    "labels": {"custom_id": "john-doe-junior"},
    "plugins": {"limit-count": {"count": 1, "time_window": 30, "rejected_code": 429}},
}
JANE = {
    "username": "janedoe",
    "labels": {"custom_id": "jane-doe-senior"},
    "plugins": {"limit-count": {"count": 2, "time_window": 30, "rejected_code": 429}},
}
JOHN_CREDENTIAL = {
    "id": "cred-john-jwt-auth",
    "plugins": {"jwt-auth": {"key": "john-key", "secret": "john-hs256-secret"}},
}
JANE_CREDENTIAL = {
    "id": "cred-jane-jwt-auth",
    "plugins": {"jwt-auth": {"key": "jane-key", "secret": "jane-hs256-secret"}},
}
ROUTE = {
    "id": "jwt-auth-route",
    "uri": "/anything",
    "plugins": {"jwt-auth": {}},
    "upstream": {"type": "roundrobin", "nodes": {"httpbin.org:80": 1}},
}
STEPS = [
    ("/consumers", JOHN, "/apisix/consumers/johndoe"),
    ("/consumers", JANE, "/apisix/consumers/janedoe"),
    ("/consumers/johndoe/credentials", JOHN_CREDENTIAL, "/apisix/consumers/johndoe/credentials/cred-john-jwt-auth"),
    ("/consumers/janedoe/credentials", JANE_CREDENTIAL, "/apisix/consumers/janedoe/credentials/cred-jane-jwt-auth"),
    ("/routes", ROUTE, "/apisix/routes/jwt-auth-route"),
]


def without_times(value: dict[str, Any]) -> dict[str, Any]:
    times = {name: value[name] for name in ("create_time", "update_time")}
    assert all(isinstance(each, int) and each > 1_700_000_000 for each in times.values())
    return {name: each for name, each in value.items() if name not in times}


@pytest.mark.parametrize(("path", "body", "key"), STEPS)
def test_put_creates_then_replaces(admin: Admin, path: str, body: dict[str, Any], key: str) -> None:
    for status in (201, 200):
        answer = admin.call("PUT", path, body)
        assert answer.status == status
        assert answer.body.keys() == {"key", "value"}
        assert answer.body["key"] == key
        assert without_times(answer.body["value"]) == body
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["X-API-VERSION"] == "v3"
        assert answer.headers["Server"].startswith("APISIX/3.18.0 fastgw/")


def test_get_one_shows_revisions(admin: Admin) -> None:
    for _, body, key in STEPS:
        answer = admin.call("GET", key.removeprefix("/apisix"))
        assert answer.status == 200
        assert answer.body.keys() == {"key", "value", "createdIndex", "modifiedIndex"}
        assert answer.body["key"] == key
        assert answer.body["modifiedIndex"] == answer.body["createdIndex"] + 1, "each was PUT twice"
        assert without_times(answer.body["value"]) == body


def test_lists(admin: Admin) -> None:
    consumers = admin.call("GET", "/consumers").body
    assert consumers["total"] == 2
    assert [each["key"] for each in consumers["list"]] == ["/apisix/consumers/johndoe", "/apisix/consumers/janedoe"]
    assert consumers == admin.call("GET", "/consumers?page=1&page_size=10").body
    credentials = admin.call("GET", "/consumers/johndoe/credentials").body
    assert [each["value"]["id"] for each in credentials["list"]] == ["cred-john-jwt-auth"]
    assert admin.call("GET", "/routes").body["total"] == 1


def test_a_consumer_goes_with_its_credentials(admin: Admin) -> None:
    answer = admin.call("DELETE", "/consumers/janedoe")
    assert (answer.status, answer.body) == (200, {"key": "/apisix/consumers/janedoe", "deleted": "1"})
    assert admin.call("GET", "/consumers/janedoe/credentials/cred-jane-jwt-auth").status == 404
    answer = admin.call("GET", "/consumers/janedoe/credentials")
    assert (answer.status, answer.body) == (404, {"message": "Key not found"})


def test_empty_list(admin: Admin) -> None:
    assert admin.call("GET", "/upstreams").body == {"total": 0, "list": []}
