"""Gathered bodies together have a bound: who may have no more is refused; what is let go of, on whatever way, counts no more."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fastgw import _core
from tests.support.core import OK, snapshot
from tests.unit.test_gather import CHUNKED, HEAD, Talk, chunked, play
from tests.unit.test_posted import request as form
from tests.unit.test_posted import routes

MOST = 100_000
BODY = b"x" * 60_000
KEPT = 16384  # bytes that are not counted (native/buf.pxd)
LENGTH = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY)
FRAMED = {"length": LENGTH + BODY, "chunked": CHUNKED + chunked(BODY[:30_000], BODY[30_000:])}
FRAMING = pytest.mark.parametrize("framed", FRAMED.values(), ids=FRAMED)


def bounded(then: Callable[[_core.Request, bytes | None], Any] | None = None, limit: int = 1 << 20, **limits: float) -> Talk:
    return Talk(limit, then, limits={"gathered_bytes": MOST, **limits})


async def other(talk: Talk, data: bytes) -> int:
    """A request on a line of its own."""
    line = talk.wire.open()
    talk.wire.push(line, data)
    await talk.settle()
    return line


def refusal(answer: bytes) -> tuple[bytes, str | None]:
    """The status, and the reason if there is one."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return head[9:12], json.loads(body).get("reason") if b"json" in head else None


@FRAMING
def test_who_would_have_too_much_is_refused_until_there_is_room(framed: bytes) -> None:
    async def scene() -> None:
        talk = bounded()
        await talk.push(LENGTH + BODY[:50_000])
        assert talk.wire.gathered == 50_000
        answer = talk.wire.pull(await other(talk, framed))
        assert refusal(answer) == (b"503", "body.busy")
        assert b"\r\nRetry-After: 1\r\n" in answer
        assert b"\r\nConnection: close\r\n" in answer
        assert (talk.seen, talk.failed, talk.wire.active, talk.wire.gathered) == ([], [], 1, 50_000)
        await talk.push(BODY[50_000:])
        assert talk.wire.gathered == len(BODY)
        assert talk.sent().endswith(BODY)
        assert talk.wire.gathered == 0
        line = await other(talk, framed)
        assert talk.seen == [BODY, BODY]
        assert talk.sent().endswith(BODY)
        assert refusal(talk.wire.pull(line))[0] == b"200"
        assert (talk.wire.active, talk.wire.gathered) == (0, 0)

    play(scene)


@pytest.mark.parametrize("announced", [True, False])
def test_one_body_alone_may_have_all_of_it_and_not_more(announced: bool) -> None:
    async def scene() -> None:
        for size in (MOST, MOST + 1):
            talk = bounded()
            body = b"x" * size
            head = HEAD + b"Content-Length: %d\r\n\r\n" % size if announced else CHUNKED
            await talk.push(head + (body if announced else chunked(*[body[i : i + 999] for i in range(0, size, 999)])))
            # A longer one would never fit: its reader does without it, as with one beyond its own limit.
            assert talk.seen == [body if size == MOST else None]
            assert talk.sent().endswith(body if announced else b"")
            assert refusal(talk.wire.pull(talk.line))[0] == b"200"
            assert (talk.wire.active, talk.wire.gathered) == (0, 0)

    play(scene)


