"""What is said of a request is what becomes of it: compared with the core that serves, over configurations made up at random."""

import base64
import json
import os
import re
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw import _core
from fastgw.admin.explanation import Explainer
from fastgw.admin.question import Question
from fastgw.compile import Compiler
from fastgw.schema.settings import Limits

from tests.support.core import OK  # isort: skip

SECRETS = ("the-key-of-john", "the-key-of-jane", "the-password-of-jane")
BASIC = base64.b64encode(b"jane:the-password-of-jane").decode()
WRONG = base64.b64encode(b"jane:the-password-of-john").decode()


class Change(NamedTuple):
    kind: str
    id: str
    value: dict[str, Any]
    created: int


Objects = dict[tuple[str, str], dict[str, Any]]


def changes(objects: Objects) -> list[Change]:
    return [Change(kind, id_, value, number) for number, ((kind, id_), value) in enumerate(objects.items(), 1)]


def explained(objects: Objects, question: Question) -> dict[str, Any]:
    explainer = Explainer(Limits())
    explainer.follow(changes(objects))
    return explainer.explain(question, lambda kind, id_: (objects[kind, id_], "file") if (kind, id_) in objects else None)


def served(objects: Objects, question: Question) -> tuple[dict[str, Any], bytes]:
    """The access log's line and the answer, of a core that is not watched."""
    wire = _core.Wire(Compiler().apply(changes(objects)).snapshot)
    log = os.memfd_create("log")
    wire.access_log(log)
    client = wire.open(question.remote_addr)
    wire.push(client, question.head())
    for line, side, _ in wire.lines():
        if side == "up":
            wire.push(line, OK)
    wire.access_log(-1)
    line = os.pread(log, 1 << 16, 0)
    os.close(log)
    return json.loads(line), wire.pull(client)


# ---- at random -----------------------------------------------------------------------------------

UPSTREAM = {"type": "roundrobin", "nodes": {"127.0.0.1:81": 1}}
LIMIT = {"count": 100, "time_window": 30}
AUTH = {"key-auth": {}, "basic-auth": {}}
OTHERS = {"limit-count": LIMIT, "limit-req": {"rate": 10, "burst": 5, "key": "remote_addr"}, "request-id": {}}
CASES = [
    {"case": [["uri", "==", "/a"]], "actions": [["limit-count", LIMIT]]},
    {
        "case": [["uri", "==", "/a/b"]],
        "actions": [["limit-conn", {"conn": 9, "burst": 0, "default_conn_delay": 1, "key": "host"}]],
    },
    {"case": [["request_method", "==", "DELETE"]], "actions": [["return", {"code": 405}]]},
]
OTHERS |= {"workflow": {"rules": CASES}, "api-breaker": {"break_response_code": 503}}
JOHN = {"key-auth": {"key": SECRETS[0]}}
DENY = {"ip-restriction": {"blacklist": ["10.0.0.0/8"]}}


