"""Requests that somebody sends to do harm, or without thinking: each is refused in a sentence, and the next one is served."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fastgw.admin.server import MAX_BODY

from .conftest import KEY, VIEWER, Admin
from .test_server import one_answer

ROUTE = {"uri": "/a", "upstream": {"nodes": {"127.0.0.1:1980": 1}}}
LIMIT = {"limit-count": {"count": 1, "time_window": 60}}


@pytest.mark.parametrize("param", ["name", "uri"])
@pytest.mark.parametrize("pattern", ["^(a%2B)%2B$", "(a|aa)%2B$"])
def test_no_pattern_of_a_filter_takes_long(admin: Admin, param: str, pattern: str) -> None:
    text = "/" + "a" * 200 + "!"
    admin.call("PUT", "/routes/long", {**ROUTE, "name": text, "uri": text})
    answer = admin.call("GET", f"/routes?{param}={pattern}", key=VIEWER)  # within the connection's 10 s
    assert answer.body["total"] == 0


@pytest.mark.parametrize("levels", [65, 5000])
def test_a_path_into_an_object_does_not_make_it_deeper_than_a_body_may(admin: Admin, levels: int) -> None:
    admin.call("PUT", "/routes/deep", {**ROUTE, "plugins": LIMIT})
    answer = admin.call("PATCH", "/routes/deep/plugins/limit-count" + "/a" * levels, 1)
    assert (answer.status, answer.body) == (
        400,
        {"error_msg": "invalid configuration: expected at most 64 levels of nesting, found more"},
    )
    assert "a" not in admin.call("GET", "/routes/deep").body["value"]["plugins"]["limit-count"]


def test_no_credential_gets_an_id_that_it_must_not_have_by_its_owners(admin: Admin) -> None:
    admin.call("PUT", "/consumers", {"username": "a"})
    answer = admin.call("PUT", "/consumers/a%2Fb/credentials/c", {"plugins": {"key-auth": {"key": "k"}}})
    assert (answer.status, answer.body) == (404, {"error_msg": "consumer not found"})
    assert admin.call("GET", "/consumers/a/credentials").status == 404


@pytest.mark.parametrize(
    "body", [b'{"\\ud800": 1, "uri": "/"}', b'{"uri": "\\udfff"}', b'{"plugins": {"\\ud800": {}}, "uri": "/"}']
)
@pytest.mark.parametrize("path", ["/routes/x", "/schema/validate/routes", "/explain", "/configs/validate"])
def test_half_a_character_is_refused_in_writing(admin: Admin, path: str, body: bytes) -> None:
    answer = admin.call("PUT" if path == "/routes/x" else "POST", path, body)
    assert answer.status == 400
    assert "lone surrogate" in answer.body["error_msg"]


def test_a_key_behind_the_body_is_none(admin: Admin) -> None:
    with admin.raw() as sock:
        head = "PUT /apisix/admin/consumers HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        body = json.dumps({"username": "trailed"})
        sock.sendall(f"{head}{len(body):x}\r\n{body}\r\n0\r\nX-API-KEY: {KEY}\r\n\r\n".encode())
        assert one_answer(sock)[0] == 401
    assert admin.call("GET", "/consumers/trailed").status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/routes/%2F",
        "/routes/..%2F",
        "/routes/%00",
        "/routes//",
        "/routes/" + "a" * 20000,
        "//routes",
        "/routes/%ff",
        "/routes/%F0%9F%92%A9",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_odd_ids_are_refused(admin: Admin, method: str, path: str) -> None:
    answer = admin.call(method, path, ROUTE if method in ("PUT", "PATCH") else None)
    assert answer.status in (200, 400, 404), answer
    assert answer.status != 200 or path == "/routes//"


@pytest.mark.parametrize(
    "query",
    [
        "page=-9&page_size=10",
        "page=999999999&page_size=500",
        "page=1&page_size=" + "9" * 5000,
        "page=%D9%A1&page_size=10",
        "&" * 5000,
        "a=" * 999,
    ],
)
def test_odd_pages(admin: Admin, query: str) -> None:
    assert admin.call("GET", f"/routes?{query}").status in (200, 400)


@pytest.mark.parametrize("ttl", ["1e308", "1e18", "-1", "nan", "inf", "", "1e-300", "9" * 400])
def test_odd_ttls(admin: Admin, ttl: str) -> None:
    assert admin.call("PUT", f"/routes/ttl?ttl={ttl}", ROUTE).status in (200, 201, 400)
    assert admin.call("PUT", "/routes/next", ROUTE).status in (200, 201)


def test_a_viewer_and_an_admin_see_different_versions_of_the_whole(admin: Admin) -> None:
    mine, its = (admin.call("GET", "/configs", key=key).headers["ETag"] for key in (KEY, VIEWER))
    assert its == mine[:-1] + '-viewer"'
    refused = admin.call("PUT", "/configs", {}, headers={"X-Digest": "d", "If-Match": its})
    assert refused.status == 412


@pytest.mark.parametrize("tag", ["nonsense", '"1', '"1" "2"'])
def test_a_condition_on_the_whole_that_cannot_be_read_is_refused(admin: Admin, tag: str) -> None:
    answer = admin.call("PUT", "/configs", {}, headers={"X-Digest": "d", "If-Match": tag})
    assert (answer.status, "invalid header If-Match" in answer.body["error_msg"]) == (400, True)


def test_who_has_the_whole_already_is_not_sent_it_again(admin: Admin) -> None:
    tag = admin.call("GET", "/configs").headers["ETag"]
    answer = admin.call("GET", "/configs", headers={"If-None-Match": tag})
    assert (answer.status, answer.body, answer.headers["ETag"]) == (304, "", tag)


def test_labels_that_no_header_can_carry_are_refused(admin: Admin) -> None:
    answer = admin.call("PUT", "/consumers", {"username": "x", "labels": {"custom_id": "a\0b"}})
    assert answer.status == 400


def test_the_body_of_a_stranger_is_read_and_not_kept(admin: Admin) -> None:
    """The listener's memory while 30 strangers have sent all but the last byte of theirs."""
    size = MAX_BODY
    head = f"PUT /apisix/admin/routes/x HTTP/1.1\r\nX-API-KEY: wrong\r\nContent-Length: {size}\r\n\r\n".encode()
    before = memory(admin)
    strangers = [admin.raw() for _ in range(30)]
    for sock in strangers:
        sock.sendall(head + b" " * (size - 1))
    assert admin.call("GET", "/routes").status == 200  # what was sent before has been read, but for what the sockets hold
    grown = memory(admin) - before
    for sock in strangers:
        sock.sendall(b" ")
        assert one_answer(sock)[0] == 401
        sock.close()
    assert grown < 10 * size


def memory(admin: Admin) -> int:
    """Bytes that are resident."""
    return int(Path(f"/proc/{admin.process.pid}/statm").read_text().split()[1]) * 4096


def test_a_stranger_is_not_asked_for_its_body(admin: Admin) -> None:
    with admin.raw() as sock:
        sock.sendall(b"PUT /apisix/admin/routes/x HTTP/1.1\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
        assert one_answer(sock)[0] == 401
        assert sock.recv(1) == b""


@pytest.mark.parametrize("path", ["/routes/x", "/configs"])
def test_a_wrong_key_counts_once(make_admin: Callable[..., Admin], path: str) -> None:
    admin = make_admin(wrong_keys={"count": 2, "total": 1000, "window": 3600})
    statuses = [admin.call("PUT", path, b"{}", key="a-wrong-key-of-this-test").status for _ in range(3)]
    assert statuses == [401, 401, 429]


def test_a_large_proto_is_judged_in_time(admin: Admin) -> None:
    source = "message A {" + "int32 a=1;\n" * 90_000 + "}"
    assert admin.call("PUT", "/protos/large", {"content": source}).status == 201  # within the connection's 10 s
