"""traffic-split's step: which upstream takes a request, by rules and by shares."""

from collections import Counter
from typing import Any

import pytest

from fastgw import _core
from fastgw.compile import Build, Compiler
from fastgw.plugins.check import check_plugin
from tests.support.core import OK
from tests.unit.test_compile import Change, route

Object = dict[str, Any]


def node(name: str, **more: Any) -> Object:
    return {"nodes": {"127.0.0.1:81": 1}, "pass_host": "rewrite", "upstream_host": name, **more}


def built(rules: list[Object] | None, *more: Change, **fields: Any) -> Build:
    conf = {} if rules is None else {"rules": rules}
    assert check_plugin("routes", "traffic-split", conf)[0] == []
    changes = [Change("upstreams", name, {"id": name, **node(name)}) for name in ("blue", "green")]
    given = {"upstream": node("own"), **fields}
    build = Compiler().apply([*changes, *more, route("r", "/*", plugins={"traffic-split": conf}, **given)])
    assert build.faults == ()
    return build


def taken(build: Build, count: int = 1, *fields: str) -> Counter[str]:
    """How many of so many requests each upstream got, by its host."""
    wire = _core.Wire(build.snapshot)
    line = wire.open()
    request = "\r\n".join(["GET / HTTP/1.1", "Host: h", *fields, "", ""]).encode()
    found: Counter[str] = Counter()
    for _ in range(count):
        wire.push(line, request)
        (up,) = [each for each, side, is_open in wire.lines() if side == "up" and is_open]
        head = wire.pull(up).decode()
        found[head.split("\r\nHost: ")[1].split("\r\n")[0]] += 1
        wire.push(up, OK)
        assert wire.pull(line).startswith(b"HTTP/1.1 200 ")
    return found


WHO = [{"vars": [["http_who", "==", "ann"]]}, {"vars": [["http_who", "==", "bob"], ["http_x", "==", "1"]]}]


@pytest.mark.parametrize(
    ("rules", "fields", "where"),
    [
        (None, [], "own"),
        ([], [], "own"),
        ([{}], [], "own"),
        ([{"weighted_upstreams": [{"upstream_id": "green"}]}], [], "green"),
        ([{"weighted_upstreams": [{"upstream": node("inline")}]}], [], "inline"),
        ([{"weighted_upstreams": [{"upstream_id": "green", "weight": 0}, {"weight": 5}]}], [], "own"),
        ([{"weighted_upstreams": [{"upstream_id": "green", "weight": 0}]}], [], "own"),
        ([{"match": WHO, "weighted_upstreams": [{"upstream_id": "green"}]}], ["Who: ann"], "green"),
        ([{"match": WHO, "weighted_upstreams": [{"upstream_id": "green"}]}], ["Who: bob"], "own"),
        ([{"match": WHO, "weighted_upstreams": [{"upstream_id": "green"}]}], ["Who: bob", "X: 1"], "green"),
        ([{"match": [], "weighted_upstreams": [{"upstream_id": "green"}]}], [], "green"),
        ([{"match": [*WHO, {}], "weighted_upstreams": [{"upstream_id": "green"}]}], [], "green"),
        ([{"match": [*WHO, {"vars": []}], "weighted_upstreams": [{"upstream_id": "green"}]}], [], "green"),
        (
            [{"match": WHO, "weighted_upstreams": [{"upstream_id": "green"}]}, {"weighted_upstreams": [{"upstream_id": "blue"}]}],
            ["Who: ann"],
            "green",
        ),
        (
            [{"match": WHO, "weighted_upstreams": [{"upstream_id": "green"}]}, {"weighted_upstreams": [{"upstream_id": "blue"}]}],
            [],
            "blue",
        ),
    ],
)
def test_the_first_rule_that_fits(rules: list[Object] | None, fields: list[str], where: str) -> None:
    assert taken(built(rules), 3, *fields) == {where: 3}


def test_shares_are_exact() -> None:
    shares = [{"upstream_id": "green", "weight": 3}, {"upstream": node("inline"), "weight": 2}, {"weight": 5}]
    assert taken(built([{"weighted_upstreams": shares}]), 100) == {"green": 30, "inline": 20, "own": 50}


