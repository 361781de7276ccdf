"""Lines about connections that were not taken: rare, and telling the setting, how many, and whose."""

import logging

import pytest

from fastgw.schema.settings import Limits
from fastgw.unaccepted import EVERY_S, Unaccepted


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, "fastgw.worker")
    return caplog


def test_nothing_happened(lines: pytest.LogCaptureFixture) -> None:
    Unaccepted(Limits()).tell(0, "", 0, 0)
    assert lines.messages == []


def test_refused_connections_are_told_at_most_every_ten_seconds(lines: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    told = Unaccepted(Limits(connections_per_address=5), clock)
    for n in range(1, 50):
        told.tell(n, f"192.0.2.{n}", 0, 0)
    clock.now += EVERY_S
    told.tell(49, "192.0.2.49", 0, 0)
    clock.now += EVERY_S
    told.tell(49, "192.0.2.49", 0, 0)
    assert lines.messages == [
        "limits.connections_per_address: 5 reached, 1 connections closed, the last from 192.0.2.1",
        "limits.connections_per_address: 5 reached, 48 connections closed, the last from 192.0.2.49",
    ]


@pytest.mark.parametrize(
    ("why", "text"),
    [
        (1, "accepting paused: limits.connections: 7 reached"),
        (2, "accepting paused: no more files may be open (ulimit -n)"),
        (3, "accepting paused: the system has no descriptors or memory left"),
    ],
)
def test_pauses_say_why(lines: pytest.LogCaptureFixture, why: int, text: str) -> None:
    told = Unaccepted(Limits(connections=7))
    told.tell(0, "", 1, why)
    told.tell(0, "", 2, why)
    assert lines.messages == [text]
