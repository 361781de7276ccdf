"""Steps around steps: a condition that is judged once per request, a body in the place of a refusal's own, also of one that came
after a wait."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from fastgw import _core
from fastgw.schema.expression import parsed
from tests.support.core import OK, ask, chain, snapshot

GET = b"GET /?a=1 HTTP/1.1\r\nHost: x\r\n\r\n"
PHASES = ("rewrite", "access", "before_proxy", "header_filter", "log")


def python(phase: str, call: Any) -> _core.PythonStep:
    return _core.PythonStep("test", phase, call, None)


def where(*rules: Any) -> _core.Expression:
    return _core.Expression(parsed([list(rule) for rule in rules]))


@pytest.mark.parametrize("value", ["1", "2"])
def test_a_condition_is_judged_once_per_request(value: str) -> None:
    ran: list[str] = []
    judged: list[bytes] = []

    def search(text: bytes) -> Any:
        judged.append(text)
        return True if text == value.encode() else None

    group = parsed([["arg_a", "~~", "x"]])
    counted = group._replace(members=(group.members[0]._replace(value=search),))
    expression = _core.Expression(counted)
    steps = [_core.FilteredStep(expression, python(phase, lambda c, r, p=phase: ran.append(p))) for phase in PHASES]
    wire = _core.Wire(snapshot(*steps))
    line = wire.open()
    for number in (1, 2):  # the second one on the same memory
        wire.push(line, GET)
        wire.push(1, OK)
        wire.pull(line)
        assert judged == [b"1"] * number
    assert ran == (list(PHASES) * 2 if value == "1" else [])


def test_many_conditions_on_one_request() -> None:
    ran: list[int] = []
    conditions = [where(("arg_a", "==" if number % 2 else "~=", "1")) for number in range(70)]
    steps = [
        _core.FilteredStep(expression, python(phase, lambda c, r, n=number: ran.append(n)))
        for number, expression in enumerate(conditions)
        for phase in ("rewrite", "access")
    ]
    ask(snapshot(*steps), GET)
    odd = list(range(1, 70, 2))
    assert ran == odd * 2


def test_a_body_filter_that_is_held_off_leaves_the_body() -> None:
    def shout(conf: Any, request: _core.Request, piece: bytes, last: bool) -> bytes:
        return piece.upper()

    for value, body in (("1", b"2\r\nOK\r\n0\r\n\r\n"), ("2", b"2\r\nok\r\n0\r\n\r\n")):
        step = _core.FilteredStep(where(("arg_a", "==", value)), python("body_filter", shout))
        assert ask(snapshot(step), GET)[1].endswith(b"\r\n\r\n" + body)


@pytest.mark.parametrize(("status", "replaced"), [(200, False), (302, False), (399, False), (400, True), (503, True)])
@pytest.mark.parametrize("phase", ["rewrite", "access", "before_proxy"])
def test_answers_from_400_on_have_the_other_body(status: int, replaced: bool, phase: str) -> None:
    inner = python(phase, lambda c, r: _core.Reply(status, {"own": 1}, {"X-Own": "1"}))
    got = ask(snapshot(_core.ErrorBodyStep(b"other", "text/x", inner)), GET)[1]
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"X-Own: 1" in head
    assert (body, b"Content-Type: text/x" in head) == ((b"other", True) if replaced else (b'{"own":1}\n', False))


def test_after_a_wait_too_and_for_nobody_else() -> None:
    async def play() -> None:
        gates = {name: asyncio.Event() for name in ("left", "refused", "passed")}

        async def wait(conf: Any, request: _core.Request) -> _core.Reply | None:
            name = request.path[1:]
            if name in gates:
                await gates[name].wait()
            return _core.Reply(403, "own") if name in ("left", "refused") else None

        def now(conf: Any, request: _core.Request) -> _core.Reply | Awaitable[None] | None:
            return _core.Reply(418, "after")

        waiting = _core.ErrorBodyStep(b"other", "text/x", python("rewrite", wait))
        wire = _core.Wire(snapshot(waiting, python("access", now)), loop=asyncio.get_running_loop())
        lines = {name: wire.open() for name in gates}
        for name, line in lines.items():
            wire.push(line, b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % name.encode())
        wire.reset(lines["left"])
        for name, expected in (("left", None), ("refused", b"other"), ("passed", b"after")):
            gates[name].set()
            for _ in range(5):
                await asyncio.sleep(0)
            if expected is not None:
                assert wire.pull(lines[name]).endswith(b"\r\n\r\n" + expected)
        again = wire.open()  # on the memory of one that waited
        wire.push(again, b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in range(5):
            await asyncio.sleep(0)
        assert wire.pull(again).endswith(b"\r\n\r\nafter")
        assert wire.active == 0

    asyncio.run(play())


def test_a_condition_around_a_body_around_a_step() -> None:
    inner = _core.ErrorBodyStep(b"other", "text/x", _core.KeyAuthStep())
    for value, status, body in (("1", b"401", b"other"), ("2", b"200", b"ok")):
        got = ask(snapshot(_core.FilteredStep(where(("arg_a", "==", value)), inner)), GET)[1]
        assert (got[9:12], got.partition(b"\r\n\r\n")[2]) == (status, body)


def test_the_consumers_filtered_step_takes_the_place_of_the_routes() -> None:
    ran: list[str] = []
    own = _core.FilteredStep(where(("arg_a", "==", "2")), python("access", lambda c, r: ran.append("own")))
    consumer = _core.Consumer(b"kim", _core.Steps([(9, 5, own)]))
    proof = _core.SharedSecret(b"k")
    credential = _core.Credential(consumer, proof.index, proof=proof)
    steps = _core.Steps([(1, 9, _core.KeyAuthStep()), (9, 5, python("access", lambda c, r: ran.append("route")))])
    plan = _core.Plan(b"r", steps, None)
    shot = _core.Snapshot([(plan, b"", b"/*")], {"key": [credential]}, chain())
    for target, seen in ((b"/?a=1", []), (b"/?a=2", ["own"])):
        ask(shot, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\napikey: k\r\n\r\n")
        assert ran == seen


def test_a_step_made_of_steps_has_one_body() -> None:
    inner = _core.MultiAuthStep([_core.ErrorBodyStep(b"member", "text/x", _core.KeyAuthStep()), _core.BasicAuthStep()])
    got = ask(snapshot(_core.ErrorBodyStep(b"other", "text/x", inner)), GET)[1]
    assert (got[9:12], got.partition(b"\r\n\r\n")[2]) == (b"401", b"other")


def test_a_client_that_leaves_while_its_body_is_gathered() -> None:
    async def play() -> None:
        async def wait(conf: Any, request: _core.Request) -> _core.Reply:
            body = await request.body(100)
            return _core.Reply(403 if body == b"ab" else 500, "own")

        waiting = _core.ErrorBodyStep(b"other", "text/x", python("access", wait))
        wire = _core.Wire(snapshot(waiting), loop=asyncio.get_running_loop())
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"
        for leaves in (True, False):
            line = wire.open()
            wire.push(line, head)
            for _ in range(5):
                await asyncio.sleep(0)
            wire.push(line, b"a")
            if leaves:
                wire.reset(line)
                continue
            wire.push(line, b"b")
            for _ in range(5):
                await asyncio.sleep(0)
            assert wire.pull(line).endswith(b"\r\n\r\nother")
        for _ in range(5):
            await asyncio.sleep(0)
        assert wire.active == 0

    asyncio.run(play())
