"""remote: what is asked of a store of counts, who waits for it, and what becomes of those it does not answer."""

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from fastgw import _core
from tests.support.core import snapshot
from tests.support.remote import GET, WINDOW, Scene, Scripted

FIXED, BUCKET, SLIDING = 0, 1, 2


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def test_a_request_waits_for_the_answer(loop: asyncio.AbstractEventLoop) -> None:
    scene = Scene(loop)
    assert scene.ask() == 0
    assert scene.store.asked() == [(FIXED, b"fastgw:limit:v1:routes/r:all", [5, WINDOW, 1, 0, 0, 0, 0, 0, 0, 0])]
    scene.store.answer([1, 0, 1, 2, 30_000])
    assert scene.status() == 200
    assert scene.shown(b"X-RateLimit-Limit") == b"5"
    assert scene.shown(b"X-RateLimit-Remaining") == b"2"
    assert scene.shown(b"X-RateLimit-Reset") == b"30"
    assert scene.ask() == 0
    scene.store.answer([0, 0, 1, 4, 29_500])
    assert scene.status() == 503
    assert scene.shown(b"X-RateLimit-Remaining") == b"0"
    assert scene.shown(b"Retry-After") == b"30"


def test_what_comes_in_one_turn_goes_out_together(loop: asyncio.AbstractEventLoop) -> None:
    """While eight batches are under way the next one fills; its answers may come in any order."""
    scene = Scene(loop)
    lines = [scene.wire.open() for _ in range(12)]
    for line in lines:
        scene.send(line)
    assert [len(batch) for batch in scene.store.batches] == [1] * 8
    scene.store.answer([1, 0, 1, 0, WINDOW])
    assert [len(batch) for batch in scene.store.batches] == [1] * 7 + [4]
    assert [scene.status(line) for line in lines[:2]] == [200, 0]
    last = scene.store.batches[-1]
    last.tell([3, 1], [[1, 0, 2, 0, WINDOW], [0, 0, 2, 3, WINDOW]])
    assert [scene.status(line) for line in lines[8:]] == [0, 503, 0, 200]
    while scene.store.batches:
        scene.store.answer(*[[1, 0, 2, 0, WINDOW]] * len(scene.store.batches[0]))
    assert [scene.status(line) for line in lines[1:8]] == [200] * 7


def test_an_answer_is_taken_once(loop: asyncio.AbstractEventLoop) -> None:
    scene = Scene(loop)
    scene.send()
    batch = scene.store.batches[0]
    scene.store.answer([1, 0, 1, 0, WINDOW])
    batch.tell([0], [[0, 0, 5, 0, WINDOW]])
    assert scene.status() == 200
    with pytest.raises(IndexError):
        batch.tell([1], [[1, 0, 1, 0, WINDOW]])


@pytest.mark.parametrize("answer", [None, [], [1, 0, 1], RuntimeError("WRONGTYPE"), "OK"])
def test_what_is_no_answer_is_judged_here(loop: asyncio.AbstractEventLoop, answer: object) -> None:
    scene = Scene(loop, count=1)
    for status in (200, 503):
        scene.send()
        scene.store.batches.pop(0).tell([0], [answer])
        assert scene.status() == status


def test_a_sender_that_ends_without_an_answer(loop: asyncio.AbstractEventLoop) -> None:
    scene = Scene(loop, count=1)
    scene.send()
    scene.store.tasks[0].set_exception(OSError("broken"))
    scene.store.land()
    assert scene.status() == 200


def test_a_store_that_is_away_is_not_asked(loop: asyncio.AbstractEventLoop) -> None:
    scene = Scene(loop, count=2)
    scene.store.away = True
    assert [scene.ask() for _ in range(3)] == [200, 200, 503]
    assert scene.store.batches == []


def test_without_the_store_it_may_be_open(loop: asyncio.AbstractEventLoop) -> None:
    scene = Scene(loop, count=1, pass_on_failure=True)
    scene.send()
    scene.store.answer(None)
    assert scene.status() == 200
    assert b"X-RateLimit" not in scene.head
    scene.store.away = True
    assert [scene.ask() for _ in range(3)] == [200] * 3


def test_without_an_event_loop_nobody_is_asked() -> None:
    store = _core.RemoteStore()
    step = _core.LimitCountStep(b"r", _core.Template("a", "constant"), count=1, window=60, store=store)
    wire = _core.Wire(snapshot(step))
    line = wire.open()
    wire.push(line, GET)
    assert [side for _, side, _ in wire.lines()] == ["down", "up"]
    with pytest.raises(TypeError):
        store.send(None)  # type: ignore[arg-type]


def test_a_client_that_leaves_is_counted_all_the_same(loop: asyncio.AbstractEventLoop) -> None:
    scene = Scene(loop)
    line = scene.wire.open()
    scene.send(line)
    scene.wire.reset(line)
    scene.store.answer([1, 0, 1, 0, WINDOW])
    scene.send()
    assert scene.store.asked()[0][2][6] == 1  # what this node was granted
    scene.store.answer([1, 0, 2, 0, WINDOW])
    assert scene.status() == 200


