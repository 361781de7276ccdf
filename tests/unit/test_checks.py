"""What requests report of the nodes that they go to, and which nodes and addresses are passed over for it."""

from __future__ import annotations

from typing import Any

import pytest

from fastgw import _core
from tests.support.balanced import Balanced
from tests.support.core import OK, pool
from tests.support.judged import Judged

A, B, C = (f"192.0.2.{i}:80" for i in (10, 11, 12))
NAME = "a.test:80"
ALL = ("roundrobin", "chash", "least_conn", "ewma")
UNWELL = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
# Statuses that are successes, how many decide; that are failures; connections and timeouts that fail.
PASSIVE = ([200], 2, [500, 503], 3, 2, 1)


class Watched(Balanced):
    """Requests report of the nodes, and to whom is seen here."""

    def __init__(self, nodes: Any, passive: Any = PASSIVE, **options: Any) -> None:
        self.watching = Judged(*passive)
        for name, *_ in nodes.items():
            self.watching.add(name)
        super().__init__(nodes, checks=self.watching.checks(), **options)

    def state(self, node: str) -> tuple[str, tuple[int, ...]]:
        return tuple(self.watching.look(node))  # type: ignore[return-value]

    def on(self, node: str, answer: bytes | None = OK, **fields: Any) -> int:
        """A request that comes to that node: its answer, or None: the line breaks."""
        for _ in range(10):
            request = self.begin(**fields)
            if request.node == node:
                if answer is not None:
                    return request.answer(answer)
                request.fail()
                return 0
            request.answer()
        raise AssertionError(f"no request comes to {node}")


@pytest.fixture(params=ALL)
def balance(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"balance": request.param, "key": _core.Template("uri") if request.param == "chash" else None}


# -- reports -----------------------------------------------------------------------------------------


def test_statuses_count_to_the_threshold_and_not_beyond() -> None:
    watched = Watched({A: 1, B: 1})
    assert watched.on(B, UNWELL) == 500
    assert watched.on(B, UNWELL) == 500
    assert watched.state(B) == ("mostly_healthy", (0, 2, 0, 0))
    assert watched.on(B, UNWELL) == 500
    assert watched.state(B) == ("unhealthy", (0, 3, 0, 0))
    assert {watched.asked() for _ in range(10)} == {A}
    assert watched.state(A) == ("healthy", (0, 0, 0, 0))


def test_a_success_clears_failures_and_other_statuses_say_nothing() -> None:
    watched = Watched({A: 1, B: 1})
    for _ in range(2):
        watched.on(B, UNWELL)
    watched.on(B, OK.replace(b"200 OK", b"404 Not Found"))
    assert watched.state(B) == ("mostly_healthy", (0, 2, 0, 0))
    watched.on(B)
    assert watched.state(B) == ("mostly_healthy", (1, 0, 0, 0))
    watched.on(B)
    assert watched.state(B) == ("healthy", (2, 0, 0, 0))


def test_a_status_in_both_lists_is_a_success() -> None:
    watched = Watched({A: 1, B: 1}, ([500], 1, [500], 1, 1, 1))
    watched.on(B, UNWELL)
    assert watched.state(B) == ("healthy", (0, 0, 0, 0))


def test_broken_lines_and_answers_that_are_none_are_failed_connections() -> None:
    for broken in (None, b"SSH-2.0-x\r\n\r\n"):
        watched = Watched({A: 1, B: 1})
        watched.on(B, broken)
        assert watched.state(B) == ("mostly_healthy", (0, 0, 1, 0))
        watched.on(B, broken)
        assert watched.state(B) == ("unhealthy", (0, 0, 2, 0))


def test_refused_connections() -> None:
    watched = Watched({A: 1, B: 1})
    watched.wire.connecting("refused")
    assert watched.begin().status() == 502
    assert [watched.state(each) for each in (A, B)] == [("mostly_healthy", (0, 0, 1, 0))] * 2


