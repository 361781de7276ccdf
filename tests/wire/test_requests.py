"""Each raw request of the corpus on the core: whole, byte by byte, cut everywhere, with a request or garbage behind it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator

import pytest

from tests.wire import cases
from tests.wire.cases import Case
from tests.wire.gateway import CANARY, GARBAGE, cuts, judge
from tests.wire.memory import Cut, play

REQUESTS = cases.load("requests")
MOST_CUTS = 240
SEED = 9112


def behinds(case: Case) -> list[bytes]:
    """What may stand behind a case: nothing behind FIN; and where more of it must come, all would be more of it."""
    ended = case.end == "waits" or any(kind == "end" for kind, _ in case.steps)
    return [b""] if ended else [b"", CANARY, GARBAGE]


def whole(data: bytes) -> Iterable[bytes]:
    return [data] if data else []


def bytewise(data: bytes) -> Iterator[bytes]:
    return cuts(data, list(range(1, len(data))))


def in_two(case: Case) -> Iterator[Cut]:
    """Cut once, at each place, and in long ones at many."""
    longest = max(len(data) for _, data in case.steps)
    for place in range(1, longest, 1 + longest // MOST_CUTS):
        yield lambda data, place=place: cuts(data, [place])


def at_random(case: Case) -> Iterator[Cut]:
    draw = random.Random(f"{SEED} {case}")
    for _ in range(4):
        yield lambda data: cuts(data, sorted(draw.choices(range(len(data) + 1), k=4)))


@pytest.mark.parametrize("case", REQUESTS, ids=str)
def test_request(case: Case) -> None:
    every_way(case)


def every_way(case: Case) -> None:
    """Plays a case in all these ways."""
    for behind in behinds(case):
        judge(case, play(case, whole, behind), behind, pieces=False)
        once = in_two(case) if behind != GARBAGE else ()
        for seen in {play(case, cut, behind) for cut in itertools.chain([bytewise], at_random(case), once)}:
            judge(case, seen, behind, pieces=True)


def test_there_are_enough() -> None:
    assert len(REQUESTS) >= 900
