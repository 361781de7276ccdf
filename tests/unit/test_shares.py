"""shares: what a node keeps of a shared count, and how far it goes by itself."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from fastgw import _core
from tests.support.remote import WINDOW, Scene
from tests.support.waiting import until

OWN, BASE, OTHERS = 6, 7, 8  # in what the store is told
GIVE, NODES, SPARE, LEFT = 3, 4, 5, 9


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def passes(scene: Scene) -> int:
    """How many more pass without the store."""
    n = 0
    while scene.ask() == 200:
        n += 1
    return n


def counted(scene: Scene, *answer: int) -> int:
    """One request, counted by the store."""
    assert scene.ask() == 0
    scene.store.answer(list(answer))
    return scene.status()


def told(scene: Scene) -> list[int]:
    """What the store is told with the next request, which it does not answer."""
    scene.send()
    ((_, _, numbers),) = scene.store.asked()
    return numbers


def test_the_store_is_told_what_the_node_knows(loop: asyncio.AbstractEventLoop) -> None:
    """So that it can be put right when it lost it; not of a window that is about to end."""
    scene = Scene(loop, count=100)
    counted(scene, 1, 0, 1, 10, WINDOW)
    counted(scene, 1, 0, 2, 20, WINDOW)
    numbers = told(scene)
    assert (numbers[OWN], numbers[BASE], numbers[OTHERS]) == (2, 2, 20)
    assert WINDOW - 5000 < numbers[LEFT] <= WINDOW
    scene.store.answer([1, 0, 3, 20, 900])
    assert scene.status() == 200
    assert told(scene)[LEFT] == 0


def test_each_node_has_its_share_of_what_was_left(loop: asyncio.AbstractEventLoop) -> None:
    """All shares together are what was left: of 100, 30 are this node's and 20 the others'."""
    shares = []
    for rank in range(3):
        scene = Scene(loop, count=100)
        counted(scene, 1, 0, 30, 20, WINDOW)
        scene.store.share(rank, 3)
        scene.store.away = True
        shares.append(passes(scene))
        assert scene.shown(b"X-RateLimit-Limit") == b"100"
        assert scene.shown(b"X-RateLimit-Remaining") == b"0"
        assert 50 < int(scene.shown(b"Retry-After")) <= 60
    assert shares == [17, 17, 16]


def test_a_window_that_begins_meanwhile_is_shared_as_a_whole(loop: asyncio.AbstractEventLoop) -> None:
    shares = []
    for rank in range(3):
        scene = Scene(loop, count=2)
        scene.store.share(rank, 3)
        scene.store.away = True
        shares.append(passes(scene))
        assert int(scene.shown(b"Retry-After")) == 60
    assert shares == [1, 1, 0]


def test_all_workers_of_a_node_have_one_share(loop: asyncio.AbstractEventLoop) -> None:
    region = _core.Region.create(1024, slots=2)
    one, two = (Scene(loop, count=10, region=region) for _ in range(2))
    counted(one, 1, 0, 1, 3, WINDOW)
    for scene in (one, two):
        scene.store.share(0, 2)
        scene.store.away = True
    assert two.ask() == 200
    assert passes(one) == 2
    assert passes(two) == 0


def test_an_edit_of_the_limit_counts_in_the_share(loop: asyncio.AbstractEventLoop) -> None:
    region = _core.Region.create(1024, slots=2)
    before, after = Scene(loop, count=3, region=region), Scene(loop, count=5, region=region)
    counted(before, 1, 0, 3, 0, WINDOW)
    before.store.away = after.store.away = True
    assert (passes(before), passes(after)) == (0, 2)


def test_what_was_taken_meanwhile_is_reported(loop: asyncio.AbstractEventLoop) -> None:
    """While the store is away for others too, each goes on by what was left when it went, however often it reports."""
    scene = Scene(loop, count=100)
    counted(scene, 1, 0, 1, 9, WINDOW)
    scene.store.share(0, 2)
    scene.store.away = True
    assert [scene.ask() for _ in range(20)] == [200] * 20
    assert scene.store.minded() == 1
    for _ in range(2):
        report = scene.store.mind(everything=True)
        assert report is not None
        ((_, key, numbers),) = report.questions()
        fields = [int(word) for word in numbers.split()]
        assert key == b"fastgw:limit:v1:routes/r:all"
        assert (fields[2], fields[OWN], fields[BASE], fields[OTHERS]) == (0, 21, 1, 9)
        report.tell([0], [[0, 0, 21, 40, WINDOW]])
    assert passes(scene) == 25  # of 45, half of 90
    scene.store.away = False
    report = scene.store.mind(everything=True)
    assert report is not None
    report.questions()
    report.tell([0], [[0, 0, 46, 45, WINDOW]])
    assert scene.store.minded() == 0


def test_a_window_that_the_store_began_anew_is_no_part_of_the_one_before(loop: asyncio.AbstractEventLoop) -> None:
    """The store lost its data when so little was left of the window that this node did not tell it. What was counted, or given
    out beforehand, was of that window."""
    scene = Scene(loop, count=100, sync=1e-9)
    counted(scene, 1, 0, 90, 0, WINDOW)
    assert counted(scene, 1, 5, 96, 0, 800) == 200
    scene.store.away = True
    scene.store.away = False
    batch = scene.store.mind()  # what the store says to it is of a new window
    assert batch is not None
    batch.questions()
    batch.tell([0], [[0, 2, 2, 0, WINDOW]])
    assert [scene.ask() for _ in range(3)] == [200, 200, 0]
    ((_, _, numbers),) = scene.store.asked()
    assert numbers[OWN] == 2


def test_a_lease_is_of_no_use_to_a_lower_limit(loop: asyncio.AbstractEventLoop) -> None:
    """As after an edit, or where the limit is told by a variable."""
    region = _core.Region.create(1024, slots=2)
    before, after = (Scene(loop, count=count, sync=0.5, region=region) for count in (100, 24))
    assert counted(before, 1, 9, 10, 20, WINDOW) == 200
    assert [after.ask() for _ in range(4)] == [200, 200, 200, 503]
    after.store.away = True
    assert after.ask() == 503
    assert before.ask() == 200


def test_a_new_worker_knows_how_many_nodes_there_are(loop: asyncio.AbstractEventLoop) -> None:
    """It may begin while the store is away, and must not take the others' shares."""
    region = _core.Region.create(1024, slots=3)
    old, new, other = (Scene(loop, count=9, region=region) for _ in range(3))
    old.send()
    new.send()
    other.send()
    old.store.name = new.store.name = b"redis 10.0.0.5:6379/0"
    old.store.share(1, 3)
    for scene in (new, other):
        scene.store.recall()
        scene.store.answer(None)
        assert scene.status() == 200
    assert (new.store.nodes, other.store.nodes) == (3, 1)
    new.store.away = True
    assert passes(new) == 1


