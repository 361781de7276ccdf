"""uri-blocker from outside: by path and query, in whatever spelling."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.plugins.mirror import ask
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering

CONFS: dict[str, dict[str, Any]] = {
    "rules": {"block_rules": [r"root\.exe", "^/rules/internal/", "select.+from", "<script"]},
    "fold": {"block_rules": ["Select.+From"], "case_insensitive": True},
    "own": {"block_rules": ["x$"], "rejected_code": 418, "rejected_msg": 'no "way"'},
    "late": {"block_rules": ["."], "rejected_code": 410},
    "none": {"block_rules": []},
}


@pytest.fixture(scope="module")
def gateway(up: Answering, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    node = {"type": "roundrobin", "nodes": {str(up.address): 1}}
    routes = [{"id": n, "uri": f"/{n}/*", "upstream": node, "plugins": {"uri-blocker": c}} for n, c in CONFS.items()]
    routes[3]["plugins"]["key-auth"] = {}
    directory = tmp_path_factory.mktemp("blocker")
    with Gateway(directory, {"routes": routes}) as running:
        yield running


@pytest.mark.parametrize(
    ("target", "blocked"),
    [
        ("/rules/root.exe", True),
        ("/rules/root.exe?x", True),
        ("/rules/?file=root.exe", True),
        ("/rules/root%2Eexe", True),
        ("/rules/r%6fot.exe", True),
        ("/rules/?file=root%2eexe", True),
        ("/rules/rootXexe", False),
        ("/rules/internal/a", True),
        ("/rules//internal/a", True),  # CVE-2021-43557
        ("/rules/./internal/a", True),
        ("/rules/a/../internal/a", True),
        ("/rules/%69nternal/a", True),
        ("//rules/internal/a", True),
        ("/rules/a/internal/", False),
        ("/rules/?q=select%20a%20from", True),
        ("/rules/?q=select+a+from", True),
        ("/rules/?q=SELECT+a+FROM", False),
        ("/rules/%3Cscript%3E", True),
        ("/rules/?a=%3Cscript%3E", True),
        ("/rules/?a=%253Cscript", False),  # what an application decodes once is not this
        ("/rules/", False),
        ("/rules/?%", False),
        ("/rules/?%zz", False),
        ("/fold/?q=sELECT+a+fROM", True),
        ("/fold/?q=sELECT", False),
        ("/none/root.exe", False),
    ],
)
def test_rules_block(gateway: Gateway, target: str, blocked: bool) -> None:
    answer = ask(gateway, target)
    assert answer.status == (403 if blocked else 200)
    if blocked:
        assert (answer.body, answer.header("Content-Type")) == (b'{"error_msg":"Forbidden"}\n', ["application/json"])


def test_code_and_message_are_ones_own(gateway: Gateway) -> None:
    answer = ask(gateway, "/own/x")
    assert (answer.status, json.loads(answer.body)) == (418, {"error_msg": 'no "way"'})
    assert ask(gateway, "/own/y").status == 200


def test_it_runs_in_rewrite_and_before_authentication(gateway: Gateway) -> None:
    answer = ask(gateway, "/late/a")
    assert (answer.status, json.loads(answer.body)) == (410, {"error_msg": "Gone"})


def test_rules_are_lawful_expressions(gateway: Gateway) -> None:
    for conf in (
        {},
        {"block_rules": ["a", "a"]},
        {"block_rules": [""]},
        {"block_rules": ["a" * 4097]},
        {"block_rules": ["(?!a)"]},
        {"block_rules": ["["]},
        {"block_rules": ["a"], "rejected_code": 199},
        {"block_rules": ["a"], "rejected_code": 600},
        {"block_rules": ["a"], "rejected_msg": ""},
    ):
        answer = gateway.api("PUT", "routes/x", {"uri": "/x", "plugins": {"uri-blocker": conf}})
        assert answer.status == 400, conf
        assert b"failed to check the configuration of plugin uri-blocker err: " in answer.body
