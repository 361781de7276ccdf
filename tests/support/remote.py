"""A store of counts that tests answer for, and a gateway on memory that asks it."""

from __future__ import annotations

import asyncio
from typing import Any

from fastgw import _core
from tests.support.core import OK, snapshot

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
WINDOW = 60_000  # ms


class Scripted(_core.RemoteStore):
    """Keeps what it is asked until the test answers."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.batches: list[_core.RemoteBatch] = []
        self.tasks: list[asyncio.Future[None]] = []
        self.away = False

    def send(self, batch: _core.RemoteBatch) -> asyncio.Future[None]:
        self.batches.append(batch)
        batch.questions()  # what is asked notes when it was
        self.tasks.append(self.loop.create_future())
        return self.tasks[-1]

    def asked(self) -> list[tuple[int, bytes, list[int]]]:
        """The questions of the first batch that waits."""
        return [
            (algorithm, key, [int(word) for word in numbers.split()]) for algorithm, key, numbers in self.batches[0].questions()
        ]

    def answer(self, *answers: list[int] | None) -> None:
        """Answers the first batch that waits."""
        self.batches.pop(0).tell(range(len(answers)), answers)
        self.land()

    def land(self) -> None:
        """The sender of the first batch ends."""
        task = self.tasks.pop(0)
        if not task.done():
            task.set_result(None)
        self.loop.run_until_complete(asyncio.sleep(0))


class Scene:
    """One gateway that counts in a Scripted store, and its clients."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, region: _core.Region | None = None, **conf: Any) -> None:
        self.store = Scripted(loop)
        self.step = self.limit(**conf)
        self.wire = _core.Wire(snapshot(self.step), loop=loop, region=region)
        self.line = self.wire.open()

    def limit(self, *, count: int = 5, window: float = WINDOW / 1000, sync: float = 0, **conf: Any) -> _core.LimitCountStep:
        key = _core.Template("all", "constant")
        return _core.LimitCountStep(b"routes/r", key, count=count, window=window, store=self.store, sync=sync, **conf)

    def send(self, line: int | None = None) -> None:
        self.wire.push(self.line if line is None else line, GET)

    def status(self, line: int | None = None) -> int:
        """Of the answer that is there now, the upstream's included; 0: none is."""
        for i, side, _ in self.wire.lines():
            if side == "up" and self.wire.pull(i):
                self.wire.push(i, OK)
        self.head = self.wire.pull(self.line if line is None else line)
        return int(self.head.split()[1]) if self.head else 0

    def ask(self) -> int:
        """The status of a request that is answered without the store; 0: it asks."""
        self.send()
        return self.status()

    def shown(self, name: bytes) -> bytes:
        """A header of the last answer."""
        return next(line.partition(b": ")[2] for line in self.head.split(b"\r\n") if line.startswith(name + b": "))
