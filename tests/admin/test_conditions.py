"""Optimistic concurrency: every object tells its version, and a write that asks for one is refused when it is another."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.waiting import until

from .conftest import VIEWER, Admin, Answer

UPSTREAM = {"nodes": {"127.0.0.1:80": 1}}
GONE = {"message": "Key not found"}


def route(uri: str = "/", **members: Any) -> dict[str, Any]:
    return {"uri": uri, "upstream": UPSTREAM, **members}


def tag(answer: Answer) -> str:
    assert answer.status in (200, 201, 304), answer.body
    assert len(answer.headers.get_all("ETag", [])) == 1
    return str(answer.headers["ETag"])


def if_match(value: str) -> dict[str, str]:
    return {"If-Match": value}


def if_none_match(value: str) -> dict[str, str]:
    return {"If-None-Match": value}


KINDS = [
    ("/routes/e", route()),
    ("/services/e", {"upstream": UPSTREAM}),
    ("/upstreams/e", UPSTREAM),
    ("/consumers/e", {"username": "e"}),
    ("/consumers/e/credentials/e", {"plugins": {"key-auth": {"key": "e"}}}),
    ("/consumer_groups/e", {"plugins": {}}),
    ("/plugin_configs/e", {"plugins": {}}),
    ("/global_rules/e", {"plugins": {}}),
    ("/plugin_metadata/limit-count", {"limit_header": "X-Limit"}),
    ("/secrets/vault/e", {"uri": "http://127.0.0.1:1", "prefix": "p", "token": "t"}),
    ("/protos/e", {"content": 'syntax = "proto3";'}),
]


@pytest.mark.parametrize(("path", "body"), KINDS, ids=lambda each: each if isinstance(each, str) else "")
def test_every_kind_answers_with_its_version(admin: Admin, path: str, body: Any) -> None:
    if "credentials" in path:
        admin.call("PUT", "/consumers/e", {"username": "e"})
    first = admin.call("PUT", path, body)
    got = admin.call("GET", path)
    assert tag(first) == tag(got) == f'"{got.body["modifiedIndex"]}"'
    assert "etag" not in json.dumps(got.body).lower()
    second = admin.call("PUT", path, body, headers=if_match(tag(first)))
    assert tag(second) != tag(first), "the same value, but another time stamp"
    late = admin.call("PUT", path, body, headers=if_match(tag(first)))
    assert late.status == 412
    assert admin.call("DELETE", path, headers=if_match(tag(first))).status == 412
    gone = admin.call("DELETE", path, headers=if_match(tag(second)))
    assert (gone.status, gone.headers["ETag"]) == (200, None)
    assert admin.call("GET", path).status == 404


def test_post_and_patch_answer_with_the_version(admin: Admin) -> None:
    posted = admin.call("POST", "/routes", route())
    path = posted.body["key"].removeprefix("/apisix")
    assert tag(posted) == tag(admin.call("GET", path))
    patched = admin.call("PATCH", path, {"desc": "x"}, headers=if_match(tag(posted)))
    assert tag(patched) == tag(admin.call("GET", path)) != tag(posted)
    placed = admin.call("PATCH", f"{path}/desc", "y", headers=if_match(f'"0", {tag(patched)}'))
    assert placed.status == 200
    late = admin.call("PATCH", path, {"desc": "z"}, headers=if_match(tag(patched)))
    assert late.status == 412
    assert admin.call("GET", path).body["value"]["desc"] == "y"
    assert admin.call("DELETE", path, headers=if_match("*")).status == 200


def test_a_refusal_names_object_demand_and_present_version_and_changes_nothing(admin: Admin) -> None:
    now = tag(admin.call("PUT", "/routes/n", route("/n")))
    for method, body in (("PUT", route("/other")), ("PATCH", {"uri": "/other"}), ("DELETE", None), ("GET", None)):
        refused = admin.call(method, "/routes/n", body, headers=if_match('"0", W/' + now))
        text = f'precondition failed: If-Match: "0", W/{now}, but route [n] is now {now}'
        assert (refused.status, refused.body) == (412, {"error_msg": text})
    got = admin.call("GET", "/routes/n")
    assert (tag(got), got.body["value"]["uri"]) == (now, "/n")
    missing = admin.call("PUT", "/routes/missing", route(), headers=if_match(now))
    text = f"precondition failed: If-Match: {now}, but route [missing] is not there"
    assert (missing.status, missing.body) == (412, {"error_msg": text})
    for method in ("PATCH", "DELETE", "GET"):
        answer = admin.call(method, "/routes/missing", None if method != "PATCH" else {}, headers=if_match("*"))
        assert (answer.status, answer.body) == (404, GONE), "what would fail anyway is not a matter of versions"
    admin.call("DELETE", "/routes/n")


def test_put_can_be_bound_to_make_what_is_not_there(admin: Admin) -> None:
    made = admin.call("PUT", "/routes/once", route("/first"), headers=if_none_match("*"))
    assert made.status == 201
    refused = admin.call("PUT", "/routes/once", route("/second"), headers=if_none_match("*"))
    text = f"precondition failed: If-None-Match: *, but route [once] is now {tag(made)}"
    assert (refused.status, refused.body) == (412, {"error_msg": text})
    assert admin.call("PUT", "/routes/once", route("/second"), headers=if_none_match(tag(made))).status == 412
    assert admin.call("PUT", "/routes/once", route("/second"), headers=if_none_match('"0"')).status == 200
    assert admin.call("DELETE", "/routes/once").status == 200
    assert admin.call("PUT", "/routes/once", route("/third"), headers=if_none_match("*")).status == 201
    admin.call("DELETE", "/routes/once")


def test_post_makes_what_has_no_version_yet(admin: Admin) -> None:
    assert admin.call("POST", "/routes", route(), headers=if_match("*")).status == 412
    made = admin.call("POST", "/routes", route(), headers=if_none_match("*"))
    assert made.status == 201
    admin.call("DELETE", made.body["key"].removeprefix("/apisix"))


def test_get_of_what_is_known_is_304_on_a_connection_that_goes_on(admin: Admin) -> None:
    now = tag(admin.call("PUT", "/routes/k", route()))
    connection = admin.connect()
    for _ in range(2):
        for known in (now, f'"0", W/{now}', "*"):
            same = admin.call("GET", "/routes/k", headers=if_none_match(known), connection=connection)
            assert (same.status, same.body, tag(same)) == (304, "", now)
            assert (same.headers["Content-Length"], same.headers["Content-Type"]) == (None, None)
        other = admin.call("GET", "/routes/k", headers=if_none_match('"0"'), connection=connection)
        assert (other.status, tag(other)) == (200, now)
    connection.close()
    admin.call("DELETE", "/routes/k")


def test_a_list_has_a_version_that_any_write_changes(admin: Admin) -> None:
    admin.call("PUT", "/consumers/lists", {"username": "lists"})
    seen = []
    for method, path, body in (
        ("PUT", "/upstreams/l", UPSTREAM),
        ("PATCH", "/upstreams/l", {"desc": "x"}),
        ("DELETE", "/upstreams/l", None),
    ):
        assert admin.call(method, path, body).status in (200, 201)
        first = admin.call("GET", "/upstreams")
        assert admin.call("GET", "/upstreams", headers=if_none_match(tag(first))).status == 304
        seen.append(tag(first))
    assert len(set(seen)) == len(seen)
    assert admin.call("GET", "/upstreams?page_size=1&page=1", headers=if_none_match(seen[-1])).status == 400
    admin.call("DELETE", "/consumers/lists")
    assert admin.call("GET", "/upstreams", headers=if_none_match(seen[-1])).status == 200


def test_what_a_viewer_saw_is_no_ground_to_write_on(admin: Admin) -> None:
    """It is without the secrets: whoever writes it back would take them away."""
    path = "/consumers/v"
    now = tag(admin.call("PUT", path, {"username": "v", "plugins": {"key-auth": {"key": "v"}}}))
    for read, other in ((path, now), ("/consumers", tag(admin.call("GET", "/consumers")))):
        seen = tag(admin.call("GET", read, key=VIEWER))
        assert seen != other
        assert admin.call("GET", read, key=VIEWER, headers=if_none_match(seen)).status == 304
        assert admin.call("GET", read, key=VIEWER, headers=if_none_match(other)).status == 200
        assert admin.call("GET", read, headers=if_none_match(seen)).status == 200
    assert admin.call("DELETE", path, headers=if_match(tag(admin.call("GET", path, key=VIEWER)))).status == 412
    admin.call("DELETE", path)


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("field", ["If-Match", "If-None-Match"])
def test_a_field_that_cannot_be_read_is_refused(admin: Admin, method: str, field: str) -> None:
    admin.call("PUT", "/routes/bad", route("/bad"))
    refused = admin.call(method, "/routes/bad", route("/x") if method[0] == "P" else None, headers={field: "7"})
    text = f'invalid header {field}: expected * or entity tags such as "7", found 7'
    assert (refused.status, refused.body) == (400, {"error_msg": text})
    assert admin.call("GET", "/routes/bad").body["value"]["uri"] == "/bad"


def test_fields_that_come_twice_are_one_list(admin: Admin) -> None:
    now = tag(admin.call("PUT", "/routes/twice", route()))
    connection = admin.connect()
    connection.putrequest("GET", "/apisix/admin/routes/twice")
    for name, value in (("X-API-KEY", admin.setup["keys"][0][1]), ("If-None-Match", '"0"'), ("If-None-Match", now)):
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == 304
    connection.close()


def test_the_version_changes_with_the_layer_below_and_never_comes_again(make_admin: Callable[..., Admin]) -> None:
    admin = make_admin()
    store = admin.store()
    seen: dict[str, Any] = {}

    def look() -> str:
        answer = admin.call("GET", "/routes/r")
        if answer.status == 404:
            return ""
        assert seen.setdefault(tag(answer), answer.body["value"]) == answer.body["value"]
        return tag(answer)

    def file(uri: str | None) -> None:
        store.replace_file_layer({} if uri is None else {("routes", "r"): {"id": "r", **route(uri)}})

    file("/1")
    tags = [look()]
    admin.call("PUT", "/routes/r", route("/over"))
    tags.append(look())
    file("/2")
    assert look() == tags[-1], "what is hidden changes nothing"
    admin.call("DELETE", "/routes/r")
    tags.append(look())
    admin.call("PUT", "/routes/r?ttl=1", route("/over"))
    tags.append(look())
    until(lambda: look() != tags[-1], "the override went by itself")
    tags.append(look())
    file("/1")
    tags.append(look())
    file(None)
    assert look() == ""
    file("/1")
    tags.append(look())
    store.close()
    assert len(set(tags)) == len(tags) == len(seen)
    late = admin.call("PUT", "/routes/r", route("/late"), headers=if_match(tags[0]))
    assert late.status == 412


ROUNDS = 30
WRITERS = 2


def test_of_writers_that_saw_the_same_exactly_one_wins(make_admin: Callable[..., Admin]) -> None:
    admin = make_admin()
    admin.follow(0)
    admin.call("PUT", "/routes/race", route(labels={"n": "0"}))
    together = threading.Barrier(WRITERS, timeout=30)
    statuses: list[list[int]] = [[] for _ in range(ROUNDS)]

    def write(name: int) -> None:
        connection = admin.connect()
        for number in range(ROUNDS):
            got = admin.call("GET", "/routes/race", connection=connection)
            body = route(labels={"n": str(int(got.body["value"]["labels"]["n"]) + 1)}, desc=f"{name}")
            together.wait()
            done = admin.call("PUT", "/routes/race", body, headers=if_match(tag(got)), connection=connection)
            statuses[number].append(done.status)
            together.wait()
        connection.close()

    threads = [threading.Thread(target=write, args=(name,)) for name in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sorted(each) for each in statuses] == [[200, 412]] * ROUNDS
    assert admin.call("GET", "/routes/race").body["value"]["labels"] == {"n": str(ROUNDS)}


def test_writers_that_read_again_when_refused_lose_no_step(make_admin: Callable[..., Admin]) -> None:
    admin = make_admin()
    admin.call("PUT", "/routes/count", route(labels={"n": "0"}))

    def count() -> None:
        connection = admin.connect()
        for _ in range(ROUNDS):
            status = 412
            while status == 412:
                got = admin.call("GET", "/routes/count", connection=connection)
                labels = {"n": str(int(got.body["value"]["labels"]["n"]) + 1)}
                sent = {"path": "/routes/count", "body": {"labels": labels}, "headers": if_match(tag(got))}
                status = admin.call("PATCH", **sent, connection=connection).status
            assert status == 200
        connection.close()

    threads = [threading.Thread(target=count) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert admin.call("GET", "/routes/count").body["value"]["labels"] == {"n": str(ROUNDS * WRITERS)}
