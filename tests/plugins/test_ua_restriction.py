"""ua-restriction from outside: by what a client says it is."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from fastgw.plugins.check import check_plugin
from tests.plugins.mirror import ask
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering

REFUSED = b'{"message":"Not allowed"}\n'
CONFS: dict[str, dict[str, Any]] = {
    "allow": {"allowlist": ["^curl/", "(?i)mozilla"]},
    "deny": {"denylist": ["bot", r"^wget/[0-9]+\.[0-9]+$", "é"]},
    "own": {"denylist": ["."], "message": 'go "away"\n'},
    "bypass": {"allowlist": ["curl"], "bypass_missing": True},
    "trap": {"denylist": ["(a+)+$", "^(a|a)*b"]},
}


@pytest.fixture(scope="module")
def gateway(up: Answering, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    node = {"type": "roundrobin", "nodes": {str(up.address): 1}}
    routes = [{"id": n, "uri": f"/{n}", "upstream": node, "plugins": {"ua-restriction": c}} for n, c in CONFS.items()]
    directory = tmp_path_factory.mktemp("ua")
    with Gateway(directory, {"routes": routes}) as running:
        yield running


@pytest.mark.parametrize(
    ("target", "agents", "status"),
    [
        ("/allow", ["curl/7.88.1"], 200),
        ("/allow", ["not curl/7"], 403),
        ("/allow", ["MOZILLA/5.0"], 200),
        ("/allow", ["CURL/7"], 403),
        ("/allow", [], 403),
        ("/allow", [""], 403),
        ("/deny", ["curl/7"], 200),
        ("/deny", ["a robot"], 403),
        ("/deny", ["Bot"], 200),
        ("/deny", ["wget/1.21"], 403),
        ("/deny", ["wget/1.21 "], 403),  # white space around a value is none of it
        ("/deny", ["wget/1.21-x"], 200),
        ("/deny", ["caf\u00e9"], 403),  # the bytes of UTF-8
        ("/deny", ["\u00ff\u00fe"], 200),
        ("/deny", [], 403),
        ("/own", [""], 200),
        ("/bypass", [], 200),
        ("/bypass", ["wget"], 403),
    ],
)
def test_lists_admit_and_refuse(gateway: Gateway, target: str, agents: list[str], status: int) -> None:
    answer = ask(gateway, target, *(f"User-Agent: {agent}" for agent in agents))
    assert answer.status == status
    if status == 403:
        assert (answer.body, answer.header("Content-Type")) == (REFUSED, ["application/json"])


def test_of_several_each_must_pass(gateway: Gateway) -> None:
    """An upstream may believe any: a pattern with ends is not got round by a second field."""
    for target, good, bad in (("/deny", "curl/7", "wget/1.21"), ("/allow", "curl/7", "other")):
        assert ask(gateway, target, f"User-Agent: {good}", f"User-Agent: {good}").status == 200
        for pair in ((good, bad), (bad, good)):
            assert ask(gateway, target, *(f"User-Agent: {each}" for each in pair)).status == 403


def test_the_message_is_ones_own(gateway: Gateway) -> None:
    answer = ask(gateway, "/own", "User-Agent: x")
    assert (answer.status, json.loads(answer.body)) == (403, {"message": 'go "away"\n'})


def test_no_pattern_is_a_trap(gateway: Gateway) -> None:
    """What takes a backtracking matcher for ever is judged at once."""
    assert ask(gateway, "/trap", "User-Agent: " + "a" * 8000 + "!").status == 200
    assert ask(gateway, "/trap", "User-Agent: " + "a" * 8000).status == 403


def test_one_list_of_lawful_expressions(gateway: Gateway) -> None:
    for conf in (
        {},
        {"allowlist": ["a"], "denylist": ["b"]},
        {"allowlist": []},
        {"denylist": [""]},
        {"denylist": [1]},
        {"denylist": ["("]},
        {"denylist": ["a)|(b"]},
        {"denylist": ["(?=a)"]},
        {"denylist": [r"(a)\1"]},
        {"denylist": ["(x{1000}){1000}"]},
        {"denylist": ["a"], "message": ""},
        {"denylist": ["a"], "message": "a" * 1025},
        {"denylist": ["a"], "bypass_missing": 1},
    ):
        answer = gateway.api("PUT", "routes/x", {"uri": "/x", "plugins": {"ua-restriction": conf}})
        assert answer.status == 400, conf
        assert b"failed to check the configuration of plugin ua-restriction err: " in answer.body


def test_a_fault_names_its_place() -> None:
    faults, _ = check_plugin("routes", "ua-restriction", {"denylist": ["a", "(?=b)"]})
    assert [str(fault.path) for fault in faults] == ["denylist[1]"]
    assert "regular expression" in faults[0].message
