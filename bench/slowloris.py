"""Half heads that are dripped on, for as long as something else measures: what honest clients pay for those who never finish.

One thread goes round the connections; each sends another line of its head every DRIP_SECONDS; one that was cut is opened anew.
"""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType

from bench.idle import TIMEOUT_SECONDS, reset, source
from bench.process import BenchError

DRIP_SECONDS = 2.0
STEPS = 100  # of one round
BEGIN = b"GET /bench HTTP/1.1\r\nHost: 127.0.0.1\r\n"
LINE = b"X-Drip: a\r\n"
LEAST = 0.9  # of the connections that must be open when it ends


class Dripping:
    """So many connections, opened when this is entered and reset when it is left."""

    def __init__(self, port: int, count: int) -> None:
        self._port = port
        self._count = count
        self._clients: list[socket.socket | None] = [None] * count
        self._opened = 0
        self._fault: str | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Dripping:
        self._turn(range(self._count))
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        for client in self._clients:
            if client is not None:
                reset(client)

    def _run(self) -> None:
        start, step = time.monotonic(), 0
        while not self._ended.wait(max(0.0, start + step * DRIP_SECONDS / STEPS - time.monotonic())):
            self._turn(range(step % STEPS, self._count, STEPS))
            step += 1

    def _turn(self, numbers: range) -> None:
        for number in numbers:
            client = self._clients[number]
            try:
                if client is not None:
                    client.send(LINE)
                    continue
                self._clients[number] = client = socket.create_connection(
                    ("127.0.0.1", self._port), TIMEOUT_SECONDS, source(number)
                )
                self._opened += 1
                client.send(BEGIN)
            except OSError as error:
                if client is None:
                    self._fault = f"{type(error).__name__}: {error}"
                else:
                    reset(client)
                    self._clients[number] = None  # cut: the next turn opens another

    def figures(self) -> dict[str, float]:
        """How many there are, and how many were opened in all; an error where they are too few to be an attack."""
        there = sum(client is not None for client in self._clients)
        if there < LEAST * self._count:
            raise BenchError(f"{there} of {self._count} half heads are held: {self._fault or 'the others were cut'}")
        return {"half_heads": float(there), "half_heads_opened": float(self._opened)}
