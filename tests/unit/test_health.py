"""How an address stands: lua-resty-healthcheck's counting, the table that all processes share, and many who report at once."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core
from tests.oracle.health import Node

LIMITS = st.integers(0, 4) | st.just(254)
PLACES = 16384


@pytest.fixture
def health() -> _core.Health:
    return _core.Health(_core.Region.create(64, slots=1))


def view(word: int) -> tuple[str, list[int]]:
    return _core.HEALTH_STATES[word >> 32], [word >> (8 * i) & 255 for i in range(4)]


# -- counting ----------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from(_core.HEALTH_REPORTS), LIMITS), max_size=60))
def test_counting_is_that_of_resty_healthcheck(reports: list[tuple[str, int]]) -> None:
    node, word = Node(), 0
    for what, limit in reports:
        node.report(what, limit)
        word = _core._test_health(word, what, limit)
        assert view(word) == (node.state, list(node.counters.values()))
        assert bool(word >> 33) is not node.serves


@pytest.mark.parametrize("limit", [1, 2, 5, 254])
@pytest.mark.parametrize("what", _core.HEALTH_REPORTS)
def test_exactly_the_threshold_decides(what: str, limit: int) -> None:
    word = _core._test_health(0, "timeout_failure", 1) if what == "success" else 0
    before = word >> 33
    for _ in range(limit - 1):
        word = _core._test_health(word, what, limit)
        assert word >> 33 == before
    word = _core._test_health(word, what, limit)
    assert word >> 33 == (what != "success")


def test_a_counter_never_runs_into_its_neighbour() -> None:
    word = 0
    for _ in range(300):
        word = _core._test_health(word, "http_failure", 255)
    assert view(word) == ("unhealthy", [0, 255, 0, 0])


# -- the table ---------------------------------------------------------------------------------------


def test_an_address_is_its_objects_and_its_nodes(health: _core.Health) -> None:
    places = [
        ("upstreams/1", "a.test:80", "192.0.2.1"),
        ("upstreams/1", "a.test:80", "192.0.2.2"),
        ("upstreams/1", "a.test:80", "2001:db8::1"),
        ("upstreams/1", "a.test:81", "192.0.2.1"),
        ("upstreams/2", "a.test:80", "192.0.2.1"),
        ("upstreams/", "1a.test:80", "192.0.2.1"),
        ("upstreams/1", "unix:/x", ""),
        ("upstreams/1", "unix:/y", ""),
    ]
    numbers = [health.who(*place) for place in places]
    assert len({*numbers, 0}) == len(places) + 1
    assert numbers == [health.who(*place) for place in places]
    with pytest.raises(ValueError, match=r"node a\.test:80: expected an IP address, found 'a\.test'"):
        health.who("upstreams/1", "a.test:80", "a.test")


def test_an_address_has_a_state_from_when_it_is_added_until_it_is_dropped(health: _core.Health) -> None:
    who = health.who("upstreams/1", "192.0.2.1:80", "192.0.2.1")
    assert (health.look(who), health.report(who, "tcp_failure", 1), health.known()) == (None, None, [])
    assert health.add(who)
    assert health.look(who) == ("healthy", (0, 0, 0, 0))
    assert health.report(who, "tcp_failure", 2) == ("mostly_healthy", (0, 0, 1, 0))
    assert health.add(who)  # again: nothing is forgotten
    assert health.report(who, "tcp_failure", 2) == ("unhealthy", (0, 0, 2, 0))
    assert health.known() == [who]
    health.drop(who)
    assert (health.look(who), health.known()) == (None, [])
    assert health.add(who)
    assert health.look(who) == ("healthy", (0, 0, 0, 0))


def test_a_full_table_says_so_and_forgets_nobody(health: _core.Health) -> None:
    numbers = [health.who("upstreams/1", f"192.0.2.1:{port}", "192.0.2.1") for port in range(1, PLACES + 1)]
    placed = [who for who in numbers if health.add(who)]
    lost = next(i for i, who in enumerate(numbers) if health.look(who) is None)
    assert lost > PLACES / 4  # while so many are taken none lacks one
    assert sorted(health.known()) == sorted(placed)
    assert all(health.look(who) is not None for who in placed)
    who = next(who for who in numbers if health.look(who) is None)
    assert health.report(who, "tcp_failure", 1) is None
    for each in placed:
        health.drop(each)
    assert health.known() == []
    assert health.add(who)


# -- several processes -------------------------------------------------------------------------------


def in_processes(count: int, work: Callable[[int], None]) -> None:
    pids = []
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            try:
                work(number)
                os._exit(0)
            finally:
                os._exit(1)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * count


def test_no_report_of_several_processes_is_lost(health: _core.Health) -> None:
    """Each reports 60 failures that do not decide: the count is the sum, or it stopped at the limit."""
    who = health.who("upstreams/1", "192.0.2.1:80", "192.0.2.1")
    assert health.add(who)

    def work(number: int) -> None:
        for _ in range(60):
            health.report(who, ("http_failure", "tcp_failure")[number % 2], 254)

    in_processes(4, work)
    assert health.look(who) == ("mostly_healthy", (0, 120, 120, 0))


def test_hammered_by_several_processes_a_word_is_always_one_of_the_machines(health: _core.Health) -> None:
    """Whatever the order, a success leaves no failures and a failure no successes, no counter is above its limit, and nobody
    else's word is touched."""
    hammered, beside = (health.who("upstreams/1", f"192.0.2.{i}:80", f"192.0.2.{i}") for i in (1, 2))
    assert health.add(hammered)
    assert health.add(beside)

    def work(number: int) -> None:
        for i in range(4000):
            what = _core.HEALTH_REPORTS[(number + i // 3) % 4]
            found = health.report(hammered, what, 3)
            assert found is not None
            assert found.counters[0] == 0 or found.counters[1:] == (0, 0, 0)
            assert max(found.counters) <= 3
            if found.state.startswith("mostly"):
                assert max(found.counters) < 3

    in_processes(4, work)
    assert health.look(beside) == ("healthy", (0, 0, 0, 0))


def test_an_address_that_comes_and_goes_takes_no_report_of_another(health: _core.Health) -> None:
    """A place changes hands while others report about who had it: only its own reports count."""
    mine = health.who("upstreams/1", "192.0.2.1:80", "192.0.2.1")
    home = mine % PLACES
    other = next(who for i in range(1, 1 << 20) if (who := health.who("upstreams/2", str(i), "192.0.2.9")) % PLACES == home)
    reader, writer = os.pipe()

    def work(number: int) -> None:
        if number == 0:
            for _ in range(3000):
                assert health.add(other)
                assert health.look(other) == ("healthy", (0, 0, 0, 0))
                health.drop(other)
                assert health.add(mine)
                health.drop(mine)
            os.write(writer, b"x" * 3)
        else:
            os.set_blocking(reader, False)
            while True:
                health.report(mine, "tcp_failure", 1)
                try:
                    os.read(reader, 1)
                    return
                except BlockingIOError:
                    continue

    try:
        in_processes(4, work)
    finally:
        os.close(reader)
        os.close(writer)


def test_what_is_known_outlives_those_who_knew_it(health: _core.Health) -> None:
    who = health.who("upstreams/1", "192.0.2.1:80", "192.0.2.1")

    def work(_: int) -> None:
        health.add(who)
        health.report(who, "timeout_failure", 1)

    in_processes(1, work)
    assert health.look(who) == ("unhealthy", (0, 0, 0, 1))
