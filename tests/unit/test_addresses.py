"""Connections per client address: one bound over all processes, exact while connections come and go and processes die."""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest

from fastgw import _core

HERE, THERE = "192.0.2.1", "198.51.100.7"
MOST = 3
FREE = 0


def region(slots: int = 4) -> _core.Region:
    return _core.Region.create(64, slots=slots, revocations=1)


def wire(of: _core.Region, slot: int = 0, most: int = MOST, **options: object) -> _core.Wire:
    return _core.Wire(region=of, slot=slot, limits={"connections_per_address": most}, **options)


def opened(core: _core.Wire, address: str = HERE, tries: int = 20) -> list[int]:
    """Lines of one address, as many as can be had."""
    return [line for line in (core.open(address) for _ in range(tries)) if line >= 0]


def test_the_bound_is_one_over_all_processes() -> None:
    shared = region()
    first, second = wire(shared, 0), wire(shared, 1)
    lines = [first.open(HERE), first.open(HERE), second.open(HERE)]
    assert min(lines) >= 0
    assert (first.open(HERE), second.open(HERE)) == (-1, -1)
    assert len(opened(second, THERE)) == MOST
    assert shared.metrics()["connections_refused"] == 2 + 17


def test_a_connection_that_ends_makes_room_for_one() -> None:
    shared = region()
    first, second = wire(shared, 0), wire(shared, 1)
    lines = opened(first)
    first.end(lines[0])
    assert opened(second, tries=5) == [0]
    first.reset(lines[1])
    assert len(opened(first)) == 1


def test_zero_means_any_number() -> None:
    assert len(opened(wire(region(), most=0), tries=100)) == 100


def test_trusted_peers_may_hold_any_number() -> None:
    core = wire(region(), trusted=["192.0.2.0/28"])
    assert len(opened(core, HERE, 50)) == 50
    assert len(opened(core, THERE, 50)) == MOST


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::1", "192.0.2.1", False),
    ],
)
def test_what_is_one_address(one: str, other: str, same: bool) -> None:
    core = wire(region())
    assert len(opened(core, one)) == MOST
    assert (core.open(other) == -1) == same


def test_what_a_dead_process_held_goes_with_its_slot() -> None:
    shared = region()
    dead, living = wire(shared, 0), wire(shared, 1)
    assert len(opened(dead, HERE, 2)) == 2
    assert len(opened(living)) == 1
    shared.set_slot(0, 0, 0, FREE)
    assert len(opened(living)) == 2
    # It was not dead after all: what it gives back is nobody's.
    del dead
    assert opened(living) == []


def test_more_addresses_than_a_book_has_words_are_let_in() -> None:
    """And are forgotten again: nothing of them is left to refuse anybody."""
    shared = region()
    core = wire(shared, most=1)
    lines = [core.open(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}") for n in range(12_000)]
    assert min(lines) >= 0
    for line in lines:
        core.end(line)
    assert opened(core, HERE) != []
    assert core.open(HERE) == -1


def test_any_order_of_coming_and_going_keeps_the_count() -> None:
    chance = random.Random(7)
    shared = region()
    cores = [wire(shared, slot) for slot in range(3)]
    addresses = [f"203.0.113.{n}" for n in range(20)]
    held: list[tuple[int, int, str]] = []
    count: Counter[str] = Counter()
    for _ in range(5000):
        if held and chance.random() < 0.45:
            slot, line, address = held.pop(chance.randrange(len(held)))
            cores[slot].end(line)
            count[address] -= 1
            continue
        slot, address = chance.randrange(3), chance.choice(addresses)
        line = cores[slot].open(address)
        assert (line >= 0) == (count[address] < MOST)
        if line >= 0:
            held.append((slot, line, address))
            count[address] += 1


def test_processes_at_once_are_never_beyond_the_bound() -> None:
    """Each takes what it can, together with the others, and says how many it got; none gives any back meanwhile."""
    most, processes = 400, 4
    shared = region(slots=processes)
    start, go = os.pipe()
    told, tell = os.pipe()
    pids = []
    for slot in range(processes):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.close(go)
                core = wire(shared, slot, most)
                os.read(start, 1)  # all begin when the writing end is closed
                os.write(tell, len(opened(core, HERE, most)).to_bytes(2, "little"))
                code = 0
            finally:
                os._exit(code)  # as if killed: nothing is given back
        pids.append(pid)
    os.close(start)
    os.close(go)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * processes
    os.close(tell)
    data = os.read(told, 100)
    os.close(told)
    got = sum(int.from_bytes(data[i : i + 2], "little") for i in range(0, len(data), 2))
    assert most - processes < got <= most
    for slot in range(processes):
        shared.set_slot(slot, 0, 0, FREE)
    assert len(opened(wire(shared, 0, most), HERE, most)) == most
