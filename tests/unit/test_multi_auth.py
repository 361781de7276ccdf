"""The native multi-auth step: members in turn, also such as wait; what is left of those that refused."""

import asyncio
import base64
import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core
from tests.support.core import IDENTITY, TOKEN, ask, chain, john, shown, snapshot
from tests.support.waiting import until

KEY = shown(b"kim", "key", b"kim-key")
BASIC = shown(b"bea", "basic", b"pw", b"bea")
OTHERS = {"key": [KEY], "basic": [BASIC]}
GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
FAILED = b'{"message":"Authorization Failed"}\n'
FIELDS = {"jwt": b"X-Token: " + TOKEN, "key": b"apikey: kim-key", "basic": b"Authorization: Basic " + base64.b64encode(b"bea:pw")}
NAMES = {"jwt": b"john", "key": b"kim", "basic": b"bea"}
CHALLENGES = {
    "jwt": b'WWW-Authenticate: Bearer realm="jwt"\r\n',
    "key": b'WWW-Authenticate: apikey realm="key"\r\n',
    "basic": b'WWW-Authenticate: Basic realm="basic"\r\n',
}


def member(kind: str, **options: Any) -> _core.Step:
    if kind == "jwt":
        return _core.JwtAuthStep(header="X-Token", **options)
    return (_core.KeyAuthStep if kind == "key" else _core.BasicAuthStep)(**options)


def served(*members: _core.Step) -> _core.Snapshot:
    return snapshot(_core.MultiAuthStep(members), credentials=(john(),), others=OTHERS)


def request(*fields: bytes) -> bytes:
    return GET + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


@pytest.mark.parametrize("order", list(itertools.permutations(FIELDS)), ids="+".join)
def test_the_first_that_succeeds_decides(order: tuple[str, ...]) -> None:
    snap = served(*map(member, order))
    for size in range(4):
        for given_ in itertools.combinations(FIELDS, size):
            sent, got = ask(snap, request(*(FIELDS[kind] for kind in given_)))
            if not given_:
                assert sent == b""
                assert got.startswith(b"HTTP/1.1 401 ")
                assert got.endswith(FAILED)
                assert b"".join(CHALLENGES[kind] for kind in order) in got  # each member's, in their order
                continue
            winner = next(kind for kind in order if kind in given_)
            assert b"X-Consumer-Username: %b\r\n" % NAMES[winner] in sent
            assert sent.count(b"X-Consumer-Username") == 1
            assert b"WWW-Authenticate" not in got


def test_what_members_hide_is_hidden_as_they_are_tried() -> None:
    snap = served(member("key", hide_credentials=True), member("basic"), member("jwt", hide_credentials=True))
    sent, _ = ask(snap, request(b"apikey: wrong", FIELDS["basic"], FIELDS["jwt"]))
    assert b"apikey" not in sent
    assert FIELDS["basic"] in sent
    assert FIELDS["jwt"] in sent  # it was never its turn


def test_an_anonymous_consumer_is_a_success() -> None:
    snap = served(member("key"), member("basic", anonymous=john()), member("jwt"))
    sent, got = ask(snap, request(b"apikey: wrong"))
    for name, value in IDENTITY.items():
        assert name + b": " + value + b"\r\n" in sent.lower()
    assert b"WWW-Authenticate" not in got
    assert ask(served(member("key", fallback=True), member("basic")), request())[1].endswith(FAILED)


def test_no_member_no_entry() -> None:
    assert ask(served(), request())[1].startswith(b"HTTP/1.1 401 ")


def test_the_log_has_the_reason_of_each(tmp_path: Path) -> None:
    log = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT)
    wire = _core.Wire(served(*map(member, ("key", "basic", "jwt")), *(member("key") for _ in range(9))))
    wire.access_log(log)
    line = wire.open()
    wire.push(line, request(b"apikey: wrong", b"Authorization: nonsense"))
    wire.push(line, request(b"apikey: wrong", FIELDS["jwt"]))
    wire.push(1, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    wire.push(line, request(b"X-Y: z"))
    wire.access_log(-1)
    first, good, last = (json.loads(text) for text in os.pread(log, 9999, 0).splitlines())
    os.close(log)
    assert first["refused"] == last["refused"] == "multi.failed"
    assert first["members"] == ["key.unknown", "basic.malformed", "jwt.no_token", *["key.unknown"] * 5]
    assert last["members"][:3] == ["key.missing", "basic.missing", "jwt.no_token"]
    assert "members" not in good
    assert "refused" not in good


def test_members_are_steps_of_the_rewrite_phase_and_not_too_many() -> None:
    with pytest.raises(ValueError, match="expected steps of the phase rewrite, found one of access"):
        _core.MultiAuthStep([_core.PythonStep("p", "access", lambda c, r: None, None)])
    with pytest.raises(ValueError, match="expected at most 64, found 65"):
        _core.MultiAuthStep([member("key")] * 65)


# -- members that wait -------------------------------------------------------------------------------


def waiting(verdict: bool, turns: int, body: bool, trace: list[int], number: int) -> _core.PythonStep:
    """A member that lets the event loop have so many turns first, and may read the body."""

    def answer() -> _core.Reply | None:
        trace.append(number)
        return None if verdict else _core.Reply(401, {"n": number}, {"WWW-Authenticate": f"m{number}"}, reason=f"m.{number}")

    async def later(conf: Any, request: _core.Request) -> _core.Reply | None:
        for _ in range(turns):
            await asyncio.sleep(0)
        if body:
            assert await request.body(10) == b"12345"
        return answer()

    return _core.PythonStep("member", "rewrite", later if turns or body else lambda c, r: answer(), None)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.booleans()), min_size=2, max_size=5))
