"""cors from outside: the rows of APISIX 3.11's recorded answers, and of the reference beyond them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastgw.plugins.check import check_plugin
from tests.plugins.mirror import Answer, ask, parse
from tests.support import wire
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering

Conf = dict[str, Any]
LISTED = {
    "allow_origins": "http://a.test,http://b.test",
    "allow_methods": "GET,POST",
    "allow_headers": "X-A",
    "expose_headers": "X-B",
    "max_age": 9,
    "allow_credential": True,
}
CONFS: dict[str, Conf] = {
    "default": {},
    "listed": LISTED,
    "forced": {"allow_origins": "**", "allow_methods": "**", "allow_headers": "**", "allow_credential": True},
    "regex": {"allow_origins_by_regex": [r".*\.test$", r"^https://x\d+\.com$"], "timing_allow_origins_by_regex": ["a.test"]},
    "metadata": {"allow_origins": "http://own.test", "allow_origins_by_metadata": ["MISSING", "ONE", "TWO"]},
    "anybody": {"allow_origins": "http://own.test", "allow_origins_by_metadata": ["ANY"]},
    "timing": {"timing_allow_origins": "http://t.test", "max_age": -1},
}
METADATA = {"id": "cors", "allow_origins": {"ONE": "http://one.test", "TWO": "http://2.test,http://3.test", "ANY": "*"}}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, up: Answering) -> Iterator[Gateway]:
    node = {"type": "roundrobin", "nodes": {str(up.address): 1}}
    routes = [{"id": n, "uri": f"/{n}", "upstream": node, "plugins": {"cors": c}} for n, c in CONFS.items()]
    routes.append({"id": "k", "uri": "/k", "upstream": node, "plugins": {"cors": LISTED, "key-auth": {}}})
    with Gateway(tmp_path_factory.mktemp("cors"), {"routes": routes, "plugin_metadata": [METADATA]}) as running:
        yield running


def told(answer: Answer) -> dict[str, str]:
    """What the answer says of origins, short."""
    names = ("Access-Control-Allow-", "Access-Control-", "")
    found: dict[str, str] = {}
    for line in answer.head.split("\r\n")[1:]:
        name, _, value = line.partition(": ")
        if name.startswith("Access-Control-") or name in ("Vary", "Timing-Allow-Origin"):
            short = next(name.removeprefix(each) for each in names if name.startswith(each))
            assert short not in found
            found[short] = value
    return found


DEFAULT = {"Origin": "*", "Methods": "*", "Max-Age": "5", "Headers": "*"}
B = {"Origin": "http://b.test", "Methods": "GET,POST", "Max-Age": "9", "Expose-Headers": "X-B", "Headers": "X-A"}
B |= {"Credentials": "true", "Vary": "Origin"}
ALL = {"Methods": "GET,POST,PUT,DELETE,PATCH,HEAD,OPTIONS,CONNECT,TRACE", "Max-Age": "5", "Credentials": "true", "Vary": "Origin"}
VARY = {"Vary": "Origin"}


@pytest.mark.parametrize(
    ("route", "fields", "expected"),
    [
        ("default", [], DEFAULT),  # H50
        ("default", ["Origin: http://a.test"], DEFAULT),  # H51
        ("listed", ["Origin: http://b.test"], B),  # H53
        ("listed", ["Origin: http://c.test"], VARY),  # H54
        ("listed", [], VARY),
        ("listed", ["Origin: http://B.test"], VARY),
        ("listed", ["Origin: \xff\xfe"], VARY),
        ("forced", [], {**ALL, "Origin": "*"}),
        ("forced", ["Origin: x", "Access-Control-Request-Headers: X-Q"], {**ALL, "Origin": "x", "Headers": "X-Q"}),
        (
            "regex",
            ["Origin: http://a.test"],
            {**DEFAULT, **VARY, "Origin": "http://a.test", "Timing-Allow-Origin": "http://a.test"},
        ),
        ("regex", ["Origin: https://x12.com"], {**DEFAULT, **VARY, "Origin": "https://x12.com"}),
        ("regex", ["Origin: http://a.test.evil"], {**VARY, "Timing-Allow-Origin": "http://a.test.evil"}),  # unanchored
        ("regex", [], VARY),
        ("metadata", ["Origin: http://own.test"], {**DEFAULT, **VARY, "Origin": "http://own.test"}),
        ("metadata", ["Origin: http://one.test"], {**DEFAULT, **VARY, "Origin": "http://one.test"}),
        ("metadata", ["Origin: http://3.test"], {**DEFAULT, **VARY, "Origin": "http://3.test"}),
        ("metadata", ["Origin: http://4.test"], VARY),
        ("anybody", ["Origin: http://4.test"], {**DEFAULT, **VARY, "Origin": "http://4.test"}),
        ("anybody", [], VARY),
        ("timing", ["Origin: http://t.test"], {**DEFAULT, **VARY, "Max-Age": "-1", "Timing-Allow-Origin": "http://t.test"}),
        ("timing", ["Origin: http://u.test"], {**DEFAULT, **VARY, "Max-Age": "-1"}),
    ],
)
def test_who_is_told_what(gateway: Gateway, route: str, fields: list[str], expected: dict[str, str]) -> None:
    request = "\r\n".join([f"GET /{route} HTTP/1.1", "Host: test", "Connection: close", *fields, "", ""]).encode("latin-1")
    answer = parse(wire.raw(gateway.data, request))
    assert (answer.status, told(answer)) == (200, expected)


def preflight(gateway: Gateway, route: str, origin: str) -> Answer:
    lines = [f"OPTIONS /{route} HTTP/1.1", "Host: test", "Connection: close", f"Origin: {origin}"]
    return parse(wire.raw(gateway.data, "\r\n".join([*lines, "Access-Control-Request-Method: PUT", "", ""]).encode()))


def test_a_preflight_is_answered_without_credentials_and_upstream(gateway: Gateway) -> None:  # H52
    for route, origin, expected in (
        ("default", "http://a.test", DEFAULT),
        ("k", "http://b.test", B),
        ("k", "http://c.test", VARY),
    ):
        answer = preflight(gateway, route, origin)
        assert (answer.status, answer.body, answer.sent, told(answer)) == (200, b"", "", expected)
        assert answer.header("Content-Length") == ["0"]


def test_refusals_can_be_read_too(gateway: Gateway) -> None:
    answer = ask(gateway, "/k", "Origin: http://b.test")
    assert (answer.status, told(answer)) == (401, B)


def test_metadata_that_changes_is_followed(directory: Path, up: Answering) -> None:
    node = {"type": "roundrobin", "nodes": {str(up.address): 1}}
    route = {"id": "r", "uri": "/*", "upstream": node, "plugins": {"cors": CONFS["metadata"]}}
    with Gateway(directory, {"routes": [route]}) as gateway:
        assert told(ask(gateway, "/", "Origin: http://one.test")) == VARY
        gateway.put("plugin_metadata/cors", {"allow_origins": {"ONE": "http://one.test"}})
        assert told(ask(gateway, "/", "Origin: http://one.test"))["Origin"] == "http://one.test"
        answer = gateway.api("PUT", "plugin_metadata/cors", {"allow_origins": {"ONE": "one.test"}})
        assert answer.status == 400, answer


REFUSED: list[tuple[Conf, str]] = [
    *[({"allow_origins": text}, "allow_origins") for text in ("", "*a", "*,http://y.com", "nulll", "x.com", "http://a,b")],
    *[({"timing_allow_origins": text}, "timing_allow_origins") for text in ("http//y.com.uk", "https://x.com,*,https://y.com")],
    ({**LISTED, "allow_origins": "*"}, "allow_origins"),
    ({"allow_credential": True, "allow_origins": "http://a"}, "allow_methods"),
    ({**LISTED, "allow_headers": "*"}, "allow_headers"),
    ({**LISTED, "expose_headers": "*"}, "expose_headers"),
    ({**LISTED, "timing_allow_origins": "*"}, "timing_allow_origins"),
    ({"allow_origins_by_regex": []}, "allow_origins_by_regex"),
    ({"allow_origins_by_regex": ["a", "a"]}, "allow_origins_by_regex"),
    ({"allow_origins_by_regex": ["a", "("]}, "allow_origins_by_regex[1]"),
    ({"timing_allow_origins_by_regex": ["(?=x)"]}, "timing_allow_origins_by_regex[0]"),
    ({"allow_origins_by_metadata": ""}, "allow_origins_by_metadata"),
    ({"allow_methods": "GET\r\nX: y"}, "allow_methods"),
    ({"expose_headers": "\0"}, "expose_headers"),
    ({"max_age": "5"}, "max_age"),
    ({"allow_credential": "true"}, "allow_credential"),
]


@pytest.mark.parametrize(("conf", "where"), REFUSED, ids=lambda value: json.dumps(value)[:60])
def test_confs_that_are_refused(conf: Conf, where: str) -> None:
    assert where in [str(fault.path) for fault in check_plugin("routes", "cors", conf)[0]]


@pytest.mark.parametrize(
    "conf", [*CONFS.values(), {"allow_origins": "null"}, {"allow_origins": "https://x.com,http://y.com.uk:12000"}]
)
def test_confs_that_are_taken(conf: Conf) -> None:
    assert check_plugin("routes", "cors", conf) == ([], [])
