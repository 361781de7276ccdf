"""The insertion protocol of native/cells.pxi as a state machine, one access to shared memory per step, and an explorer of all
its interleavings.

Owns: the protocol's steps, written to be compared with the compiled ones line by line. A state is a tuple of plain values,
so that each is visited once; nonces are renamed in order of appearance, which keeps the number of states finite without a
bound on retries. A crash needs no step of its own: a process that is never chosen again has crashed.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

KEY, OTHER = "K", "L"
LIMIT = 1
EXPIRED = 6
"""By the latest clock in use; who has an earlier one may still see such a cell live."""
EMPTY: "Cell" = ("", 0, 0)
Cell = tuple[str, int, int]
"""key, time (0: provisional), count or nonce"""


class Actor(NamedTuple):
    """One hit on KEY at time `now`."""

    now: int
    at_step: str = "seek"
    i: int = 0
    at: int = -1
    own: Cell = EMPTY
    best: int = -1
    victim: Cell = EMPTY


class State(NamedTuple):
    cells: tuple[Cell, ...]
    actors: tuple[Actor, ...]
    steals: int
    """How often the other key may still take a cell of the window, or leave one."""
    admitted: int = 0


def steps(state: State, skip: frozenset[str]) -> Iterator[State]:
    """Every state that one step of one actor, or of the other key, leads to."""
    for n, actor in enumerate(state.actors):
        if actor.at_step != "done":
            yield step(state, n, actor, skip)
    if state.steals:
        for i, cell in enumerate(state.cells):
            if cell[0] == OTHER:
                yield state._replace(cells=_put(state.cells, i, EMPTY), steals=state.steals - 1)
            elif cell[1] <= EXPIRED:  # also empty, or only provisional
                yield state._replace(cells=_put(state.cells, i, (OTHER, 1000, 1)), steals=state.steals - 1)


def step(state: State, n: int, actor: Actor, skip: frozenset[str]) -> State:
    """The next step of one actor."""
    return {"seek": _seek, "place": _place, "take": _take, "resolve": _resolve, "withdraw": _withdraw, "kill": _kill,
            "count": _count}[actor.at_step](state, n, actor, skip)  # fmt: skip


def _seek(state: State, n: int, a: Actor, skip: frozenset[str]) -> State:
    cell = state.cells[a.i]
    if cell[0] == KEY:
        return _next(state, n, a, at_step="count" if cell[1] else "resolve", i=0, at=a.i, own=cell)
    if a.i + 1 < len(state.cells):
        return _next(state, n, a, i=a.i + 1)
    return _next(state, n, a, at_step="place", i=0, best=-1, victim=EMPTY)


def _place(state: State, n: int, a: Actor, skip: frozenset[str]) -> State:
    cell = state.cells[a.i]
    if cell[0] == KEY:
        return _again(state, n, a)
    if cell == EMPTY or 0 < cell[1] <= a.now:
        return _next(state, n, a, at_step="take", best=a.i, victim=cell)
    if a.best < 0 or cell[1] < a.victim[1]:
        a = a._replace(best=a.i, victim=cell)
    if a.i + 1 < len(state.cells):
        return _next(state, n, a, i=a.i + 1)
    return _next(state, n, a, at_step="take")


def _take(state: State, n: int, a: Actor, skip: frozenset[str]) -> State:
    if state.cells[a.best] != a.victim:
        return _again(state, n, a)
    own = (KEY, 0, 1 if "nonce" in skip else _fresh(state))
    state = state._replace(cells=_put(state.cells, a.best, own))
    return _next(state, n, a, at_step="resolve", i=0, at=a.best, own=own, best=-1, victim=EMPTY)


def _resolve(state: State, n: int, a: Actor, skip: frozenset[str]) -> State:
    if a.i == len(state.cells):
        return _next(state, n, a, at_step="count", i=0)
    cell = state.cells[a.i]
    if a.i == a.at or cell[0] != KEY:
        return _next(state, n, a, i=a.i + 1)
    if cell[1] or a.i < a.at:
        if "withdraw" in skip:
            return _next(state, n, a, i=a.i + 1)
        return _next(state, n, a, at_step="withdraw")
    if "kill" in skip:
        return _next(state, n, a, i=a.i + 1)
    return _next(state, n, a, at_step="kill", victim=cell)


def _withdraw(state: State, n: int, a: Actor, skip: frozenset[str]) -> State:
    if state.cells[a.at] == a.own:
        state = state._replace(cells=_put(state.cells, a.at, EMPTY))
    return _again(state, n, a)


def _kill(state: State, n: int, a: Actor, skip: frozenset[str]) -> State:
    if state.cells[a.i] != a.victim:
        return _again(state, n, a)
    state = state._replace(cells=_put(state.cells, a.i, EMPTY))
    return _next(state, n, a, at_step="resolve", i=a.i + 1, victim=EMPTY)


def _count(state: State, n: int, a: Actor, skip: frozenset[str]) -> State:
    live = a.own[1] > a.now
    used = a.own[2] if live else 0
    if used + 1 > LIMIT:
        return _done(state, n, a)
    if state.cells[a.at] != a.own:
        return _again(state, n, a)
    end = a.own[1] if live else a.now + 100
    state = state._replace(cells=_put(state.cells, a.at, (KEY, end, used + 1)), admitted=state.admitted + 1)
    return _done(state, n, a)


def _next(state: State, n: int, a: Actor, **changes: Any) -> State:
    return state._replace(actors=(*state.actors[:n], a._replace(**changes), *state.actors[n + 1 :]))


def _again(state: State, n: int, a: Actor) -> State:
    return _next(state, n, Actor(a.now))


def _done(state: State, n: int, a: Actor) -> State:
    return _next(state, n, Actor(a.now, "done"))


def _put(cells: tuple[Cell, ...], i: int, cell: Cell) -> tuple[Cell, ...]:
    return (*cells[:i], cell, *cells[i + 1 :])


def _provisional(state: State) -> Iterator[Cell]:
    yield from state.cells
    for a in state.actors:
        yield a.own
        yield a.victim


def _fresh(state: State) -> int:
    return 1 + max((c[2] for c in _provisional(state) if c[0] == KEY and c[1] == 0), default=0)


def _renamed(state: State) -> State:
    names: dict[int, int] = {}

    def rename(c: Cell) -> Cell:
        return (KEY, 0, names.setdefault(c[2], len(names) + 1)) if c[0] == KEY and c[1] == 0 else c

    cells = tuple(map(rename, state.cells))
    actors = tuple(a._replace(own=rename(a.own), victim=rename(a.victim)) for a in state.actors)
    return state._replace(cells=cells, actors=actors)


class BrokenError(AssertionError):
    """A state that must not be."""


def explore(start: State, skip: frozenset[str] = frozenset()) -> int:
    """Visits every reachable state; how many there are. Raises BrokenError at two confirmed cells, at more admitted than the
    limit, and where an actor left alone does not come to its end."""
    seen = {start}
    todo = [start]
    while todo:
        state = todo.pop()
        for raw in steps(state, skip):
            after = _renamed(raw)
            if after not in seen:
                _check(after, skip)
                seen.add(after)
                todo.append(after)
    return len(seen)


def _check(state: State, skip: frozenset[str]) -> None:
    if sum(cell[0] == KEY and cell[1] > 0 for cell in state.cells) > 1:
        raise BrokenError(f"two confirmed cells: {state}")
    if state.admitted > LIMIT:
        raise BrokenError(f"{state.admitted} admitted: {state}")
    for n in range(len(state.actors)):
        alone = state
        for _ in range(8 * len(state.cells) + 8):
            if alone.actors[n].at_step == "done":
                break
            alone = step(alone, n, alone.actors[n], skip)
        else:
            raise BrokenError(f"actor {n} alone never ends: {state}")
