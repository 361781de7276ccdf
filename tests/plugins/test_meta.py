"""`_meta.filter` and `_meta.error_response` from outside, and a route's `vars`, which are conditions of the same kind."""

import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.plugins.mirror import ask, consumer, mirror
from tests.support.gateway import Gateway
from tests.support.wire import Address

Conf = dict[str, Any]
KIM = consumer("kim", ("k", {"key-auth": {"key": "kim-key"}}))
MISSING = b'{"message":"Missing API key in request"}\n'


def filtered(rules: list[Any], **conf: Any) -> Conf:
    return {**conf, "_meta": {"filter": rules}}


def routes(upstream: Address, plugins: dict[str, Conf], **more: Any) -> Conf:
    """A route `/<name>` for each set of plugins."""
    node = {"type": "roundrobin", "nodes": {str(upstream): 1}}
    return {
        "consumers": [KIM, {"username": "guest"}],
        "routes": [{"id": name, "uri": f"/{name}", "upstream": node, "plugins": confs} for name, confs in plugins.items()],
        **more,
    }


# ---- filter --------------------------------------------------------------------------------------


def test_a_plugin_runs_where_its_condition_holds(directory: Path) -> None:
    """Rows H97 and H98 of APISIX's recording, and others."""
    confs = {
        "arg": {"key-auth": filtered([["arg_a", "==", "1"]])},
        "header": {"key-auth": filtered([["http_x_tenant", "~*", "^acme-"], ["request_method", "==", "GET"]])},
        "or": {"key-auth": filtered(["OR", ["arg_a", ">", 5], ["cookie_k", "in", ["x", "y"]]])},
        "not": {"key-auth": filtered([["remote_addr", "!", "ipmatch", ["127.0.0.0/8", "::1"]]])},
        "always": {"key-auth": filtered([])},
    }
    with mirror() as upstream, Gateway(directory, routes(upstream.address, confs)) as gateway:
        for target, fields, asks in (
            ("/arg", (), False),
            ("/arg?a=1", (), True),
            ("/arg?%61=%31", (), True),
            ("/arg?a=2&a=1", (), False),
            ("/header", (), False),
            ("/header", ("X-Tenant: ACME-1",), True),
            ("/header", ("x_tenant: acme-1",), True),
            ("/header", ("X-Tenant: other",), False),
            ("/or", (), False),
            ("/or?a=6", (), True),
            ("/or?a=5", ("Cookie: k=y",), True),
            ("/not", (), False),
            ("/always", (), True),
        ):
            answer = ask(gateway, target, *fields)
            assert (answer.status, answer.body if asks else b"") == ((401, MISSING) if asks else (200, b"")), target


def test_a_skipped_auth_plugin_leaves_a_request_without_a_consumer(directory: Path) -> None:
    """Not even the anonymous one; nor does a forged identity pass."""
    confs = {
        "key": {"key-auth": filtered([["arg_auth", "==", "1"]]), "limit-count": {"count": 9, "time_window": 60}},
        "guest": {"key-auth": filtered([["arg_auth", "==", "1"]], anonymous_consumer="guest")},
    }
    with mirror() as upstream, Gateway(directory, routes(upstream.address, confs)) as gateway:
        for name in confs:
            skipped = ask(gateway, f"/{name}", "apikey: kim-key", "X-Consumer-Username: kim")
            assert (skipped.status, "X-Consumer-Username" in skipped.sent) == (200, False)
            assert "X-Consumer-Username: kim\r\n" in ask(gateway, f"/{name}?auth=1", "apikey: kim-key").sent
        assert "X-Consumer-Username: guest\r\n" in ask(gateway, "/guest?auth=1").sent


