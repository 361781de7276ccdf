"""The shared memory of one gateway: anonymous, or a file that outlives it and that other programs map as well.

Owns: making or taking it over, whether it is what the settings ask for, the lock that keeps a second gateway out. Must not know:
what is in it (native/shm). Faults are OSError or ValueError that name the file, for the command line.
"""

import errno
import fcntl
import logging
import os
from typing import Final

from fastgw._core import Region, RegionError
from fastgw.schema.settings import SharedMemory

__all__ = ["Memory"]

MEND: Final = "remove the file, and with it what was counted, before a start"

log = logging.getLogger("fastgw.master")


class Memory:
    """Made by the master before its first fork; the lock goes with the master, however it ends, for children `let_go` of it."""

    def __init__(self, settings: SharedMemory, given: tuple[int, int] | None = None) -> None:
        """given: the memory and its lock (-1: none) as a master handed them over."""
        self.lock = -1
        if given is not None:
            self.region, self.lock = _handed_over(given[0]), given[1]
            return
        if settings.path is None:
            self.region = Region.create(settings.counters, revocations=settings.revocations, series=settings.series)
            return
        self.region = _region(settings.path, settings)
        self.lock = os.open(settings.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            # Process slots and the revision that all are to reach are of one gateway; other programs only count.
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.let_go()
            text = "in use by another gateway; programs may share it, gateways have one each"
            raise OSError(errno.EBUSY, text, settings.path) from None
        for index in range(self.region.slot_count):  # of a master that was killed
            self.region.set_slot(index, 0, 0, 0)

    def let_go(self) -> None:
        """Closes this process's hold on the lock."""
        if self.lock >= 0:
            os.close(self.lock)
        self.lock = -1


def _handed_over(memory: int) -> Region:
    """Of the size that it has: the counts in it are worth more than what the settings say now."""
    try:
        return Region.attach(memory)
    except RegionError as exc:
        raise ValueError(f"the running gateway's shared memory: {exc}: this version takes over by a restart only") from None
    finally:
        os.close(memory)


def _region(path: str, settings: SharedMemory) -> Region:
    try:
        region = Region.open(path, settings.counters, revocations=settings.revocations, series=settings.series)
    except RegionError as exc:
        raise ValueError(f"{exc}: {MEND}") from None
    except OSError as exc:
        raise OSError(exc.errno, exc.strerror, path) from None
    wanted = 1 << (settings.counters - 1).bit_length()
    if region.cell_count != wanted:
        found = f"expected {wanted} counters, by shared_memory.counters, found {region.cell_count}"
        raise ValueError(f"{path}: {found}: set that, or {MEND}")
    if region.revocations != settings.revocations:  # other programs may have it mapped, so it is not made anew
        text = "%s: it was made for %d revocations and stays so, shared_memory.revocations is %d: remove it before a start"
        log.warning(text, path, region.revocations, settings.revocations)
    return region
