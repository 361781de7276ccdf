"""When a method that holds up its worker is told to end: only then, again if it goes on, and not while nothing runs."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from fastgw import _core
from tests.support.waiting import until

SIGNAL = signal.SIGRTMIN + 3


class CutOffError(BaseException):
    """What the handler raises."""


@contextlib.contextmanager
def watched(seconds: float) -> Iterator[_core._test_Overrun]:
    made = _core._test_Overrun(seconds, SIGNAL)

    def handler(number: int, frame: object) -> None:
        if made.told():
            raise CutOffError

    before = signal.signal(SIGNAL, handler)
    try:
        yield made
    finally:
        made.close()
        signal.signal(SIGNAL, before)


def spin() -> None:
    while True:
        pass


def swallow() -> None:
    with contextlib.suppress(CutOffError):
        time.sleep(60)
    with contextlib.suppress(CutOffError):
        time.sleep(60)
    time.sleep(60)


@pytest.mark.parametrize("work", [lambda: time.sleep(60), spin, lambda: threading.Event().wait(), swallow])
def test_what_runs_on_is_told(work: object) -> None:
    with watched(0.05) as overrun:
        overrun.begin()
        with pytest.raises(CutOffError):
            work()  # type: ignore[operator]
        overrun.end()
        assert not overrun.told()


def test_what_ends_in_time_is_not() -> None:
    with watched(3600) as overrun:
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            overrun.begin()
            time.sleep(0.001)
            overrun.end()
            assert not overrun.told()


def test_many_short_ones_are_not_one_long_one() -> None:
    with watched(1) as overrun:
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            overrun.begin()
            overrun.end()


def test_a_first_call_may_take_longer() -> None:
    with watched(0.1) as overrun:
        overrun.begin(first=True)
        time.sleep(0.8)  # of the two seconds that it has
        overrun.end()
        overrun.begin(first=True)
        with pytest.raises(CutOffError):
            time.sleep(60)
        overrun.end()


def test_nobody_looks_while_nothing_runs() -> None:
    with watched(0.02) as overrun:
        until(overrun.asleep, "the thread sleeps")
        for _ in range(2):
            overrun.begin()
            with pytest.raises(CutOffError):
                time.sleep(60)
            overrun.end()
            until(overrun.asleep, "it sleeps again")


def test_it_ends_while_it_sleeps_and_while_it_looks() -> None:
    for seconds in (0.001, 3600):
        for _ in range(3):
            with watched(seconds) as overrun:
                overrun.begin()  # it is looking
                overrun.end()