def test_who_waits_at_the_end_is_let_go(loop: asyncio.AbstractEventLoop) -> None:
    scene = Scene(loop)
    scene.send()
    batch, wire = scene.store.batches[0], weakref.ref(scene.store)
    scene.wire.reset(scene.line)
    batch.tell([0], [[1, 0, 1, 0, WINDOW]])
    scene.store.land()
    del scene, batch
    gc.collect()
    assert wire() is None


def test_a_long_key_is_told_by_its_digest(loop: asyncio.AbstractEventLoop) -> None:
    store = Scripted(loop)
    step = _core.LimitCountStep(b"r", _core.Template("uri", "var"), count=1, window=60, store=store)
    wire = _core.Wire(snapshot(step), loop=loop)
    for length in (128, 129):
        wire.push(wire.open(), b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * (length - 1)))
    short, long = (batch.questions()[0][1] for batch in store.batches)
    assert short == b"fastgw:limit:v1:r:/" + b"a" * 127
    assert long.startswith(b"fastgw:limit:v1:r:sha256:")
    assert len(long) == len(b"fastgw:limit:v1:r:sha256:") + 64


def test_no_client_chooses_the_place_of_a_key(loop: asyncio.AbstractEventLoop) -> None:
    """In a cluster that is what stands in braces; one of a rule's is its variable's name, and would be one place for all."""
    store = Scripted(loop)
    step = _core.LimitCountStep(b"r/${http_x}", _core.Template("http_x", "var"), count=1, window=60, store=store)
    wire = _core.Wire(snapshot(step), loop=loop)
    for value in (b"a", b"{a}", b"a}b"):
        wire.push(wire.open(), b"GET / HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n" % value)
    plain, *others = (batch.questions()[0][1] for batch in store.batches)
    assert plain == b"fastgw:limit:v1:r/$%7Bhttp_x%7D:a"
    assert len({*others}) == 2
    assert all(key.startswith(b"fastgw:limit:v1:r/$%7Bhttp_x%7D:sha256:") for key in others)


def test_a_node_has_one_name_while_its_counters_live(loop: asyncio.AbstractEventLoop) -> None:
    region = _core.Region.create(1024, slots=2)
    names = set()
    for _ in range(2):
        scene = Scene(loop, region=region)
        assert scene.store.node == b""
        scene.send()
        names.add(scene.store.node)
    other = Scene(loop)
    other.send()
    assert len(names) == 1
    assert len({*names, other.store.node}) == 2
    assert all(len(name) == 16 for name in names)


def test_rules_wait_one_after_the_other_each_with_its_own_numbers(loop: asyncio.AbstractEventLoop) -> None:
    """Of numbers from the request each question has this request's; the draft's field has a member for each rule."""
    store = Scripted(loop)
    rules = [
        _core.LimitCountStep(
            b"routes/r/" + name,
            _core.Template(f"http_{name.decode()}"),
            count=_core.Template("http_n"),
            window=60,
            rule=(at, 3),
            policy=name.decode(),
            header_names=(f"X-{at}-L", f"X-{at}-M", f"X-{at}-R"),
            store=store,
        )
        for at, name in enumerate((b"a", b"b", b"c"), 1)
    ]
    wire = _core.Wire(snapshot(*rules), loop=loop)
    line = wire.open()
    wire.push(line, b"GET / HTTP/1.1\r\nHost: x\r\nN: 7\r\nA: x\r\nC: y\r\n\r\n")
    for identity, key, answer in ((b"a", b"x", [1, 0, 1, 2, WINDOW]), (b"c", b"y", [0, 0, 0, 7, 30_000])):
        ((_, asked, numbers),) = store.asked()
        assert asked == b"fastgw:limit:v1:routes/r/" + identity + b":" + key
        assert numbers[:2] == [7, WINDOW]
        assert wire.pull(line) == b""
        store.answer(answer)
    head = wire.pull(line)
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b'RateLimit-Policy: "a";q=7;w=60, "c";q=7;w=60\r\n' in head
    assert b'RateLimit: "a";r=4;t=60, "c";r=0;t=30\r\n' in head
    wire.push(line, b"GET / HTTP/1.1\r\nHost: x\r\nN: 7\r\n\r\n")
    assert wire.pull(line).startswith(b"HTTP/1.1 500 ")


def test_in_shadow_what_the_store_says_refuses_nobody(loop: asyncio.AbstractEventLoop) -> None:
    scene = Scene(loop, shadow=True)
    scene.send()
    scene.store.answer([0, 0, 5, 0, WINDOW])
    assert scene.status() == 200
    assert b"X-RateLimit" not in scene.head
    assert b"Retry-After" not in scene.head
