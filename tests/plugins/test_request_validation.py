"""request-validation from outside: schemas of headers and bodies, what reaches the upstream, hostile bodies."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from fastgw.plugins.check import check_plugin
from tests.plugins.mirror import Answer, parse
from tests.support import wire
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering

JSON, FORM = "Content-Type: application/json", "Content-Type: application/x-www-form-urlencoded"
OBJECT = {
    "type": "object",
    "required": ["a"],
    "properties": {"a": {"type": "integer", "minimum": 1}, "b": {"type": "string", "pattern": "^(x+)+$"}},
}
TREE = {"properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}
CONFS: dict[str, dict[str, Any]] = {
    "body": {"body_schema": OBJECT},
    "form": {"body_schema": {"properties": {"a": {"enum": ["1", True, ["x", "y"]]}}, "required": ["a"]}},
    "headers": {
        "header_schema": {
            "required": ["X-Token"],
            "properties": {"X-Token": {"type": "string", "pattern": "^t[0-9]$"}, "x-many": {"type": "array", "maxItems": 2}},
        }
    },
    "both": {"header_schema": {"required": ["x-a"]}, "body_schema": {"type": "array"}},
    "own": {"body_schema": {"type": "array"}, "rejected_code": 422, "rejected_msg": 'not "so"'},
    "small": {"body_schema": {}, "max_req_body_size": 10},
    "tree": {"body_schema": TREE},
    "unique": {"body_schema": {"uniqueItems": True}},
    "number": {"body_schema": {"multipleOf": 0.001}},
    "never": {"body_schema": {"anyOf": [False] * 500}},
}


@pytest.fixture(scope="module")
def gateway(up: Answering, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    node = {"type": "roundrobin", "nodes": {str(up.address): 1}}
    routes = [{"id": n, "uri": f"/{n}", "upstream": node, "plugins": {"request-validation": c}} for n, c in CONFS.items()]
    with Gateway(tmp_path_factory.mktemp("validation"), {"routes": routes}) as running:
        yield running


def send(gateway: Gateway, target: str, body: bytes | str = b"", *fields: str, chunked: bool = False) -> Answer:
    """One POST."""
    raw = body.encode() if isinstance(body, str) else body
    lines = [f"POST {target} HTTP/1.1", "Host: test", "Connection: close", *fields]
    if chunked:
        lines += ["Transfer-Encoding: chunked", "", f"{len(raw):x}", ""]
        return parse(wire.raw(gateway.data, "\r\n".join(lines).encode() + raw + b"\r\n0\r\n\r\n"))
    lines += [f"Content-Length: {len(raw)}", "", ""]
    return parse(wire.raw(gateway.data, "\r\n".join(lines).encode() + raw))


def sent_body(answer: Answer) -> str:
    return answer.sent.partition("\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('{"a": 1}', None),
        (' {"b":"xx","a":12} ', None),
        ('{"a":"x"}', 'property "a" validation failed: wrong type: expected integer, got string'),
        ('{"a":0}', 'property "a" validation failed: expected 0 to be at least 1'),
        ("{}", 'property "a" is required'),
        ("[1]", "wrong type: expected object, got table"),
        ("null", "wrong type: expected object, got userdata"),
        ('{"a":1,"b":"y"}', 'property "b" validation failed: failed to match pattern "^(x+)+$" with "y"'),
    ],
)
def test_bodies_are_judged(gateway: Gateway, body: str, reason: str | None) -> None:
    for fields in ([JSON], [], ["Content-Type: text/plain"]):
        answer = send(gateway, "/body", body, *fields)
        if reason is None:
            assert (answer.status, sent_body(answer)) == (200, body)
        else:
            assert (answer.status, answer.body) == (400, reason.encode())
            assert answer.header("Content-Type") == ["text/plain; charset=utf-8"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'a':1}",
        b'{"a":1}}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":1e999}',
        b"1" * 5000,
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":1,"b":"\xff"}',
        b"\x00",
        b"[" * 20_000,
        b'{"a":' * 20_000,
    ],
)
def test_what_is_no_json_is_refused(gateway: Gateway, body: bytes) -> None:
    for chunked in (False, True):
        answer = send(gateway, "/body", body, JSON, chunked=chunked)
        assert answer.status == 400
        assert answer.body.startswith((b"expected JSON: ", b"wrong type: "))


def test_half_of_a_surrogate_pair_is_refused_in_words(gateway: Gateway) -> None:
    answer = send(gateway, "/body", r'{"a":1,"b":"\ud800"}', JSON)
    assert answer.status == 400
    assert answer.body == rb'property "b" validation failed: failed to match pattern "^(x+)+$" with "\ud800"'


def test_the_upstream_gets_what_was_judged(gateway: Gateway) -> None:
    """Of a name that stands twice it might believe the other value: CVE-2022-25757."""
    for chunked in (False, True):
        answer = send(gateway, "/body", '{"a": "x", "\\u0061": 2, "c": "é"}', JSON, chunked=chunked)
        assert answer.status == 200
        assert json.loads(sent_body(answer)) == {"a": 2, "c": "é"}
        assert f"\r\nContent-Length: {len(sent_body(answer))}\r\n" in answer.sent
        assert "Transfer-Encoding" not in answer.sent
    assert send(gateway, "/body", '{"a": 2, "a": "x"}', JSON).status == 400
    assert sent_body(send(gateway, "/body", '{"a": 1.0, "c": 12345678901234567890}', chunked=True)) == (
        '{"a": 1.0, "c": 12345678901234567890}'
    )


def test_forms(gateway: Gateway) -> None:
    for body, status in (("a=1", 200), ("%61=%31", 200), ("a", 200), ("a=x&b=&a=y", 200), ("a=2", 400), ("b=1", 400), ("", 400)):
        for field in (FORM, f"{FORM}; charset=utf-8", FORM.upper()):
            answer = send(gateway, "/form", body, field)
            assert answer.status == status, body
            assert status == 400 or sent_body(answer) == body
    assert send(gateway, "/form", "a=%ff%zz%&&=&é", FORM).status == 400
    assert send(gateway, "/form", "&".join(["a=1"] * 20_000), FORM).body == b"expected a form: more than 10000 arguments"
    assert send(gateway, "/form", b"\xff\xfe=\x00", FORM).status == 400


def test_two_content_types_are_refused(gateway: Gateway) -> None:
    for pair in ((JSON, FORM), (FORM, JSON), (JSON, JSON)):
        answer = send(gateway, "/body", '{"a":1}', *pair)
        assert (answer.status, answer.body) == (400, b"duplicate Content-Type")


def test_headers(gateway: Gateway) -> None:
    for fields, status in (
        (["X-Token: t1"], 200),
        (["x-token: t1"], 200),
        (["X-Token: t"], 400),
        (["X-Token: t1", "X-TOKEN: t2"], 400),  # a list
        (["X-Token: t1", "X-Many: 1", "X-Many: 2"], 200),
        (["X-Token: t1", "X-Many: 1"], 400),
        (["X-Token: t1", "X-Many: 1", "X-Many: 2", "X-Many: 3"], 400),
        ([], 400),
    ):
        assert send(gateway, "/headers", "not JSON", *fields).status == status, fields
    assert send(gateway, "/headers").body == b'property "x-token" is required'
    # What the upstream would not get, or might take for a second one.
    assert send(gateway, "/headers", "", "X-Token: t1", "Connection: x-token").body == b'property "x-token" is required'
    for twin in ("X_Token: evil", "x.token: t1"):
        answer = send(gateway, "/headers", "", "X-Token: t1", twin)
        name = twin.partition(":")[0].lower()
        assert (answer.status, answer.body) == (400, f'header "{name}" is another spelling of "x-token"'.encode())
    assert send(gateway, "/headers", "", "X-Token: t1", "X_Other: 1").status == 200
    assert send(gateway, "/both", "[]", "X-A: 1").status == 200
    assert send(gateway, "/both", "{}", "X-A: 1").status == 400
    assert send(gateway, "/both", "[]").status == 400


def test_code_and_message_are_ones_own(gateway: Gateway) -> None:
    answer = send(gateway, "/own", "{}")
    assert (answer.status, answer.body) == (422, b'not "so"')
    assert send(gateway, "/own", "[]").status == 200


def test_a_body_beyond_the_bound_is_413(gateway: Gateway) -> None:
    for chunked in (False, True):
        assert send(gateway, "/small", '"12345678"', chunked=chunked).status == 200
        answer = send(gateway, "/small", '"123456789"', chunked=chunked)
        assert (answer.status, answer.body[:13]) == (413, b'{"error_msg":')


def test_what_is_hostile_costs_little_and_harms_nobody(gateway: Gateway) -> None:
    """Each of these takes hours, or raises, with the keywords of the library."""
    nested = "1"
    for _ in range(60):
        nested = '{"a":' + nested + "}"
    for target, body, status, reason in (
        ("/tree", nested, 400, b"a body that takes too long to judge"),
        ("/body", '{"a":1,"b":"%s!"}' % ("x" * 60_000), 400, b'property "b" validation failed: failed to match'),
        ("/unique", json.dumps([{"a": [i]} for i in range(20_000)]), 200, b""),
        (
            "/unique",
            json.dumps([{"a": [i % 19_999]} for i in range(20_000)]),
            400,
            b"expected unique items but items 1 and 20000",
        ),
        ("/number", "1e300", 200, b""),
        ("/number", "9" * 4000, 400, b"cannot be judged"),
        ("/never", '"%s"' % ("x" * 500_000), 400, b"object matches none of the required"),
        ("/body", json.dumps({"a": 1, **{f"k{i}": i for i in range(50_000)}}), 200, b""),
    ):
        answer = send(gateway, target, body, JSON)
        assert answer.status == status, (target, answer.body)
        assert status == 200 or answer.body.startswith(reason)


def test_a_schema_must_be_sound(gateway: Gateway) -> None:
    wide = {f"d{i}": {"allOf": [{"$ref": f"#/definitions/d{i + 1}"}] * 2} for i in range(20)}
    for conf in (
        {},
        {"body_schema": []},
        {"body_schema": True},
        {"body_schema": {"type": "strin"}},
        {"body_schema": {"type": 1}},
        {"body_schema": {"properties": {"a": 1}}},
        {"header_schema": {"required": "a"}},
        {"body_schema": {"$schema": "http://example.com/own"}},
        {"body_schema": {"$schema": "https://json-schema.org/draft/2020-12/schema"}},
        {"body_schema": {"$schema": 7}},
        {"body_schema": {"$ref": "http://127.0.0.1:1/schema"}},
        {"body_schema": {"$ref": "file:///etc/passwd"}},
        {"body_schema": {"$ref": "#/definitions/none"}},
        {"body_schema": {"$ref": "#"}},
        {"body_schema": {"allOf": [{"not": {"$ref": "#/allOf/0"}}]}},
        {"body_schema": {"$ref": "#/definitions/d0", "definitions": {**wide, "d20": {}}}},
        {"body_schema": {"pattern": "(?=a)"}},
        {"body_schema": {"pattern": "("}},
        {"body_schema": {"patternProperties": {"(a)\\1": {}}}},
        {"body_schema": {"properties": {"a": {"$id": "b"}}}},
        {"body_schema": {}, "rejected_code": 199},
        {"body_schema": {}, "rejected_msg": ""},
        {"body_schema": {}, "rejected_msg": "a" * 257},
        {"body_schema": {}, "max_req_body_size": 0},
    ):
        answer = gateway.api("PUT", "routes/x", {"uri": "/x", "plugins": {"request-validation": conf}})
        assert answer.status == 400, conf
        assert b"failed to check the configuration of plugin request-validation err: " in answer.body
    for schema in (
        {"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": True},
        TREE,
        {"$id": "x"},
    ):
        gateway.put("routes/x", {"uri": "/x", "plugins": {"request-validation": {"body_schema": schema}}})


def test_a_fault_names_its_place() -> None:
    faults, _ = check_plugin("routes", "request-validation", {"body_schema": {"properties": {"a": {"type": "strin"}}}})
    assert [(str(fault.path), fault.message) for fault in faults] == [
        ("body_schema.properties.a.type", 'expected a JSON Schema, found "strin"')
    ]
