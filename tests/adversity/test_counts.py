"""Limits are exact over all workers, also while workers are killed."""

import os
import signal
import time
from pathlib import Path

from tests.support.gateway import Gateway, one_route
from tests.support.load import Load
from tests.support.upstreams import Answering
from tests.support.waiting import until

REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


def _limited(upstream: Answering, **limit: object) -> dict[str, object]:
    conf = {"key_type": "constant", "key": "all", "rejected_code": 429, **limit}
    return {"workers": 8, **one_route(upstream.address, plugins={"limit-count": conf})}


def test_eight_workers_admit_exactly_the_limit(directory: Path) -> None:
    with Answering() as upstream, Gateway(directory, _limited(upstream, count=1000, time_window=3600)) as gateway:
        with Load(gateway.data, REQUEST, connections=200, total=10_000) as load:
            pass
        assert (load.statuses, load.lost, load.refused) == ({200: 1000, 429: 9000}, 0, 0)


def test_killed_workers_lose_no_count(directory: Path) -> None:
    """What a killed worker had admitted and not yet answered is consumed, and nothing else is: the sum is the limit."""
    with Answering() as upstream, Gateway(directory, _limited(upstream, count=1000, time_window=3600)) as gateway:
        with Load(gateway.data, REQUEST, connections=200, total=10_000) as load:
            for victim in gateway.workers()[:2]:
                until(lambda: load.done > 100, "the load runs")
                os.kill(victim, signal.SIGKILL)
        assert load.refused == 0
        assert load.statuses[200] <= 1000 <= load.statuses[200] + load.lost
        assert set(load.statuses) == {200, 429}
        assert gateway.get("/").status == 429


def test_a_bucket_admits_no_more_than_its_burst_and_rate(directory: Path) -> None:
    rate, burst, seconds = 200, 50, 3.0
    conf = {"count": rate, "time_window": 1, "window_type": "token-bucket", "burst": burst}
    with Answering() as upstream, Gateway(directory, _limited(upstream, **conf)) as gateway:
        began = time.monotonic()
        with Load(gateway.data, REQUEST, connections=64) as load:
            until(lambda: time.monotonic() - began > seconds, "the time is over")
        elapsed = time.monotonic() - began
        assert burst < load.statuses[200] <= burst + rate * elapsed
        assert load.statuses[429] > 0
