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
from typing import Final, Protocol

__all__ = ["DEADLINE_S", "Live", "Region"]

DEADLINE_S: Final = 5.0
PER_CHANGE_S: Final = 0.005  # more for each further object: compiling one takes about 0.2 ms, on a core that others use as well
RECHECK_S: Final = 0.1  # a process that dies instead of applying acknowledges nothing

log = logging.getLogger("fastgw.admin")


class Slot(Protocol):
    """A process slot of the shared memory as it stood at one moment."""

    @property
    def state(self) -> int: ...


class Region(Protocol):
    """What Live needs of the shared memory."""

    def publish(self, revision: int, /) -> None: ...
    def slot(self, index: int, /) -> Slot: ...
    def lagging(self, revision: int, /) -> list[tuple[int, int]]: ...


class Live:
    """One per admin process; several writes may wait at once."""

    def __init__(
        self,
        region: Region,
        wakes: Sequence[int],
        ack: int,
        deadline: float = DEADLINE_S,
        kill: Callable[[int, int], None] = os.kill,
    ) -> None:
        """wakes: each slot's eventfd, by index; ack: the one every process writes when it has applied."""
        self._region = region
        self._wakes = wakes
        self._ack = ack
        self._deadline = deadline
        self._kill = kill
        self._acknowledged = asyncio.Event()

    def start(self) -> None:
        asyncio.get_running_loop().add_reader(self._ack, self._on_ack)

    def stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._ack)

    async def reach(self, revision: int, changes: int = 1) -> None:
        """Returns when no process serves anything older than revision, which so many objects changed up to."""
        now = asyncio.get_running_loop().time
        patience = self._deadline + (changes - 1) * PER_CHANGE_S
        end = now() + patience
        self._publish(revision)
        while self._region.lagging(revision):
            left = end - now()
            if left <= 0:
                self._replace(revision, patience)
                return
            try:
                await asyncio.wait_for(self._acknowledged.wait(), min(left, RECHECK_S))
            except asyncio.TimeoutError:
                continue

    def _publish(self, revision: int) -> None:
        """Target first, then the wakes: a process that is only starting looks at the target by itself."""
        self._region.publish(revision)
        for index, wake in enumerate(self._wakes):
            if self._region.slot(index).state:
                os.eventfd_write(wake, 1)

    def _on_ack(self) -> None:
        try:
            os.eventfd_read(self._ack)
        except BlockingIOError:
            pass
        self._acknowledged.set()
        self._acknowledged = asyncio.Event()

    def _replace(self, revision: int, patience: float) -> None:
        late = "process %d (slot %d) has not applied revision %d within %g s: killed, to be replaced"
        for index, pid in self._region.lagging(revision):
            log.error(late, pid, index, revision, patience)
            try:
                self._kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
