"""proxy-cache beside other plugins: hits meet what misses met, and no check is passed by."""

import gzip
from collections.abc import Iterator
from typing import Any

import pytest

from tests.plugins.caching import HOUR, MEMORY, Saying, fetch, status
from tests.plugins.mirror import Answer, parse
from tests.support import wire
from tests.support.gateway import Gateway
from tests.support.waiting import until

REDACT = '''"""redact: takes the numbers out of answers."""

from fastgw.plugin import Plugin, PluginConf, Request


class Conf(PluginConf, frozen=True, kw_only=True):
    """redact: nothing to say."""


class Redact(Plugin):
    """Takes the numbers out of answers."""

    name = "redact"
    priority = 400
    phases = ("body_filter",)
    conf = Conf

    def body_filter(self, conf: Conf, request: Request, piece: bytes, last: bool) -> bytes:
        return bytes(byte if byte not in b"0123456789" else 88 for byte in piece)
'''
BESIDE: dict[str, dict[str, Any]] = {
    "body": {"response-rewrite": {"body": "new", "headers": {"set": {"X-R": "1"}}}},
    "filters": {"response-rewrite": {"filters": [{"regex": "a", "replace": "aa", "scope": "global"}]}},
    "echo": {"echo": {"before_body": "<", "after_body": ">"}},
    "gzip": {"gzip": {"types": ["text/plain"], "min_length": 1}},
    "cors": {"cors": {}},
    "redact": {"redact": {}},
    "id": {"request-id": {}},
    "asked": {"proxy-rewrite": {"uri": "/own?tenant=$http_x_tenant"}},
}
PLAIN = f"{HOUR} | Content-Type: text/plain"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("beside")
    (directory / "plugins").mkdir(mode=0o755)
    (directory / "plugins" / "redact.py").write_text(REDACT)
    with Saying() as upstream:
        node = {"type": "roundrobin", "nodes": {str(upstream.address): 1}}
        routes: list[dict[str, Any]] = [
            {"id": name, "uri": f"/{name}/*", "upstream": node, "plugins": {**more, "proxy-cache": MEMORY}}
            for name, more in BESIDE.items()
        ]
        checked = {"ip-restriction": {"whitelist": ["192.0.2.1"]}}
        routes.append({"id": "checked", "uri": "/checked/*", "upstream": node, "plugins": checked})
        routes.append(
            {"id": "free", "uri": "/free/*", "upstream": node, "plugins": {"limit-count": {"count": 9, "time_window": 9}}}
        )
        rules = [{"id": "1", "plugins": {"proxy-cache": {**MEMORY, "_meta": {"filter": [["arg_global", "==", "1"]]}}}}]
        config = {"routes": routes, "global_rules": rules, "plugins_dir": str(directory / "plugins")}
        with Gateway(directory, config) as running:
            yield running


def whole(gateway: Gateway, target: str) -> Answer:
    """An answer of the upstream's without its chunks, as to HTTP/1.0 it goes until the connection closes."""
    return parse(wire.raw(gateway.data, f"GET {target} HTTP/1.0\r\nHost: test\r\nX-Say: {PLAIN}\r\n\r\n".encode()))


@pytest.mark.parametrize(
    ("name", "body"), [("body", b"new"), ("filters", b"aanswer"), ("redact", b"answer X"), ("echo", b"<answer")]
)
def test_bodies_are_changed_once_and_always(gateway: Gateway, name: str, body: bytes) -> None:
    first, again = whole(gateway, f"/{name}/1"), fetch(gateway, f"/{name}/1")
    assert (status(first), status(again)) == ("MISS", "HIT")
    assert first.body == again.body
    assert first.body.startswith(body)
    conditional = fetch(gateway, f"/{name}/1", "If-None-Match: *")
    assert (conditional.status, conditional.body) == (304, b"") or name == "body"
    assert again.header("Content-Length") == [str(len(again.body))]
    assert first.header("X-R") == again.header("X-R") == (["1"] if name == "body" else [])


def test_codings(gateway: Gateway) -> None:
    plain = fetch(gateway, "/gzip/1", say=PLAIN)
    coded = fetch(gateway, "/gzip/1", "Accept-Encoding: gzip")
    assert (status(plain), status(coded)) == ("MISS", "HIT")
    assert (coded.header("Content-Encoding"), gzip.decompress(coded.body)) == (["gzip"], plain.body)
    first = fetch(gateway, "/gzip/2", "Accept-Encoding: gzip", say=PLAIN)
    again = fetch(gateway, "/gzip/2")
    assert (status(first), status(again), again.header("Content-Encoding")) == ("MISS", "HIT", [])
    assert first.header("Content-Encoding") == ["gzip"]
    assert again.body.startswith(b"answer")
    part = fetch(gateway, "/gzip/2", "Accept-Encoding: gzip", "Range: bytes=0-1")
    assert (part.status, part.body, part.header("Content-Encoding")) == (206, b"an", [])


