"""What the gateway did in the last hour, in steps of ten seconds: for graphs.

Owns: the samples, which lie in this process's memory, and rates and quantiles of them. Must not know: who draws them. It begins
anew with the admin process; what Prometheus keeps outlives it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastgw._core import Region
from fastgw.admin.envelope import Reply, momentary
from fastgw.slots import State

__all__ = ["RATES", "STEP_S", "History", "quantile"]

STEP_S: Final = 10.0
POINTS: Final = 360
RATES: Final = ("requests", "responses_2xx", "responses_3xx", "responses_4xx", "responses_5xx", "refused_auth", "refused_limit")

Buckets = Sequence[tuple[int, int]]


class History:
    """One per admin process."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._points: deque[dict[str, Any]] = deque(maxlen=POINTS)
        self._before: tuple[float, Mapping[str, Any]] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self.sample()
        self._timer = asyncio.get_running_loop().call_later(STEP_S, self.start)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def answer(self) -> Reply:
        """GET /apisix/admin/stats/history."""
        return momentary({"step": STEP_S, "points": list(self._points)})

    def sample(self) -> None:
        """The time since the last sample, as one point."""
        now, totals = time.monotonic(), self._region.metrics()
        if self._before is not None:
            since, before = self._before
            seconds = max(now - since, 1e-3)
            rates = {name: round((totals[name] - before[name]) / seconds, 2) for name in RATES}
            buckets = [(bound, n) for bound, n in _difference(before["latency_us"], totals["latency_us"]) if n > 0]
            self._points.append(
                {
                    "time": round(time.time(), 1),
                    **rates,
                    "p50_ms": quantile(buckets, 0.5),
                    "p99_ms": quantile(buckets, 0.99),
                    "connections": sum(self._open()),
                }
            )
        self._before = now, totals

    def _open(self) -> list[int]:
        slots = range(self._region.slot_count)
        return [self._region.gauges(each)["connections"] for each in slots if self._region.slot(each).state != State.FREE]


def _difference(before: Buckets, now: Buckets) -> list[tuple[int, int]]:
    known = dict(before)
    return [(bound, n - known.get(bound, 0)) for bound, n in now]


def quantile(buckets: Buckets, share: float) -> float | None:
    """In ms, the bound of the bucket in which it lies; None of nothing. buckets: (bound in us, how many), by rising bounds."""
    wanted = share * sum(n for _, n in buckets)
    seen = 0
    for bound, n in buckets:
        seen += n
        if n and seen >= wanted:
            return bound / 1000
    return None
