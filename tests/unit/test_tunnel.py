"""Upgrades on memory: when a tunnel opens, what passes through it, and how it ends."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random

import pytest

from fastgw import _core
from tests.support.core import OK, chain, pool

DOWN, UP = 0, 1
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
FIELDS = UPGRADE + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
ASK = b"GET /a HTTP/1.1\r\nHost: x\r\n" + FIELDS
PLAIN = b"GET /b HTTP/1.1\r\nHost: x\r\n\r\n"
GRANT = b"HTTP/1.1 101 Go\r\nUpgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\nSec-WebSocket-Accept: s3\r\n\r\n"
NEVER = 1 << 62


class Scene:
    """A route that lets upgrades through, unless told otherwise, and a client that has connected."""

    def __init__(
        self, *steps: _core.Step, upgrades: bool = True, splice_least: int = 32768, limits: dict[str, float] | None = None
    ):
        self.pool = pool()
        upstream = _core.Upstream([(self.pool, 1, 0, b"a")], connect=5, send=4, read=10)
        plan = _core.Plan(b"r", chain(*steps), upstream, upgrades=upgrades)
        self.region = _core.Region.create(1024)
        self.wire = _core.Wire(
            _core.Snapshot([(plan, b"", b"/*")], {}, chain()), region=self.region, splice_least=splice_least, limits=limits
        )
        self.wire.open()

    def ask(self, request: bytes = ASK) -> bytes:
        self.wire.push(DOWN, request)
        return b"".join(self.wire.pull(i) for i in self.ups())

    def answer(self, data: bytes) -> bytes:
        self.wire.push(self.ups()[-1], data)
        return self.wire.pull(DOWN)

    def open(self) -> Scene:
        self.ask()
        assert self.answer(GRANT).startswith(b"HTTP/1.1 101 ")
        return self

    def ups(self) -> list[int]:
        return [i for i, side, is_open in self.wire.lines() if side == "up" and is_open]

    @property
    def lives(self) -> tuple[bool, bool]:
        return self.wire.is_open(DOWN), self.wire.is_open(UP)


def status(answer: bytes) -> int:
    return int(answer[answer.rindex(b"HTTP/1.1 ") :][9:12])


# -- the handshake ---------------------------------------------------------------------------------


def test_what_is_asked_and_granted_is_told_anew() -> None:
    scene = Scene()
    sent = scene.ask(ASK.replace(b"Connection: Upgrade", b"Connection: X-Other, keep-alive ,upgrade,\r\nX-Other: 1"))
    assert sent.count(b"Connection: upgrade\r\nUpgrade: websocket\r\n") == 1
    assert sent.lower().count(b"connection:") == sent.lower().count(b"upgrade:") == 1
    assert b"X-Other" not in sent
    assert b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" in sent
    got = scene.answer(GRANT)
    assert got.startswith(b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3\r\n")
    assert got.endswith(b"Connection: upgrade\r\nUpgrade: WebSocket\r\n\r\n")
    assert got.count(b"\r\n\r\n") == 1
    assert b"Content-Length" not in got
    assert scene.lives == (True, True)


def test_bytes_behind_the_handshake_wait_for_the_grant() -> None:
    scene = Scene()
    sent = scene.ask(ASK + b"early")
    assert sent.endswith(b"\r\n\r\n")
    assert scene.ask(b" and later") == b""
    assert scene.answer(GRANT + b"behind").endswith(b"\r\n\r\nbehind")
    assert scene.wire.pull(UP) == b"early and later"


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_grant_in_pieces(size: int) -> None:
    scene = Scene()
    scene.ask()
    stream, got = b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + GRANT + b"hello", b""
    for at in range(0, len(stream), size):
        got += scene.answer(stream[at : at + size])
    assert got.startswith(b"HTTP/1.1 103 ")
    assert got.endswith(b"\r\n\r\nhello")
    assert scene.ask(b"x") == b"x"


def test_steps_have_their_say_on_the_grant() -> None:
    limit = _core.LimitCountStep(b"l", _core.Template("remote_addr"), count=1, window=60)
    scene = Scene(limit)
    scene.ask()
    assert b"X-RateLimit-Remaining: 0\r\n" in scene.answer(GRANT)
    other = scene.wire.open()
    scene.wire.push(other, ASK + PLAIN)
    got = scene.wire.pull(other)
    assert (status(got), got.count(b"HTTP/1.1 ")) == (503, 1)  # what stood behind the handshake is served by nobody
    scene.wire.end(other)
    assert not scene.wire.is_open(other)


def test_a_stale_pooled_connection_is_replaced() -> None:
    scene = Scene()
    scene.ask(PLAIN)
    scene.answer(OK)
    assert b"Upgrade: websocket" in scene.ask()
    scene.wire.reset(UP)
    assert b"Upgrade: websocket" in scene.wire.pull(2)
    assert scene.answer(GRANT).startswith(b"HTTP/1.1 101 ")


REFUSED = {
    "other protocol": GRANT.replace(b"WebSocket", b"chat"),
    "longer": GRANT.replace(b"WebSocket", b"WebSocket2"),
    "a list": GRANT.replace(b"WebSocket", b"websocket, websocket"),
    "two fields": GRANT.replace(b"Upgrade: WebSocket", b"Upgrade: websocket\r\nUpgrade: websocket"),
    "no field": GRANT.replace(b"Upgrade: WebSocket\r\n", b""),
    "no option": GRANT.replace(b"keep-alive, upgrade", b"keep-alive"),
    "no Connection": GRANT.replace(b"Connection: keep-alive, upgrade\r\n", b""),
    "HTTP/1.0": GRANT.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "coded": GRANT.replace(b"Sec-WebSocket-Accept: s3", b"Transfer-Encoding: chunked"),
    "h2c": GRANT.replace(b"WebSocket", b"h2c"),
}


@pytest.mark.parametrize("answer", REFUSED.values(), ids=REFUSED)
def test_a_101_that_is_not_what_was_asked_for_is_a_502(answer: bytes) -> None:
    scene = Scene()
    scene.ask(ASK + PLAIN)
    got = scene.answer(answer + b"hello")
    assert (got[9:12], got.count(b"HTTP/1.1")) == (b"502", 1)
    assert scene.wire.finished(DOWN)
    scene.wire.end(DOWN)
    assert (scene.ups(), scene.lives) == ([], (False, False))


UNASKED = {
    "another route": (ASK, False),
    "h2c": (ASK.replace(b"websocket", b"h2c"), True),
    "h2c, settings": (ASK.replace(b"websocket\r\n", b"h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"), True),
    "HTTP": (ASK.replace(b"websocket", b"HTTP/1.1"), True),
    "TLS": (ASK.replace(b"websocket", b"TLS/1.2"), True),
    "a list": (ASK.replace(b"websocket", b"websocket, chat"), True),
    "no option": (ASK.replace(b"Connection: Upgrade", b"Connection: keep-alive"), True),
    "POST": (ASK.replace(b"GET", b"POST"), True),
    "a body": (ASK.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\nhi"), True),
    "nothing": (PLAIN, True),
    "twice": (ASK.replace(b"Upgrade: websocket\r\n", b"Upgrade: websocket\r\n" * 2), True),
}


@pytest.mark.parametrize(("request_", "upgrades"), UNASKED.values(), ids=UNASKED)
def test_what_may_not_be_asked_is_not_passed_on(request_: bytes, upgrades: bool) -> None:
    scene = Scene(upgrades=upgrades)
    sent = scene.ask(request_ + PLAIN)
    assert b"pgrade" not in sent
    assert b"ttings" not in sent
    assert scene.answer(OK).endswith(b"ok")
    assert scene.wire.pull(UP).startswith(b"GET /b ")  # and the connection goes on
    got = scene.answer(GRANT)
    assert status(got) == 502


def test_http_10_asks_for_nothing() -> None:
    scene = Scene()
    assert b"pgrade" not in scene.ask(ASK.replace(b"HTTP/1.1", b"HTTP/1.0"))


@pytest.mark.parametrize("answer", [OK, b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"])
def test_without_the_grant_nothing_behind_the_handshake_is_served(answer: bytes) -> None:
    scene = Scene()
    scene.ask(ASK + PLAIN)
    got = scene.answer(answer + OK)
    assert got.count(b"HTTP/1.1") == 1
    assert b"Connection: close\r\n" in got
    scene.wire.push(DOWN, PLAIN)
    scene.wire.end(DOWN)
    assert (scene.ups(), scene.lives, scene.wire.active) == ([], (False, False), 0)
    assert (scene.pool.idle, len(scene.wire.lines())) == (0, 2)  # nor is the upstream's connection used again


def test_an_endless_answer_in_place_of_the_grant_is_an_answer() -> None:
    scene = Scene(limits={"body_timeout": 1})
    scene.ask()
    assert b"Transfer-Encoding: chunked" in scene.answer(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(30):
        scene.wire.advance(8)
        assert scene.answer(b"event") == b"5\r\nevent\r\n"
    scene.wire.advance(11)
    assert (scene.lives, scene.wire.active) == ((False, False), 0)


def test_an_upstream_that_says_nothing_is_a_504() -> None:
    scene = Scene(limits={"body_timeout": 1, "send_timeout": 1})
    scene.ask()
    scene.wire.advance(9)
    assert scene.lives == (True, True)
    scene.wire.advance(2)
    got = scene.wire.pull(DOWN)
    assert (status(got), b"Connection: close" in got, scene.ups()) == (504, True, [])


def test_a_client_that_leaves_before_the_grant() -> None:
    scene = Scene()
    scene.ask()
    scene.wire.end(DOWN)
    scene.wire.advance(2)
    assert (scene.lives, scene.wire.active) == ((False, False), 0)


def test_a_grant_before_the_whole_request_was_sent_is_none() -> None:
    scene = Scene()
    scene.wire.connecting("later")
    scene.ask()
    scene.wire.room(UP, 10)
    scene.wire.connected(UP)
    assert status(scene.answer(GRANT)) == 502


def test_nothing_is_looked_at_behind_the_grant() -> None:
    scene = Scene().open()
    assert scene.ask(PLAIN + ASK) == PLAIN + ASK
    assert scene.answer(OK + GRANT + b"HTTP/1.1 100\r\n\r\n\0") == OK + GRANT + b"HTTP/1.1 100\r\n\r\n\0"
    assert scene.ask(b"\0\xff" * 5) == b"\0\xff" * 5


def test_a_body_gathered_by_a_step_is_empty() -> None:
    """Who asks for the body of a request that may become a tunnel is not given what comes of the tunnel."""
    seen: list[bytes | None] = []

    async def main() -> None:
        async def access(_: object, request: _core.Request) -> None:
            seen.append(await request.body(100))

        step = _core.PythonStep("p", "access", access, None)
        upstream = _core.Upstream([(pool(), 1, 0, b"a")], connect=5, send=4, read=10)
        plan = _core.Plan(b"r", chain(step), upstream, upgrades=True)
        wire = _core.Wire(_core.Snapshot([(plan, b"", b"/*")], {}, chain()), loop=asyncio.get_running_loop())
        line = wire.open()
        wire.push(line, ASK + b"early")
        for _ in range(50):
            await asyncio.sleep(0)
        wire.push(UP, GRANT)
        assert wire.pull(UP).endswith(b"\r\n\r\nearly")

    asyncio.run(main())
    assert seen == [b""]


# -- bytes both ways -------------------------------------------------------------------------------


@pytest.mark.parametrize("splice_least", [1, NEVER], ids=["kernel", "copied"])
@pytest.mark.parametrize("seed", range(4))
def test_bytes_arrive_whole_through_slow_sides(splice_least: int, seed: int) -> None:
    scene, chance = Scene(splice_least=splice_least).open(), random.Random(seed)
    out = hashlib.shake_128(b"out").digest(700_000)
    back = hashlib.shake_128(b"back").digest(700_000)
    sent, got, at = b"", b"", [0, 0]
    while len(sent) < len(out) or len(got) < len(back):
        for line, data in ((DOWN, out), (UP, back)):
            piece = data[at[line] : at[line] + chance.choice((1, 100, 50_000, 200_000))]
            at[line] += len(piece)
            if piece:
                scene.wire.push(line, piece)
            scene.wire.room(line, chance.choice((0, 10, 3_000, 90_000)))
        sent += scene.wire.pull(UP)
        got += scene.wire.pull(DOWN)
        assert scene.wire.held() <= 2 * 330 * 1024
    assert (sent, got) == (out, back)


def test_a_side_that_takes_nothing_stops_the_other_at_once() -> None:
    scene = Scene().open()
    for line in (UP, DOWN):
        scene.wire.room(line, 0)
    for _ in range(100):
        scene.ask(b"x" * 65536)
        scene.answer(b"y" * 65536)
    assert scene.wire.held() <= 2 * 65536
    scene.wire.room(UP, NEVER)
    scene.wire.room(DOWN, NEVER)
    assert scene.wire.pull(UP) == b"x" * 6553600
    assert scene.wire.pull(DOWN) == b"y" * 6553600


# -- the end ---------------------------------------------------------------------------------------


def test_fin_of_the_client_goes_on_and_the_way_back_stays() -> None:
    scene = Scene().open()
    scene.ask(b"last")
    scene.wire.end(DOWN)
    assert scene.wire.finished(UP)
    assert scene.answer(b"reply") == b"reply"
    assert scene.lives == (True, True)
    scene.wire.end(UP)
    assert (scene.lives, scene.wire.active, scene.wire.finished(DOWN)) == ((False, False), 0, True)


def test_fin_of_the_upstream_goes_behind_its_last_byte() -> None:
    scene = Scene().open()
    scene.wire.room(DOWN, 3)
    scene.answer(b"farewell")
    scene.wire.end(UP)
    assert not scene.wire.finished(DOWN)
    scene.wire.room(DOWN, 100)
    assert scene.wire.finished(DOWN)
    assert scene.ask(b"seen") == b"seen"
    scene.wire.end(DOWN)
    assert (scene.lives, scene.wire.active) == ((False, False), 0)


@pytest.mark.parametrize("line", [DOWN, UP])
def test_a_side_that_breaks_ends_the_other(line: int) -> None:
    scene = Scene().open()
    scene.wire.reset(line)
    assert (scene.lives, scene.wire.active) == ((False, False), 0)


@pytest.mark.parametrize("line", [DOWN, UP])
def test_a_side_that_breaks_after_its_fin(line: int) -> None:
    scene = Scene().open()
    scene.wire.end(line)
    assert scene.lives == (True, True)
    scene.wire.reset(line)
    assert (scene.lives, scene.wire.active) == ((False, False), 0)


@pytest.mark.parametrize("line", [DOWN, UP])
def test_a_break_that_shows_when_something_is_sent(line: int) -> None:
    scene = Scene().open()
    scene.wire.breaks(line)
    scene.wire.push(1 - line, b"x")
    assert (scene.lives, scene.wire.active) == ((False, False), 0)


def test_an_idle_tunnel_lives_as_long_as_the_read_timeout() -> None:
    scene = Scene(limits={"idle_timeout": 1, "body_timeout": 1, "send_timeout": 1, "head_timeout": 1}).open()
    for i in range(20):
        scene.wire.advance(8)
        if i % 2:
            assert scene.ask(b"ping") == b"ping"
        else:
            assert scene.answer(b"pong") == b"pong"
    scene.wire.advance(11)
    assert (scene.lives, scene.wire.active) == ((False, False), 0)


def test_an_upstream_that_takes_nothing_is_given_up() -> None:
    scene = Scene().open()
    scene.wire.room(UP, 0)
    scene.ask(b"x")
    for _ in range(3):  # what it says meanwhile changes nothing
        scene.wire.advance(1.2)
        assert scene.answer(b"y") == b"y"
    scene.wire.advance(1)
    assert (scene.lives, scene.wire.active) == ((False, False), 0)


def test_a_client_that_takes_nothing_is_given_up() -> None:
    scene = Scene(limits={"send_timeout": 30}).open()
    scene.wire.room(DOWN, 0)
    scene.answer(b"x")
    for _ in range(3):
        scene.wire.advance(9)
        assert scene.ask(b"y") == b"y"
    scene.wire.room(DOWN, 0)
    scene.wire.advance(4)
    assert (scene.lives, scene.wire.active) == ((False, False), 0)


def test_a_core_that_is_closed_lets_go_of_its_tunnels() -> None:
    scene = Scene().open()
    scene.ask(b"x" * 100_000)
    scene.wire.room(DOWN, 0)
    scene.answer(b"y" * 100_000)
    del scene.wire


# -- what is written of it -------------------------------------------------------------------------


def logged(scene: Scene, end: str) -> dict[str, object]:
    reader, writer = os.pipe()
    try:
        scene.wire.access_log(writer)
        getattr(scene.wire, end)(DOWN)
        scene.wire.end(UP) if scene.wire.is_open(UP) else None
        scene.wire.access_log(-1)
        line: dict[str, object] = json.loads(os.read(reader, 65536))
        return line
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize(("end", "reason"), [("end", None), ("reset", "client.left")])
def test_one_line_tells_of_the_whole_tunnel(end: str, reason: str | None) -> None:
    scene = Scene()
    scene.ask(ASK + b"12")
    scene.answer(GRANT + b"abc")
    scene.ask(b"345")
    scene.answer(b"defg")
    scene.wire.advance(5)
    line = logged(scene, end)
    assert (line["status"], line["upstream_status"], line["bytes_in"], line["bytes_out"]) == (101, 101, 5, 7)
    assert (line["request_ms"], line["upstream_ms"], line.get("refused")) == (5000.0, 0.0, reason)
    metrics = scene.region.metrics()
    assert (metrics["responses_1xx"], metrics["bytes_in"], metrics["bytes_out"]) == (1, 5, 7)
    assert metrics["latency_us_sum"] == 0


def test_a_slot_is_held_as_long_as_the_tunnel() -> None:
    one, none = (_core.Template(number, "var_combination") for number in ("1", "0"))
    limit = _core.LimitConnStep(b"l", _core.Template("remote_addr"), conn=one, burst=none, delay=0.1)
    scene = Scene(limit).open()
    other = scene.wire.open()
    scene.wire.push(other, PLAIN)
    assert status(scene.wire.pull(other)) == 503
    scene.wire.reset(DOWN)
    scene.wire.push(other, PLAIN)
    assert scene.answer(OK) == b""
    assert status(scene.wire.pull(other)) == 200
