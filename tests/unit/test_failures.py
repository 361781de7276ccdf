"""Who has to wait for their wrong keys, and for how long: by a clock in the test's hand."""

import pytest

from fastgw.admin import failures
from fastgw.admin.failures import Failures


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def guesses(counted: Failures, peer: str, most: int = 50) -> int:
    """How many wrong keys are looked at before the client has to wait."""
    for number in range(most):
        if counted.wait(peer):
            return number
        counted.note(peer)
    return most


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_window_begins_with_its_first_wrong_key(clock: Clock) -> None:
    counted = Failures(2, 100, 10, clock)
    counted.note("192.0.2.1")
    clock.now += 9
    assert counted.note("192.0.2.1")
    assert counted.wait("192.0.2.1") == 1
    clock.now += 1
    assert counted.wait("192.0.2.1") == 0
    assert guesses(counted, "192.0.2.1") == 2


def test_only_the_key_that_fills_the_count_makes_its_client_wait(clock: Clock) -> None:
    counted = Failures(3, 100, 10, clock)
    assert [counted.note("192.0.2.1") for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
    ],
)
def test_what_one_client_is(clock: Clock, one: str, other: str, same: bool) -> None:
    counted = Failures(1, 100, 10, clock)
    counted.note(one)
    assert (counted.wait(other) > 0) is same


def test_a_unix_socket_is_not_counted(clock: Clock) -> None:
    counted = Failures(1, 1, 10, clock)
    assert not any(counted.note(None) for _ in range(50))
    assert counted.wait(None) == 0


def test_of_many_addresses_each_waits_after_its_first_wrong_key(clock: Clock) -> None:
    counted = Failures(5, 10, 10, clock)
    assert [guesses(counted, f"192.0.2.{i}") for i in range(4)] == [5, 5, 1, 1]
    assert counted.wait("198.51.100.1") == 0
    clock.now += 10
    assert guesses(counted, "192.0.2.9") == 5


def test_memory_is_bounded(clock: Clock) -> None:
    counted = Failures(1, 10**9, 10, clock)
    for i in range(failures.MOST_CLIENTS + 1):
        counted.note(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}")
    assert len(counted._clients) == failures.MOST_CLIENTS
    assert counted.wait("10.0.0.0") == 0, "the oldest one was forgotten"
    assert counted.wait("10.0.0.1") > 0
    clock.now += 10
    assert counted.wait("10.0.0.1") == 0
    assert not counted._clients
