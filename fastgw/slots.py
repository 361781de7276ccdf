"""Process slots: who runs, in what state, how far each has applied the store, and how they wake each other.

Owns: the pairing of the region's process slots with the eventfds that the master makes, and the order of the
steps of publishing. Must not know: the store, what a revision holds, how the region lays out its memory.

    writer (master, admin)                 follower (worker)
    target = max(target, R)                wakes by its eventfd, reads changes, swaps
    1 to the eventfd of every slot  ---->  applied = R
    waits until none is behind      <----  1 to `ack`
"""

import os
from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple, Protocol

__all__ = ["ADMIN", "Kind", "Process", "Region", "Slots", "State"]

ADMIN: Final = 0  # the admin process's slot; workers take any other


class Kind(IntEnum):
    NONE = 0
    WORKER = 1
    ADMIN = 2


class State(IntEnum):
    FREE = 0
    STARTING = 1
    SERVING = 2
    DRAINING = 3


class Slot(Protocol):
    pid: int
    kind: int
    state: int
    applied: int


class Region(Protocol):
    """What is needed of the shared memory (_core.Region)."""

    def slot(self, index: int) -> Slot: ...
    def publish(self, revision: int) -> None: ...
    def target(self) -> int: ...


class Process(NamedTuple):
    """A worker in state serving or draining, as the shared memory shows it now."""

    index: int
    pid: int
    applied: int


def _eventfd() -> int:
    return os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)


class Slots:
    """Made by the master before its first fork; children use the inherited one."""

    def __init__(self, region: Region, count: int) -> None:
        self.region = region
        self.ack = _eventfd()
        """Read by the admin process: somebody has applied a revision, or is gone."""
        self.ready = _eventfd()
        """Read by the master: somebody serves now."""
        self._wake: Sequence[int] = [_eventfd() for _ in range(count)]
        self._taken: set[int] = set()

    def wake_fd(self, index: int) -> int:
        """Read by the process in this slot: there is a newer target."""
        return self._wake[index]

    # ---- publishing ----

    def target(self) -> int:
        return self.region.target()

    def publish(self, revision: int) -> None:
        """Sets the target revision, never back, and wakes every process."""
        self.region.publish(revision)
        for each in self._wake:
            _poke(each)

    def serving(self) -> list[Process]:
        """Workers in state serving or draining: those that must have applied what is acknowledged."""
        found = []
        for index in range(len(self._wake)):
            slot = self.region.slot(index)
            if slot.kind == Kind.WORKER and slot.state in (State.SERVING, State.DRAINING):
                found.append(Process(index, slot.pid, slot.applied))
        return found

    # ---- the master ----

    def take(self, first: int = ADMIN + 1) -> int:
        """A free slot for a process about to be forked."""
        for index in range(first, len(self._wake)):
            if index not in self._taken:
                self._taken.add(index)
                return index
        raise RuntimeError(f"expected a free process slot, found all {len(self._wake)} taken")

    def free(self, index: int) -> None:
        """After its process died: nobody waits for it any longer."""
        self._taken.discard(index)
        slot = self.region.slot(index)
        slot.state = State.FREE
        slot.pid = 0
        _poke(self.ack)

    def state(self, index: int) -> int:
        return self.region.slot(index).state

    # ---- the process in a slot ----

    def enter(self, index: int, kind: Kind) -> None:
        slot = self.region.slot(index)
        slot.pid = os.getpid()
        slot.kind = kind
        slot.applied = 0
        slot.state = State.STARTING

    def serve(self, index: int) -> None:
        self.region.slot(index).state = State.SERVING

    def announce(self) -> None:
        """Tells the master that a process accepts connections."""
        _poke(self.ready)

    def drain(self, index: int) -> None:
        self.region.slot(index).state = State.DRAINING

    def applied(self, index: int, revision: int) -> None:
        self.region.slot(index).applied = revision
        _poke(self.ack)


def _poke(fd: int) -> None:
    try:
        os.eventfd_write(fd, 1)
    except BlockingIOError:  # its count is at the limit: whoever reads it will wake anyway
        pass