def test_members_that_wait_are_tried_in_turn_too(kinds: list[tuple[bool, int, bool]]) -> None:
    trace: list[int] = []
    members = [waiting(*kind, trace, number) for number, kind in enumerate(kinds)]

    async def scene() -> tuple[bytes, bytes]:
        wire = _core.Wire(snapshot(_core.MultiAuthStep(members)), loop=asyncio.get_running_loop())
        line = wire.open()
        wire.push(line, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345")
        for _ in range(60):
            await asyncio.sleep(0)
        sent = wire.pull(1) if len(wire.lines()) > 1 else b""
        if sent:
            wire.push(1, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert wire.active == 0
        return sent, wire.pull(line)

    sent, got = asyncio.run(scene())
    winner = next((number for number, kind in enumerate(kinds) if kind[0]), None)
    assert trace == list(range(len(kinds) if winner is None else winner + 1))
    if winner is None:
        assert (sent, got.endswith(FAILED)) == (b"", True)
        assert [line for line in got.split(b"\r\n") if line.startswith(b"WWW-")] == [
            b"WWW-Authenticate: m%d" % number for number in range(len(kinds))
        ]
    else:
        assert sent.endswith(b"\r\n\r\n12345")
        assert b"WWW-" not in got


@pytest.mark.parametrize("turns", [0, 1])
def test_a_member_that_cannot_judge_ends_it(turns: int) -> None:
    async def scene() -> None:
        async def busy(conf: Any, request: _core.Request) -> _core.Reply:
            return _core.Reply(503, {"m": 1}, {"Retry-After": "1"}, reason="m.busy")

        def busy_now(conf: Any, request: _core.Request) -> _core.Reply:
            return _core.Reply(503, {"m": 1}, {"Retry-After": "1"}, reason="m.busy")

        trace: list[int] = []
        stuck = _core.PythonStep("busy", "rewrite", busy if turns else busy_now, None)
        members = [waiting(False, 0, False, trace, 0), stuck, waiting(True, 0, False, trace, 2)]
        wire = _core.Wire(snapshot(_core.MultiAuthStep(members)), loop=asyncio.get_running_loop())
        line = wire.open()
        wire.push(line, GET + b"\r\n")
        for _ in range(9):
            await asyncio.sleep(0)
        got = wire.pull(line)
        assert got.startswith(b"HTTP/1.1 503 ")
        assert got.endswith(b'{"m":1}\n')
        assert b"Retry-After: 1\r\n" in got
        assert b"WWW-Authenticate" not in got
        assert trace == [0]

    asyncio.run(scene())


def test_a_client_may_leave_while_a_member_waits() -> None:
    async def scene() -> None:
        members = [waiting(False, 3, False, [], 0), waiting(True, 3, True, [], 1)]
        wire = _core.Wire(snapshot(_core.MultiAuthStep(members)), loop=asyncio.get_running_loop())
        for turns in range(12):
            line = wire.open()
            wire.push(line, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12")
            for _ in range(turns):
                await asyncio.sleep(0)
            wire.reset(line)
            for _ in range(30):
                await asyncio.sleep(0)
            assert wire.active == 0

    asyncio.run(scene())


def test_a_member_whose_signature_a_thread_judges_is_asked_again_and_no_other() -> None:
    asked = []

    def judge(signed: bytes, signature: bytes) -> bool:
        asked.append(signed)
        return signature == b"Good"

    secret = _core.SecretKey("ES512", verifier=judge)
    slow = _core.Credential(_core.Consumer(b"john", chain()), b"john-key", b"c", secret=secret)
    snap = snapshot(_core.MultiAuthStep([member("basic"), member("jwt"), member("key")]), credentials=(slow,), others=OTHERS)
    for signature, also, passes in ((b"R29vZA", b"", b"john"), (b"QmFk", FIELDS["key"], b"kim"), (b"QmFk", b"", b"")):
        asked.clear()
        wire = _core.Wire(snap, verify_threads=1)
        line = wire.open()
        signed = b"eyJhbGciOiJFUzUxMiJ9." + base64.urlsafe_b64encode(b'{"key":"john-key"}').rstrip(b"=")
        wire.push(line, request(b"X-Token: " + signed + b"." + signature, *([also] if also else [])))
        until(lambda wire=wire: wire.verified(0.05) == 0, "the signature is judged")
        sent = b"".join(wire.pull(up) for up, side, _ in wire.lines() if side == "up")
        assert asked == [signed]
        assert sent.count(b"X-Consumer-Username: " + passes) == bool(passes)
        answer = wire.pull(line)
        if not passes:
            assert answer.startswith(b"HTTP/1.1 401 ")
            for challenge in CHALLENGES.values():
                assert answer.count(challenge) == 1