def test_headers(gateway: Gateway) -> None:
    for want in ("MISS", "HIT"):
        answer = fetch(gateway, "/cors/1", "Origin: http://a.test", say=PLAIN)
        assert (status(answer), answer.header("Access-Control-Allow-Origin")) == (want, ["*"])
    ids = [fetch(gateway, "/id/1", say=PLAIN).header("X-Request-Id")[0] for _ in range(3)]
    assert len(set(ids)) == 3


def test_a_global_rule_passes_no_check_of_a_route_by(gateway: Gateway) -> None:
    for _ in range(2):
        refused = fetch(gateway, "/checked/1?global=1", say=PLAIN)
        assert (refused.status, status(refused)) == (403, "BYPASS")
    assert fetch(gateway, "/nothere?global=1").status == 404
    for want in ("MISS", "HIT"):
        assert status(fetch(gateway, "/free/1?global=1", say=PLAIN)) == want


def test_what_a_route_left_is_not_what_another_finds(gateway: Gateway) -> None:
    node = gateway.config["routes"][0]["upstream"]
    for name, methods in (("one", ["1"]), ("two", ["2"])):
        route = {"uri": "/both", "vars": [["arg_x", "==", methods[0]]], "upstream": node}
        plugins = {"proxy-cache": {**MEMORY, "cache_key": ["$host", "$uri"]}}
        gateway.put(f"routes/{name}", {**route, "plugins": plugins})
    assert [status(fetch(gateway, f"/both?x={x}", say=PLAIN)) for x in "1122"] == ["MISS", "HIT", "MISS", "HIT"]
    assert fetch(gateway, "/both?x=1", method="PURGE").status == 200
    assert status(fetch(gateway, "/both?x=2", say=PLAIN)) == "MISS"


@pytest.mark.parametrize(("name", "body"), [("filters", "answer b"), ("echo", "")])
def test_what_is_known_of_other_answers_is_in_no_body(gateway: Gateway, name: str, body: str) -> None:
    """The cache looks first at what it cannot give then: of another variant, and what has become old."""
    target, own = f"/{name}/old", "X-Own: secret | Vary: X-V"
    one = fetch(gateway, target, "X-V: 1", say=f"{HOUR} | {own}")
    other = fetch(gateway, target, "X-V: 2", f"X-Body: {body}", say=f"Cache-Control: max-age=1 | {own}")
    assert [status(each) for each in (one, other)] == ["MISS", "MISS"]
    expected = b"aanswer b" if body else b"<>"
    assert expected in other.body
    assert len(other.body) <= len(expected) + len("9\r\n\r\n0\r\n\r\n")

    def renewed() -> bool:
        again = fetch(gateway, target, "X-V: 2", f"X-Body: {body}", say=f"{HOUR} | {own}")
        assert len(again.body) <= len(expected) + len("9\r\n\r\n0\r\n\r\n")
        return status(again) == "EXPIRED"

    until(renewed, "it becomes old")


def test_what_a_rewrite_asks_the_upstream_is_another_resource(gateway: Gateway) -> None:
    """Also where it says in the query what the key has not."""
    one, other = (fetch(gateway, "/asked/1?x=1", f"X-Tenant: {who}", say=HOUR) for who in ("a", "b"))
    again = fetch(gateway, "/asked/1?x=1", "X-Tenant: a", say=HOUR)
    assert [status(each) for each in (one, other, again)] == ["MISS", "MISS", "HIT"]
    assert one.body == again.body != other.body


def test_who_explains_a_request_is_not_shown_what_is_kept(gateway: Gateway) -> None:
    """It was an answer to somebody, perhaps from where whoever asks the Admin API may not be."""
    for want in ("MISS", "HIT"):
        assert status(fetch(gateway, "/id/explained", say=PLAIN)) == want
    told = gateway.api("POST", "explain", {"uri": "/id/explained", "host": "test"}).json()
    assert told["outcome"] == {"proxied": True}


def test_a_global_rules_and_the_routes(gateway: Gateway) -> None:
    """One of them keeps the answer, and the other does not fail of it."""
    first, again = (fetch(gateway, "/id/both?global=1", say=HOUR) for _ in range(2))
    assert [set(each.header("Apisix-Cache-Status")) for each in (first, again)] == [{"MISS"}, {"HIT"}]
    assert first.body == again.body
    assert "by one who asks" not in gateway.log()
