"""The protocol of native/holds.pxi as a state machine, one access to shared memory per step, and an explorer of all its
interleavings with crashes.

Owns: the protocol's steps, written to be compared with the compiled ones line by line. One key with one cell, one word per
process slot; finding and inserting cells is insertion.py's matter. A crash ends a process between any two of its steps; then
settlers finish what it had begun.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

LIMIT = 1
FREE, TAKING, HELD, GIVING, GAVE = "free", "taking", "held", "giving", "gave"
Word = tuple[int, str]
"""number, state"""
Cell = tuple[int, int, int]
"""held now, the slot that signed, its number; n is -1 where another key has the cell"""
EMPTY: Cell = (0, -1, 0)
OTHER: Cell = (-1, -1, 0)


class Actor(NamedTuple):
    """A process with its script, or a settler of a dead one's word (script "settle")."""

    slot: int
    script: tuple[str, ...]
    at: str = "next"
    word: Word = (0, FREE)
    cell: Cell = EMPTY
    theirs: Word = (0, FREE)
    dead: bool = False


class State(NamedTuple):
    cell: Cell
    words: tuple[Word, ...]
    actors: tuple[Actor, ...]
    crashes: int
    settlers: int
    """How many come for each dead process."""
    steals: int = 0


def steps(state: State, skip: frozenset[str]) -> Iterator[State]:
    """Every state that one step, one crash, or the other key leads to."""
    for n, a in enumerate(state.actors):
        if a.dead or a.at == "done":
            continue
        yield STEPS[a.at](state, n, a, skip)
        if state.crashes and a.script[:1] != ("settle",):
            actors = (*_actors(state, n, a._replace(dead=True)), *[Actor(a.slot, ("settle",))] * state.settlers)
            yield state._replace(actors=actors, crashes=state.crashes - 1)
    if state.steals and state.cell in (EMPTY, OTHER):
        yield state._replace(cell=OTHER if state.cell == EMPTY else EMPTY, steals=state.steals - 1)


def _actors(state: State, n: int, a: Actor) -> tuple[Actor, ...]:
    return (*state.actors[:n], a, *state.actors[n + 1 :])


def _go(state: State, n: int, a: Actor, at: str, **known: Any) -> State:
    return state._replace(actors=_actors(state, n, a._replace(at=at, **known)))


def _swap_word(state: State, slot: int, seen: Word, wanted: Word) -> State:
    if state.words[slot] != seen:
        return state
    return state._replace(words=(*state.words[:slot], wanted, *state.words[slot + 1 :]))


def _signed(a: Actor) -> bool:
    return a.cell[1:] == (a.slot, a.word[0])


def _over(state: State, n: int, a: Actor) -> State:
    rest = a.script[1:]
    return _go(state, n, a, "next" if rest else "done", script=rest, cell=EMPTY, theirs=(0, FREE))


def _next(state: State, n: int, a: Actor, skip: frozenset[str]) -> State:
    """The first step of what the script says."""
    word = state.words[a.slot]
    if a.script[0] == "take":
        return _go(state, n, a, "read", word=word)
    if a.script[0] == "settle":
        return _go(state, n, a, "look", word=word) if word[1] != FREE else _over(state, n, a)
    if a.word[1] != HELD:  # the take was refused: there is nothing to give
        return _over(state, n, a)
    giving = (a.word[0] + (0 if "number" in skip else 1), GIVING)
    return _go(_swap_word(state, a.slot, a.word, giving), n, a, "load")


def _read(state: State, n: int, a: Actor, skip: frozenset[str]) -> State:
    cell = state.cell
    if cell == OTHER or cell[0] >= LIMIT:
        return _go(state, n, a, "undo") if a.word[1] == TAKING else _over(state, n, a)
    if cell[1] < 0 or "acknowledge" in skip:
        return _go(state, n, a, "promise", cell=cell)
    return _go(state, n, a, "theirs", cell=cell)


def _theirs(state: State, n: int, a: Actor, skip: frozenset[str]) -> State:
    theirs = state.words[a.cell[1]]
    after = "acknowledge" if theirs[0] == a.cell[2] and theirs[1] in (TAKING, GIVING) else _acknowledged(a)
    return _go(state, n, a, after, theirs=theirs)


def _acknowledge(state: State, n: int, a: Actor, skip: frozenset[str]) -> State:
    on = (a.theirs[0], HELD if a.theirs[1] == TAKING else GAVE)
    return _go(_swap_word(state, a.cell[1], a.theirs, on), n, a, _acknowledged(a))


def _acknowledged(a: Actor) -> str:
    return "promise" if a.script[0] == "take" else "again"


