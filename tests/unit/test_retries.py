"""What a failed try may be followed by: how often, for how long, and how much of it the nodes bear."""

from collections import Counter
from typing import Any

from fastgw import _core
from tests.support.balanced import Balanced
from tests.support.core import OK, pool, snapshot

A, B, C = (f"192.0.2.{i}:80" for i in (10, 11, 12))
FREE = (1000, 100000)  # a budget that nothing uses up


def tries(balanced: Balanced, method: str = "GET") -> list[str]:
    """The nodes that a request goes to, one after the other, when each breaks the connection."""
    request, nodes = balanced.begin(method=method), list[str]()
    while request.node:
        nodes.append(request.node)
        request.fail()
    assert request.status() == 502
    return nodes


def test_every_other_node_is_tried_once_and_none_twice() -> None:
    assert sorted(tries(Balanced({A: 1, B: 1, C: 1}, budget=FREE))) == [A, B, C]
    assert len(tries(Balanced({A: 1, B: 1, C: 1}, budget=FREE, retries=1))) == 2
    assert len(tries(Balanced({A: 1, B: 1, C: 1}, budget=FREE, retries=0))) == 1
    assert len(tries(Balanced({A: 1, B: 1, C: 1}, budget=FREE), method="POST")) == 1


def test_a_single_node_is_tried_again_where_retries_say_so() -> None:
    assert tries(Balanced({A: 1}, budget=FREE)) == [A]
    assert tries(Balanced({A: 1}, budget=FREE, retries=3)) == [A] * 4


def test_no_try_begins_after_retry_timeout() -> None:
    balanced = Balanced({A: 1, B: 1, C: 1}, budget=FREE, retry_timeout=5, read=3)
    request = balanced.begin()
    balanced.wire.advance(4)  # the read timeout of the first node
    assert balanced.sent() is not None
    balanced.wire.advance(4)  # and of the second: 8 s have gone
    assert balanced.sent() is None
    assert request.status() == 502


def test_without_retry_timeout_time_does_not_count() -> None:
    balanced = Balanced({A: 1, B: 1, C: 1}, budget=FREE, read=3)
    request = balanced.begin()
    for _ in range(3):
        balanced.wire.advance(4)
    assert request.status() == 504


# -- the budget --------------------------------------------------------------------------------------


def first_tries(balanced: Balanced, count: int) -> int:
    """How many of so many requests whose first try breaks are tried again; the second try is answered."""
    again = 0
    for _ in range(count):
        request = balanced.begin()
        if request.fail():
            again += 1
            assert request.answer() == 200
        else:
            assert request.status() == 502
    return again


def test_retries_are_a_share_of_the_requests() -> None:
    balanced = Balanced({A: 1, B: 1}, budget=(0.25, 0))
    assert first_tries(balanced, 400) == 100
    for _ in range(100):
        balanced.asked()
    assert first_tries(balanced, 100) == 50  # what was not used is there


def test_some_retries_a_second_are_always_there() -> None:
    balanced = Balanced({A: 1, B: 1}, budget=(0, 2))
    assert first_tries(balanced, 100) == 20  # of ten seconds, to begin with
    balanced.wire.advance(3)
    assert first_tries(balanced, 100) == 6
    balanced.wire.advance(1000)
    assert first_tries(balanced, 100) == 20
    assert first_tries(Balanced({A: 1, B: 1}, budget=(0, 0)), 10) == 0


def test_what_requests_save_up_has_a_bound() -> None:
    balanced = Balanced({A: 1, B: 1}, budget=(0.02, 0))
    for _ in range(1000):
        balanced.asked()
    assert first_tries(balanced, 45) == 10  # of 500 requests


def test_a_try_that_reached_no_node_is_free() -> None:
    balanced = Balanced({A: 1, B: 1, C: 1}, budget=(0, 0))
    balanced.wire.connecting("later")
    for _ in range(10):
        request = balanced.begin()
        (line,) = [i for i, side, is_open in balanced.wire.lines() if side == "up" and is_open]
        balanced.wire.connecting("at once")
        balanced.wire.reset(line)  # refused
        found = balanced.sent()
        assert found is not None
        balanced.wire.push(found[0], OK)
        assert request.status() == 200
        balanced.wire.connecting("later")


def test_a_kept_connection_that_breaks_costs_no_budget() -> None:
    balanced = Balanced({A: 1, B: 1}, budget=(0, 0), keepalive_requests=100)
    for _ in range(4):
        balanced.asked()
    request = balanced.begin()
    node = request.node
    assert request.fail() == node  # the idle race: the same node, on a new connection
    assert request.answer() == 200


# -- the addresses of a name -------------------------------------------------------------------------


def spread(*addresses: str, **options: Any) -> tuple[_core.Wire, _core.Pool, dict[str, _core.Pool]]:
    name = _core.Pool("a.test:80")
    members = {address: pool(address) for address in addresses}
    name.spread(members.values())
    upstream = _core.Upstream([(name, 1, 0, b"a.test")], **options)
    return _core.Wire(snapshot(to=upstream)), name, members


def reached(wire: _core.Wire, members: dict[str, _core.Pool]) -> str:
    """The address with a connection; there is one."""
    (address,) = [address for address, member in members.items() if member.open]
    return address


def test_all_addresses_of_a_name_are_used_by_turns() -> None:
    wire, _, members = spread(A, B, C, keepalive_requests=1)
    line, found = wire.open(), list[str]()
    for _ in range(9):
        wire.push(line, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        found.append(reached(wire, members))
        (up,) = [i for i, side, is_open in wire.lines() if side == "up" and is_open]
        wire.push(up, OK)
    assert Counter(found) == {A: 3, B: 3, C: 3}


def test_a_failed_address_is_not_asked_again_while_another_is_left() -> None:
    wire, _, members = spread(A, B, C, retries=5, budget=FREE)
    line, found = wire.open(), list[str]()
    wire.push(line, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    for _ in range(4):
        found.append(reached(wire, members))
        (up,) = [i for i, side, is_open in wire.lines() if side == "up" and is_open]
        wire.reset(up)
    assert sorted(found[:3]) == [A, B, C]
    assert found[3] in members  # all failed: from the beginning


def test_the_other_addresses_of_a_lone_name_are_its_retries() -> None:
    wire, _, _ = spread(A, B, C, budget=FREE)
    line = wire.open()
    wire.push(line, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    for _ in range(3):
        assert wire.pull(line) == b""
        (up,) = [i for i, side, is_open in wire.lines() if side == "up" and is_open]
        wire.reset(up)
    assert wire.pull(line).startswith(b"HTTP/1.1 502")


def test_connections_outlive_the_addresses_that_a_name_had() -> None:
    wire, name, members = spread(A, B)
    lines = [wire.open() for _ in range(4)]
    for line in lines:
        wire.push(line, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    ups = [i for i, side, _ in wire.lines() if side == "up"]
    members.clear()
    name.spread([pool(C)])
    name.spread([pool(C)])
    for line, up in zip(lines, ups, strict=True):
        wire.push(up, OK)
        assert wire.pull(line).startswith(b"HTTP/1.1 200")
    name.spread([])
    wire.push(lines[0], b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert wire.pull(lines[0]).startswith(b"HTTP/1.1 503")
