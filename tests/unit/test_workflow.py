"""The workflow step on memory: which rule decides, what its action does, and whose plugin is then passed over."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fastgw import _core
from fastgw.admin.redact import plugin_conf
from fastgw.admin.validate import refusals
from fastgw.plugins import order, workflow
from fastgw.plugins.contract import Plugin
from fastgw.schema.decode import faults_of
from tests.support.core import OK, SECRET, TOKEN, upstream

COUNT = {"count": 1, "time_window": 3600, "rejected_code": 429}
CONN = {"conn": 1, "burst": 1, "default_conn_delay": 1, "only_use_default_delay": True, "key": "remote_addr"}
REJECTED = b'{"error_msg":"rejected by workflow"}\n'


class _Env:
    def __init__(self, owner: str) -> None:
        self.owner = owner

    def anonymous(self, username: str) -> None:
        raise AssertionError(f"nobody asks for {username}")

    def metadata(self, plugin: Plugin) -> Any:
        assert plugin.metadata_conf is not None
        return plugin.metadata_conf()


def steps(name: str, conf: dict[str, Any], owner: str = "routes/r") -> list[tuple[int, int, _core.Step]]:
    """The steps of one plugin as compile.py lists them."""
    plugin = order.get(name)
    assert plugin is not None
    decoded, faults = faults_of(conf, plugin.conf)
    assert faults == []
    return [(order.number(name), plugin.priority, step) for step in plugin.provision(decoded, _Env(owner))]


def rule(action: str, conf: dict[str, Any], *case: Any) -> dict[str, Any]:
    return {**({"case": list(case)} if case else {}), "actions": [[action, conf]]}


def rules(*given: dict[str, Any], owner: str = "routes/r") -> list[tuple[int, int, _core.Step]]:
    return steps("workflow", {"rules": list(given)}, owner)


class Scene:
    """A wire over one route with these steps; `everywhere` are a global rule's, `johns` those of the consumer John."""

    def __init__(
        self,
        *of_route: tuple[int, int, _core.Step],
        everywhere: list[tuple[int, int, _core.Step]] | None = None,
        johns: list[tuple[int, int, _core.Step]] | None = None,
    ) -> None:
        credentials = []
        first = []
        if johns is not None:
            consumer = _core.Consumer(b"john", _core.Steps(johns))
            credentials = [_core.Credential(consumer, b"john-key", secret=_core.SecretKey("HS256", SECRET))]
            first = [(250, 9000, _core.JwtAuthStep())]
        plan = _core.Plan(b"r", _core.Steps([*first, *of_route]), upstream())
        snapshot = _core.Snapshot([(plan, b"", b"/*")], {"jwt": credentials}, _core.Steps(everywhere or []))
        self.wire = _core.Wire(snapshot, region=_core.Region.create(1024))

    def send(self, path: str = "/", fields: bytes = b"Authorization: " + TOKEN + b"\r\n") -> int:
        line = self.wire.open()
        self.wire.push(line, b"GET " + path.encode() + b" HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n")
        return line

    def ask(self, path: str = "/") -> bytes:
        line = self.send(path)
        self.answer()
        return self.wire.pull(line)

    def answer(self) -> int:
        """Answers what the upstream was asked; how often it was."""
        asked = [i for i, side, is_open in self.wire.lines() if side == "up" and is_open and self.wire.pull(i)]
        for i in asked:
            self.wire.push(i, OK)
        return len(asked)

    def status(self, path: str = "/") -> int:
        return int(self.ask(path)[9:12])

    def statuses(self, *paths: str) -> list[int]:
        return [self.status(path) for path in paths]


def test_the_first_rule_that_holds_decides() -> None:
    scene = Scene(
        *rules(
            rule("return", {"code": 403}, ["arg_foo", "==", "bar"]),
            rule("return", {"code": 401}, ["uri", "==", "/hello"]),
        )
    )
    assert scene.statuses("/hello?foo=bar", "/hello", "/other?foo=bar", "/other") == [403, 401, 403, 200]
    got = scene.ask("/hello")
    assert got.endswith(b"\r\n\r\n" + REJECTED)
    assert b"\r\nContent-Type: application/json\r\n" in got


