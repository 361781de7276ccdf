"""A whole body in memory before a step goes on: what its reader sees, what goes upstream afterwards, and how it may fail."""

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core
from tests.support.core import OK, snapshot

HEAD = b"POST /a HTTP/1.1\r\nHost: x\r\n"
Body = bytes | None
Read = Callable[[_core.Request], Awaitable[Any]]


class Talk:
    """One client's line to a core whose step reads bodies; `seen` holds what it read."""

    def __init__(self, limit: int = 100, then: Callable[[_core.Request, Body], Any] | None = None, **options: Any) -> None:
        self.seen: list[Body] = []
        self.failed: list[BaseException] = []

        async def read(conf: Any, request: _core.Request) -> Any:
            body = await request.body(limit)
            self.seen.append(body)
            return then(request, body) if then is not None else None

        step = _core.PythonStep("test", "access", read, None)
        loop = asyncio.get_running_loop()
        self.wire = _core.Wire(snapshot(step), loop=loop, on_error=lambda *told: self.failed.append(told[2]), **options)
        self.line = self.wire.open()

    async def push(self, data: bytes) -> None:
        self.wire.push(self.line, data)
        await self.settle()

    async def settle(self) -> None:
        for _ in range(8):
            await asyncio.sleep(0)

    def upstream(self) -> list[int]:
        return [i for i, side, is_open in self.wire.lines() if side == "up" and is_open]

    def sent(self) -> bytes:
        """What the upstream got, which then answers."""
        (up,) = self.upstream()
        got = self.wire.pull(up)
        self.wire.push(up, OK)
        return got


def play(scene: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scene())  # type: ignore[arg-type]


def chunked(*pieces: bytes, end: bool = True) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + (b"0\r\nX-Trailer: t\r\n\r\n" if end else b"")


LENGTH = HEAD + b"Content-Length: 10\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("head", [LENGTH, CHUNKED], ids=["length", "chunked"])
def test_a_body_is_read_whole_and_goes_on_with_a_length(head: bytes) -> None:
    async def scene() -> None:
        talk = Talk()
        body = b"0123456789" if head is LENGTH else chunked(b"01234", b"56789")
        await talk.push(head)
        await talk.push(body[:7])
        assert (talk.seen, talk.upstream()) == ([], [])
        await talk.push(body[7:] + HEAD + b"\r\n")  # and the next request behind it
        assert talk.seen == [b"0123456789"]
        sent = talk.sent()
        assert sent.endswith(b"\r\nContent-Length: 10\r\n\r\n0123456789")
        assert b"chunked" not in sent.lower()
        await talk.settle()
        assert talk.seen == [b"0123456789", b""]
        assert b"Content-Length" not in talk.sent()
        assert talk.wire.pull(talk.line).count(b"HTTP/1.1 200 OK\r\n") == 2
        assert talk.wire.active == 0

    play(scene)


@given(st.binary(max_size=60), st.lists(st.integers(1, 12), max_size=8), st.data())
def test_any_body_in_any_pieces(body: bytes, sizes: list[int], data: st.DataObject) -> None:
    as_chunks = data.draw(st.booleans())
    if as_chunks:
        rest, chunks = body, []
        for size in sizes:
            chunks.append(rest[:size])
            rest = rest[size:]
        framed = CHUNKED + chunked(*[piece for piece in (*chunks, rest) if piece])
    else:
        framed = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    places = sorted(data.draw(st.lists(st.integers(0, len(framed)), max_size=6)))
    pieces = [framed[a:b] for a, b in itertools.pairwise([0, *places, len(framed)])]

    async def scene() -> None:
        talk = Talk()
        for piece in pieces:
            await talk.push(piece)
        assert talk.seen == [body]
        length = b"Content-Length: %d\r\n" % len(body) if body or as_chunks else b""
        assert talk.sent().endswith(b"\r\n" + length + b"\r\n" + body)
        await talk.settle()
        assert talk.wire.active == 0

    play(scene)


@pytest.mark.parametrize(
    "framed", [LENGTH + b"0123", CHUNKED + chunked(b"012345", b"6789", end=False)], ids=["length", "chunked"]
)
def test_a_body_over_the_limit_is_none_and_may_still_go_on(framed: bytes) -> None:
    async def scene() -> None:
        talk = Talk(limit=9)
        await talk.push(framed)
        assert talk.seen == [None]
        (up,) = talk.upstream()
        await talk.push(b"456789" if framed.startswith(LENGTH) else chunked(b"abc"))
        sent = talk.wire.pull(up)
        if framed.startswith(LENGTH):
            assert sent.endswith(b"\r\nContent-Length: 10\r\n\r\n0123456789")
        else:
            assert sent.endswith(b"\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n3\r\nabc\r\n0\r\n\r\n")
        talk.wire.push(up, OK)
        assert talk.wire.pull(talk.line)[9:12] == b"200"

    play(scene)


