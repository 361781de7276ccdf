"""data-mask from outside: what the access log still tells; and bodies, which only loggers log, as the plugin changes them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fastgw import _core
from fastgw.plugins.check import check_plugin
from fastgw.plugins.data_mask import REQUEST_BODY, Conf, _Mask
from tests.plugins.mirror import ask
from tests.support.core import OK, snapshot
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering
from tests.support.waiting import until

CARD = {"action": "regex", "regex": r"(\d+)-\d+-\d+-(\d+)", "value": "$1-****-****-${2}"}
RULES = [
    {"type": "query", "name": "password", "action": "remove"},
    {"type": "query", "name": "token", "action": "replace", "value": "*****"},
    {"type": "query", "name": "card", **CARD},
    {"type": "query", "name": "a b", "action": "replace", "value": "x&y é"},
    {"type": "header", "name": "user-agent", "action": "replace", "value": 'hidden "\n'},
    {"type": "header", "name": "Referer", "action": "remove"},
]


@pytest.fixture(scope="module")
def gateway(up: Answering, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    node = {"type": "roundrobin", "nodes": {str(up.address): 1}}
    routes = [
        {"id": "mask", "uri": "/mask/*", "upstream": node, "plugins": {"data-mask": {"request": RULES}}},
        {"id": "refused", "uri": "/refused", "plugins": {"data-mask": {"request": RULES}, "key-auth": {}}},
        {"id": "none", "uri": "/none", "upstream": node, "plugins": {"data-mask": {}}},
    ]
    directory = tmp_path_factory.mktemp("mask")
    with Gateway(directory, {"routes": routes, "access_log": {"path": str(directory / "access.log")}}) as running:
        yield running


def logged(gateway: Gateway, target: str, *fields: str) -> tuple[str, dict[str, Any]]:
    """What the upstream saw, and the line of the access log."""
    path: Path = gateway.directory / "access.log"
    before = len(path.read_bytes()) if path.exists() else 0
    sent = ask(gateway, target, *fields).sent
    text = until(lambda: path.read_bytes()[before:].decode(), "the line")
    line: dict[str, Any] = json.loads(text)
    return sent, line


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("password=secret&token=mine&card=1234-5678-9012-3456&x=1", "token=*****&card=1234-****-****-3456&x=1"),
        ("password=secret", None),
        ("x=1&password=a&y&password=b&", "x=1&y&"),
        ("p%61ssword=secret&tok%65n=a%26b&token", "tok%65n=*****&token"),
        ("token=&password&card=none&%61=1", "token=*****&card=none&%61=1"),
        ("card=a1-2-3-4b%201-2-3-4", "card=a1-****-****-4b%201-2-3-4"),
        ("a+b=1&a%20b=2", "a+b=x%26y%20%C3%A9&a%20b=x%26y%20%C3%A9"),
        ("token=%ff%zz&%", "token=*****&%"),
        ("Token=1&xtoken=1", "Token=1&xtoken=1"),
        ("", None),
    ],
)
def test_queries(gateway: Gateway, query: str, shown: str | None) -> None:
    for path in ("/mask/a", "/mask/%2f/..%2e"):
        sent, line = logged(gateway, f"{path}?{query}")
        if line["status"] == 200:
            assert f" {path}?{query} " in sent
        expected = path if shown is None and query else f"{path}?{shown or ''}"
        assert line["uri"] == expected


def test_headers(gateway: Gateway) -> None:
    sent, line = logged(gateway, "/mask/", "User-Agent: me", "Referer: http://secret/", "X-Other: 1")
    assert "User-Agent: me\r\n" in sent
    assert "Referer: http://secret/\r\n" in sent
    assert line["user_agent"] == 'hidden "\n'
    assert "referer" not in line
    _, line = logged(gateway, "/mask/", "X-Other: 1")
    assert "user_agent" not in line


def test_refusals_are_masked_too(gateway: Gateway) -> None:
    _, line = logged(gateway, "/refused?token=mine&password=x")
    assert (line["status"], line["uri"]) == (401, "/refused?token=*****")


def test_without_rules_nothing_is(gateway: Gateway) -> None:
    assert logged(gateway, "/none?token=mine")[1]["uri"] == "/none?token=mine"


# ---- bodies ------------------------------------------------------------------------------------------

JSON_RULES = [
    {"type": "body", "body_format": "json", "name": "$.password", "action": "remove"},
    {"type": "body", "body_format": "json", "name": "$.users[*].token", "action": "replace", "value": "*****"},
    {"type": "body", "body_format": "json", "name": "$..card", **CARD},
    {"type": "body", "body_format": "json", "name": "$.list[*]", "action": "remove"},
    {"type": "body", "body_format": "json", "name": "pin", "action": "regex", "regex": "^..", "value": "$$"},
]
FORM_RULES = [
    {"type": "body", "body_format": "urlencoded", "name": "password", "action": "remove"},
    {"type": "body", "body_format": "urlencoded", "name": "token", "action": "replace", "value": "***"},
]


class Asked:
    """A request as far as bodies need one."""

    def __init__(self, content_type: str | None) -> None:
        self._type = content_type

    def header(self, name: str) -> str | None:
        assert name == "content-type"
        return self._type


def masked(rules: list[dict[str, Any]], body: bytes, content_type: str | None = None, **more: int) -> bytes | None:
    conf = msgspec.convert({"request": rules, **more}, Conf)
    return _Mask(conf)._body(Asked(content_type), body)  # type: ignore[arg-type]


def test_bodies_of_json() -> None:
    body = {
        "password": "x",
        "users": [{"token": "a", "credit": {"card": "1-2-3-4"}}, {"token": 5}, {}],
        "list": [1, 2, 3],
        "pin": 1234,
        "card": ["1-2-3-4"],
    }
    found = masked(JSON_RULES, json.dumps(body).encode(), "application/json")
    assert found is not None
    assert json.loads(found) == {
        "users": [{"token": "*****", "credit": {"card": "1-****-****-4"}}, {"token": "*****"}, {}],
        "list": [],
        "pin": "$34",
        "card": '["1-****-****-4"]',
    }


def test_a_name_that_stands_twice_hides_nothing() -> None:
    assert masked(JSON_RULES, b'{"password":"x","password":"y","a":{"b":"x"},"a":1}') == b'{"a":1}'


def test_what_cannot_be_masked_is_not_logged() -> None:
    assert masked(JSON_RULES, b'{"password":"x"') is None
    assert masked(JSON_RULES, b"\xff") is None
    assert masked(JSON_RULES, b"[" * 100_000) is None
    assert masked(JSON_RULES, b'{"password":"x"}', max_body_size=10) is None


def test_bodies_of_forms() -> None:
    form = "Application/X-WWW-Form-Urlencoded; charset=utf-8"
    assert masked(FORM_RULES, b"a=1&password=x&token=y%20z&t%6fken=1", form) == b"a=1&token=***&t%6fken=***"
    assert masked(FORM_RULES, b"a=1&b=2&token=3", form, max_req_post_args=2) == b"a=1&b=2"
    assert masked(FORM_RULES, b"\xff=\xfe&token=\xff", form) == b"\xff=\xfe&token=***"
    assert masked(FORM_RULES, b'{"token":1}', "application/json") == b'{"token":1}'


def test_a_type_that_is_none_of_the_body_hides_all_the_same() -> None:
    assert masked(JSON_RULES, b' {"password":"x","a":1}', "application/x-www-form-urlencoded") == b'{"a":1}'
    assert masked(FORM_RULES, b"token=1&a=2", None) == b"token=***&a=2"
    assert masked(FORM_RULES, b"token=1&a=2", "text/plain") == b"token=***&a=2"


@pytest.mark.parametrize("broken", ["_query", "_headers", "_json"])
def test_where_it_is_cut_off_less_is_logged(broken: str) -> None:
    """As by the time that a plugin may take: nothing is logged that is not masked."""

    def cut_off(_: str) -> str:
        raise _core.PluginTimeout("too long")

    def keep(_: None, request: _core.Request) -> None:
        request.ctx[REQUEST_BODY] = b'{"pin":"s3cret"}'

    def look(_: None, request: _core.Request) -> None:
        left.append((request.ctx.get(REQUEST_BODY), _core.ledger_target(request), request.header("x-key")))

    rules = [{"type": "query", "name": "token"}, {"type": "header", "name": "X-Key"}]
    rules += [{"type": "body", "body_format": "json", "name": "$.pin"}]
    mask = _Mask(msgspec.convert({"request": [{**each, "action": "remove"} for each in rules]}, Conf))
    setattr(mask, broken, [(getattr(mask, broken)[0][0], cut_off)])
    left: list[tuple[Any, ...]] = []
    calls = {"access": keep, "log": mask.log}
    steps = [_core.PythonStep("data-mask", phase, call, None) for phase, call in calls.items()]
    wire = _core.Wire(snapshot(*steps, _core.PythonStep("logger", "log", look, None)), on_error=lambda *_: None)
    wire.open()
    wire.run(0, b"GET /a?token=s3cret HTTP/1.1\r\nHost: h\r\nX-Key: s3cret\r\n\r\n", OK, 1)
    assert left == [(None, "/a", None)]


def test_faults_name_their_place() -> None:
    good = {"type": "query", "name": "a", "action": "remove"}
    for change, place in (
        ({"type": "cookie"}, "request[1].type"),
        ({"name": ""}, "request[1].name"),
        ({"action": "hide"}, "request[1].action"),
        ({"type": "body"}, "request[1].body_format"),
        ({"type": "body", "body_format": "xml"}, "request[1].body_format"),
        ({"type": "body", "body_format": "json", "name": "$.a[?(@.b)]"}, "request[1].name"),
        ({"type": "header", "name": "a b"}, "request[1].name"),
        ({"action": "replace"}, "request[1].value"),
        ({"action": "regex", "value": "x"}, "request[1].regex"),
        ({"action": "regex", "regex": "(?=a)", "value": "x"}, "request[1].regex"),
    ):
        faults, _ = check_plugin("routes", "data-mask", {"request": [good, {**good, **change}]})
        assert [str(fault.path) for fault in faults] == [place], change
    for conf in ({"max_body_size": 0}, {"max_req_post_args": -1}, {"request": {}}):
        assert check_plugin("routes", "data-mask", conf)[0]
