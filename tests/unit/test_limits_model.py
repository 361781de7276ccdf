"""The insertion protocol of native/cells.pxi: every interleaving of it, with a crash wherever there can be one.

Leaving out a step of the protocol must break it, or the model shows nothing.
"""

import pytest

from tests.oracle.insertion import EMPTY, KEY, OTHER, Actor, BrokenError, Cell, State, explore

SOON: Cell = (OTHER, 5, 1)
LATE: Cell = (OTHER, 1000, 1)


def _state(cells: tuple[Cell, ...], clocks: tuple[int, ...], steals: int = 0) -> State:
    return State(cells, tuple(Actor(now) for now in clocks), steals)


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(_state((EMPTY, EMPTY, EMPTY), (6, 6), steals=3), id="two on an empty window, another key comes and goes"),
        pytest.param(_state((SOON, EMPTY, SOON), (4, 6), steals=2), id="cells expire between two clocks"),
        pytest.param(_state((SOON, EMPTY), (4, 6, 6)), id="three, of which one sees the first cell taken"),
        pytest.param(_state((SOON, EMPTY), (4, 4, 6), steals=1), id="three, and another key takes or leaves a cell"),
        pytest.param(_state((SOON, (KEY, 0, 1)), (4, 6), steals=2), id="a provisional cell left by a crash"),
        pytest.param(_state(((KEY, 0, 1), (KEY, 0, 2)), (6, 6), steals=1), id="two provisional cells left by crashes"),
        pytest.param(_state((EMPTY, (KEY, 5, 1)), (4, 6, 6), steals=2), id="an expired cell of the key itself"),
        pytest.param(_state((LATE, (OTHER, 900, 1)), (6, 6)), id="a full window"),
    ],
)
def test_every_interleaving_is_exact(start: State) -> None:
    assert explore(start) > 100


@pytest.mark.parametrize(
    ("left_out", "start"),
    [
        ("withdraw", _state((SOON, EMPTY), (4, 6))),
        ("kill", _state((SOON, EMPTY), (4, 6))),
        ("nonce", _state((SOON, EMPTY), (4, 6, 6), steals=3)),
    ],
)
def test_without_a_step_it_breaks(left_out: str, start: State) -> None:
    with pytest.raises(BrokenError, match=r"confirmed|admitted"):
        explore(start, frozenset({left_out}))