def test_an_answer_cut_short_is_a_failed_connection() -> None:
    watched = Watched({A: 1, B: 1})
    request = watched.begin()
    node = request.node
    watched.wire.push(request.up, b"HTTP/1.1 204 No Content\r\nX: ")
    watched.wire.end(request.up)
    assert watched.state(node) == ("mostly_healthy", (0, 0, 1, 0))
    request = next(each for each in iter(watched.begin, None) if each.node == node or not each.answer())
    watched.wire.push(request.up, b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nshort")
    watched.wire.end(request.up)
    assert watched.state(node) == ("unhealthy", (0, 0, 2, 0))


def test_a_timeout() -> None:
    watched = Watched({A: 1, B: 1}, read=1, retries=0)
    request = watched.begin()
    watched.wire.advance(2)
    assert request.status() == 504
    assert watched.state(request.node) == ("unhealthy", (0, 0, 0, 1))


def test_a_kept_connection_that_was_closed_is_nobodys_fault() -> None:
    watched = Watched({A: 1, B: 1}, keepalive_requests=10)
    assert watched.on(A) == 200
    request = watched.begin()
    while request.node != A:
        request.answer()
        request = watched.begin()
    assert request.fail() == A  # on a new connection
    assert watched.state(A) == ("healthy", (0, 0, 0, 0))
    assert request.answer() == 200


def test_a_client_that_leaves_says_nothing_of_the_node() -> None:
    watched = Watched({A: 1, B: 1})
    for _ in range(6):
        watched.begin().leave()
    assert [watched.state(each)[0] for each in (A, B)] == ["healthy", "healthy"]


def test_a_request_that_may_not_be_repeated_reports_too() -> None:
    watched = Watched({A: 1, B: 1})
    for _ in range(2):
        watched.on(B, None, method="POST")
    assert watched.state(B) == ("unhealthy", (0, 0, 2, 0))


def test_a_limit_of_zero_counts_nothing() -> None:
    watched = Watched({A: 1, B: 1}, ([200], 0, [500], 0, 0, 0))
    for answer in (UNWELL, None, OK) * 4:
        watched.on(B, answer)
    assert watched.state(B) == ("healthy", (0, 0, 0, 0))


def test_a_status_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="status: expected 200 to 599, found 600"):
        Judged([200], 1, [600], 1, 1, 1).checks()


def test_a_node_that_is_not_known_yet_counts_as_well_and_is_found_when_it_is() -> None:
    watched = Watched({A: 1, B: 1})
    watched.watching.health.drop(watched.watching.who(B))
    for _ in range(4):
        watched.on(B, UNWELL)
    watched.watching.add(B)
    for _ in range(3):
        watched.on(B, UNWELL)
    assert watched.state(B) == ("unhealthy", (0, 3, 0, 0))
    assert {watched.asked() for _ in range(10)} == {A}


def test_a_node_that_is_known_by_now_is_passed_over_from_the_next_request_on(balance: dict[str, Any]) -> None:
    watched = Watched({A: 1, B: 1}, ([200], 0, [500], 0, 0, 0), **balance)  # requests say nothing
    for _ in range(3):
        watched.watching.health.drop(watched.watching.who(B))
        assert {watched.asked(f"/{i}") for i in range(60)} == {A, B}  # looked for, and not found
        watched.watching.add(B)
        watched.watching.set(B, False)
        assert {watched.asked(f"/{i}") for i in range(60)} == {A}


# -- all kinds of balancing --------------------------------------------------------------------------


def test_an_unwell_node_is_passed_over_until_it_is_well_again(balance: dict[str, Any]) -> None:
    watched = Watched({A: 1, B: 1, C: 1}, **balance)
    watched.watching.set(B, False)
    assert {watched.asked(f"/{i}") for i in range(60)} == {A, C}
    watched.watching.health.report(watched.watching.who(B), "success", 2)  # half of the way
    assert {watched.asked(f"/{i}") for i in range(60)} == {A, C}
    watched.watching.health.report(watched.watching.who(B), "success", 2)
    assert {watched.asked(f"/{i}") for i in range(60)} == {A, B, C}


def test_where_all_are_unwell_all_serve(balance: dict[str, Any]) -> None:
    watched = Watched({A: 1, B: 1}, ([200], 0, [500], 1, 1, 1), **balance)  # or requests would find them well again
    for node in (A, B):
        watched.watching.set(node, False)
    assert {watched.asked(f"/{i}") for i in range(60)} == {A, B}


