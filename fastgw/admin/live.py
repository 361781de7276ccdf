"""Live on return: a write is answered only when every serving process runs on it.

Owns: publishing a revision and waiting for the processes' acknowledgements; a process that cannot apply
it in time is killed, so that the master replaces it with one that starts from the store. Must not know:
the store, HTTP, what a revision holds. The other half is in the worker: it wakes by its eventfd, applies
the changes, sets its applied revision, and wakes us by ours.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

__all__ = ["DEADLINE_S", "Live", "Process", "Processes"]

DEADLINE_S: Final = 5.0
RECHECK_S: Final = 0.1  # a process that dies instead of applying acknowledges nothing

log = logging.getLogger("fastgw.admin")


class Process(NamedTuple):
    """A slot in state serving or draining, as the shared memory shows it now."""

    index: int
    pid: int
    applied: int


class Processes(Protocol):
    """What Live needs of the shared memory region."""

    def publish(self, revision: int) -> None:
        """Sets the target revision, never back, and wakes every process."""

    def serving(self) -> Sequence[Process]:
        """Slots in state serving or draining that follow the store."""


class Live:
    """One per admin process; several writes may wait at once."""

    def __init__(
        self,
        processes: Processes,
        ack: int,
        deadline: float = DEADLINE_S,
        kill: Callable[[int, int], None] = os.kill,
    ) -> None:
        """ack: the eventfd that each process writes when it has applied a revision."""
        self._processes = processes
        self._ack = ack
        self._deadline = deadline
        self._kill = kill
        self._acknowledged = asyncio.Event()

    def start(self) -> None:
        asyncio.get_running_loop().add_reader(self._ack, self._on_ack)

    def stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._ack)

    async def reach(self, revision: int) -> None:
        """Returns when no process serves anything older than revision."""
        now = asyncio.get_running_loop().time
        end = now() + self._deadline
        self._processes.publish(revision)
        while self._behind(revision):
            left = end - now()
            if left <= 0:
                self._replace(revision)
                return
            try:
                await asyncio.wait_for(self._acknowledged.wait(), min(left, RECHECK_S))
            except asyncio.TimeoutError:
                continue

    def _behind(self, revision: int) -> list[Process]:
        return [each for each in self._processes.serving() if each.applied < revision]

    def _on_ack(self) -> None:
        try:
            os.eventfd_read(self._ack)
        except BlockingIOError:
            pass
        self._acknowledged.set()
        self._acknowledged = asyncio.Event()

    def _replace(self, revision: int) -> None:
        for each in self._behind(revision):
            log.error(
                "process %d (slot %d) still runs revision %d, expected %d within %g s: killed, to be replaced",
                each.pid,
                each.index,
                each.applied,
                revision,
                self._deadline,
            )
            try:
                self._kill(each.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
