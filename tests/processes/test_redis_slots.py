"""The script of slots on a real Redis: never more than allowed, whatever is lost, late or dead; the clock is the test's."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as trying
from hypothesis import strategies as st

from fastgw.plugins.redis_fields import RedisSettings
from fastgw.redis_client import Call, Client, Script, connect
from fastgw.redis_limits.slots import SLOTS
from tests.support.redis import Server

TTL = 60_000  # ms


class Redis:
    """A client that waits for each answer."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.loop = asyncio.new_event_loop()
        self.client: Client = connect(RedisSettings("redis", (tuple(server.address),), read_timeout=20))
        self.keys = 0

    def run(self, *calls: Call) -> list[Any]:
        return self.loop.run_until_complete(self.client.run(calls))

    def key(self) -> bytes:
        """One that nothing was counted by."""
        self.keys += 1
        return b"key %d" % self.keys

    def close(self) -> None:
        self.loop.run_until_complete(self.client.close())
        self.loop.close()


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with Server(tmp_path_factory.mktemp("redis")) as server:
        redis = Redis(server)
        yield redis
        redis.close()


def at_test_time(script: Script) -> Script:
    """The script, by a clock that is handed in: as the last two arguments."""
    assert script.text.count("redis.call('TIME')") == 1
    return Script(script.text.replace("redis.call('TIME')", "{ARGV[#ARGV - 1], ARGV[#ARGV]}"))


SLOTS_THEN = at_test_time(SLOTS)


def moment(us: int) -> tuple[bytes, bytes]:
    return b"%d" % (us // 1_000_000), b"%d" % (us % 1_000_000)


def slots(key: bytes, node: bytes, *, place: int = 0, most: int = 3, runs: int, said: int, now: int = 10**12) -> Call:
    """`said`: the moment on the node's clock; `now`: Redis' clock, in ms."""
    numbers = b"%d %d %d %d %d" % (place, most, TTL, said, runs)
    return Call(SLOTS_THEN, key, (node, numbers, *moment(now * 1000)))


def test_slots_of_two_nodes(redis: Redis) -> None:
    key = redis.key()
    assert redis.run(
        slots(key, b"a", place=1, runs=1, said=1),
        slots(key, b"a", place=2, runs=2, said=2),
        slots(key, b"b", place=1, runs=1, said=1),
        slots(key, b"b", place=2, runs=2, said=2),  # the fourth
        slots(key, b"a", runs=1, said=3),  # one ends
        slots(key, b"b", place=2, runs=2, said=3),
    ) == [[1, 0], [1, 0], [1, 2], [0, 2], [0, 1], [1, 1]]


def test_a_node_that_says_nothing_more_is_forgotten(redis: Redis) -> None:
    key, then = redis.key(), 10**12
    assert redis.run(slots(key, b"dead", place=3, runs=3, said=1)) == [[1, 0]]
    assert redis.run(slots(key, b"a", place=1, runs=1, said=1, now=then + TTL - 1)) == [[0, 3]]
    assert redis.run(slots(key, b"a", place=1, runs=1, said=2, now=then + TTL)) == [[1, 0]]
    assert redis.server.cli("HKEYS", key.decode()) == "a"


def test_a_node_that_is_back_says_how_many_run(redis: Redis) -> None:
    """Its clock may have begun anew: then what it says is not old."""
    key = redis.key()
    assert redis.run(slots(key, b"a", place=3, runs=3, said=10**12)) == [[1, 0]]
    assert redis.run(slots(key, b"a", place=1, runs=1, said=5)) == [[1, 0]]
    assert redis.run(slots(key, b"b", place=2, runs=2, said=1)) == [[1, 1]]


def test_an_older_message_comes_too_late(redis: Redis) -> None:
    """Also behind one that says that nothing runs."""
    key = redis.key()
    redis.run(slots(key, b"a", runs=0, said=20), slots(key, b"c", runs=0, said=1, now=10**12 + 50_000))
    redis.run(slots(key, b"a", place=1, runs=1, said=10))
    assert redis.run(slots(key, b"b", place=3, runs=3, said=1)) == [[1, 0]]


def test_a_key_has_an_expiry(redis: Redis) -> None:
    key = redis.key()
    redis.run(slots(key, b"a", place=1, runs=1, said=1), slots(key, b"a", runs=0, said=2))
    assert TTL - 5000 < int(redis.server.cli("PTTL", key.decode())) <= TTL


@trying(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data(), most=st.integers(1, 5))
def test_never_more_than_allowed_run(redis: Redis, data: st.DataObject, most: int) -> None:
    """Three nodes take and give; messages are on the way for a while, come in any order, and some of those that ask for nothing
    are lost. When all is said, Redis knows how many run."""
    key, clock = redis.key(), 0
    held: dict[bytes, int] = dict.fromkeys((b"a", b"b", b"c"), 0)  # on each node, those that ask included
    running: dict[bytes, int] = dict.fromkeys(held, 0)
    flying: list[tuple[bytes, int, Call]] = []

    def say(node: bytes, place: int) -> None:
        nonlocal clock
        clock += 1
        flying.append((node, place, slots(key, node, place=place, most=most, runs=held[node], said=clock)))

    def land(index: int) -> None:
        node, place, call = flying.pop(index)
        ((granted, _),) = redis.run(call)
        if place and granted:
            running[node] += 1
        elif place:
            held[node] -= 1
        assert sum(running.values()) <= most

    for _ in range(data.draw(st.integers(1, 40))):
        node = data.draw(st.sampled_from(sorted(held)))
        does = data.draw(st.sampled_from(["take", "give", "land", "lose"]))
        if does == "take" and held[node] < most:
            held[node] += 1
            say(node, held[node])
        elif does == "give" and running[node]:
            held[node] -= 1
            running[node] -= 1
            say(node, 0)
        elif flying:
            index = data.draw(st.integers(0, len(flying) - 1))
            if does == "lose" and not flying[index][1]:
                flying.pop(index)
            else:
                land(index)
    while flying:
        land(data.draw(st.integers(0, len(flying) - 1)))
    for node in held:
        say(node, 0)
        land(0)
    assert held == running
    ((_, others),) = redis.run(slots(key, b"another", runs=0, said=1))
    assert others == sum(running.values())