def test_a_single_node_is_watched_and_serves_all_the_same() -> None:
    watched = Watched({A: 1})
    for _ in range(5):
        assert watched.on(A, UNWELL) == 500
    assert watched.state(A) == ("unhealthy", (0, 3, 0, 0))


def test_objects_do_not_judge_for_each_other() -> None:
    watched, other = Watched({A: 1, B: 1}), Watched({A: 1, B: 1})
    watched.watching.set(B, False)
    assert {watched.asked() for _ in range(10)} == {A}
    assert {other.asked() for _ in range(10)} == {A, B}


# -- names -------------------------------------------------------------------------------------------


class Named:
    """One node, a name with addresses; who is asked is told by the order of connections."""

    def __init__(self, *addresses: str) -> None:
        self.judged = Judged(*PASSIVE)
        self.balanced = Balanced({NAME: 1}, checks=self.judged.checks(), unresolved=(NAME,))
        self.judged.add(NAME, *addresses)
        self.spread(*addresses)

    def spread(self, *addresses: str) -> None:
        self.pools = {address: pool(f"{address}:80", address) for address in addresses}
        self.balanced.pools[NAME].spread(self.pools.values())

    def asked(self, answer: bytes | None = OK) -> str:
        request = self.balanced.begin()
        if not request.node:
            return ""
        (found,) = [address for address, each in self.pools.items() if each.open]
        if answer is None:
            self.balanced.wire.reset(request.up)
        else:
            request.answer(answer)
        return found


ONE, TWO, THREE = "198.51.100.1", "198.51.100.2", "198.51.100.3"


def test_an_unwell_address_of_a_name_is_passed_over_though_the_node_is_alone() -> None:
    named = Named(ONE, TWO, THREE)
    assert {named.asked() for _ in range(6)} == {ONE, TWO, THREE}
    named.judged.set(NAME, False, TWO)
    assert {named.asked() for _ in range(6)} == {ONE, THREE}
    for address in (ONE, THREE):
        named.judged.set(NAME, False, address)
    assert {named.asked() for _ in range(6)} == {ONE, TWO, THREE}


def test_requests_report_of_the_address_that_they_went_to() -> None:
    named = Named(ONE, TWO)
    while (found := named.asked(UNWELL)) != TWO or named.judged.look(NAME, TWO).counters[1] < 2:
        assert found in (ONE, TWO)
        if found == ONE:
            named.judged.set(NAME, True, ONE)
    assert named.judged.look(NAME, TWO).counters == (0, 2, 0, 0)


def test_the_addresses_of_a_name_may_change_while_they_are_judged() -> None:
    named = Named(ONE, TWO)
    named.judged.add(NAME, THREE)
    named.judged.set(NAME, False, TWO)
    assert {named.asked() for _ in range(4)} == {ONE}
    named.judged.set(NAME, False, THREE)
    named.spread(THREE, TWO, ONE)  # others stand where they stood
    assert {named.asked() for _ in range(4)} == {ONE}
    named.judged.set(NAME, True, TWO)
    assert {named.asked() for _ in range(4)} == {ONE, TWO}


def test_a_report_comes_through_when_the_address_was_lost_meanwhile() -> None:
    named = Named(ONE, TWO)
    request = named.balanced.begin()
    (found,) = [address for address, each in named.pools.items() if each.open]
    kept = named.pools
    named.spread(THREE)
    request.answer(UNWELL)
    assert named.judged.look(NAME, found).counters == (0, 1, 0, 0)
    del kept


def test_a_name_is_as_well_as_the_best_of_its_addresses() -> None:
    named = Named(ONE, TWO)
    named.judged.add(A)
    balanced = named.balanced
    balanced.use({NAME: 1, A: 1}, checks=named.judged.checks())
    assert {balanced.asked() for _ in range(8)} == {NAME, A}
    named.judged.set(NAME, False, ONE)
    assert {balanced.asked() for _ in range(8)} == {NAME, A}
    named.judged.set(NAME, False, TWO)
    assert {balanced.asked() for _ in range(8)} == {A}