def test_all_phases_of_a_plugin_or_none(directory: Path) -> None:
    """What hides the argument in between does not change the verdict."""
    confs = {"id": {"request-id": filtered([["arg_id", "==", "1"]]), "key-auth": {"query": "id", "hide_credentials": True}}}
    kim = consumer("kim", ("k", {"key-auth": {"key": "1"}}))
    with mirror() as upstream, Gateway(directory, {**routes(upstream.address, confs), "consumers": [kim]}) as gateway:
        both = ask(gateway, "/id?id=1")
        assert ("X-Request-Id" in both.sent, len(both.header("X-Request-Id"))) == (True, 1)
        neither = ask(gateway, "/id?id=2")
        assert (neither.status, neither.header("X-Request-Id")) == (401, [])


def test_conditions_on_the_consumer_and_in_every_layer(directory: Path) -> None:
    limit = {"count": 5, "time_window": 60}
    node = {"type": "roundrobin", "nodes": {}}
    with mirror() as upstream:
        node["nodes"] = {str(upstream.address): 1}
        config = {
            "consumers": [
                consumer("kim", ("k", {"key-auth": {"key": "kim-key"}})),
                consumer("lee", ("k", {"key-auth": {"key": "lee-key"}}), group_id="g"),
                consumer(
                    "ann",
                    ("k", {"key-auth": {"key": "ann-key"}}),
                    plugins={"limit-count": filtered([["arg_x", "==", "1"]], **limit)},
                ),
            ],
            "consumer_groups": [{"id": "g", "plugins": {"limit-count": filtered([["consumer_group_id", "==", "g"]], **limit)}}],
            "services": [{"id": "s", "plugins": {"ip-restriction": filtered([["arg_s", "==", "1"]], whitelist=["10.0.0.0/8"])}}],
            "plugin_configs": [{"id": "p", "plugins": {"request-id": filtered([["arg_p", "==", "1"]])}}],
            "global_rules": [{"id": "r", "plugins": {"limit-req": filtered([["arg_g", "==", "1"]], rate=1, burst=0, key="uri")}}],
            "routes": [
                {
                    "id": "r",
                    "uri": "/r",
                    "service_id": "s",
                    "plugin_config_id": "p",
                    "upstream": node,
                    "plugins": {
                        "key-auth": {},
                        "limit-count": filtered([["consumer_name", "==", "kim"]], **{**limit, "count": 7}),
                    },
                }
            ],
        }
        with Gateway(directory, config) as gateway:
            for key, target, limits in (
                ("kim-key", "/r", ["7"]),
                ("lee-key", "/r", ["5"]),
                ("ann-key", "/r?x=1", ["5"]),
                ("ann-key", "/r", []),  # its own conf wins, and its condition does not hold: the route's does not step in
            ):
                answer = ask(gateway, target, f"apikey: {key}")
                assert (answer.status, answer.header("X-RateLimit-Limit")) == (200, limits)
            assert ask(gateway, "/r?s=1", "apikey: kim-key").status == 403
            assert len(ask(gateway, "/r?p=1", "apikey: kim-key").header("X-Request-Id")) == 1
            statuses = {ask(gateway, "/r?g=1", "apikey: ann-key").status for _ in range(3)}
            assert statuses == {200, 503}


def test_a_changed_condition_is_in_force_when_its_write_is_answered(directory: Path) -> None:
    with mirror() as upstream, Gateway(directory, routes(upstream.address, {"r": {"key-auth": {}}}, workers=2)) as gateway:
        route = gateway.config["routes"][0]
        for number in range(4):
            gateway.put("routes/r", {**route, "plugins": {"key-auth": filtered([["arg_n", "==", number]])}})
            assert (ask(gateway, f"/r?n={number}").status, ask(gateway, f"/r?n={number + 1}").status) == (401, 200)


