"""Secret managers as stored objects: their ids of two parts, their fields, and that references to them admit nobody."""

from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import VIEWER, Admin

VAULT = {"uri": "http://127.0.0.1:8200", "prefix": "kv/apisix", "token": "root-token"}
AWS = {
    "access_key_id": "AKIA",
    "secret_access_key": "aws-secret",
    "session_token": "aws-session",
    "endpoint_url": "http://[::1]:1",
}
ACCOUNT = {"client_email": "a@b.test", "private_key": "gcp-secret", "project_id": "p"}
GCP = {"auth_config": ACCOUNT, "ssl_verify": False}
INVALID = "invalid configuration: "
STAMPS = ("create_time", "update_time")


@pytest.fixture(autouse=True)
def empty(admin: Admin) -> Iterator[None]:
    yield
    for row in admin.call("GET", "/secrets").body["list"]:
        admin.call("DELETE", row["key"].removeprefix("/apisix"))


def bare(value: dict[str, Any]) -> dict[str, Any]:
    return {name: member for name, member in value.items() if name not in STAMPS}


@pytest.mark.parametrize(("manager", "conf"), [("vault", VAULT), ("aws", AWS), ("gcp", GCP), ("gcp", {"auth_file": "/f"})])
def test_one_of_each(admin: Admin, manager: str, conf: dict[str, Any]) -> None:
    path, key = f"/secrets/{manager}/1", f"/apisix/secrets/{manager}/1"
    made = admin.call("PUT", path, conf)
    assert (made.status, made.body["key"]) == (201, key)
    assert bare(made.body["value"]) == {**conf, "id": f"{manager}/1"}
    found = admin.call("GET", path)
    assert (found.status, found.body["key"], found.body["value"]) == (200, key, made.body["value"])
    assert admin.call("PUT", path, bare(found.body["value"])).status == 200
    assert admin.call("DELETE", path).body == {"key": key, "deleted": "1"}
    assert admin.call("GET", path).status == 404


def test_lists(admin: Admin) -> None:
    for path, conf in (("vault/a", VAULT), ("vault/b", VAULT), ("aws/a", AWS)):
        assert admin.call("PUT", f"/secrets/{path}", conf).status == 201

    def keys(path: str) -> list[str]:
        answer = admin.call("GET", path)
        assert answer.body["total"] == len(answer.body["list"])
        return [row["key"] for row in answer.body["list"]]

    assert keys("/secrets") == ["/apisix/secrets/vault/a", "/apisix/secrets/vault/b", "/apisix/secrets/aws/a"]
    assert keys("/secrets/vault") == ["/apisix/secrets/vault/a", "/apisix/secrets/vault/b"]
    assert keys("/secrets/gcp") == []


def test_patch(admin: Admin) -> None:
    admin.call("PUT", "/secrets/gcp/1", GCP)
    patched = admin.call("PATCH", "/secrets/gcp/1", {"auth_config": {"scope": ["s"]}})
    assert (patched.status, patched.body["value"]["auth_config"]) == (200, {**ACCOUNT, "scope": ["s"]})
    assert admin.call("PATCH", "/secrets/gcp/1/auth_config/project_id", "q").status == 200
    value = admin.call("GET", "/secrets/gcp/1").body["value"]
    assert bare(value) == {**GCP, "auth_config": {**ACCOUNT, "scope": ["s"], "project_id": "q"}, "id": "gcp/1"}


def test_what_opens_them_is_for_admins(admin: Admin) -> None:
    for path, conf in (("vault/1", VAULT), ("aws/1", AWS), ("gcp/1", GCP)):
        admin.call("PUT", f"/secrets/{path}", {**conf, "tokne": "misspelt-secret"})
    seen = {row["key"]: bare(row["value"]) for row in admin.call("GET", "/secrets", key=VIEWER).body["list"]}
    assert seen == {
        "/apisix/secrets/vault/1": {"id": "vault/1", "uri": VAULT["uri"], "prefix": VAULT["prefix"]},
        "/apisix/secrets/aws/1": {"id": "aws/1", "access_key_id": "AKIA", "endpoint_url": "http://[::1]:1"},
        "/apisix/secrets/gcp/1": {
            "id": "gcp/1",
            "auth_config": {"client_email": "a@b.test", "project_id": "p"},
            "ssl_verify": False,
        },
    }
    log = admin.log.read_text()
    assert not any(secret in log for secret in ("root-token", "aws-secret", "gcp-secret", "misspelt-secret"))


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("PUT", "/nope/1", VAULT, 400, "invalid secret manager: nope"),
        ("GET", "/nope", None, 400, "invalid secret manager: nope"),
        ("PUT", "", VAULT, 400, "missing secret type"),
        ("PUT", "/vault", VAULT, 400, "missing secret id"),
        ("PATCH", "/vault", {}, 400, "no secret id"),
        ("PATCH", "", {}, 400, "no secret id"),
        ("DELETE", "/vault", None, 400, "missing secret id"),
        ("POST", "/vault/1", VAULT, 405, "not supported `POST` method for secret"),
        ("GET", "/vault/1/token", None, 404, "not found"),
        ("PUT", "/vault/1", {**VAULT, "id": "vault/2"}, 400, "wrong secret id"),
        ("PUT", "/vault/1", {**VAULT, "create_time": 1}, 400, "the property is forbidden:  create_time"),
        (
            "PUT",
            "/vault/a%20b",
            VAULT,
            400,
            INVALID + 'property "id" validation failed: object matches none of the required',
        ),
        ("PUT", "/vault/1", {}, 400, INVALID + 'property "uri" is required'),
        ("PUT", "/vault/1", {"uri": "http://a", "prefix": "p"}, 400, INVALID + 'property "token" is required'),
        ("PUT", "/aws/1", {"access_key_id": "a"}, 400, INVALID + 'property "secret_access_key" is required'),
        ("PUT", "/gcp/1", {}, 400, INVALID + "value should match only one schema, but matches none"),
        (
            "PUT",
            "/gcp/1",
            {**GCP, "auth_file": "/f"},
            400,
            INVALID + "value should match only one schema, but matches both schemas 1 and 2",
        ),
        (
            "PUT",
            "/vault/1",
            {**VAULT, "token": 5},
            400,
            INVALID + 'property "token" validation failed: wrong type: expected string, got number',
        ),
    ],
)
def test_refusal(admin: Admin, method: str, path: str, body: Any, status: int, message: str) -> None:
    answer = admin.call(method, f"/secrets{path}", body)
    assert (answer.status, answer.body) == (status, {"error_msg": message})


def test_a_uri_is_one(admin: Admin) -> None:
    answer = admin.call("PUT", "/secrets/vault/1", {**VAULT, "uri": "vault.test"})
    assert answer.status == 400
    assert answer.body["error_msg"].startswith(INVALID + 'property "uri" validation failed: failed to match pattern ')
