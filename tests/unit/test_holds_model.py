"""The protocol of native/holds.pxi: every interleaving of it, with a crash at every step.

Leaving out a step of the protocol must break it, or the model shows nothing.
"""

import pytest

from tests.oracle.holds import EMPTY, FREE, Actor, BrokenError, State, explore

ONCE = ("take", "give")


def _state(*scripts: tuple[str, ...], crashes: int = 0, settlers: int = 1, steals: int = 0) -> State:
    actors = tuple(Actor(slot, script) for slot, script in enumerate(scripts))
    return State(EMPTY, ((0, FREE),) * len(scripts), actors, crashes, settlers, steals)


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(_state(ONCE, ONCE, ("take",)), id="three, of which one goes on holding"),
        pytest.param(_state(ONCE, ("take",), crashes=1, settlers=2), id="one of two dies, and two settle at once"),
        pytest.param(_state(ONCE, ONCE, crashes=2), id="both die"),
        pytest.param(_state(ONCE * 2, ONCE, crashes=1), id="one takes again, one dies"),
        pytest.param(_state(ONCE, ONCE, crashes=1, steals=2), id="another key comes and goes"),
    ],
)
def test_every_interleaving_is_exact(start: State) -> None:
    assert explore(start) > 100


@pytest.mark.parametrize("left_out", ["acknowledge", "number", "promise"])
def test_without_a_step_it_breaks(left_out: str) -> None:
    with pytest.raises(BrokenError, match="held"):
        explore(_state(ONCE * 2, ONCE, crashes=1), frozenset({left_out}))