def test_who_announces_too_much_is_not_told_to_go_on() -> None:
    async def scene() -> None:
        talk = bounded()
        await talk.push(LENGTH + BODY[:50_000])
        line = await other(talk, LENGTH.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
        assert refusal(talk.wire.pull(line)) == (b"503", "body.busy")

    play(scene)


def test_of_bodies_that_come_together_the_first_has_its_room() -> None:
    async def scene() -> None:
        talk = bounded()
        first, second = [await other(talk, LENGTH + BODY[:25_000]) for _ in range(2)]
        for line in (first, second):
            talk.wire.push(line, BODY[25_000:50_000])
            await talk.settle()
        assert refusal(talk.wire.pull(second)) == (b"503", "body.busy")
        assert talk.wire.gathered == 50_000
        talk.wire.push(first, BODY[50_000:])
        await talk.settle()
        assert talk.seen == [BODY]

    play(scene)


def test_short_bodies_go_on_beyond_the_bound() -> None:
    async def scene() -> None:
        talk = bounded()
        await talk.push(HEAD + b"Content-Length: %d\r\n\r\n" % MOST + b"x" * (MOST - 1))
        for body in (b"", b"x", b"x" * KEPT):
            for framed in (HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body, CHUNKED + chunked(*[body][: len(body)])):
                line = await other(talk, framed)
                assert talk.sent().endswith(b"\r\n\r\n" + body)
                assert refusal(talk.wire.pull(line))[0] == b"200"
                assert talk.wire.gathered == MOST - 1
        assert refusal(talk.wire.pull(await other(talk, CHUNKED + chunked(b"x" * (KEPT + 1)))))[0] == b"503"

    play(scene)


def test_a_body_that_its_reader_does_not_take_has_no_need_of_room() -> None:
    """It is not gathered, and goes on as it comes."""

    async def scene() -> None:
        talk = bounded(limit=50_000)
        await talk.push(HEAD + b"Content-Length: 50000\r\n\r\n" + b"x" * 49_999)
        await other(talk, HEAD + b"Content-Length: 50000\r\n\r\n" + b"x" * 49_999)
        for framed in (FRAMED["length"], CHUNKED + b"%x\r\nx" % len(BODY)):
            line = await other(talk, framed)
            assert talk.wire.pull(line) == b""
            talk.wire.reset(line)
        assert talk.seen == [None, None]

    play(scene)


# ---- its end -------------------------------------------------------------------------------------


async def answered(talk: Talk) -> None:
    talk.sent()


async def left(talk: Talk) -> None:
    talk.wire.end(talk.line)


async def broken(talk: Talk) -> None:
    talk.wire.reset(talk.line)


async def late(talk: Talk) -> None:
    talk.wire.advance(100)


async def upstream_broke(talk: Talk) -> None:
    (up,) = talk.upstream()
    talk.wire.reset(up)


@pytest.mark.parametrize("end", [left, broken, late])
@FRAMING
def test_a_body_that_does_not_come_counts_no_more(framed: bytes, end: Callable[[Talk], Awaitable[None]]) -> None:
    async def scene() -> None:
        talk = bounded()
        await talk.push(framed[:50_000])
        assert KEPT < talk.wire.gathered < 50_000
        await end(talk)
        await talk.settle()
        assert (talk.seen, talk.failed, talk.wire.active, talk.wire.gathered) == ([], [], 0, 0)

    play(scene)


@pytest.mark.parametrize("piece", [b"zz\r\n", b"fffffff\r\n"], ids=["broken", "too long"])
def test_nor_does_one_that_is_refused_on_its_way(piece: bytes) -> None:
    async def scene() -> None:
        talk = bounded(body_bytes=90_000)
        await talk.push(CHUNKED + chunked(BODY, end=False))
        assert talk.wire.gathered == len(BODY)
        await talk.push(piece)
        assert talk.wire.pull(talk.line)[9:10] == b"4"
        assert (talk.wire.active, talk.wire.gathered) == (0, 0)

    play(scene)


@pytest.mark.parametrize("end", [answered, left, broken, upstream_broke])
@FRAMING
def test_nor_one_that_has_gone_upstream(framed: bytes, end: Callable[[Talk], Awaitable[None]]) -> None:
    async def scene() -> None:
        talk = bounded()
        await talk.push(framed)
        assert talk.wire.gathered == len(BODY)
        await end(talk)
        talk.wire.advance(2)  # of a client that has sent FIN
        await talk.settle()
        assert (talk.failed, talk.wire.active, talk.wire.gathered) == ([], 0, 0)

    play(scene)


def test_nor_one_that_was_sent_twice() -> None:
    async def scene() -> None:
        talk = bounded()
        put = FRAMED["chunked"].replace(b"POST", b"PUT")
        await talk.push(put)
        talk.sent()
        await talk.push(put)
        (up,) = talk.upstream()  # kept from the first request
        talk.wire.pull(up)
        talk.wire.reset(up)
        assert talk.wire.gathered == len(BODY)
        assert talk.sent().endswith(BODY)
        assert (talk.wire.active, talk.wire.gathered) == (0, 0)

    play(scene)


def refuses(request: _core.Request, body: bytes | None) -> _core.Reply:
    return _core.Reply(403, "no")


def raises(request: _core.Request, body: bytes | None) -> None:
    raise ValueError("no")


def shortens(request: _core.Request, body: bytes | None) -> _core.Reply:
    _core.replace_body(request, b"x")
    return _core.Reply(403, "no")


def lengthens(request: _core.Request, body: bytes | None) -> _core.Reply:
    _core.replace_body(request, b"x" * (2 * MOST))
    return _core.Reply(403, "no")


@pytest.mark.parametrize("verdict", [refuses, raises, shortens, lengthens])
@FRAMING
def test_nor_one_whose_reader_ends_the_request(framed: bytes, verdict: Callable[[_core.Request, bytes | None], Any]) -> None:
    async def scene() -> None:
        talk = bounded(verdict)
        await talk.push(framed)
        assert talk.wire.pull(talk.line)[9:12] == (b"500" if verdict is raises else b"403")
        assert (talk.wire.active, talk.wire.gathered) == (0, 0)

    play(scene)


@pytest.mark.parametrize(("new", "counted"), [(b"y", 0), (b"y" * KEPT, 0), (b"y" * 30_000, 30_000), (b"y" * MOST * 2, MOST * 2)])
def test_what_takes_its_place_counts_instead(new: bytes, counted: int) -> None:
    async def scene() -> None:
        talk = bounded(lambda request, body: _core.replace_body(request, new))
        await talk.push(FRAMED["chunked"])
        assert talk.wire.gathered == counted
        assert talk.sent().endswith(b"\r\n\r\n" + new)
        assert talk.wire.gathered == 0

    play(scene)


def test_a_part_that_goes_on_as_a_chunk_counts_until_the_end() -> None:
    async def scene() -> None:
        talk = bounded(limit=50_000)
        await talk.push(CHUNKED + chunked(BODY[:40_000], end=False))
        assert talk.wire.gathered == 40_000
        await talk.push(chunked(BODY[40_000:]))
        assert talk.seen == [None]
        assert talk.wire.gathered >= 40_000
        assert b"x" * 40_000 in talk.sent()
        assert (talk.wire.active, talk.wire.gathered) == (0, 0)

    play(scene)


def test_a_plugin_that_is_cut_off() -> None:
    async def forever(conf: Any, request: _core.Request) -> None:
        await request.body(MOST)
        await asyncio.get_running_loop().create_future()

    async def scene() -> None:
        step = _core.PythonStep("test", "access", forever, None)
        loop = asyncio.get_running_loop()
        wire = _core.Wire(snapshot(step), loop=loop, limits={"gathered_bytes": MOST})
        line = wire.open()
        wire.push(line, FRAMED["length"])
        for _ in range(8):
            await asyncio.sleep(0)
        assert wire.gathered == len(BODY)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        for _ in range(8):
            await asyncio.sleep(0)
        assert wire.pull(line)[9:12] == b"500"
        assert (wire.active, wire.gathered) == (0, 0)

    play(scene)


def test_a_client_that_leaves_while_its_reader_is_at_work() -> None:
    """The body is there as long as the request is, which its plugin still holds up."""

    async def scene() -> None:
        async def read(conf: Any, request: _core.Request) -> None:
            await request.body(MOST)
            await gate.wait()

        gate = asyncio.Event()
        step = _core.PythonStep("test", "access", read, None)
        wire = _core.Wire(snapshot(step), loop=asyncio.get_running_loop(), limits={"gathered_bytes": MOST})
        line = wire.open()
        wire.push(line, FRAMED["length"])
        for _ in range(8):
            await asyncio.sleep(0)
        wire.reset(line)
        assert wire.gathered == len(BODY)
        gate.set()
        for _ in range(8):
            await asyncio.sleep(0)
        assert (wire.active, wire.gathered) == (0, 0)

    play(scene)


# ---- without the interpreter ---------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [False, True], ids=["length", "chunked"])
def test_forms_that_a_route_looks_at(chunks: bool) -> None:
    wire = _core.Wire(routes([["post_arg_a", "==", "1"]]), limits={"gathered_bytes": MOST})
    log, out = os.pipe()
    wire.access_log(out)
    raw = form(b"a=1&" + b"x" * 50_000)
    first, second = wire.open(), wire.open()
    wire.push(first, raw[:-1])
    wire.push(second, form(b"a=1&" + b"y" * 60_000, chunked=chunks))
    assert refusal(wire.pull(second)) == (b"503", "body.busy")
    wire.push(first, raw[-1:])
    up = next(i for i, side, _ in wire.lines() if side == "up")
    assert wire.pull(up).endswith(b"x")
    assert wire.gathered == 50_004
    wire.push(up, OK)
    assert refusal(wire.pull(first))[0] == b"200"
    assert (wire.active, wire.gathered) == (0, 0)
    wire.access_log(-1)
    os.close(out)
    with os.fdopen(log) as lines:
        assert [json.loads(line).get("refused") for line in lines] == ["body.busy", None]
