"""The protocol of provisional cells (native/limits.pxi), every interleaving of it.

Each actor is a generator that yields before every access to shared memory; the explorer runs all schedules, and stops an actor
for good at any step (a crash). Invariant: no two confirmed live cells of one key, and no more admitted than the limit. Leaving
out a step of the protocol must break it, or the model shows nothing.
"""

from collections.abc import Callable, Generator
from typing import Any

import pytest

KEY, OTHER = "K", "L"
EMPTY = (None, 0, 0)
LIMIT = 1
Cell = tuple[Any, int, Any]  # key, end (0: provisional), count or nonce


class Memory:
    """A window of two cells. The other key's cell expires in between: it is live for those who look early."""

    def __init__(self) -> None:
        self.cells: list[Cell] = [(OTHER, 5, 1), EMPTY]
        self.nonce = 0
        self.admitted = 0

    def cas(self, i: int, old: Cell, new: Cell) -> bool:
        if self.cells[i] != old:
            return False
        self.cells[i] = new
        return True


Actor = Generator[None, None, None]


def actor(memory: Memory, now: int, skip: frozenset[str]) -> Actor:
    """One hit at time `now`: 4 sees the other key's cell live, 6 sees it expired."""
    for _ in range(3):
        found = None
        for i in range(2):
            yield
            if memory.cells[i][0] == KEY:
                found = i, memory.cells[i]
                break
        if found is None:
            victim = None
            for i in range(2):
                yield
                if memory.cells[i][1] < now:
                    victim = i, memory.cells[i]
                    break
            if victim is None:
                return
            yield
            memory.nonce += 1
            own = (KEY, 0, memory.nonce)
            yield
            if not memory.cas(victim[0], victim[1], own):
                continue
            found = victim[0], own
        at, state = found
        if state[1] == 0:
            again = False
            for i in range(2):
                if i == at:
                    continue
                yield
                twin = memory.cells[i]
                if twin[0] != KEY:
                    continue
                yield
                if twin[1] != 0 or i < at:
                    if "withdraw" not in skip:
                        memory.cas(at, state, EMPTY)
                        again = True
                elif "kill" not in skip and not memory.cas(i, twin, EMPTY):
                    again = True
            if again:
                continue
        count = state[2] if state[1] >= now else 0
        if count + 1 > LIMIT:
            return
        yield
        if memory.cas(at, state, (KEY, 100, count + 1)):
            memory.admitted += 1
            return


def explore(times: tuple[int, ...], skip: frozenset[str], crashes: bool) -> int:
    """Runs every schedule by replay; gives the number of schedules, or raises AssertionError."""
    schedules = 0
    stack: list[tuple[int, ...]] = [()]
    while stack:
        prefix = stack.pop()
        memory = Memory()
        actors: list[Actor | None] = [actor(memory, now, skip) for now in times]
        for choice in prefix:
            i, crash = choice % 10, choice >= 10
            if crash:
                actors[i] = None
                continue
            one = actors[i]
            assert one is not None
            try:
                next(one)
            except StopIteration:
                actors[i] = None
        confirmed = [cell for cell in memory.cells if cell[0] == KEY and cell[1] > 0]
        assert len(confirmed) <= 1, f"two confirmed cells after {prefix}: {memory.cells}"
        assert memory.admitted <= LIMIT, f"{memory.admitted} admitted after {prefix}"
        alive = [i for i, one in enumerate(actors) if one is not None]
        if not alive:
            schedules += 1
        crashed = any(choice >= 10 for choice in prefix)
        for i in alive:
            stack.append((*prefix, i))
            if crashes and not crashed:
                stack.append((*prefix, 10 + i))
    return schedules


NOTHING: frozenset[str] = frozenset()


def test_two_inserters_who_choose_different_cells() -> None:
    assert explore((4, 6), NOTHING, crashes=True) > 1000


def test_two_inserters_who_choose_one_cell() -> None:
    assert explore((6, 6), NOTHING, crashes=True) > 1000


@pytest.mark.parametrize("left_out", ["withdraw", "kill"])
def test_without_a_step_the_invariant_breaks(left_out: str) -> None:
    run: Callable[[], int] = lambda: explore((4, 6), frozenset({left_out}), crashes=False)  # noqa: E731
    with pytest.raises(AssertionError):
        run()
