"""Whether work comes to an end and leaves its process alive, tried in a process of its own.

Owns: that process and its time. Must not know what the work is, nor whether it succeeds: what it raises it will raise again.
"""

import os
import select
import signal
from collections.abc import Callable
from typing import Final

__all__ = ["ends"]

PATIENCE_S: Final = 5.0
"""Longer than importing takes; for as long the caller does nothing else."""


def ends(work: Callable[[], object], patience: float = PATIENCE_S) -> str | None:
    """None: it does; else what becomes of it. Threads of the caller are not there to work with."""
    pid = os.fork()
    if pid == 0:
        _try(work)
    with os.fdopen(os.pidfd_open(pid)) as ended:
        if not select.select([ended], [], [], patience)[0]:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return f"it takes longer than {patience:g} s to import"
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        return f"importing it ends the process by signal {os.WTERMSIG(status)}"
    code = os.waitstatus_to_exitcode(status)
    return None if code == _WENT_ON else f"importing it ends the process with code {code}"


_WENT_ON: Final = 83
"""A code that nobody gives by chance."""


def _try(work: Callable[[], object]) -> None:
    """In the child: its parent's signals are not for it, and its last words not for its parent's log."""
    signal.set_wakeup_fd(-1)
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(each, signal.SIG_DFL)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)
    try:
        work()
    except BaseException:  # noqa: S110 (it is raised again where it can be told)
        pass
    os._exit(_WENT_ON)
