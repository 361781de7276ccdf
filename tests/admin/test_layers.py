"""Two layers: what the config file declares, and what the Admin API writes over it."""

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Admin

FILE: dict[tuple[str, str], dict[str, Any]] = {
    ("routes", "r"): {"id": "r", "uri": "/file", "upstream": {"nodes": {"a:1": 1}}},
    ("consumers", "john"): {"username": "john"},
    ("credentials", "john/c"): {"id": "c", "plugins": {"jwt-auth": {"key": "k", "secret": "s"}}},
    ("upstreams", "u"): {"id": "u", "nodes": {"a:1": 1}},
}


@pytest.fixture
def layered(make_admin: Callable[..., Admin]) -> Admin:
    made = make_admin(source="etc/config.json")
    store = made.store()
    store.replace_file_layer(FILE)
    store.close()
    return made


def test_what_the_file_declares_is_there(layered: Admin) -> None:
    answer = layered.call("GET", "/routes/r")
    assert answer.body["value"] == FILE["routes", "r"]
    assert (answer.headers["X-Fastgw-Source"], answer.headers["X-Fastgw-Overrides"]) == ("file", None)
    assert layered.call("GET", "/consumers/john/credentials").body["total"] == 1


def test_put_overrides_and_says_so_and_delete_brings_back(layered: Admin) -> None:
    put = layered.call("PUT", "/routes/r", {"uri": "/store", "upstream": {"nodes": {"b:1": 1}}})
    assert put.status == 200
    for answer in (put, layered.call("GET", "/routes/r")):
        assert answer.body["value"]["uri"] == "/store"
        assert (answer.headers["X-Fastgw-Source"], answer.headers["X-Fastgw-Overrides"]) == ("store", "file")
    assert layered.call("GET", "/routes").body["total"] == 1
    deleted = layered.call("DELETE", "/routes/r")
    assert (deleted.status, deleted.body) == (200, {"key": "/apisix/routes/r", "deleted": "1"})
    assert deleted.headers["X-Fastgw-Source"] == "file"
    assert layered.call("GET", "/routes/r").body["value"] == FILE["routes", "r"]


def test_delete_of_what_only_the_file_declares_names_the_file(layered: Admin) -> None:
    for path, noun, id in (
        ("/routes/r", "route", "r"),
        ("/consumers/john", "consumer", "john"),
        ("/consumers/john/credentials/c", "credential", "c"),
    ):
        answer = layered.call("DELETE", f"{path}?force=true")
        message = f"{noun} [{id}] is declared in etc/config.json and can only be removed there"
        assert (answer.status, answer.body) == (409, {"error_msg": message})
        assert layered.call("GET", path).status == 200


def test_patch_of_a_file_object_overrides_it(layered: Admin) -> None:
    answer = layered.call("PATCH", "/routes/r", {"desc": "patched"})
    assert answer.body["value"]["uri"] == "/file"
    assert answer.headers["X-Fastgw-Overrides"] == "file"


def test_references_and_keys_reach_across_layers(layered: Admin) -> None:
    assert layered.call("PUT", "/routes/s", {"uri": "/", "upstream_id": "u"}).status == 201
    credential = {"plugins": {"jwt-auth": {"key": "k", "secret": "other"}}}
    answer = layered.call("PUT", "/consumers/john/credentials/d", credential)
    assert answer.body["error_msg"] == "duplicate key of plugin jwt-auth found with credential: c of consumer: john"
    assert layered.call("PUT", "/consumers/john/credentials/c", credential).status == 200, "its own key it may keep"


def test_no_override_goes_whose_file_object_would_clash(layered: Admin) -> None:
    moved = {"plugins": {"jwt-auth": {"key": "moved", "secret": "s"}}}
    taken = {"plugins": {"jwt-auth": {"key": "k", "secret": "s"}}}
    assert layered.call("PUT", "/consumers/john/credentials/c", moved).status == 200
    assert layered.call("PUT", "/consumers", {"username": "eve", **taken}).status == 201
    for path in ("/consumers/john/credentials/c", "/consumers/john"):
        layered.call("PUT", "/consumers", {"username": "john"})
        answer = layered.call("DELETE", path)
        assert answer.status == 400
        assert answer.body["error_msg"] == "duplicate key of plugin jwt-auth found with consumer: eve"
    assert layered.call("GET", "/consumers/john/credentials/c").body["value"]["plugins"] == moved["plugins"]
