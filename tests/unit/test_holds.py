"""What is held at once: counted exactly over process slots, given back for the dead, bounded, and gone when nobody holds."""

import multiprocessing
import os
import random
import signal
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core

fork = multiprocessing.get_context("fork")
KEYS = [b"a", b"b", b"c"]
HELD = 2


def _counts(region: _core.Region) -> list[int]:
    return sorted(n for n in _core._test_held(region).values() if n)


@given(
    moves=st.lists(
        st.one_of(
            st.tuples(st.just("take"), st.integers(0, 2), st.integers(0, 2), st.integers(1, 4)),
            st.tuples(st.just("give"), st.integers(0, 2), st.integers(0, 9), st.just(0)),
            st.tuples(st.just("die"), st.integers(0, 2), st.just(0), st.just(0)),
        ),
        max_size=60,
    )
)
def test_it_counts_as_a_plain_counter_does(moves: list[tuple[str, int, int, int]]) -> None:
    """Three process slots take and give under three keys, and die; a dead one's successor goes on in the same slot."""
    region = _core.Region.create(64, slots=4)
    holders = [_core._TestHolder(region, slot) for slot in range(3)]
    own: list[list[bytes]] = [[], [], []]
    for move, slot, which, most in moves:
        held = Counter(key for keys in own for key in keys)
        if move == "take":
            key = KEYS[which]
            told = holders[slot].take(key, most)
            assert told == (held[key] + 1 if held[key] < most else 0)
            own[slot] += [key] * (told > 0)
        elif move == "give" and own[slot]:
            at = which % len(own[slot])
            holders[slot].give(at)
            own[slot].pop(at)
        elif move == "die":
            region.set_slot(slot, 0, 0, 0)
            holders[slot] = _core._TestHolder(region, slot)
            own[slot] = []
        assert _counts(region) == sorted(Counter(key for keys in own for key in keys).values())
    assert len(_core._test_words(region)) == sum(map(len, own))
    assert {state for _, _, state in _core._test_words(region)} <= {HELD}
    if not any(own):
        assert _core._test_cells(_core.Table(region)) == []


def test_a_hold_given_back_for_a_living_process_is_not_given_twice() -> None:
    """A slot that changed hands too early, as after the death of a master, costs a count its exactness, never its sanity."""
    region = _core.Region.create(64, slots=1)
    old = _core._TestHolder(region, 0)
    assert old.take(b"k", 5) == 1
    region.set_slot(0, 1, 1, 1)
    new = _core._TestHolder(region, 0)
    assert new.take(b"k", 5) == 1
    old.give()
    assert _counts(region) == [1]
    assert old.take(b"k", 5) == 2  # the two share the slot's words without a clash
    new.give()
    old.give()
    assert _core._test_words(region) == []
    assert _core._test_held(region) == {}


def test_a_ledger_that_is_full_says_so() -> None:
    region = _core.Region.create(64, slots=1)
    holder = _core._TestHolder(region, 0)
    told = [holder.take(b"k", 1000) for _ in range(65)]
    assert told == [*range(1, 65), -1]
    holder.give()
    assert holder.take(b"k", 1000) == 64


def test_what_is_held_is_never_pushed_out() -> None:
    """Neither by other keys that are held, nor by limits: they are told that there is no room."""
    region = _core.Region.create(16, slots=1)
    holder = _core._TestHolder(region, 0)
    assert [holder.take(b"%d" % i, 5) for i in range(17)] == [1] * 16 + [-1]
    limiter = _core.Limiter(region, "x", count=5, window=60)
    assert not limiter.hit("k").allowed
    assert _core.Table(region).evictions == 0
    assert _counts(region) == [1] * 16
    holder.give()
    assert limiter.hit("k").allowed
    assert holder.take(b"15", 5) == 1  # takes the cell of the window, which ends one day
    assert _core.Table(region).evictions == 1
    assert _counts(region) == [1] * 16


def test_a_key_that_nobody_holds_takes_no_cell() -> None:
    region = _core.Region.create(16, slots=1)
    holder = _core._TestHolder(region, 0)
    for i in range(1000):
        assert holder.take(b"%d" % i, 1) == 1
        holder.give()
    assert _core._test_cells(_core.Table(region)) == []
    assert _core.Table(region).evictions == 0


MOST = 5


def _hammer(region: _core.Region, slot: int, seed: int) -> None:
    """Takes and gives until it is killed; never may more than MOST hold one key."""
    holder = _core._TestHolder(region, slot)
    pick = random.Random(seed)
    held = 0
    while True:
        if held and pick.random() < 0.5:
            holder.give(pick.randrange(held))
            held -= 1
        else:
            held += holder.take(KEYS[pick.randrange(3)], MOST) > 0


@pytest.mark.parametrize("round_", range(3))
def test_killed_at_any_instruction_nothing_is_lost_and_nothing_stays(round_: int) -> None:
    """Four processes on three keys, killed one after the other at random moments, some replaced; a living one holds two."""
    region = _core.Region.create(64, slots=6)
    living = _core._TestHolder(region, 5)
    moments = random.Random(round_)
    assert [living.take(b"a", MOST), living.take(b"b", MOST)] == [1, 1]
    for generation in range(12):
        children = [fork.Process(target=_hammer, args=(region, slot, 100 * generation + slot)) for slot in range(4)]
        for child in children:
            child.start()
        seen = 0
        for child in children:
            for _ in range(moments.randrange(50)):
                seen = max(seen, *_core._test_held(region).values())
            assert child.pid
            os.kill(child.pid, signal.SIGKILL)
            child.join()
        assert seen <= MOST
        for slot in range(4):
            region.set_slot(slot, 0, 0, 0)
        assert sorted(_core._test_held(region).values()) == [1, 1]
        assert len(_core._test_words(region)) == 2
    living.give()
    living.give()
    assert _core._test_held(region) == {}