def test_no_body_is_never_too_long() -> None:
    """Whatever the request before it had, whose memory it may be in."""

    async def scene() -> None:
        talk = Talk(limit=9)
        await talk.push(CHUNKED + chunked(b"0123456789"))
        talk.sent()
        await talk.push(HEAD + b"\r\n")
        assert talk.seen == [None, b""]
        talk.sent()
        await talk.push(HEAD + b"Content-Length: 0\r\n\r\n")
        assert talk.seen == [None, b"", b""]

    play(scene)


@pytest.mark.parametrize("limit", [9, 10])
def test_the_limit_itself_is_admitted(limit: int) -> None:
    async def scene() -> None:
        for head, body in ((LENGTH, b"0123456789"), (CHUNKED, chunked(b"0123456789"))):
            talk = Talk(limit, lambda request, body: _core.Reply(413) if body is None else None)
            await talk.push(head + body)
            assert talk.seen == [None if limit == 9 else b"0123456789"]
            got = talk.wire.pull(talk.line)
            assert (got[9:12] == b"413") is (limit == 9)

    play(scene)


def test_a_client_that_waits_is_told_to_go_on_once_and_only_if_the_body_is_wanted() -> None:
    async def scene() -> None:
        for limit, wanted in ((10, True), (9, False)):
            talk = Talk(limit, lambda request, body: _core.Reply(413) if body is None else None)
            await talk.push(HEAD + b"Expect: 100-continue\r\nContent-Length: 10\r\n\r\n")
            got = talk.wire.pull(talk.line)
            if not wanted:
                assert got.startswith(b"HTTP/1.1 413 ")
                assert b"Connection: close" in got
                continue
            assert got == b"HTTP/1.1 100 Continue\r\n\r\n"
            await talk.push(b"01234")
            await talk.push(b"56789")
            sent = talk.sent()
            assert sent.endswith(b"0123456789")
            assert b"expect" not in sent.lower()
            assert talk.wire.pull(talk.line).startswith(b"HTTP/1.1 200 ")

    play(scene)


@pytest.mark.parametrize("how", ["end", "reset"])
@pytest.mark.parametrize("head", [LENGTH, CHUNKED], ids=["length", "chunked"])
def test_a_client_that_leaves_frees_its_reader(head: bytes, how: str) -> None:
    async def scene() -> None:
        talk = Talk()
        await talk.push(head + (b"012" if head is LENGTH else chunked(b"012", end=False)))
        getattr(talk.wire, how)(talk.line)
        await talk.settle()
        assert (talk.seen, talk.failed, talk.upstream(), talk.wire.active) == ([], [], [], 0)

    play(scene)


def test_a_body_that_does_not_come_is_a_408() -> None:
    async def scene() -> None:
        talk = Talk(limits={"body_timeout": 5, "min_rate": 0})
        await talk.push(LENGTH + b"012")
        talk.wire.advance(4)
        await talk.push(b"3")  # each read is a new deadline
        talk.wire.advance(4)
        assert talk.wire.pull(talk.line) == b""
        talk.wire.advance(2)
        await talk.settle()
        assert talk.wire.pull(talk.line).startswith(b"HTTP/1.1 408 ")
        assert (talk.seen, talk.failed, talk.wire.active) == ([], [], 0)

    play(scene)


@pytest.mark.parametrize(
    ("body", "status"), [(b"zz\r\n", b"400"), (b"5\r\n01234x\r\n", b"400"), (b"40\r\n", b"413")], ids=["size", "end", "too long"]
)
def test_a_broken_body_ends_the_request(body: bytes, status: bytes) -> None:
    async def scene() -> None:
        talk = Talk(limits={"body_bytes": 32})
        await talk.push(CHUNKED)
        await talk.push(body)
        assert talk.wire.pull(talk.line)[9:12] == status
        assert (talk.seen, talk.failed, talk.upstream(), talk.wire.active) == ([], [], [], 0)

    play(scene)


def test_a_gathered_body_is_sent_again_when_a_try_failed() -> None:
    async def scene() -> None:
        talk = Talk()
        await talk.push(CHUNKED.replace(b"POST", b"PUT") + chunked(b"01234", b"56789"))
        first = talk.sent()
        await talk.push(CHUNKED.replace(b"POST", b"PUT") + chunked(b"01234", b"56789"))
        (up,) = talk.upstream()  # kept from the first request
        talk.wire.pull(up)
        talk.wire.reset(up)
        assert talk.sent() == first
        assert talk.wire.pull(talk.line).count(b"HTTP/1.1 200 OK\r\n") == 2

    play(scene)


