"""Protocol Buffers as stored objects: what content is let in, and that what is in use stays."""

import base64
from typing import Any

import pytest

from .conftest import Admin

SOURCE = """
    // a comment; with marks {
    syntax = "proto3";
    package helloworld;
    import public "other.proto";
    option java_package = "a;b";
    /* another
       one } */
    service Greeter { rpc SayHello (stream Request) returns (Reply) { option (x.y) = { get: "/v1/{name}" }; }; }
    message Request { map<string, int32> names = 1 [deprecated = true]; reserved 5 to max; oneof o { string s = 2; } }
    enum Kind { UNKNOWN = 0; NEG = -1; }
    extend google.protobuf.MethodOptions { string z = 50001; };
"""


def field(number: int, raw: bytes) -> bytes:
    return bytes([number << 3 | 2, len(raw)]) + raw


FILE = field(1, b"a.proto") + field(2, b"pkg") + field(12, b"proto3") + bytes([14 << 3, 0xE8, 0x07])
DESCRIPTORS = field(1, FILE) + field(1, FILE)


def encoded(raw: bytes) -> str:
    return base64.encodebytes(raw).decode()


@pytest.mark.parametrize("content", [SOURCE, "message A {}", 'syntax="proto2";;', encoded(DESCRIPTORS), encoded(field(1, FILE))])
def test_content_that_is_let_in(admin: Admin, content: str) -> None:
    answer = admin.call("PUT", "/protos/1", {"content": content, "desc": "d"})
    assert answer.status in (200, 201), answer.body
    assert answer.body["key"] == "/apisix/protos/1"
    assert admin.call("GET", "/protos/1").body["value"]["content"] == content
    assert admin.call("DELETE", "/protos/1").status == 200


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            "hello world;",
            "line 1: expected one of edition, enum, extend, import, message, option, package, service, syntax, found 'hello'",
        ),
        ('syntax = "proto3";\n}', "line 2: expected one of "),
        ("message A {", "expected the end of '{', found the end of the text"),
        ("message A { oneof x ( }", "line 1: found '}' without its opening '{'"),
        ('import "open;', "line 1: expected a name, a number, a string or a bracket, found '\"'"),
        ("/* open", "line 1: expected one of "),
        ("// nothing\n", "expected statements, found none"),
        ("package a", "expected ';' or '}', found the end of the text"),
        ("nope", "expected a descriptor set, found base64 of something else"),
        ("nop", "expected protobuf source, or a descriptor set in base64, found neither"),
        (encoded(b"\xff" * 30), "expected a descriptor set, found base64 of something else"),
        (encoded(field(2, FILE)), "expected a descriptor set, found base64 of something else"),
        (encoded(DESCRIPTORS[:-1]), "expected a descriptor set, found base64 of something else"),
        (encoded(field(1, FILE[:-1])), "expected a descriptor set, found one with a file that cannot be read"),
        (encoded(field(1, field(2, b"pkg"))), "expected a descriptor set, found one with a file that cannot be read"),
    ],
)
def test_content_that_is_not(admin: Admin, content: str, reason: str) -> None:
    answer = admin.call("PUT", "/protos/1", {"content": content})
    assert answer.status == 400
    assert answer.body["error_msg"].startswith(f"invalid content: {reason}")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("PUT", "/protos/1", {}, 400, 'invalid configuration: property "content" is required'),
        ("PUT", "/protos", {"content": SOURCE}, 400, "missing proto id"),
        ("PUT", "/protos/1", {"content": SOURCE, "x": 1}, 400, "invalid configuration: additional properties forbidden, found x"),
        ("PATCH", "/protos/1", {"desc": "x"}, 405, "not supported `PATCH` method for proto"),
    ],
)
def test_refusal(admin: Admin, method: str, path: str, body: Any, status: int, message: str) -> None:
    answer = admin.call(method, path, body)
    assert (answer.status, answer.body) == (status, {"error_msg": message})


def test_post_and_list(admin: Admin) -> None:
    made = admin.call("POST", "/protos", {"content": SOURCE})
    assert made.status == 201
    assert [row["key"] for row in admin.call("GET", "/protos").body["list"]] == [made.body["key"]]
    assert admin.call("DELETE", made.body["key"].removeprefix("/apisix")).status == 200


@pytest.mark.parametrize(("kind", "noun"), [("routes", "route"), ("services", "service")])
def test_what_a_plugin_uses_stays(admin: Admin, kind: str, noun: str) -> None:
    admin.call("PUT", "/protos/used", {"content": SOURCE})
    store = admin.store()
    store.put(kind, "g", {"id": "g", "uri": "/", "plugins": {"grpc-transcode": {"proto_id": "used"}}})
    refused = admin.call("DELETE", "/protos/used")
    assert (refused.status, refused.body) == (400, {"error_msg": f"can not delete this proto, {noun} [g] is still using it now"})
    assert admin.call("DELETE", "/protos/used?force=true").status == 200
    store.delete(kind, "g")
    store.close()
