"""`fastgw restart`: the workers of a running gateway replaced one after the other, and the wait for it.

Owns: who is asked, when it is done. Must not know: how the master does it.
"""

import os
import time
from pathlib import Path
from typing import Final

from fastgw.config import Config
from fastgw.datadir import in_use, pid_of
from fastgw.places import PlaceError
from fastgw.process import RESTART, runs

__all__ = ["restart"]

LOOK_S: Final = 0.1
LATE_S: Final = 30.0  # beyond the drain timeout, for each worker


def restart(config: Config) -> int:
    """Returns how many were replaced. PlaceError: no gateway runs, or it does not get done."""
    settings = config.settings
    data_dir = Path(settings.data_dir)
    master = pid_of(data_dir) if in_use(data_dir) else None
    if master is None:
        raise PlaceError(f"no gateway runs on {data_dir}; data_dir is relative to the working directory")
    before = _workers(master)
    try:
        os.kill(master, RESTART)
    except (ProcessLookupError, PermissionError) as exc:
        raise PlaceError(f"the master, pid {master}, cannot be told: {exc.strerror}") from None
    deadline = time.monotonic() + len(before) * LATE_S + settings.limits.drain_timeout
    while left := before & _workers(master):
        if time.monotonic() > deadline:
            raise PlaceError(f"not all workers were replaced in time: still running: {' '.join(map(str, sorted(left)))}")
        time.sleep(LOOK_S)
    if not before or not runs(master):
        raise PlaceError(f"the gateway with pid {master} has ended meanwhile")
    return len(before)


def _workers(master: int) -> set[int]:
    """Pids of its workers, by the titles that the processes give themselves."""
    found: set[int] = set()
    try:
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    except OSError:
        return found
    for pid in children:
        try:
            title = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if title.startswith(b"fastgw: worker"):
            found.add(int(pid))
    return found