def test_a_lease_is_given_out_without_the_store(loop: asyncio.AbstractEventLoop) -> None:
    scene = Scene(loop, count=100, sync=0.5)
    scene.store.share(0, 3)
    assert told(scene)[NODES] == 3
    scene.store.answer([1, 4, 5, 20, WINDOW])
    assert scene.status() == 200
    assert scene.shown(b"X-RateLimit-Remaining") == b"79"
    remaining = []
    for _ in range(4):
        assert scene.ask() == 200
        remaining.append(int(scene.shown(b"X-RateLimit-Remaining")))
    assert remaining == [78, 77, 76, 75]
    assert told(scene)[OWN] == 5


def test_a_count_that_is_used_up_is_asked_about_once_an_interval(loop: asyncio.AbstractEventLoop) -> None:
    scene = Scene(loop, count=10, sync=30)
    assert counted(scene, 1, 0, 1, 9, WINDOW) == 200
    assert counted(scene, 0, 0, 1, 9, WINDOW) == 503
    assert [scene.ask() for _ in range(5)] == [503] * 5
    assert 50 < int(scene.shown(b"Retry-After")) <= 60


def test_a_lease_that_nobody_takes_from_goes_back(loop: asyncio.AbstractEventLoop) -> None:
    """It is kept while it is used; then all that is left of it is given back, and nothing more is minded."""
    scene = Scene(loop, count=100, sync=1e-9)
    assert counted(scene, 1, 4, 5, 20, WINDOW) == 200
    assert scene.ask() == 200
    kept = scene.store.mind()
    assert kept is not None
    numbers = [int(word) for word in kept.questions()[0][2].split()]
    assert (numbers[2], numbers[GIVE], numbers[NODES], numbers[SPARE]) == (0, 0, 1, 3)
    kept.tell([0], [[0, 2, 7, 20, WINDOW]])
    back = scene.store.mind()
    assert back is not None
    numbers = [int(word) for word in back.questions()[0][2].split()]
    assert (numbers[GIVE], numbers[NODES], numbers[OWN], numbers[BASE]) == (5, 0, 2, 2)
    back.tell([0], [[0, 0, 2, 20, WINDOW]])
    assert scene.store.minded() == 0
    assert told(scene)[OWN] == 2


def test_the_counts_of_a_worker_that_ended_are_minded_by_another(loop: asyncio.AbstractEventLoop) -> None:
    """Else what is left of their leases would not go back before the window ends."""
    region = _core.Region.create(1024, slots=2)
    ended, other = (Scene(loop, count=100, sync=0.4, region=region) for _ in range(2))
    counted(ended, 1, 1, 2, 20, WINDOW)
    began = time.monotonic()
    assert other.ask() == 200  # out of the lease
    counted(other, 1, 1, 4, 20, WINDOW)
    assert time.monotonic() - began < 3, "slower than a worker is believed without a sign"
    assert (ended.store.minded(), other.store.minded()) == (1, 0)
    until(lambda: time.monotonic() - began > 3.1, "nobody believes it any more")
    assert other.ask() == 200
    counted(other, 1, 1, 6, 20, WINDOW)
    assert other.store.minded() == 1


def test_a_lease_is_of_use_while_the_store_is_away(loop: asyncio.AbstractEventLoop) -> None:
    """It is this node's already, and is no part of what was left."""
    scene = Scene(loop, count=100, sync=0.5)
    counted(scene, 1, 9, 10, 10, WINDOW)
    scene.store.share(0, 2)
    scene.store.away = True
    assert passes(scene) == 9 + 40


@pytest.mark.parametrize(("kind", "number"), [("sliding", 2), ("token-bucket", 1)])
def test_what_moves_on_is_shared_in_equal_parts(loop: asyncio.AbstractEventLoop, kind: str, number: int) -> None:
    scene = Scene(loop, count=9, window=3600, algorithm=kind)
    scene.send()
    ((algorithm, _, numbers),) = scene.store.asked()
    assert (algorithm, numbers) == (number, [9, 3_600_000, 1, 9])
    scene.store.answer([1, 8, 400_000, 0])
    assert scene.status() == 200
    assert scene.shown(b"X-RateLimit-Remaining") == b"8"
    assert scene.shown(b"X-RateLimit-Reset") == b"400"
    scene.store.share(0, 3)
    scene.store.away = True
    assert passes(scene) == 2  # of 3, and one was granted
