"""Process slots: who runs, in what state, how far each has applied the store, and how they wake each other.

Owns: the pairing of the region's process slots with the eventfds that the master makes, and the order of the
steps of publishing. Must not know: the store, what a revision holds, how the region lays out its memory.

    writer (master, admin)                 follower (worker)
    target = max(target, R)                wakes by its eventfd, reads changes, swaps
    1 to the eventfd of every slot  ---->  applied = R
    waits until none is behind      <----  1 to `ack`
"""

import errno
import os
from enum import IntEnum

from fastgw._core import Region
from fastgw.process import TITLE, runs

__all__ = ["Kind", "Slots", "State"]


class Kind(IntEnum):
    """What runs in a slot; only workers follow the store."""

    WORKER = 1
    ADMIN = 2


class State(IntEnum):
    """native/shm.pxd has the same numbers."""

    FREE = 0
    STARTING = 1
    SERVING = 2
    DRAINING = 3


def _eventfd() -> int:
    return os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)


class Slots:
    """Made by the master before its first fork; children use the inherited one."""

    def __init__(
        self, region: Region, given: tuple[list[int], int, tuple[int, int]] | None = None, downward: bool = False
    ) -> None:
        """given: `wakes`, `ack` and `asks`, as a master handed them over. downward: this master's processes take slots from the
        last one on, so as not to meet those of the master that it takes over from: of two at once, one goes each way.
        """
        self.region = region
        self.downward = downward
        wakes, ack, asks = given or ([_eventfd() for _ in range(region.slot_count)], _eventfd(), _pipe())
        self.wakes = wakes
        """Each read by the process in that slot: there is a newer target."""
        self.ack = ack
        """Read by the admin process: somebody has applied a revision, or is gone."""
        self.ready = _eventfd()
        """Read by the master: somebody serves now."""
        self.asks = asks
        """From workers to the admin process: what is to be fetched. A message is short, so it comes whole or, when the pipe is
        full, not at all."""
        self._taken: set[int] = set()

    # ---- the master ----

    def publish(self, revision: int) -> None:
        """Sets the target, then wakes; a process that is only starting looks at the target by itself."""
        self.region.publish(revision)
        for index, wake in enumerate(self.wakes):
            if self.region.slot(index).state != State.FREE:
                _poke(wake)

    def take(self) -> int:
        """A free slot for a process about to be forked. OSError: there is none, as too many of earlier settings still drain."""
        every = range(len(self.wakes))
        for index in reversed(every) if self.downward else every:
            if index not in self._taken and self.region.slot(index).state == State.FREE:
                self._taken.add(index)
                return index
        raise OSError(errno.EAGAIN, f"all {len(every)} process slots are taken, as long as others still drain")

    def free(self, index: int) -> None:
        """After its process died: nobody waits for it any longer."""
        self._taken.discard(index)
        self.region.set_slot(index, 0, 0, State.FREE)
        _poke(self.ack)

    def sweep(self) -> int:
        """Frees what processes of another master left, when it is gone; returns how many of them still run."""
        running = 0
        for index in set(range(len(self.wakes))) - self._taken:
            pid = self.region.slot(index).pid
            if pid and runs(pid, TITLE):
                running += 1
            elif pid:
                self.free(index)
        return running

    def serves(self, index: int) -> bool:
        return self.region.slot(index).state == State.SERVING

    # ---- the process in a slot ----

    def enter(self, index: int, kind: Kind) -> None:
        self.region.set_slot(index, os.getpid(), kind, State.STARTING)

    def serve(self, index: int) -> None:
        self.region.set_state(index, State.SERVING)

    def announce(self) -> None:
        """Tells the master that a process accepts connections."""
        _poke(self.ready)

    def drain(self, index: int) -> None:
        self.region.set_state(index, State.DRAINING)

    def applied(self, index: int, revision: int) -> None:
        self.region.set_applied(index, revision)
        _poke(self.ack)


def _pipe() -> tuple[int, int]:
    return os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)


def _poke(fd: int) -> None:
    try:
        os.eventfd_write(fd, 1)
    except BlockingIOError:  # its count is at the limit: whoever reads it will wake anyway
        pass