def some(plugins: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.sets(st.sampled_from(sorted(plugins))).map(lambda names: {name: plugins[name] for name in sorted(names)})


def given_or_not(name: str, values: list[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.sampled_from([{}, *({name: value} for value in values)])


def merged(*parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*parts).map(lambda all_: {name: value for part in all_ for name, value in part.items()})


routes = st.lists(
    merged(
        st.sampled_from(["/a", "/a/*", "/a/b", "/*", "/b*", "/a%20b"]).map(lambda uri: {"uri": uri}),
        given_or_not("host", ["a.test", "*.test", "b.test", "*.a.test"]),
        given_or_not("methods", [["GET"], ["POST", "PUT"]]),
        given_or_not("priority", [1, -1]),
        given_or_not("remote_addr", ["10.0.0.0/8", "127.0.0.1"]),
        given_or_not("service_id", ["s"]),
        given_or_not("plugin_config_id", ["p"]),
        given_or_not("upstream", [UPSTREAM]),
        given_or_not("status", [0]),
        some({**AUTH, **OTHERS, **DENY}).map(lambda plugins: {"plugins": plugins}),
    ),
    min_size=1,
    max_size=8,
)
shared = st.fixed_dictionaries(
    {
        ("services", "s"): merged(some({**AUTH, **DENY}).map(lambda p: {"plugins": p}), given_or_not("hosts", [["a.test"]])),
        ("plugin_configs", "p"): some({**AUTH, **OTHERS}).map(lambda p: {"plugins": p}),
        ("consumer_groups", "g"): some({**OTHERS, **DENY}).map(lambda p: {"plugins": p}),
        ("global_rules", "1"): some({**OTHERS, **DENY}).map(lambda p: {"plugins": p}),
        ("consumers", "john"): some(OTHERS).map(
            lambda p: {"username": "john", "plugins": {"key-auth": {"key": SECRETS[0]}, **p}}
        ),
        ("consumers", "jane"): some(OTHERS).map(lambda p: {"username": "jane", "group_id": "g", "plugins": p}),
        ("credentials", "jane/k"): st.just({"id": "k", "plugins": {"key-auth": {"key": SECRETS[1]}}}),
        ("credentials", "jane/b"): st.just({"id": "b", "plugins": {"basic-auth": {"username": "jane", "password": SECRETS[2]}}}),
    }
)
questions = st.builds(
    Question,
    method=st.sampled_from(["GET", "POST", "DELETE", "HEAD"]),
    host=st.sampled_from(["a.test", "A.test:80", "b.test", "x.a.test", "other"]),
    uri=st.sampled_from(["/", "/a", "/a?apikey=the-key-of-john", "/a/b", "/a//b", "/a/./b", "/bc", "/a%20b", "/%61", "/a/../.."]),
    headers=merged(
        given_or_not("apikey", [SECRETS[0], SECRETS[1], "wrong"]),
        given_or_not("Authorization", [f"Basic {BASIC}", f"Basic {WRONG}"]),
    ),
    remote_addr=st.sampled_from(["127.0.0.1", "10.1.2.3", "2001:db8::1"]),
)


def nameless(body: str) -> str:
    """Without the id that is made for each answer of the gateway's own."""
    return re.sub(r'(?<="request_id":)"[0-9a-f-]{36}"', '""', body)


@settings(max_examples=300, deadline=None)
@given(routes, shared, questions)
def test_an_explanation_is_what_happens(routes: list[dict[str, Any]], shared: Objects, question: Question) -> None:
    objects = {**shared, **{("routes", str(number)): {"id": str(number), **route} for number, route in enumerate(routes)}}
    line, answer = served(objects, question)
    said = explained(objects, question)
    assert (said["route"] or {}).get("id") == line.get("route")
    assert (said["consumer"] or {}).get("username") == line.get("consumer")
    assert (said["consumer"] or {}).get("credential") == line.get("credential")
    outcome = said["outcome"]
    assert outcome["proxied"] is ("upstream_status" in line)
    if not outcome["proxied"]:
        assert outcome["status"] == line["status"]
        assert question.method == "HEAD" or nameless(outcome["body"]) == nameless(answer.decode().partition("\r\n\r\n")[2])
        assert "route" not in line or outcome["reason"] == line["refused"]
    assert not any(secret in json.dumps(said) for secret in (*SECRETS, BASIC, WRONG))


# ---- one thing each ------------------------------------------------------------------------------


def plugins(**more: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "-"): conf for name, conf in more.items()}


CONN = {"conn": 1, "burst": 0, "default_conn_delay": 1, "key": "host"}
LAYERS: Objects = {
    ("services", "s"): {"id": "s", "plugins": plugins(key_auth={}, limit_req=OTHERS["limit-req"]), "upstream_id": "u"},
    ("plugin_configs", "p"): {"id": "p", "plugins": plugins(limit_count=LIMIT, ip_restriction=DENY["ip-restriction"])},
    ("upstreams", "u"): {"id": "u", "scheme": "http", "nodes": {"backend.test": 3}, "pass_host": "rewrite", "upstream_host": "x"},
    ("routes", "r"): {
        "id": "r",
        "name": "first",
        "uris": ["/a", "/b/*"],
        "hosts": ["a.test", "*.b.test"],
        "plugins": plugins(limit_count={**LIMIT, "count": 7, "key": "http_apikey"}),
        "service_id": "s",
        "plugin_config_id": "p",
        "timeout": {"connect": 1, "send": 2, "read": 3},
    },
    ("routes", "later"): {"id": "later", "uri": "/b/*", "priority": -1, "plugins": {}},
    ("consumers", "john"): {"username": "john", "group_id": "g", "plugins": plugins(limit_count={**LIMIT, "count": 5})},
    ("credentials", "john/c"): {"id": "c", "plugins": plugins(key_auth={"key": SECRETS[0]})},
    ("consumer_groups", "g"): {
        "id": "g",
        "plugins": plugins(limit_conn={"conn": 1, "burst": 0, "default_conn_delay": 1, "key": "host"}),
    },
    ("global_rules", "1"): {"id": "1", "plugins": plugins(request_id={"_meta": {"priority": 1}})},
}


def ask(**members: Any) -> dict[str, Any]:
    return explained(LAYERS, msgspec.convert({"host": "a.test", "uri": "/a", **members}, Question))


def test_each_plugin_is_told_with_its_layer_in_running_order() -> None:
    said = ask(headers={"apikey": SECRETS[0]})
    assert [(each["name"], each["phase"], each["layer"], each["from"]) for each in said["plugins"]] == [
        ("request-id", "rewrite", "global_rule", "global_rules/1"),
        ("key-auth", "rewrite", "service", "services/s"),
        ("ip-restriction", "access", "plugin_config", "plugin_configs/p"),
        ("limit-conn", "access", "consumer_group", "consumer_groups/g"),
        ("limit-count", "access", "consumer", "consumers/john"),
        ("limit-req", "access", "service", "services/s"),
        ("request-id", "header_filter", "global_rule", "global_rules/1"),
    ]
    assert all(each["reached"] for each in said["plugins"])
    assert said["plugins"][0]["priority"] == 1
    assert said["plugins"][4]["conf"] == {**LIMIT, "count": 5}
    assert said["consumer"] == {"username": "john", "credential": "c", "group": "g"}
    assert [(each["plugin"], each["account"], each["value"]) for each in said["limits"]] == [
        ("limit-conn", "consumer_groups/g", "a.test"),
        ("limit-count", "consumers/john", "127.0.0.1"),
        ("limit-req", "services/s", "127.0.0.1"),
    ]


def test_of_a_workflow_the_rule_is_told_and_what_it_does() -> None:
    layers = {**LAYERS, ("routes", "r"): {**LAYERS["routes", "r"], "plugins": plugins(workflow={"rules": CASES})}}

    def told(**members: Any) -> tuple[list[Any], list[Any]]:
        question = msgspec.convert({"host": "a.test", "headers": {"apikey": SECRETS[0]}, **members}, Question)
        said = explained(layers, question)
        found = [(each.get("rule"), each.get("action")) for each in said["plugins"] if each["name"] == "workflow"]
        return found, [(each["plugin"], each["from"], each["account"], each["value"]) for each in said["limits"]]

    others = [
        ("limit-conn", "consumer_groups/g", "consumer_groups/g", "a.test"),
        ("limit-req", "services/s", "services/s", "127.0.0.1"),
    ]
    johns = ("limit-count", "consumers/john", "consumers/john", "127.0.0.1")
    own = ("limit-count", "routes/r", "routes/r/workflow/0", "127.0.0.1")
    assert told(uri="/a") == ([(0, "limit-count")], [own, *others])  # which john's is not asked beside
    assert told(uri="/b/x") == ([(None, None)], [others[0], johns, others[1]])
    assert told(uri="/b/x", method="DELETE") == ([(2, "return")], [])


def test_where_a_request_would_go() -> None:
    assert ask()["upstream"] == {
        "id": "u",
        "from": "upstreams/u",
        "scheme": "http",
        "type": "roundrobin",
        "nodes": [{"host": "backend.test", "port": None, "weight": 3, "priority": 0}],
        "pass_host": "rewrite",
        "upstream_host": "x",
        "timeout": {"connect": 1, "send": 2, "read": 3},
    }


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({}, "the path is /a, the host is a.test"),
        ({"uri": "/b/x"}, "the path begins with /b/, the host is a.test; goes before route later"),
        ({"uri": "/b/x", "host": "z.b.test"}, "the path begins with /b/, the host ends in .b.test; goes before route later"),
        ({"uri": "/b/x", "host": "z"}, "the path begins with /b/, any host will do"),
    ],
)
def test_why_this_route(members: dict[str, Any], why: str) -> None:
    assert ask(**members)["route"]["why"] == why


