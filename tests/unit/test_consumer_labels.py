"""attach-consumer-label's step: what the upstream is told of a consumer, and that no client says it."""

import re
from typing import Any

import pytest

from fastgw.compile import Compiler
from fastgw.plugins.check import check_plugin
from tests.support.core import ask
from tests.unit.test_compile import Change, route

LABELS = {"department": "devops", "teams": "a,b", "dep": "x", "json": '["a","b"]'}
CONF = {"headers": {"X-Dep": "$department", "X-Teams": "$teams", "X-None": "$none", "X-Json": "$json", "X-Short": "$dep"}}


def sent(*fields: str, conf: dict[str, Any] = CONF, **plugins: Any) -> list[str]:
    assert check_plugin("routes", "attach-consumer-label", conf)[0] == []
    changes = [
        Change("consumers", "kim", {"username": "kim", "labels": LABELS, "plugins": {"key-auth": {"key": "k"}}}),
        route("r", "/*", plugins={"attach-consumer-label": conf, **plugins}),
    ]
    build = Compiler().apply(changes)
    assert build.faults == ()
    up, _ = ask(build.snapshot, "\r\n".join(["GET / HTTP/1.1", "Host: h", *fields, "", ""]).encode())
    assert up
    names = {name.lower() for name in conf["headers"]}
    lines = up.decode().split("\r\n")
    return [line for line in lines if re.sub("[_.]", "-", line.partition(":")[0].lower()) in names]


def test_labels_as_they_stand() -> None:
    lines = sent("apikey: k", **{"key-auth": {}})
    assert lines == ["X-Dep: devops", "X-Teams: a,b", 'X-Json: ["a","b"]', "X-Short: x"]


@pytest.mark.parametrize("name", ["X-Dep", "x_dep", "X.Dep", "X-None", "x-none"])
def test_no_client_says_them(name: str) -> None:
    lines = sent("apikey: k", f"{name}: board", **{"key-auth": {}})
    assert "X-Dep: devops" in lines
    assert not any("board" in line for line in lines)
    assert sent(f"{name}: board") == []


def test_it_replaces_what_a_plugin_has_set() -> None:
    rewrite = {"proxy-rewrite": {"headers": {"set": {"X-Dep": "other", "X-None": "other"}}}}
    lines = sent("apikey: k", **{"key-auth": {}, **rewrite})
    assert "X-Dep: devops" in lines
    assert "X-None: other" in lines
    assert "X-Dep: other" not in lines


@pytest.mark.parametrize(
    "conf",
    [
        {},
        {"headers": {}},
        {"headers": {"X-A": "department"}},
        {"headers": {"X-A": "$"}},
        {"headers": {"X-A": 1}},
        {"headers": {"a b": "$x"}},
        {"headers": {"X-Consumer-Username": "$x"}},
        {"headers": {"Host": "$x"}},
        {"headers": {f"H{i}": "$x" for i in range(49)}},
    ],
)
def test_confs_that_are_refused(conf: dict[str, Any]) -> None:
    assert check_plugin("routes", "attach-consumer-label", conf)[0]
