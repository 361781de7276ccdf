"""Slots and turns that several gateways share: what the store is told of them, who waits, and what holds without it."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from fastgw import _core
from tests.support.core import OK, snapshot
from tests.support.remote import GET, Scripted

LEAKY, SLOTS = 3, 4
TTL = 60_000  # ms


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


class Scene:
    """A gateway that counts in a Scripted store, and its clients."""

    def __init__(self, loop: asyncio.AbstractEventLoop, **conf: Any) -> None:
        self.store = Scripted(loop)
        self.region = _core.Region.create(1024, slots=4)
        self.wire = _core.Wire(snapshot(self.limit(**conf)), loop=loop, region=self.region)

    def limit(self, **conf: Any) -> _core.Step:
        raise AssertionError("a Scene says in `limit` what it is of")

    def ask(self) -> int:
        line = self.wire.open()
        self.wire.push(line, GET)
        return line

    def up(self) -> int:
        """How many requests went upstream since last asked."""
        return sum(bool(self.wire.pull(i)) for i, side, _ in self.wire.lines() if side == "up")

    def end(self) -> None:
        """The upstream answers all that it was asked."""
        for i, side, _ in self.wire.lines():
            if side == "up":
                self.wire.push(i, OK)

    def status(self, line: int) -> int:
        head = self.wire.pull(line)
        return int(head.split()[1]) if head else 0


class Conns(Scene):
    """limit-conn."""

    def limit(self, *, conn: int = 3, burst: int = 0, delay: float = 1, **conf: Any) -> _core.Step:
        texts = {name: _core.Template(str(number), "constant") for name, number in (("conn", conn), ("burst", burst))}
        key = _core.Template("all", "constant")
        return _core.LimitConnStep(b"routes/r", key, delay=delay, learns=False, store=self.store, ttl=TTL / 1000, **texts, **conf)

    def told(self) -> list[tuple[int, int, int]]:
        """Of the questions of the first batch: the place, the most, and how many run."""
        found = []
        for algorithm, key, (place, most, ttl, _, runs) in self.store.asked():
            assert (algorithm, key, ttl) == (SLOTS, b"fastgw:limit:v1:slots:routes/r:all", TTL)
            found.append((place, most, runs))
        return found

    def held(self) -> int:
        return sum(_core._test_held(self.region).values())


def test_a_slot_is_asked_for_and_told_when_it_is_free(loop: asyncio.AbstractEventLoop) -> None:
    scene = Conns(loop)
    scene.ask()
    assert scene.told() == [(1, 3, 1)]
    assert scene.up() == 0
    scene.store.answer([1, 2])
    assert scene.up() == 1
    scene.end()
    assert scene.told() == [(0, 3, 0)]
    scene.store.answer([0, 2])
    assert scene.store.batches == []


def test_what_the_store_refuses_gives_its_slot_back(loop: asyncio.AbstractEventLoop) -> None:
    """The store is told how many run at the next word, as others may have been told of meanwhile."""
    scene = Conns(loop, rejected_code=429)
    line = scene.ask()
    scene.store.answer([0, 3])
    assert scene.status(line) == 429
    assert scene.held() == 0
    assert scene.told() == [(0, 3, 0)]


def test_what_this_gateway_has_not_is_not_asked_for(loop: asyncio.AbstractEventLoop) -> None:
    scene = Conns(loop, conn=1, rejected_code=429)
    scene.ask()
    assert scene.status(scene.ask()) == 429
    assert len(scene.store.batches) == 1


def test_moments_go_up(loop: asyncio.AbstractEventLoop) -> None:
    scene = Conns(loop)
    moments = []
    for _ in range(3):
        scene.ask()
        moments.append(scene.store.asked()[0][2][3])
        scene.store.answer([1, 0])
    assert sorted(set(moments)) == moments


def test_a_client_that_leaves_while_it_waits(loop: asyncio.AbstractEventLoop) -> None:
    scene = Conns(loop)
    line = scene.ask()
    scene.wire.reset(line)
    scene.store.answer([1, 0])
    assert scene.held() == 0
    assert scene.up() == 0
    assert scene.told() == [(0, 3, 0)]


def test_what_comes_above_conn_waits(loop: asyncio.AbstractEventLoop) -> None:
    """As many times the delay as `conn` are before it, those of other gateways included."""
    scene = Conns(loop, conn=2, burst=5, delay=1)
    scene.ask()
    scene.store.answer([1, 4])
    scene.wire.advance(1.9)
    assert scene.up() == 0
    scene.wire.advance(0.2)
    assert scene.up() == 1


def test_without_the_store_a_gateway_has_its_share(loop: asyncio.AbstractEventLoop) -> None:
    scene = Conns(loop, conn=7, rejected_code=429)
    scene.store.away = True
    scene.store.share(1, 3)  # the second of three has 2 of 7
    lines = [scene.ask() for _ in range(4)]
    assert scene.up() == 2
    assert [scene.status(line) for line in lines] == [0, 0, 429, 429]
    assert scene.store.batches == []


def test_a_question_that_is_not_answered_is_judged_here(loop: asyncio.AbstractEventLoop) -> None:
    scene = Conns(loop, conn=2, rejected_code=429)
    scene.store.share(0, 2)
    lines = [scene.ask() for _ in range(2)]
    for _ in lines:
        scene.store.answer(None)
    assert [scene.status(line) for line in lines] == [0, 429]
    assert scene.up() == 1


def test_without_the_store_it_may_be_open(loop: asyncio.AbstractEventLoop) -> None:
    """What runs then is counted all the same, by this gateway: the store learns of it when it is back."""
    scene = Conns(loop, conn=2, pass_on_failure=True)
    scene.store.away = True
    scene.store.share(1, 3)
    for _ in range(2):
        scene.ask()
    assert scene.up() == 2
    batch = scene.store.mind(everything=True)
    assert batch is not None
    ((_, _, numbers),) = batch.questions()
    assert numbers.split()[4] == b"2"


def test_what_runs_is_told_again_until_nothing_does(loop: asyncio.AbstractEventLoop) -> None:
    """A word that was lost is made good by the next."""
    scene = Conns(loop)
    scene.ask()
    scene.store.answer([1, 0])
    assert scene.up() == 1

    def told() -> int:
        batch = scene.store.mind(everything=True)
        assert batch is not None
        ((algorithm, _, numbers),) = batch.questions()
        batch.tell([0], [[0, 0]])
        place, _, _, _, runs = map(int, numbers.split())
        assert (algorithm, place) == (SLOTS, 0)
        return runs

    assert [told(), told()] == [1, 1]
    scene.end()
    scene.store.answer(None)  # lost
    assert [told(), told()] == [0, 0]  # a worker may have begun one while the first was told
    assert scene.store.mind(everything=True) is None


# -- turns ---------------------------------------------------------------------------------------------


class Turns(Scene):
    """limit-req, 10 a second."""

    def limit(self, *, burst: int = 5, **conf: Any) -> _core.Step:
        key = _core.Template("all", "constant")
        return _core.LimitReqStep(b"routes/r", key, count=10, window=1, burst=burst, store=self.store, **conf)


def test_a_turn_is_asked_for_and_waited_for(loop: asyncio.AbstractEventLoop) -> None:
    scene = Turns(loop)
    scene.ask()
    assert scene.store.asked() == [(LEAKY, b"fastgw:limit:v1:bucket:routes/r:all", [10, 1000, 1, 5])]
    scene.store.answer([1, 2, 300, 0])  # two are before it
    scene.wire.advance(0.19)
    assert scene.up() == 0
    scene.wire.advance(0.02)
    assert scene.up() == 1


def test_who_is_alone_does_not_wait(loop: asyncio.AbstractEventLoop) -> None:
    scene = Turns(loop)
    scene.ask()
    scene.store.answer([1, 4, 100, 0])
    assert scene.up() == 1


def test_what_flows_over_is_refused(loop: asyncio.AbstractEventLoop) -> None:
    scene = Turns(loop, rejected_code=429)
    line = scene.ask()
    scene.store.answer([0, 0, 500, 2100])
    head = scene.wire.pull(line)
    assert head.split()[1] == b"429"
    assert b"Retry-After: 3\r\n" in head


def test_without_the_store_turns_come_at_this_gateways_part_of_the_rate(loop: asyncio.AbstractEventLoop) -> None:
    """Two gateways: every fifth of a second one, and with its own, 3 or 2 of the 4 that may wait."""
    scene = Turns(loop, rejected_code=429)
    scene.store.away = True
    scene.store.share(0, 2)
    lines = [scene.ask() for _ in range(4)]
    assert scene.up() == 1
    assert [scene.status(line) for line in lines] == [0, 0, 0, 429]
    for _ in range(2):
        scene.wire.advance(0.19)
        assert scene.up() == 0
        scene.wire.advance(0.01)
        assert scene.up() == 1


def test_without_the_store_each_gateway_has_one_at_least(loop: asyncio.AbstractEventLoop) -> None:
    scene = Turns(loop, burst=1, rejected_code=429)
    scene.store.away = True
    scene.store.share(4, 5)
    lines = [scene.ask() for _ in range(2)]
    assert scene.up() == 1
    assert [scene.status(line) for line in lines] == [0, 429]