def test_what_lies_behind_a_refusal_is_told_and_not_reached() -> None:
    said = ask()
    assert said["outcome"] == {
        "proxied": False,
        "status": 401,
        "by": "key-auth",
        "reason": "key.missing",
        "body": '{"message":"Missing API key in request"}\n',
    }
    assert [(each["name"], each["from"]) for each in said["plugins"] if not each["reached"]] == [
        ("ip-restriction", "plugin_configs/p"),
        ("limit-count", "routes/r"),
        ("limit-req", "services/s"),
        ("request-id", "global_rules/1"),
    ]
    assert said["limits"] == []


def test_rules_are_told_that_would_count_the_request() -> None:
    rules = [{"count": 1, "time_window": 9, "key": key} for key in ("$remote_addr", "$http_tenant", "${arg_x ?? none}", "all")]
    route = {"id": "r", "uri": "/a", "plugins": {"limit-count": {"rules": rules}}, "upstream": UPSTREAM}
    said = explained({("routes", "r"): route}, Question(uri="/a", remote_addr="192.0.2.9"))
    assert [each["value"] for each in said["limits"]] == ["192.0.2.9", "none", "all"]


def test_a_value_that_only_the_client_knows_is_not_shown() -> None:
    objects = {
        **LAYERS,
        ("routes", "r"): {"id": "r", "uri": "/a", "plugins": LAYERS["routes", "r"]["plugins"], "upstream": UPSTREAM},
    }
    question = Question(uri="/a?x=" + SECRETS[1], headers={"apikey": SECRETS[0]})
    said = explained(objects, question)
    assert [each["value"] for each in said["limits"]] == ["***"]
    assert not any(secret in json.dumps(said) for secret in SECRETS)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"uri": "/none"}, "no route takes this path"),
        ({"uri": "/a", "host": "c.test"}, "route r takes this path, but not the host c.test"),
        ({"uri": "/m", "method": "PUT"}, "route m takes this host and path, but not the method PUT"),
        ({"uri": "/m", "remote_addr": "10.0.0.1"}, "route m takes this host and path, but not the address 10.0.0.1"),
        ({"uri": "/v?a=2"}, "route v takes this host and path, but its vars do not hold"),
    ],
)
def test_why_no_route(members: dict[str, Any], reason: str) -> None:
    route = {"id": "m", "uri": "/m", "methods": ["GET"], "remote_addr": "127.0.0.1", "plugins": {}}
    question = msgspec.convert({"host": "a.test", **members}, Question)
    other = {"id": "v", "uri": "/v", "vars": [["arg_a", "==", "1"]], "plugins": {}}
    said = explained({**LAYERS, ("routes", "m"): route, ("routes", "v"): other}, question)
    assert (said["route"], said["outcome"]["status"], said["outcome"]["reason"]) == (None, 404, reason)


