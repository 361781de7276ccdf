"""What the chaos suite (tests/adversity/test_chaos_*.py) has in common: how long it lasts, and chances that a seed repeats.

Each test takes turns. The chances of a turn follow from the seed, the test's name and the turn's number alone, so however many
turns there were, and whatever else was drawn, a turn that failed can be played again.

    FASTGW_TEST_SECONDS  how long each test goes on; the default is a sample
    FASTGW_TEST_SEED     another sequence
    FASTGW_TEST_TURN     this turn alone, of whatever test: the one that a failure names
"""

import os
import random
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["LIMIT_S", "SECONDS", "SEED", "Turn", "turns"]

SECONDS: Final = float(os.environ.get("FASTGW_TEST_SECONDS", "3"))
SEED: Final = int(os.environ.get("FASTGW_TEST_SEED", "4"))
ONLY: Final = os.environ.get("FASTGW_TEST_TURN")
LIMIT_S: Final = 180 + 2 * int(SECONDS)
"""For pytest's timeout: turns, and one that began just before the end."""


class Turn(NamedTuple):
    number: int
    chance: random.Random
    where: str
    """For messages: how to play it again."""


def turns(name: str, least: int = 1) -> Iterator[Turn]:
    """At least so many; more until the time is over. At the end, for those who run it with -s, how many there were."""
    began = time.monotonic()
    number = 0 if ONLY is None else int(ONLY)
    taken = 0
    while taken < least or time.monotonic() - began < SECONDS:
        where = f"{name}: seed {SEED}, turn {number}"
        yield Turn(number, random.Random(f"{SEED} {name} {number}"), where)
        taken += 1
        number += 1
        if ONLY is not None:
            break
    print(f"chaos: {name}: seed {SEED}, {taken} turns in {time.monotonic() - began:.0f} s")
