"""Changes of a peer's configuration at a steady pace, while something else measures."""

from __future__ import annotations

import http.client
import math
import statistics
import threading
import time
from types import TracebackType

from bench.peers.base import Changes
from bench.process import BenchError

TIMEOUT_SECONDS = 30


class Changing:
    """One client with one connection puts a change when it is due; late ones are caught up with, none is left out."""

    def __init__(self, changes: Changes, per_second: int, first: int) -> None:
        self._changes = changes
        self._per_second = per_second
        self._turn = first
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._waits: list[float] = []
        self._faults: list[str] = []
        self._seconds = 0.0

    def __enter__(self) -> Changing:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._changes.port, timeout=TIMEOUT_SECONDS)
        start = time.monotonic()
        try:
            while not self._ended.wait(max(0.0, start + len(self._waits) / self._per_second - time.monotonic())):
                self._put(connection)
        except (OSError, http.client.HTTPException) as error:
            self._faults.append(f"{type(error).__name__}: {error}")
        finally:
            self._seconds = time.monotonic() - start
            connection.close()

    def _put(self, connection: http.client.HTTPConnection) -> None:
        path, body = self._changes.request(self._turn)
        headers = {**self._changes.headers, "Content-Type": "application/json"}
        sent = time.monotonic()
        connection.request("PUT", path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        self._waits.append(time.monotonic() - sent)
        self._turn += 1
        if not 200 <= answer.status < 300:
            self._faults.append(f"PUT {path}: {answer.status} {text[:80]!r}")

    @property
    def next(self) -> int:
        """The number of the change that has not been made yet."""
        return self._turn

    def figures(self) -> dict[str, float]:
        """How many were made and how long each took; an error if one was refused."""
        if self._faults:
            raise BenchError(f"{len(self._faults)} of {len(self._waits)} changes failed: {self._faults[0]}")
        if not self._waits:
            raise BenchError("no change was made while the load ran")
        return {
            "changes_per_second": len(self._waits) / self._seconds,
            "change_p50_ms": statistics.median(self._waits) * 1e3,
            "change_p99_ms": sorted(self._waits)[math.ceil(len(self._waits) * 0.99) - 1] * 1e3,
            "change_max_ms": max(self._waits) * 1e3,
        }
