"""What a program uses of its cores and of memory while a load runs. Must not know what the load is."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from types import TracebackType

from bench.process import Cpu, core_busy, cpu_of, entitled, memory_of, resident_of

MIB = 2**20


class Meter:
    """Entered around a load. CPU is read around the whole of it: a program that waits adds nothing.

    Memory is looked at in the middle, while the connections are open.
    """

    def __init__(self, pids: frozenset[int], worker_title: str, cores: Iterable[int], seconds: float) -> None:
        self.pids = pids
        self._workers = entitled(pids, worker_title)
        self._cores = tuple(cores)
        self._timer = threading.Timer(seconds / 2, self._look)
        self._memory = self._resident = 0
        self._used = Cpu()
        self._busy = self._wall = 0.0

    def _look(self) -> None:
        self._memory = memory_of(self.pids)
        self._resident = largest(self._workers)

    def __enter__(self) -> Meter:
        self._timer.start()
        self._start, self._before, self._busy_before = time.monotonic(), cpu_of(self.pids), core_busy(self._cores)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._used = cpu_of(self.pids) - self._before
        self._busy = core_busy(self._cores) - self._busy_before
        self._wall = (time.monotonic() - self._start) * len(self._cores)
        self._timer.cancel()
        self._timer.join()
        if not self._memory:
            self._look()

    def figures(self, requests: int) -> dict[str, float]:
        """Costs are per request; `busy` and `others` are shares of the cores."""
        each = 1e6 / requests
        return {
            "cpu_us": self._used.total * each,
            "user_us": self._used.user * each,
            "system_us": self._used.system * each,
            "busy": self._used.total / self._wall,
            "others": max(0.0, (self._busy - self._used.total) / self._wall),
            "memory_mib": self._memory / MIB,
            "worker_rss_mib": self._resident / MIB,
        }


def largest(pids: Iterable[int]) -> int:
    """The resident set of the largest of these processes, in bytes."""
    return max((resident_of(pid) for pid in pids), default=0)
