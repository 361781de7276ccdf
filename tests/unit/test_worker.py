"""A worker's side of live on return: how it is woken. A real loop, store and shared memory; of the reactor only its epoll set."""

import asyncio
import contextlib
import os
import select
import signal
import threading
from pathlib import Path
from typing import Any

from fastgw._core import Region
from fastgw.compile import Compiler
from fastgw.schema.settings import Settings
from fastgw.slots import Slots
from fastgw.store import Store
from fastgw.worker import Setup, _end_others, run
from tests.support.slots import slots_of
from tests.support.waiting import until

WRITES = 20


class Reactor:
    """Watches the descriptors that call for the event loop as the native one does, and counts what it finds."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self.drains: list[int] = []
        self.watched = threading.Event()
        self.close = self._epoll.close

    def fileno(self) -> int:
        self.watched.set()
        return self._epoll.fileno()

    def call_on(self, fd: int) -> None:
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLET)

    def drain(self) -> None:
        self.drains.append(len(self._epoll.poll(0)))

    def active(self) -> int:
        return 0

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def test_no_drain_waits_in_vain_while_a_change_waits_for_the_event_loop(tmp_path: Path) -> None:
    """A drain that has its turn after the loop saw the call must still find it, or it waits out its time."""
    with slots_of(Region.create(1024, None, 4)) as slots, contextlib.closing(Reactor()) as reactor:
        changes_are_applied(slots, reactor, tmp_path)


def changes_are_applied(slots: Slots, reactor: Reactor, tmp_path: Path) -> None:
    path = tmp_path / "fastgw.db"
    Store(path).close()

    def change() -> None:
        store = Store(path)
        # What is published before it watches is applied without a drain.
        until(lambda: slots.serves(0) and reactor.watched.is_set(), "the worker serves")
        for number in range(WRITES):
            _, _, revision = store.put("consumers", "a", {"username": "a", "desc": str(number)})
            slots.publish(revision)
            until(lambda revision=revision: not slots.region.lagging(revision), "the change is applied")
        store.close()
        os.kill(os.getpid(), signal.SIGTERM)

    changes = threading.Thread(target=change)
    changes.start()
    setup = Setup(slots, 0, [], [], path, Settings(), lambda *_: reactor, Compiler)
    assert run(setup) == 0
    changes.join()
    assert len(reactor.drains) >= WRITES
    assert min(reactor.drains) == 1


def test_a_task_that_loses_a_cancellation_is_cancelled_again() -> None:
    """A worker with limits in Redis stopped serving and never ended: a task of its store had lost its cancel."""
    lost: list[int] = []

    async def stubborn() -> None:
        for _ in range(2):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
            lost.append(1)
        await asyncio.sleep(3600)

    async def life() -> bool:
        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        await _end_others()
        return task.cancelled()

    assert asyncio.run(life())
    assert len(lost) == 2