def test_a_rule_without_a_case_holds_always() -> None:
    assert Scene(*rules(rule("return", {"code": 403}), rule("return", {"code": 404}))).status() == 403
    assert Scene(*rules()).status() == 200


def test_all_of_a_case_must_hold() -> None:
    scene = Scene(*rules(rule("return", {"code": 403}, ["uri", "==", "/a"], ["arg_x", "==", "1"])))
    assert scene.statuses("/a?x=1", "/a?x=2", "/b?x=1") == [403, 200, 200]


def test_only_the_first_action_is_done() -> None:
    both = {"actions": [["limit-count", COUNT], ["return", {"code": 403}]]}
    assert Scene(*rules(both)).statuses("/", "/") == [200, 429]


def test_rules_count_apart() -> None:
    """Also where they count by the same (known-pains 2.8)."""
    scene = Scene(*rules(rule("limit-count", COUNT, ["uri", "==", "/a"]), rule("limit-count", COUNT, ["uri", "==", "/b"])))
    assert scene.statuses("/a", "/b", "/a", "/b", "/c") == [200, 200, 429, 429, 200]


def test_a_limit_answers_as_it_does_by_itself() -> None:
    scene = Scene(*rules(rule("limit-count", {**COUNT, "rejected_msg": "enough"})))
    assert b"\r\nX-RateLimit-Remaining: 0\r\n" in scene.ask()
    assert scene.ask().endswith(b'\r\n\r\n{"error_msg":"enough"}\n')


def test_the_log_has_the_reason(tmp_path: Path) -> None:
    scene = Scene(*rules(rule("limit-count", COUNT, ["uri", "==", "/a"]), rule("return", {"code": 410})))
    log = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT)
    scene.wire.access_log(log)
    scene.statuses("/a", "/a", "/b")
    scene.wire.access_log(-1)
    lines = [json.loads(line) for line in os.pread(log, 9999, 0).splitlines()]
    os.close(log)
    assert [line.get("refused") for line in lines] == [None, "limit-count.exceeded", "workflow.rejected"]


# -- whose plugin is passed over ---------------------------------------------------------------------

ONE = {**COUNT, "count": 3}


def test_the_plugin_of_an_action_does_not_run_again() -> None:
    """The route's own limit of 1 does not count what the action has counted; without a rule that holds it does."""
    scene = Scene(*rules(rule("limit-count", ONE, ["uri", "==", "/a"])), *steps("limit-count", COUNT))
    assert scene.statuses("/a", "/a", "/a", "/a") == [200, 200, 200, 429]
    assert scene.statuses("/b", "/b") == [200, 429]


def test_only_the_plugin_of_the_action_is_passed_over() -> None:
    both = [*steps("limit-count", COUNT), *steps("limit-req", {"rate": 0.001, "burst": 5, "nodelay": True, "key": "remote_addr"})]
    scene = Scene(*rules(rule("limit-conn", CONN)), *both)
    assert scene.statuses("/", "/") == [200, 429]
    scene = Scene(*rules(rule("limit-count", {**COUNT, "count": 9})), *both)
    assert scene.statuses(*["/"] * 7) == [200] * 6 + [503]


def test_nor_does_the_one_of_the_consumer() -> None:
    johns = steps("limit-count", COUNT, "consumers/john")
    scene = Scene(*rules(rule("limit-count", ONE, ["uri", "==", "/a"])), *steps("limit-count", COUNT), johns=johns)
    assert scene.statuses("/a", "/a", "/a", "/a", "/b", "/b") == [200, 200, 200, 429, 200, 429]