@pytest.mark.parametrize(
    ("kind", "plugins", "text"),
    [
        ("routes/x", {"key-auth": filtered([["arg_a", "=", "1"]])}, "expected one of"),
        ("routes/x", {"key-auth": filtered([["arg_a", "~~", "("]])}, "expected a regular expression"),
        ("routes/x", {"key-auth": filtered([["arg_a", "~~", "a(?!b)"]])}, "no look-around"),
        ("routes/x", {"key-auth": filtered([["url", "==", "1"]])}, "unknown variable"),
        ("routes/x", {"key-auth": filtered([["OR", ["uri", "==", "/"], [["post_args", "==", "1"]]]])}, "unknown variable"),
        ("routes/x", {"key-auth": filtered([["graphql_names", "has", "x"]])}, "unknown variable"),
        ("consumers/kim/credentials/x", {"key-auth": filtered([["arg_a", "==", "1"]], key="x")}, "no condition"),
        ("consumers/lee", {"key-auth": filtered([["arg_a", "==", "1"]], key="x")}, "no condition"),
    ],
)
def test_a_condition_that_cannot_be_judged_is_refused(directory: Path, kind: str, plugins: Conf, text: str) -> None:
    body: Conf = {"plugins": plugins}
    if kind == "routes/x":
        body |= {"uri": "/x", "upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:1": 1}}}
    elif kind == "consumers/lee":
        body["username"] = "lee"
    with Gateway(directory, {"consumers": [KIM]}) as gateway:
        answer = gateway.api("PUT", kind, body)
        assert answer.status == 400
        assert text in answer.body.decode()


def test_explain_tells_which_plugins_a_condition_lets_run(directory: Path) -> None:
    error = {"_meta": {"error_response": "go away", "filter": [["arg_a", "==", "1"]]}}
    confs = {"r": {"key-auth": error, "limit-count": filtered([["arg_b", "==", "1"]], count=1, time_window=60)}}
    with mirror() as upstream, Gateway(directory, routes(upstream.address, confs)) as gateway:
        for target, names, body in (("/r", [], None), ("/r?a=1", ["key-auth"], "go away"), ("/r?b=1", ["limit-count"], None)):
            for _ in range(3):
                answer = gateway.api("POST", "explain", {"uri": target})
                told = json.loads(answer.body)
                assert [each["name"] for each in told["plugins"]] == names
                assert told["outcome"].get("body") == body
        assert ask(gateway, "/r?b=1").status == 200  # explaining took nothing of the limit


# ---- error_response ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "body", "type_"),
    [
        ("no entry", b"no entry", "text/plain; charset=utf-8"),
        ("", b"", None),
        ({"message": "custom"}, b'{"message":"custom"}\n', "application/json"),
        ({"a": [1, {"b": None}]}, b'{"a":[1,{"b":null}]}\n', "application/json"),
        ({}, b"{}\n", "application/json"),
    ],
)
def test_the_body_of_a_refusal(directory: Path, error: Any, body: bytes, type_: str | None) -> None:
    """Row H96: status and headers stay, the reason is in the log."""
    log = directory / "access.log"
    meta = {"_meta": {"error_response": error}}
    confs = {"r": {"key-auth": meta}, "limit": {"limit-count": {"count": 1, "time_window": 60, "rejected_code": 429, **meta}}}
    with mirror() as upstream:
        with Gateway(directory, routes(upstream.address, confs, access_log={"path": str(log)})) as gateway:
            refused = ask(gateway, "/r")
            assert (refused.status, refused.body) == (401, body)
            assert refused.header("Content-Type") == ([] if type_ is None else [type_])
            assert refused.header("WWW-Authenticate") == ['apikey realm="key"']
            assert ask(gateway, "/r", "apikey: kim-key").status == 200
            assert ask(gateway, "/limit").status == 200
            over = ask(gateway, "/limit")
            assert (over.status, over.body, len(over.header("Retry-After"))) == (429, body, 1)
            assert over.header("X-RateLimit-Remaining") == ["0"]
        lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line.get("refused") for line in lines] == ["key.missing", None, None, "limit-count.exceeded"]


