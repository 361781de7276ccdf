"""The last hour as the admin process remembers it: rates and quantiles of what came between two samples, no longer than that."""

import json
import os
from typing import Any

import pytest

from fastgw import _core
from fastgw.admin import history
from fastgw.admin.history import History, quantile
from tests.support.core import snapshot

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def region() -> _core.Region:
    region = _core.Region.create(64, slots=2, revocations=64)
    region.set_slot(0, os.getpid(), 1, 2)
    return region


def points(told: History) -> list[dict[str, Any]]:
    body = json.loads(told.answer().body)
    assert body["step"] == 10
    return list(body["points"])


def test_a_point_is_of_what_came_between(region: _core.Region, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(history.time, "monotonic", lambda: now[0])
    told = History(region)
    told.sample()
    assert points(told) == []
    wire = _core.Wire(snapshot(), region=region)
    line = wire.open()
    wire.run(line, GET, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 20)
    now[0] += 10
    told.sample()
    (point,) = points(told)
    assert (point["requests"], point["responses_4xx"], point["responses_5xx"]) == (2.0, 2.0, 0.0)
    assert point["p50_ms"] is not None
    now[0] += 10
    told.sample()
    assert (points(told)[1]["requests"], points(told)[1]["p50_ms"]) == (0.0, None)


def test_an_hour_is_all_it_remembers(region: _core.Region) -> None:
    told = History(region)
    for _ in range(400):
        told.sample()
    assert len(points(told)) == 360


@pytest.mark.parametrize(
    ("buckets", "share", "found"),
    [([], 0.5, None), ([(1000, 1)], 0.99, 1.0), ([(1000, 99), (5000, 1)], 0.99, 1.0), ([(1000, 98), (5000, 2)], 0.99, 5.0)],
)
def test_a_quantile(buckets: list[tuple[int, int]], share: float, found: float | None) -> None:
    assert quantile(buckets, share) == found