def test_an_object_that_does_not_compile_is_named() -> None:
    said = explained({("routes", "r"): {"id": "r", "uri": "/a", "plugins": {}, "upstream_id": "gone"}}, Question(uri="/a"))
    assert said["route"] is None
    assert said["faults"] == ["routes/r: upstream 'gone': expected an existing one, found none"]


def test_it_follows_changes_as_a_worker_does() -> None:
    explainer = Explainer(Limits())
    find = {("routes", "1"): ({"id": "1", "uri": "/a", "plugins": {}}, "store")}
    explainer.follow([Change("routes", "1", {"id": "1", "uri": "/a", "plugins": {}}, 1)])
    assert explainer.explain(Question(uri="/a"), lambda *key: find.get(key))["route"]["id"] == "1"
    explainer.follow([Change("routes", "1", None, 2)])  # type: ignore[arg-type]
    assert explainer.explain(Question(uri="/a"), lambda *_: None)["route"] is None


def test_a_watched_step_changes_nothing_for_others() -> None:
    """A limit does not count, a Python plugin is not called; both are told."""
    called: list[object] = []
    watch, region = _core.Watch(), _core.Region.create(1024)
    limit = _core.LimitCountStep(b"me", _core.Template("remote_addr"), count=1, window=60)
    python = _core.PythonStep("mine", "access", lambda *_: called.append(_), None)
    steps = [(1, 20, _core.WatchedStep(watch, limit, "limit")), (2, 10, _core.WatchedStep(watch, python, "python"))]
    plan = _core.Plan(b"r", _core.Steps(steps))
    wire = _core.Wire(_core.Snapshot([(plan, b"", b"/*")], {}, _core.Steps([])), region=region)
    for _ in range(3):
        wire.push(wire.open(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        seen = [(each.source, each.reached, each.limited, each.text) for each in watch.take()]
        assert seen == [("limit", True, True, b"192.0.2.1"), ("python", True, False, b"")]
    assert called == []
    assert _core.Limiter(region, b"me", count=1, window=60).hit(b"192.0.2.1").allowed
    assert watch.take() == []