def test_only_refusals_of_that_plugin_get_it(directory: Path) -> None:
    confs = {
        "other": {"limit-count": {"count": 9, "time_window": 60, "_meta": {"error_response": "x"}}, "key-auth": {}},
        "below": {"limit-count": {"count": 1, "time_window": 60, "rejected_code": 200, "_meta": {"error_response": "x"}}},
        "guest": {"key-auth": {"anonymous_consumer": "guest", "_meta": {"error_response": "x"}}},
        "nobody": {"key-auth": {"anonymous_consumer": "gone", "_meta": {"error_response": "x"}}},
    }
    with mirror() as upstream, Gateway(directory, routes(upstream.address, confs)) as gateway:
        assert ask(gateway, "/other").body == MISSING
        assert [ask(gateway, "/below").body != b"x" for _ in range(2)] == [True, True]
        assert "X-Consumer-Username: guest\r\n" in ask(gateway, "/guest").sent
        assert (ask(gateway, "/nobody").status, ask(gateway, "/nobody").body) == (401, b"x")
        assert ask(gateway, "/none").status == 404


def test_a_refusal_that_had_to_wait(directory: Path) -> None:
    """For a signature that threads judge."""
    good, other = (ec.generate_private_key(ec.SECP521R1()) for _ in range(2))
    public = good.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    slow = consumer("slow", ("c", {"jwt-auth": {"key": "slow", "algorithm": "ES512", "public_key": public}}))
    confs = {"own": {"jwt-auth": {"_meta": {"error_response": "x"}}}, "plain": {"jwt-auth": {}}}
    with mirror() as upstream, Gateway(directory, {**routes(upstream.address, confs), "consumers": [slow]}) as gateway:
        for number in range(3):
            passes, fails = (f"Authorization: {jwt.encode({'key': 'slow', 'n': number}, key, 'ES512')}" for key in (good, other))
            for name in confs:
                assert "X-Consumer-Username: slow\r\n" in ask(gateway, f"/{name}", passes).sent
                refused = ask(gateway, f"/{name}", fails)
                assert (refused.status, refused.body == b"x") == (401, name == "own")


# ---- vars ----------------------------------------------------------------------------------------


def test_a_route_takes_requests_of_which_its_vars_hold(directory: Path) -> None:
    with mirror() as upstream:
        node = {"type": "roundrobin", "nodes": {str(upstream.address): 1}}

        def route(id_: str, count: int, **fields: Any) -> Conf:
            return {"id": id_, "upstream": node, "plugins": {"limit-count": {"count": count, "time_window": 60}}, **fields}

        config = {
            "routes": [
                route("canary", 1001, uri="/a", vars=[["http_x_canary", "==", "1"]], priority=1),
                route("plain", 1002, uri="/a"),
                route("only", 1003, uri="/b", vars=["OR", ["arg_v", ">=", 2], ["cookie_v", "~~", "^2"]]),
                route("rest", 1004, uri="/b*", vars=[["uri", "~*", "/B/[0-9]+$"]]),
            ]
        }
        with Gateway(directory, config) as gateway:
            for target, fields, limit in (
                ("/a", (), "1002"),
                ("/a", ("X-Canary: 1",), "1001"),
                ("/a", ("X-Canary: 1", "X-Canary: 1"), "1002"),
                ("/b?v=2", (), "1003"),
                ("/b", ("Cookie: v=20",), "1003"),
                ("/b/12", (), "1004"),
                ("/b/./1%32", (), "1004"),
                ("/b?v=1", (), None),
                ("/b/x", (), None),
            ):
                answer = ask(gateway, target, *fields)
                assert answer.header("X-RateLimit-Limit") == ([] if limit is None else [limit]), target
                assert answer.status == (404 if limit is None else 200)
            gateway.put("routes/only", route("only", 1005, uri="/b", vars=[["arg_v", "==", "1"]]))
            assert ask(gateway, "/b?v=1").header("X-RateLimit-Limit") == ["1005"]
            assert ask(gateway, "/b?v=2").status == 404
            told = json.loads(gateway.api("POST", "explain", {"uri": "/b?v=2"}).body)
            assert told["outcome"]["reason"] == "route only takes this host and path, but its vars do not hold"
            wrong = gateway.api("PUT", "routes/only", route("only", 1, uri="/b", vars=[["no_such", "==", "1"]]))
            assert (wrong.status, b"unknown variable" in wrong.body) == (400, True)
