"""What the error log says of plugins that fail, and how often."""

import logging

import pytest

from fastgw._core import PluginTimeout
from fastgw.plugin_log import AT_ONCE, FULL_S, PLACES, PluginLog


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class OddError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("nor can it be told")


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def elsewhere(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def plugins(clock: Clock, caplog: pytest.LogCaptureFixture) -> PluginLog:
    caplog.set_level(logging.ERROR, "fastgw.plugin")
    return PluginLog(clock)


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, bool]]:
    """Lines since the last time, and whether a traceback was with them."""
    found = [(record.getMessage(), bool(record.exc_info)) for record in caplog.records]
    caplog.clear()
    return found


def test_a_fault_is_told_in_full_once(plugins: PluginLog, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        plugins.failed("p", "access", raised(ValueError("x")))
    full, *rest = told(caplog)
    assert full == ("plugin p failed in phase access", True)
    line = raised.__code__.co_firstlineno + 2
    assert rest == [(f"plugin p failed in phase access as before: ValueError: x at {__file__}:{line}", False)] * 2
    clock.now += FULL_S - 1
    plugins.failed("p", "access", raised(ValueError("y")))
    assert told(caplog)[0][1] is False
    clock.now += 1
    plugins.failed("p", "access", raised(ValueError("y")))
    assert told(caplog) == [("plugin p failed in phase access", True)]


def test_faults_are_told_apart(plugins: PluginLog, caplog: pytest.LogCaptureFixture) -> None:
    plugins.failed("p", "access", raised(ValueError("x")))
    plugins.failed("p", "access", elsewhere(ValueError("x")))
    plugins.failed("p", "access", raised(KeyError("x")))
    plugins.failed("p", "log", raised(ValueError("x")))
    plugins.failed("q", "access", raised(ValueError("x")))
    assert [full for _, full in told(caplog)] == [True] * 5


def test_lines_are_as_many_as_can_be_read(plugins: PluginLog, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(100):
        plugins.failed("p", "access", raised(ValueError("x")))
    assert len(told(caplog)) == AT_ONCE
    clock.now += 1
    plugins.failed("p", "access", raised(ValueError("x")))
    assert told(caplog)[0][0].endswith(f" ({100 - AT_ONCE} more since the last one)")


def test_what_was_cut_off_is_one_fault_wherever_it_was(plugins: PluginLog, caplog: pytest.LogCaptureFixture) -> None:
    plugins.failed("p", "access", raised(PluginTimeout("too long")))
    plugins.failed("p", "access", elsewhere(PluginTimeout("too long")))
    assert told(caplog) == [
        ("plugin p was cut off in phase access: too long", True),
        ("plugin p was cut off in phase access: too long", False),
    ]


def test_an_error_that_cannot_be_told_is_told_by_its_name(plugins: PluginLog, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        plugins.failed("p", "access", OddError())
    assert told(caplog)[1] == ("plugin p failed in phase access as before: OddError at an unknown line", False)


def test_what_is_remembered_is_bounded(plugins: PluginLog, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    plugins.failed("p", "access", raised(ValueError("x")))
    for i in range(PLACES):
        plugins.failed("p", f"phase {i}", raised(ValueError("x")))
    told(caplog)
    plugins.failed("p", "access", raised(ValueError("x")))
    assert told(caplog) == [("plugin p failed in phase access", True)]
    plugins.failed("p", "phase 63", raised(ValueError("x")))
    assert told(caplog)[0][1] is False