def test_turns_begin_anywhere() -> None:
    rules = [{"weighted_upstreams": [{"upstream_id": "green"}, {"upstream_id": "blue"}]}]
    firsts = {next(iter(taken(built(rules)))) for _ in range(64)}
    assert firsts == {"green", "blue"}


def test_a_route_may_have_no_upstream_of_its_own() -> None:
    build = built([{"weighted_upstreams": [{"upstream_id": "green"}]}], upstream={"nodes": {}})
    assert taken(build, 2) == {"green": 2}


def test_tries_are_those_of_the_upstream_that_was_chosen() -> None:
    two = {"nodes": {"127.0.0.1:82": 1, "127.0.0.1:83": 1}}
    build = built([{"weighted_upstreams": [{"upstream": two}]}])
    wire = _core.Wire(build.snapshot)
    line = wire.open()
    wire.push(line, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    wire.push(1, b"nonsense\r\n\r\n")
    wire.end(1)
    assert wire.pull(line).startswith(b"HTTP/1.1 502 ")


def test_the_upstream_that_is_named_is_the_one_there_is() -> None:
    compiler = Compiler()
    plugins = {"traffic-split": {"rules": [{"weighted_upstreams": [{"upstream_id": "green"}]}]}}
    one = route("r", "/*", plugins=plugins, upstream=node("own"))
    assert [fault.id for fault in compiler.apply([one]).faults] == ["r"]
    build = compiler.apply([Change("upstreams", "green", {"id": "green", **node("green")})])
    assert build.faults == ()
    assert taken(build) == {"green": 1}
    build = compiler.apply([Change("upstreams", "green", {"id": "green", **node("greener")})])
    assert taken(build) == {"greener": 1}
    build = compiler.apply([Change("upstreams", "green", None)])
    assert [fault.id for fault in build.faults] == ["r"]
    assert taken(build) == {"greener": 1}


def test_a_global_rule_and_the_route() -> None:
    rule = {"traffic-split": {"rules": [{"weighted_upstreams": [{"upstream_id": "blue"}]}]}}
    everywhere = Change("global_rules", "g", {"id": "g", "plugins": rule})
    assert taken(built([{"match": WHO}], everywhere)) == {"blue": 1}
    assert taken(built([{"match": WHO}], everywhere), 1, "Who: ann") == {"own": 1}


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ({"weighted_upstreams": []}, "expected at least 1"),
        ({"weighted_upstreams": [{"weight": 1}] * 21}, "expected at most 20"),
        ({"weighted_upstreams": [{"weight": -1}]}, "expected at least 0"),
        ({"weighted_upstreams": [{"upstream_id": "a b"}]}, "expected an id"),
        ({"weighted_upstreams": [{"upstream": {}}]}, "expected one of nodes, service_name"),
        ({"weighted_upstreams": [{"upstream": {"nodes": {"a:0": 1}}}]}, "a port from 1"),
        ({"weighted_upstreams": [{"upstream": node("x"), "upstream_id": "1"}]}, "expected only one of upstream_id, upstream"),
        ({"weighted_upstreams": [{"upstream": node("x", scheme="grpc")}]}, "not available in this release"),
        ({"weighted_upstreams": [{"upstream": node("x", checks={"active": {}})}]}, "give its id as upstream_id"),
        ({"match": [{"vars": [["http_who"]]}]}, "expected"),
        ({"match": [{"vars": [["nothing", "==", "a"]]}]}, ""),
        ({"match": {}}, "expected"),
    ],
)
def test_confs_that_are_refused(rule: Object, found: str) -> None:
    from fastgw.plugins.check import check_object
    from fastgw.schema.kinds import KINDS

    value = {"id": "r", "uri": "/", "upstream": node("own"), "plugins": {"traffic-split": {"rules": [rule]}}}
    faults = check_object(KINDS["routes"], value).faults
    assert any(found in fault.message for fault in faults), faults