def test_a_workflow_of_the_consumer_passes_over_the_route_s() -> None:
    johns = rules(rule("limit-count", ONE, ["uri", "==", "/a"]), owner="consumers/john")
    scene = Scene(*steps("limit-count", COUNT), johns=johns)
    assert scene.statuses("/a", "/a", "/a", "/a", "/b", "/b") == [200, 200, 200, 429, 200, 429]


def test_a_workflow_of_a_global_rule_passes_over_everyone_s() -> None:
    everywhere = [
        *rules(rule("limit-count", ONE, ["uri", "==", "/a"]), owner="global_rules/1"),
        *steps("limit-count", COUNT, "global_rules/1"),
    ]
    scene = Scene(*steps("limit-count", {**COUNT, "count": 2}), everywhere=everywhere)
    assert scene.statuses("/a", "/a", "/a", "/a", "/b", "/b") == [200, 200, 200, 429, 200, 429]


def test_nothing_is_left_for_the_next_request_of_a_connection() -> None:
    scene = Scene(*rules(rule("limit-count", ONE, ["uri", "==", "/a"])), *steps("limit-count", COUNT))
    line = scene.wire.open()
    got = []
    for path in (b"/a", b"/b", b"/b"):
        scene.wire.push(line, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        scene.answer()
        got.append(scene.wire.pull(line)[9:12])
    assert got == [b"200", b"200", b"429"]


# -- actions that wait -------------------------------------------------------------------------------


def test_an_action_may_wait_and_gives_its_slot_back() -> None:
    scene = Scene(*rules(rule("limit-conn", CONN)), *steps("limit-count", {**COUNT, "count": 2}))
    lines = [scene.send() for _ in range(3)]
    assert scene.wire.pull(lines[2]).startswith(b"HTTP/1.1 503 ")
    assert scene.answer() == 1
    scene.wire.advance(1.1)  # now the second one goes on with the chain, and upstream
    assert scene.answer() == 1
    assert [scene.wire.pull(line)[9:12] for line in lines[:2]] == [b"200", b"200"]
    line = scene.send()
    assert scene.wire.pull(line).startswith(b"HTTP/1.1 429 ")
    assert scene.wire.active == 0


def test_rules_of_a_limit_wait_one_after_the_other() -> None:
    own = [{"conn": 1, "burst": 5, "key": "$remote_addr"}, {"conn": 1, "burst": 5, "key": "$host"}]
    conf = {"rules": own, "default_conn_delay": 1, "only_use_default_delay": True}
    scene = Scene(*rules(rule("limit-conn", conf)))
    scene.send()
    scene.send()
    assert sum(bool(scene.wire.pull(i)) for i, side, _ in scene.wire.lines() if side == "up") == 1
    for asked in (0, 1):
        scene.wire.advance(1.1)
        assert sum(bool(scene.wire.pull(i)) for i, side, _ in scene.wire.lines() if side == "up") == asked


def test_who_leaves_while_an_action_waits_leaves_nothing_behind() -> None:
    scene = Scene(*rules(rule("limit-conn", CONN)))
    scene.send()
    scene.wire.reset(scene.send())
    assert scene.wire.active == 1
    scene.wire.advance(1.1)
    assert scene.wire.pull(scene.send()) == b""  # it waits in the place of the one that left
    assert scene.wire.active == 2


def test_python_members_run_as_well() -> None:
    reply = _core.PythonStep("p", "access", lambda conf, request: _core.Reply(418, b""), None)
    scene = Scene((1, 1006, _core.WorkflowStep([(None, None, [reply])])))
    assert scene.status() == 418
    with pytest.raises(ValueError, match="expected steps of the phase access, found one of rewrite"):
        _core.WorkflowStep([(None, None, [_core.PythonStep("p", "rewrite", lambda c, r: None, None)])])
    with pytest.raises(ValueError, match="plugin number: expected 0 to 255, found 256"):
        _core.WorkflowStep([(None, 256, [])])
    with pytest.raises(ValueError, match="status: expected 200 to 599, found 100"):
        _core.WorkflowReturnStep(100)


# -- faults ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({}, "rules: missing"),
        ({"rules": [{}]}, "rules[0].actions: missing"),
        ({"rules": [{"actions": []}]}, "rules[0].actions: expected at least 1 item, found 0"),
        ({"rules": [{"actions": [[]]}]}, "rules[0].actions[0]: expected at least 1 item, found 0"),
        ({"rules": [{"actions": [["return"]]}]}, "rules[0].actions[0]: expected [name, configuration]"),
        ({"rules": [{"actions": [["return", {"code": 403}, 1]]}]}, "rules[0].actions[0]: expected [name, configuration]"),
        ({"rules": [{"actions": [["limit-req", {}]]}]},
         "rules[0].actions[0][0]: expected one of return, limit-conn, limit-count"),
        ({"rules": [{"actions": [[1, {}]]}]}, "rules[0].actions[0][0]: expected one of return, limit-conn, limit-count"),
        ({"rules": [rule("return", {})]}, "rules[0].actions[0][1].code: missing"),
        ({"rules": [rule("return", {"code": 600})]}, "rules[0].actions[0][1].code: expected at most 599, found 600"),
        ({"rules": [rule("return", {"code": 101})]},
         "rules[0].actions[0][1].code: not supported; a status below 200 is no final answer (RFC 9110 section 15.2)"),
        ({"rules": [rule("limit-conn", {**CONN, "conn": 0})]}, "rules[0].actions[0][1].conn: expected more than 0, found 0"),
        ({"rules": [{"actions": [["return", {"code": 403}], ["limit-count", {**COUNT, "count": 0}]]}]},
         "rules[0].actions[1][1].count: expected more than 0, found 0"),
        ({"rules": [rule("limit-count", {**COUNT, "group": "g"})]},
         "rules[0].actions[0][1].group: not supported in an action: each counts by itself"),
        ({"rules": [rule("limit-count", {**COUNT, "_meta": {"disable": True}})]},
         "rules[0].actions[0][1]._meta: not supported in an action; give it to workflow itself"),
        ({"rules": [{"case": [], **rule("return", {"code": 403})}]}, "rules[0].case: expected at least 1 item, found 0"),
        ({"rules": [rule("return", {"code": 403}, ["uri", "is", "/"])]},
         'rules[0].case[0][1]: expected one of != < <= == > >= has in ipmatch ~* ~= ~~, found "is"'),
    ],
)  # fmt: skip
def test_faults_are_named(conf: dict[str, Any], message: str) -> None:
    found = [str(fault) for fault in faults_of(conf, workflow.Conf)[1]]
    assert found == [message.replace("!= ", "")]


def test_a_case_on_what_no_request_has_is_refused() -> None:
    conf = {"rules": [rule("return", {"code": 403}, ["ury", "==", "/"])]}
    route = {"id": "r", "uri": "/", "upstream": {"nodes": {"127.0.0.1:1": 1}}, "plugins": {"workflow": conf}}
    (message,) = refusals("routes", route)
    assert message.endswith('not supported: unknown variable; nearest known variable is "uri"')


def test_what_is_secret_in_an_action_is_not_shown() -> None:
    conf = {
        "rules": [
            {"case": [["uri", "==", "/"]], "actions": [["limit-count", {**COUNT, "slip": "x"}], ["nonsense", {"a": "b"}], 1]}
        ]
    }
    shown = plugin_conf("routes", "workflow", conf)
    assert shown["rules"][0]["actions"][:2] == [["limit-count", COUNT], ["nonsense", {}]]
    assert shown["rules"][0]["case"] == [["uri", "==", "/"]]
    assert plugin_conf("routes", "multi-auth", {"auth_plugins": [{"key-auth": {"query": "q", "slip": "x"}}]}) == {
        "auth_plugins": [{"key-auth": {"query": "q"}}]
    }
