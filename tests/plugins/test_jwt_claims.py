"""Claims from outside: what a route demands of them, which it hands on, and that a client can say none of it itself."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.mirror import Answer, ask, consumer, mirror
from tests.support.gateway import Gateway
from tests.support.tokens import token
from tests.support.upstreams import Answering

SECRET = "john-hs256-secret-of-enough-bytes"
WRONG = b'{"message":"failed to verify jwt"}\n'
TO_HEADERS = {"sub": "X-Sub", "realm.roles": "X-Roles", r"https://a\.b/c": "X-Spaced", "admin": "X-Admin", "n": "X-Number"}
CONFS: dict[str, dict[str, Any]] = {
    "plain": {},
    "issuers": {"issuers": ["https://a", "https://b"]},
    "other": {"issuers": ["https://c"]},
    "audiences": {"audiences": ["api", "web"]},
    "age": {"max_token_age": 1000},
    "headers": {"claims_to_headers": TO_HEADERS},
    "guest": {"claims_to_headers": TO_HEADERS, "anonymous_consumer": "guest"},
    "hidden": {"claims_to_headers": TO_HEADERS, "hide_credentials": True},
    "off": {"claims_to_headers": TO_HEADERS, "_meta": {"disable": True}},
}


@pytest.fixture(scope="module")
def gateway(up: Answering, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("claims")
    node = {"nodes": {str(up.address): 1}}
    john = {"key": "john-key", "secret": SECRET}
    config = {
        "consumers": [consumer("john", ("j", {"jwt-auth": john})), {"username": "guest"}],
        "routes": [{"id": n, "uri": f"/{n}", "upstream": node, "plugins": {"jwt-auth": c}} for n, c in CONFS.items()],
        "access_log": {"path": str(directory / "access.log")},
    }
    with Gateway(directory, config) as running:
        yield running


def get(gateway: Gateway, route: str, *fields: str, **claims: Any) -> Answer:
    return ask(gateway, f"/{route}", f"Authorization: Bearer {token('john-key', SECRET, **claims)}", *fields)


def test_issuers_and_audiences_are_each_routes_own(gateway: Gateway) -> None:
    claims = {"iss": "https://b", "aud": ["x", "web"]}
    for _ in range(2):  # verified by the first route, remembered on all others
        answers = {route: get(gateway, route, **claims) for route in ("plain", "issuers", "other", "audiences")}
        assert {route: answer.status for route, answer in answers.items()} == {
            "plain": 200,
            "issuers": 200,
            "other": 401,
            "audiences": 200,
        }
        assert (answers["other"].body, answers["other"].header("WWW-Authenticate")) == (WRONG, ['Bearer realm="jwt"'])
    assert get(gateway, "audiences", aud="api").status == 200
    for aud in ("API", "", [], ["x"], "api,web"):
        assert get(gateway, "audiences", aud=aud).status == 401, aud
    assert [get(gateway, "issuers").status, get(gateway, "audiences").status] == [401, 401]


def test_the_age_of_a_token(gateway: Gateway) -> None:
    now = int(time.time())
    for claims, status in (
        ({"iat": now}, 200),
        ({"iat": now - 500}, 200),
        ({"iat": now - 1500}, 401),
        ({"iat": now + 500}, 401),
        ({}, 401),
    ):
        for _ in range(2):
            assert get(gateway, "age", expires_in=None, **claims).status == status, claims


def test_what_the_log_says(directory: Path) -> None:
    log = directory / "access.log"
    now = int(time.time())
    with mirror() as upstream:
        rules = {"issuers": ["i"], "audiences": ["a"], "max_token_age": 1000}
        route = {"id": "r", "uri": "/*", "plugins": {"jwt-auth": rules}, "upstream": {"nodes": {str(upstream.address): 1}}}
        john = consumer("john", ("j", {"jwt-auth": {"key": "john-key", "secret": SECRET}}))
        with Gateway(directory, {"consumers": [john], "routes": [route], "access_log": {"path": str(log)}}) as running:
            good = {"iss": "i", "aud": "a", "iat": now}
            for change in ({"iss": "x"}, {"aud": "x"}, {"iat": now - 2000}, {"iat": now + 2000}, {"iat": None}, {}):
                get(running, "", **{**good, **change})
            get(running, "", iss="i", aud="a")
        lines = [json.loads(line).get("refused") for line in log.read_text().splitlines()]
        names = ["issuer", "audience", "too_old", "iat_in_future", "bad_claim"]
        assert lines == [*(f"jwt.{name}" for name in names), None, "jwt.iat_missing"]


def fields(answer: Answer) -> dict[str, list[str]]:
    """What the upstream saw under the names of claims, whatever their spelling."""
    found: dict[str, list[str]] = {}
    for line in answer.sent.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        folded = name.lower().replace("_", "-").replace(".", "-")
        if folded in {header.lower() for header in TO_HEADERS.values()}:
            found.setdefault(folded, []).append(value.strip())
    return found


CLAIMS = {"sub": "s-1", "realm": {"roles": ["a", "b"]}, "https://a.b/c": "x", "admin": True, "n": 1.5}
SEEN = {"x-sub": ["s-1"], "x-roles": ["a,b"], "x-spaced": ["x"], "x-admin": ["true"], "x-number": ["1.5"]}
FORGED = [
    f"{name}: forged"
    for header in TO_HEADERS.values()
    for name in (header, header.lower(), header.replace("-", "_"), header.upper())
]


def test_claims_go_upstream_and_what_the_client_says_does_not(gateway: Gateway) -> None:
    for route in ("headers", "guest", "hidden"):
        for extra in ((), FORGED):
            for _ in range(2):
                answer = get(gateway, route, *extra, **CLAIMS)
                assert (answer.status, fields(answer), "forged" in answer.sent) == (200, SEEN, False)
        few = get(gateway, route, *FORGED, sub="only")
        assert (fields(few), "forged" in few.sent) == ({"x-sub": ["only"]}, False)
        none = get(gateway, route, *FORGED, sub={"a": 1}, realm="x", admin=None)
        assert (none.status, fields(none), "forged" in none.sent) == (200, {}, False)


def test_what_stands_for_nobody_says_nothing_either(gateway: Gateway) -> None:
    for token_fields in ((), ("Authorization: x",), (f"Authorization: {token('john-key', 'wrong' * 8, **CLAIMS)}",)):
        guest = ask(gateway, "/guest", *token_fields, *FORGED)
        assert (guest.status, fields(guest), "forged" in guest.sent) == (200, {}, False)
        assert "X-Consumer-Username: guest\r\n" in guest.sent
    assert "forged" in ask(gateway, "/off", *FORGED).sent  # a plugin that is disabled owns nothing
    assert "X-Sub: forged\r\n" in get(gateway, "plain", "X-Sub: forged").sent


def test_no_claim_begins_a_line_of_its_own(gateway: Gateway) -> None:
    for value in ("a\r\nX-Admin: true", "a\nX-Admin: true", "a\0", "a\x7f", "\u0085", ["a", "b\r\nX-Admin: true"]):
        answer = get(gateway, "headers", sub=value, realm={"roles": value})
        assert (answer.status, fields(answer)) == (200, {}), value


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"issuers": []}, "issuers"),
        ({"issuers": "a"}, "issuers"),
        ({"issuers": [""]}, "issuers"),
        ({"issuers": ["a", "a"]}, "issuers"),
        ({"audiences": []}, "audiences"),
        ({"audiences": [1]}, "audiences"),
        ({"max_token_age": 0}, "max_token_age"),
        ({"max_token_age": 1.5}, "max_token_age"),
        ({"max_token_age": "60"}, "max_token_age"),
        ({"claims_to_headers": {"": "X-A"}}, "claims_to_headers"),
        ({"claims_to_headers": {".": "X-A"}}, "claims_to_headers"),
        ({"claims_to_headers": {"a.": "X-A"}}, "claims_to_headers"),
        ({"claims_to_headers": {"a..b": "X-A"}}, "claims_to_headers"),
        ({"claims_to_headers": {"a\\b": "X-A"}}, "claims_to_headers"),
        ({"claims_to_headers": {"a": ""}}, "claims_to_headers"),
        ({"claims_to_headers": {"a": "X A"}}, "claims_to_headers"),
        ({"claims_to_headers": {"a": "X-A\r\nX-B: 1"}}, "claims_to_headers"),
        ({"claims_to_headers": {"a": 1}}, "claims_to_headers"),
        ({"claims_to_headers": {"a": "Host"}}, "claims_to_headers"),
        ({"claims_to_headers": {"a": "content-length"}}, "claims_to_headers"),
        ({"claims_to_headers": {"a": "Transfer_Encoding"}}, "claims_to_headers"),
        ({"claims_to_headers": {"a": "Connection"}}, "claims_to_headers"),
        ({"claims_to_headers": {"a": "X-Consumer-Username"}}, "claims_to_headers"),
        ({"claims_to_headers": {"a": "x_credential_identifier"}}, "claims_to_headers"),
        ({"claims_to_headers": {"a": "X-Forwarded-User"}}, "claims_to_headers"),
        ({"claims_to_headers": {"a": "Cookie"}}, "claims_to_headers"),
        ({"claims_to_headers": {"a": "X-A", "b": "x_a"}}, "claims_to_headers"),
        ({"claims_to_headers": {f"c{i}": f"X-{i}" for i in range(17)}}, "claims_to_headers"),
    ],
)
def test_rules_that_are_refused(gateway: Gateway, members: dict[str, Any], path: str) -> None:
    route = {"uri": "/new", "upstream": {"nodes": {"127.0.0.1:1": 1}}, "plugins": {"jwt-auth": members}}
    answer = gateway.api("PUT", "routes/new", route)
    assert (answer.status, path in answer.json()["error_msg"]) == (400, True), answer.body


def test_rules_are_changed_in_place(gateway: Gateway) -> None:
    route = {"uri": "/changing", "upstream": gateway.config["routes"][0]["upstream"], "plugins": {"jwt-auth": {"issuers": ["a"]}}}
    gateway.put("routes/changing", route)
    assert [get(gateway, "changing", iss=iss).status for iss in ("a", "b")] == [200, 401]
    assert gateway.api("PATCH", "routes/changing/plugins/jwt-auth/issuers", ["b"]).status == 200
    assert [get(gateway, "changing", iss=iss).status for iss in ("a", "b")] == [401, 200]
    changed = {"plugins": {"jwt-auth": {"issuers": None, "claims_to_headers": {"iss": "X-Sub"}}}}
    assert gateway.api("PATCH", "routes/changing", changed).status == 200
    assert [fields(get(gateway, "changing", "x-sub: forged", iss=iss)) for iss in ("a", "b")] == [
        {"x-sub": ["a"]},
        {"x-sub": ["b"]},
    ]
