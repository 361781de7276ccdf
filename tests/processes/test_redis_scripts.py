"""The scripts that Redis runs, on a real one: windows that move on and buckets equal their oracles, fixed windows keep their sum.

Of what moves on, time is what the test says.
"""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from fastgw.redis_client import Script
from fastgw.redis_limits.scripts import BEAT, COUNTING, LIVES_MS
from tests.oracle import limits
from tests.support.redis import Server

FIXED, BUCKET, SLIDING = COUNTING[:3]
HOUR = 3_600_000
KEY = "fastgw:limit:v1:x"
MEMBERS = ("count", "window", "cost", "give", "nodes", "spare", "own", "base", "known", "left")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def redis(server: Server) -> Iterator[Any]:
    with Redis(host=str(server.address.host), port=server.address.port) as client:
        client.flushall()
        yield client


def at(redis: Any, script: Script, now_us: int, *numbers: int) -> list[int]:
    """One run of a script that takes the time from the test, and lets no key end by the real one."""
    text = script.text.replace("redis.call('TIME')", "{ARGV[3], ARGV[4]}").replace("redis.call('PEXPIRE', ", "tostring(")
    return redis.eval(text, 1, KEY, "node", " ".join(map(str, numbers)), now_us // 10**6, now_us % 10**6)


def fixed(redis: Any, node: str = "a", **members: int) -> list[int]:
    numbers = {"count": 10, "window": HOUR, "cost": 1, **members}
    return redis.eval(FIXED.text, 1, KEY, node, " ".join(str(numbers.get(name, 0)) for name in MEMBERS))


@pytest.mark.parametrize("seed", range(8))
def test_a_bucket_equals_its_oracle(redis: Any, seed: int) -> None:
    rng = random.Random(seed)
    count, burst, window = rng.choice([(1, 1, 1000), (3, 5, 1000), (7, 2, 60_000), (1000, 1000, 60_000), (97, 300, 1000)])
    oracle, now = limits.Bucket(), 1_790_000_000_000_000
    for _ in range(300):
        now += rng.choice([0, 1, 10, 999, 12_345, window * 1000 // count, window * 300])
        cost = rng.choice([1, 1, 1, min(2, burst), burst])
        allowed, remaining, reset, retry = oracle.hit(now * 1000, count, window * limits.MS, burst, cost)
        said = at(redis, BUCKET, now, count, window, cost, burst)
        assert (said[0] > 0, said[1]) == (allowed, remaining)
        assert abs(said[2] - reset / limits.MS) <= 1
        assert allowed or abs(said[3] - retry / limits.MS) <= 1


def test_a_bucket_keeps_its_tokens_through_an_edit(redis: Any) -> None:
    now = 1_790_000_000_000_000
    assert [at(redis, BUCKET, now, 10, 1000, 1, 10)[1] for _ in range(4)] == [9, 8, 7, 6]
    assert at(redis, BUCKET, now, 10, 60_000, 1, 10)[1] == 5
    assert at(redis, BUCKET, now, 10, 60_000, 1, 3)[0] == 0


@pytest.mark.parametrize("seed", range(8))
def test_a_window_that_moves_on_equals_its_oracle(redis: Any, seed: int) -> None:
    rng = random.Random(seed)
    count, window = rng.choice([(1, 1000), (5, 1000), (30, 60_000), (1000, 60_000)])
    oracle, now = limits.Sliding(), 1_790_000_000_000
    for _ in range(300):
        now += rng.choice([0, 1, 7, window // count, window // 3, 2 * window])
        cost = rng.choice([1, 1, 1, min(2, count)])
        allowed, remaining, reset = oracle.hit(now * limits.MS, count, window * limits.MS, cost)
        said = at(redis, SLIDING, now * 1000, count, window, cost, count)
        assert (said[0] > 0, said[1], said[2]) == (allowed, remaining, reset // limits.MS)
        if not allowed:  # it passes then, and not before
            said_later = [self_hit(oracle, now + said[3] + more, count, window, cost) for more in (-1, 0)]
            assert said_later == [False, True]


def self_hit(oracle: limits.Sliding, now: int, count: int, window: int, cost: int) -> bool:
    """Whether a hit would pass, without counting it."""
    copy = limits.Sliding()
    copy.used = dict(oracle.used)
    return copy.hit(now * limits.MS, count, window * limits.MS, cost)[0]


def test_what_moves_on_ends_by_itself(redis: Any) -> None:
    for script, most in ((BUCKET, 20_001), (SLIDING, 120_000)):
        redis.delete(KEY)
        assert redis.eval(script.text, 1, KEY, "node", "3 60000 1 3")[:2] == [1, 2]
        assert most / 3 < redis.pttl(KEY) <= most


def test_a_fixed_window_admits_its_limit_and_ends_with_its_key(redis: Any) -> None:
    said = [fixed(redis, node, count=3) for node in "abab"]
    assert [each[:4] for each in said] == [[1, 0, 1, 0], [1, 0, 1, 1], [1, 0, 2, 1], [0, 0, 1, 2]]
    assert 0 < redis.pttl(KEY) <= HOUR
    assert fixed(redis, cost=4, count=3)[0] == 0


def test_a_window_without_an_end_gets_one(redis: Any) -> None:
    redis.hset(KEY, "a", 5)
    assert fixed(redis)[2:4] == [6, 0]
    assert 0 < redis.pttl(KEY) <= HOUR


def test_an_edit_shortens_a_window_and_never_lengthens_it(redis: Any) -> None:
    fixed(redis)
    assert fixed(redis, window=2 * HOUR)[4] <= HOUR
    assert fixed(redis, window=60_000)[4] == 60_000
    assert redis.pttl(KEY) <= 60_000


def test_leases_never_add_up_to_more_than_the_limit(redis: Any) -> None:
    """Nor does a node that takes little hold much: as much as it was granted so far, at most its part of what is left."""
    assert fixed(redis, count=100, nodes=3)[:4] == [1, 1, 2, 0]
    assert fixed(redis, count=100, nodes=3)[:4] == [1, 3, 6, 0]
    assert fixed(redis, count=100, nodes=3, spare=3)[:4] == [1, 4, 11, 0]
    rng = random.Random(7)
    for _ in range(200):
        fixed(redis, rng.choice("abc"), count=100, nodes=3)
        assert sum(map(int, redis.hvals(KEY))) <= 100
    assert sum(map(int, redis.hvals(KEY))) == 100


def test_what_goes_back_is_there_for_others(redis: Any) -> None:
    fixed(redis, "a", cost=6)
    assert fixed(redis, "b", cost=6)[0] == 0
    assert fixed(redis, "a", cost=0, give=4)[2:4] == [2, 0]
    assert fixed(redis, "b", cost=6)[0] == 6


def test_a_redis_that_lost_a_count_is_told_it(redis: Any) -> None:
    """With what the node knew of the others, as long as they have not told it themselves; and with the window's end."""
    said = fixed(redis, "a", own=3, base=2, known=4, left=60_000)
    assert said == [1, 0, 4, 4, 60_000]
    assert redis.hgetall(KEY) == {b"a": b"4", b"a~": b"4"}
    assert fixed(redis, "a", own=4, base=4, known=4, left=59_000)[2:4] == [5, 4]
    assert fixed(redis, "b", own=4, base=4, known=3, left=59_000)[2:4] == [5, 5]
    assert fixed(redis, "a", own=5, base=5, known=4, left=58_000)[0] == 0  # 5 and 5


def test_what_was_of_an_earlier_window_is_not_counted(redis: Any) -> None:
    """A question that was long on its way."""
    fixed(redis, "b")
    assert fixed(redis, "a", own=9, base=9, known=0, left=1000)[2:4] == [1, 1]


def test_who_is_not_heard_of_shares_no_counts(redis: Any) -> None:
    assert redis.eval(BEAT.text, 1, "nodes", "a") == [b"a"]
    assert sorted(redis.eval(BEAT.text, 1, "nodes", "b")) == [b"a", b"b"]
    redis.zincrby("nodes", -LIVES_MS - 1000, "a")
    assert redis.eval(BEAT.text, 1, "nodes", "b") == [b"b"]