def _promise(state: State, n: int, a: Actor, skip: frozenset[str]) -> State:
    if a.word[1] == TAKING:
        return _go(state, n, a, "up")
    taking = (a.word[0] + (0 if "number" in skip else 1), TAKING)
    if "promise" in skip:
        return _go(state, n, a, "up", word=taking)
    return _go(_swap_word(state, a.slot, a.word, taking), n, a, "up", word=taking)


def _up(state: State, n: int, a: Actor, skip: frozenset[str]) -> State:
    if state.cell != a.cell:
        return _go(state, n, a, "read")
    return _go(state._replace(cell=(a.cell[0] + 1, a.slot, a.word[0])), n, a, "confirm")


def _confirm(state: State, n: int, a: Actor, skip: frozenset[str]) -> State:
    held = (a.word[0], HELD)
    seen = state.words[a.slot] if "promise" in skip else a.word
    return _over(_swap_word(state, a.slot, seen, held), n, a._replace(word=held))


def _undo(state: State, n: int, a: Actor, skip: frozenset[str]) -> State:
    free = (a.word[0], FREE)
    return _over(_swap_word(state, a.slot, a.word, free), n, a._replace(word=free))


def _load(state: State, n: int, a: Actor, skip: frozenset[str]) -> State:
    word = state.words[a.slot]
    return _over(state, n, a._replace(word=word)) if word[1] == FREE else _go(state, n, a, "look", word=word)


def _look(state: State, n: int, a: Actor, skip: frozenset[str]) -> State:
    a = a._replace(cell=state.cell)
    if a.word[1] == GIVING and not _signed(a) and a.cell[0] > 0:
        return _go(state, n, a, "again" if "acknowledge" in skip else "theirs")
    if a.word[1] in (GIVING, GAVE) and _signed(a) and a.cell[0] == 0 and a.word[1] == GAVE:
        return _go(state, n, a, "empty")
    return _go(state, n, a, "on")


def _again(state: State, n: int, a: Actor, skip: frozenset[str]) -> State:
    return _go(state, n, a, "down" if state.words[a.slot] == a.word else "load")


def _down(state: State, n: int, a: Actor, skip: frozenset[str]) -> State:
    if state.cell == a.cell:
        state = state._replace(cell=(a.cell[0] - 1, a.slot, a.word[0]))
    return _go(state, n, a, "load")


def _empty(state: State, n: int, a: Actor, skip: frozenset[str]) -> State:
    return _go(state._replace(cell=EMPTY) if state.cell == a.cell else state, n, a, "on")


def _on(state: State, n: int, a: Actor, skip: frozenset[str]) -> State:
    number, now = a.word
    if now == TAKING:
        on = (number, HELD if _signed(a) else FREE)
    elif now == HELD:
        on = (number + (0 if "number" in skip else 1), GIVING)
    else:
        on = (number, GAVE if now == GIVING and _signed(a) else FREE)
    return _go(_swap_word(state, a.slot, a.word, on), n, a, "load")


STEPS: dict[str, Callable[[State, int, Actor, frozenset[str]], State]] = {
    "next": _next, "read": _read, "theirs": _theirs, "acknowledge": _acknowledge, "promise": _promise, "up": _up,
    "confirm": _confirm, "undo": _undo, "load": _load, "look": _look, "again": _again, "down": _down, "empty": _empty,
    "on": _on,
}  # fmt: skip


class BrokenError(AssertionError):
    """A state that must not be."""


def explore(start: State, skip: frozenset[str] = frozenset()) -> int:
    """Visits every reachable state; how many there are. Raises BrokenError where more are held than may be, and where all have
    come to rest and the cell does not say what the living hold."""
    seen = {start}
    todo = [start]
    while todo:
        state = todo.pop()
        after = list(steps(state, skip))
        _check(state)
        for each in after:
            if each not in seen:
                seen.add(each)
                todo.append(each)
    return len(seen)


def _check(state: State) -> None:
    held = sum(word[1] == HELD for word in state.words)
    if state.cell[0] > LIMIT or state.cell[0] < -1 or held > LIMIT:
        raise BrokenError(f"{held} held, {state.cell[0]} counted: {state}")
    if all(a.dead or a.at == "done" for a in state.actors):
        if any(word[1] not in (FREE, HELD) for word in state.words):
            raise BrokenError(f"a word is left behind: {state}")
        if state.cell != OTHER and state.cell[0] != held:
            raise BrokenError(f"{held} held, {state.cell[0]} counted at rest: {state}")
        if held == 0 and state.cell not in (EMPTY, OTHER):
            raise BrokenError(f"a cell is left behind: {state}")
