"""Which node takes a request, by each algorithm's definition; what a failed try may be followed by is in test_retries.py."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw import _core
from tests.oracle import chash
from tests.support.balanced import Balanced
from tests.support.core import john, token

A, B, C, D = (f"192.0.2.{i}:80" for i in (10, 11, 12, 13))
KEYS = [f"key-{i}" for i in range(400)]
URI = {"balance": "chash", "key": _core.Template("uri")}
ALL = ("roundrobin", "chash", "least_conn", "ewma")


def options(balance: str) -> dict[str, object]:
    return {"balance": balance, "key": _core.Template("uri") if balance == "chash" else None}


# -- roundrobin --------------------------------------------------------------------------------------


def smooth(weights: list[int], count: int) -> list[int]:
    """Smooth weighted round robin in the plainest words: all gain their weight, the richest serves and pays the total."""
    rich, chosen = [0] * len(weights), []
    for _ in range(count):
        rich = [have + weight for have, weight in zip(rich, weights, strict=True)]
        best = max((i for i, weight in enumerate(weights) if weight), key=lambda i: (rich[i], -i))
        rich[best] -= sum(weights)
        chosen.append(best)
    return chosen


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 7), min_size=2, max_size=5).filter(any))
def test_roundrobin_is_smooth_and_keeps_weights_exactly(weights: list[int]) -> None:
    names = [A, B, C, D, "192.0.2.14:80"][: len(weights)]
    balanced = Balanced(dict(zip(names, weights, strict=True)))
    found = [names.index(balanced.asked()) for _ in range(2 * sum(weights))]
    assert found == smooth(weights, len(found))
    assert Counter(found) == {i: 2 * weight for i, weight in enumerate(weights) if weight}


@pytest.mark.parametrize("balance", ALL)
def test_a_node_without_weight_takes_nothing_while_another_has_some(balance: str) -> None:
    balanced = Balanced({A: 0, B: 1, C: 1}, **options(balance))
    assert {balanced.asked(f"/{key}") for key in KEYS[:60]} == {B, C}
    request = balanced.begin("/")
    request.fail()
    assert request.fail() == ""
    assert request.status() == 502


@pytest.mark.parametrize("balance", ALL)
def test_where_no_node_has_a_weight_all_are_alike(balance: str) -> None:
    balanced = Balanced({A: 0, B: 0}, **options(balance))
    assert {balanced.asked(f"/{key}") for key in KEYS[:60]} == {A, B}


@pytest.mark.parametrize("balance", ALL)
def test_a_single_node_is_not_judged(balance: str) -> None:
    balanced = Balanced({A: 0}, **options(balance))
    balanced.down(0)
    assert balanced.asked() == A


@pytest.mark.parametrize("balance", ALL)
def test_a_name_without_address_is_passed_over(balance: str) -> None:
    balanced = Balanced({"a.test:80": 9, B: 1}, unresolved=("a.test:80",), **options(balance))
    assert {balanced.asked(f"/{key}") for key in KEYS[:40]} == {B}
    nowhere = Balanced({"a.test:80": 9, "b.test:80": 1}, unresolved=("a.test:80", "b.test:80"), **options(balance))
    assert nowhere.begin().status() == 503


# -- chash -------------------------------------------------------------------------------------------


def test_chash_goes_where_resty_chash_does() -> None:
    nodes = {A: 1, B: 2, C: 3}
    balanced = Balanced(nodes, **URI)
    assert [balanced.asked(f"/{key}") for key in KEYS] == [chash.node_of(nodes, f"/{key}".encode()) for key in KEYS]


def hash_keys() -> list[tuple[_core.Template, dict[str, str], str, bytes]]:
    return [
        (_core.Template("arg_user"), {}, "/x?user=jane&a=b", b"jane"),
        (_core.Template("request_uri"), {}, "/x?user=jane", b"/x?user=jane"),
        (_core.Template("host"), {"Host": "Shop.test:81"}, "/", b"shop.test"),
        (_core.Template("query_string"), {}, "/x?a", b"a"),
        (_core.Template("remote_addr"), {}, "/", b"192.0.2.1"),
        (_core.Template("http_x-user"), {"X_User": "jane"}, "/", b"jane"),
        (_core.Template("cookie_user"), {"Cookie": "a=b; user=jane"}, "/", b"jane"),
        (_core.Template("$host-${arg_user}", "var_combination"), {"Host": "h"}, "/?user=jane", b"h-jane"),
        (_core.Template("consumer_name"), {"Authorization": token().decode()}, "/", b"john"),
        # Nothing to hash: the client's address.
        (_core.Template("arg_user"), {}, "/x", b"192.0.2.1"),
        (_core.Template("http_x-user"), {"X_User": ""}, "/", b"192.0.2.1"),
        (_core.Template("cookie_user"), {}, "/", b"192.0.2.1"),
        (_core.Template("consumer_name"), {}, "/", b"192.0.2.1"),
    ]


@pytest.mark.parametrize(("key", "fields", "target", "hashed"), hash_keys())
def test_what_is_hashed(key: _core.Template, fields: dict[str, str], target: str, hashed: bytes) -> None:
    # So many nodes that another key would hardly find the same one.
    nodes = {f"192.0.2.{i}:80": 1 for i in range(10, 210)}
    balanced = Balanced(nodes)
    steps = ()
    if "Authorization" in fields:
        balanced.credentials = (john(),)
        steps = (_core.JwtAuthStep(),)
    balanced.use(nodes, *steps, balance="chash", key=key)
    assert balanced.asked(target, **fields) == chash.node_of(nodes, hashed)


def test_a_failed_try_goes_on_along_the_ring_and_an_unwell_node_moves_only_its_keys() -> None:
    nodes = {A: 1, B: 1, C: 2, D: 1}
    balanced = Balanced(nodes, **URI, budget=(100, 100000))
    for key in KEYS[:60]:
        request, tried = balanced.begin(f"/{key}"), set[str]()
        for _ in nodes:
            assert request.node == chash.node_of(nodes, f"/{key}".encode(), tried)
            tried.add(request.node)
            request.fail()
        assert request.status() == 502
    balanced.down(1)
    assert [balanced.asked(f"/{key}") for key in KEYS] == [chash.node_of(nodes, f"/{key}".encode(), {B}) for key in KEYS]


# -- least_conn --------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=4), st.lists(st.integers(0, 9), max_size=40), st.data())
def test_least_conn_takes_the_lowest_of_busy_plus_one_by_weight(
    weights: list[int], steps: list[int], data: st.DataObject
) -> None:
    nodes = dict(zip([A, B, C, D], weights, strict=False))
    balanced = Balanced(nodes, balance="least_conn", keepalive_requests=9)
    busy, under_way = Counter[str](), []
    for step in steps:
        if step < 4 and under_way:
            request = under_way.pop(data.draw(st.integers(0, len(under_way) - 1)))
            busy[request.node] -= 1
            if step < 2:
                assert request.answer() == 200
            else:
                request.leave()
            continue
        request = balanced.begin()
        scores = {name: (busy[name] + 1) / weight for name, weight in nodes.items()}
        assert scores[request.node] == min(scores.values())
        busy[request.node] += 1
        under_way.append(request)


def test_least_conn_lets_equals_take_turns() -> None:
    balanced = Balanced({A: 1, B: 1, C: 1}, balance="least_conn")
    found = [balanced.asked() for _ in range(9)]
    assert Counter(found) == {A: 3, B: 3, C: 3}
    assert all(one != other for one, other in pairwise(found))


def test_least_conn_remembers_what_is_under_way_when_nodes_come_and_go() -> None:
    balanced = Balanced({A: 1, B: 1}, balance="least_conn")
    held = [balanced.begin() for _ in range(10)]
    assert Counter(request.node for request in held) == {A: 5, B: 5}
    balanced.use({A: 1, B: 1, C: 1}, balance="least_conn")
    assert [balanced.begin().node for _ in range(5)] == [C] * 5
    for request in held:
        request.answer()
    assert {balanced.begin().node for _ in range(6)} == {A, B}


# -- ewma --------------------------------------------------------------------------------------------


def timed(balanced: Balanced, seconds: dict[str, float]) -> str:
    """The node that took a request, and the time that it takes there."""
    request = balanced.begin()
    balanced.wire.advance(seconds[request.node])
    node = request.node
    assert request.answer() == 200
    return node


def test_ewma_prefers_the_quicker_of_two() -> None:
    balanced = Balanced({A: 1, B: 1}, balance="ewma")
    took = {A: 0.2, B: 0.01}
    while {timed(balanced, took) for _ in range(2)} != {A, B}:
        pass
    assert {timed(balanced, took) for _ in range(100)} == {B}


def test_ewma_of_three_never_takes_the_slowest_and_gives_all_others_some() -> None:
    balanced = Balanced({A: 1, B: 1, C: 1}, balance="ewma")
    took = {A: 2.0, B: 0.01, C: 0.01}
    seen = set[str]()
    while seen != {A, B, C}:
        seen.add(timed(balanced, took))
    found = Counter(timed(balanced, took) for _ in range(200))
    assert set(found) == {B, C}


def test_ewma_forgets() -> None:
    balanced = Balanced({A: 1, B: 1}, balance="ewma")
    while {timed(balanced, {A: 0.2, B: 0.1}) for _ in range(2)} != {A, B}:
        pass
    took = {A: 0.0, B: 0.1}
    assert {timed(balanced, took) for _ in range(20)} == {B}
    for _ in range(600):  # A's time fades while B's is kept up
        balanced.wire.advance(0.5)
        if timed(balanced, took) == A:
            return
    pytest.fail("the slower node was never asked again")


def test_ewma_does_not_run_after_a_node_that_fails_at_once() -> None:
    balanced = Balanced({A: 1, B: 1}, balance="ewma")
    first = Counter[str]()
    for _ in range(200):
        request = balanced.begin()
        first[request.node] += 1
        if request.node == A:
            request.fail()
        balanced.wire.advance(0.005)
        assert request.answer() == 200
    assert first[A] < 10


# -- priority and health -----------------------------------------------------------------------------


@pytest.mark.parametrize("balance", ALL)
def test_lower_priorities_serve_when_all_higher_nodes_were_tried(balance: str) -> None:
    nodes = [(C, 1, -1), (A, 1, 5), (D, 0, 9), (B, 1, 5)]
    balanced = Balanced(nodes, budget=(100, 100), **options(balance))
    assert {balanced.asked(f"/{key}") for key in KEYS[:60]} == {A, B}
    request = balanced.begin()
    tried = [request.node, request.fail(), request.fail()]
    assert (set(tried[:2]), tried[2]) == ({A, B}, C)
    assert request.fail() == ""
    assert request.status() == 502


@pytest.mark.parametrize("balance", ALL)
def test_a_node_that_cannot_serve_is_no_reason_to_use_none(balance: str) -> None:
    """All that could are unwell, so they serve."""
    balanced = Balanced({A: 0, "b.test:80": 1, C: 1}, unresolved=("b.test:80",), **options(balance))
    balanced.down(2)
    assert balanced.asked() == C


@pytest.mark.parametrize("balance", ALL)
def test_an_unwell_node_is_passed_over_and_where_all_are_all_serve(balance: str) -> None:
    nodes = [(A, 1, 1), (B, 1, 1), (C, 1, 0)]  # `down` counts in this order
    balanced = Balanced(nodes, budget=(100, 100), **options(balance))
    for down, serving in (((0,), {B}), ((0, 1), {C}), ((0, 1, 2), {A, B}), ((), {A, B})):
        balanced.down(*down)
        assert {balanced.asked(f"/{key}") for key in KEYS[:40]} == serving
    balanced.down(1)
    request = balanced.begin()
    assert (request.node, request.fail(), request.fail()) == (A, C, "")  # no try on a node that is known to be unwell
    assert request.status() == 502


# -- slow start --------------------------------------------------------------------------------------


def share(balanced: Balanced, node: str, count: int = 420) -> float:
    return sum(balanced.asked() == node for _ in range(count)) / count


def test_a_new_nodes_share_grows_in_a_straight_line() -> None:
    balanced = Balanced({A: 1, B: 1}, slow_start=100)
    assert share(balanced, A) == 0.5  # all are new alike
    balanced.wire.advance(100)
    balanced.use({A: 1, B: 1, C: 1}, slow_start=100)
    assert share(balanced, C) == pytest.approx(0.1 / 2.1, abs=0.01)
    for seconds, weight in ((50, 0.5), (25, 0.75), (25, 1.0), (1000, 1.0)):
        balanced.wire.advance(seconds)
        assert share(balanced, C) == pytest.approx(weight / (2 + weight), abs=0.01)


def test_a_node_that_was_away_starts_slowly_again() -> None:
    balanced = Balanced({A: 1, B: 1}, slow_start=100)
    balanced.asked()
    balanced.wire.advance(1000)
    balanced.use({A: 1}, slow_start=100)
    balanced.wire.advance(1)  # the old snapshot goes
    balanced.use({A: 1, B: 1}, slow_start=100)
    assert share(balanced, B) == pytest.approx(0.1 / 1.1, abs=0.01)


def test_a_node_that_recovers_starts_slowly_again() -> None:
    balanced = Balanced({A: 1, B: 1}, slow_start=100)
    balanced.asked()
    balanced.wire.advance(1000)
    assert share(balanced, B) == 0.5
    balanced.down(1)
    assert share(balanced, B) == 0
    balanced.wire.advance(1000)
    balanced.down()
    assert share(balanced, B) == pytest.approx(0.1 / 1.1, abs=0.01)


@pytest.mark.parametrize(("balance", "most"), [("least_conn", 0.2), ("ewma", 0.2)])
def test_slow_start_of_others(balance: str, most: float) -> None:
    balanced = Balanced({A: 1, B: 1}, balance=balance, slow_start=100)
    for _ in range(20):
        timed(balanced, {A: 0.01, B: 0.01})
    balanced.wire.advance(1000)
    balanced.use({A: 1, B: 1, C: 1}, balance=balance, slow_start=100)
    assert share(balanced, C, 300) < most
    balanced.wire.advance(200)
    assert share(balanced, C, 300) > 0.2