def test_a_long_body_is_gathered_in_turns() -> None:
    async def scene() -> None:
        talk = Talk(limit=1 << 21)
        body = bytes(range(256)) * 4096
        await talk.push(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert talk.seen == [body]
        assert talk.sent().endswith(body)

    play(scene)


def test_who_asks_twice_gets_the_same() -> None:
    async def twice(conf: Any, request: _core.Request) -> None:
        seen.extend([await request.body(5), await request.body(20), await request.body(20), await request.body(3)])

    seen: list[Body] = []

    async def scene() -> None:
        step = _core.PythonStep("test", "rewrite", twice, None)
        wire = _core.Wire(snapshot(step), loop=asyncio.get_running_loop())
        line = wire.open()
        wire.push(line, CHUNKED + chunked(b"01234", b"56789"))
        for _ in range(12):
            await asyncio.sleep(0)
        assert seen == [None, b"0123456789", b"0123456789", None]
        assert wire.pull(1).endswith(b"\r\nContent-Length: 10\r\n\r\n0123456789")

    play(scene)


@pytest.mark.parametrize("limit", [-1, (1 << 30) + 1])
def test_a_limit_out_of_bounds_is_the_plugins_fault(limit: int) -> None:
    async def scene() -> None:
        talk = Talk(limit)
        await talk.push(LENGTH)
        assert talk.wire.pull(talk.line)[9:12] == b"500"
        assert re.match(r"limit: expected 0 to \d+ bytes", str(talk.failed[0]))

    play(scene)


def test_a_body_is_only_for_who_holds_the_request_up() -> None:
    async def scene() -> None:
        failed: list[str] = []

        def at_once(conf: Any, request: _core.Request) -> Any:
            return request.body(10)

        async def both(conf: Any, request: _core.Request) -> None:
            await asyncio.gather(request.body(10), request.body(10))

        for call in (at_once, both):
            step = _core.PythonStep("test", "access", call, None)
            wire = _core.Wire(snapshot(step), loop=asyncio.get_running_loop(), on_error=lambda *told: failed.append(str(told[2])))
            line = wire.open()
            wire.push(line, LENGTH)
            for _ in range(8):
                await asyncio.sleep(0)
            assert wire.pull(line)[9:12] == b"500"
        assert [text.split(" can ")[0] for text in failed] == ["the body"] * 2

    play(scene)


def test_who_gives_up_leaves_the_body_to_the_upstream() -> None:
    async def scene() -> None:
        async def impatient(conf: Any, request: _core.Request) -> None:
            reading = asyncio.ensure_future(request.body(100))
            for _ in range(3):
                await asyncio.sleep(0)
            reading.cancel()

        step = _core.PythonStep("test", "access", impatient, None)
        wire = _core.Wire(snapshot(step), loop=asyncio.get_running_loop())
        line = wire.open()
        wire.push(line, LENGTH + b"0123")
        for _ in range(8):
            await asyncio.sleep(0)
        wire.push(line, b"456789")
        assert wire.pull(1).endswith(b"\r\n\r\n0123456789")

    play(scene)


def test_a_client_whose_body_nobody_waits_for_any_more_is_not_cut_off() -> None:
    async def scene() -> None:
        async def impatient(conf: Any, request: _core.Request) -> None:
            reading = asyncio.ensure_future(request.body(100))
            for _ in range(3):
                await asyncio.sleep(0)
            reading.cancel()

        async def slow(conf: Any, request: _core.Request) -> _core.Reply:
            await gate.wait()
            return _core.Reply(403, "no")

        gate = asyncio.Event()
        steps = _core.PythonStep("impatient", "rewrite", impatient, None), _core.PythonStep("slow", "access", slow, None)
        wire = _core.Wire(snapshot(*steps), loop=asyncio.get_running_loop())
        line = wire.open()
        wire.push(line, LENGTH + b"0123")
        for _ in range(8):
            await asyncio.sleep(0)
        wire.advance(3600)
        gate.set()
        for _ in range(8):
            await asyncio.sleep(0)
        assert wire.pull(line).startswith(b"HTTP/1.1 403 ")

    play(scene)


def test_nobody_reads_the_body_of_a_request_that_another_holds_up() -> None:
    """Else a broken body would end the exchange under who is to let it go on: here a delay, which then lets go another's."""

    async def scene() -> None:
        told: list[str] = []
        tasks: list[asyncio.Task[None]] = []

        async def peep(request: _core.Request) -> None:
            try:
                await request.body(100)
            except _core.PluginError as error:
                told.append(str(error))

        def look(conf: Any, request: _core.Request) -> None:
            tasks.append(asyncio.get_running_loop().create_task(peep(request)))

        limit = _core.LimitReqStep(b"r", _core.Template("all", "constant"), count=1, window=1, burst=5)
        wire = _core.Wire(snapshot(_core.PythonStep("test", "rewrite", look, None), limit), loop=asyncio.get_running_loop())
        for _ in range(2):  # the second is delayed
            line = wire.open()
            wire.push(line, CHUNKED)
            for _ in range(8):
                await asyncio.sleep(0)
        wire.push(line, b"nonsense\r\n")
        assert wire.active == 2
        wire.advance(1.5)
        assert len(told) == 2
        assert wire.pull(line).startswith(b"HTTP/1.1 400 ")

    play(scene)
