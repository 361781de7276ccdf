"""A process and the operating system: its title, its death with its parent, its clean start after a fork.

Owns: `fork`, and what a child must undo of its parent. Must not know: what any process is for. The few
calls that Python does not offer go to libc by ctypes; where the system refuses one (a sandbox, no /proc), the
process runs on without it.
"""

import ctypes
import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = [
    "HANDLED",
    "RESTART",
    "TITLE",
    "descriptors_left",
    "fork",
    "hear",
    "raise_descriptor_limit",
    "resident",
    "runs",
    "set_title",
    "stand_back",
]

PR_SET_PDEATHSIG: Final = 1
PR_SET_NAME: Final = 15
STAND_BACK_NICE: Final = 10  # a tenth of a worker's share (sched(7)) when both want the same core
STAND_BACK_SLICE_NS: Final = 100_000_000  # the longest that the kernel takes
_SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274}  # its number; libc has no function for it
TITLE: Final = "fastgw: "
"""How the titles of all processes of a gateway begin."""
RESTART: Final = signal.SIGRTMIN
"""Replace the workers, one after the other. Not SIGWINCH: a terminal sends that when its window changes."""
# What a process holds besides connections: the eventfds of all slots (256), listeners, logs, the store, Redis; and of larger
# limits a part, so that requests of clients that were let in still find a way to their upstreams.
KEPT: Final = 400
KEPT_SHARE: Final = 64
LEAST_FILES: Final = 512
HANDLED: Final = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    RESTART,
    signal.SIGCHLD,
)
# These reach every process of a terminal or of a careless pkill, but only the master acts on them unasked.
_FOR_MASTER: Final = (signal.SIGHUP, signal.SIGUSR2, RESTART)

log = logging.getLogger("fastgw.process")

_libc = ctypes.CDLL(None, use_errno=True)


def fork(title: str, main: Callable[[], int]) -> int:
    """Runs main in a child whose exit code it returns; gives the parent the child's pid.

    The signals that the parent handles stay blocked until the child has dropped the parent's handlers, since
    these would write to the parent's wake-up descriptor and so tell the parent of signals it never got.
    """
    parent = os.getpid()
    gc.collect()
    gc.freeze()  # pages of what is here now stay shared: no collection in a child will write to their headers
    sys.stdout.flush()
    sys.stderr.flush()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        pid = os.fork()
        if pid:
            return pid
    finally:
        if os.getpid() == parent:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    code = 1
    try:
        _begin(title, parent)
        # INT stays blocked, whatever handler comes later: the terminal sends it to the whole group, and the
        # parent turns it into an orderly stop. USR1 waits for whoever has logs to open (`hear`).
        signal.pthread_sigmask(signal.SIG_SETMASK, before | {signal.SIGINT, signal.SIGUSR1})
        code = main()
    except BaseException:
        log.critical("ended by an exception", exc_info=True)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def hear(signum: int) -> None:
    """In a child that has a handler for it now: also what came since the fork."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signum})


def _begin(title: str, parent: int) -> None:
    signal.set_wakeup_fd(-1)
    for each in HANDLED:
        signal.signal(each, signal.SIG_IGN if each in _FOR_MASTER else signal.SIG_DFL)
    _libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above took hold
        os._exit(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    set_title(title)


def runs(pid: int, title: str = "") -> bool:
    """Whether there is such a process, of this user, and its title begins so, as far as the system tells: numbers come again."""
    try:
        os.kill(pid, 0)
        told = Path(f"/proc/{pid}/cmdline").read_bytes()
        if told.startswith(title.encode()):
            return True
        # One that has ended has no command line any more. One that may not overwrite its own (capabilities of its file, say) has
        # its title as the thread's name.
        return told != b"" and Path(f"/proc/{pid}/comm").read_bytes().startswith(title.encode()[:15])
    except (ProcessLookupError, PermissionError):
        return False
    except OSError:  # no /proc, or it has just gone, which the next look sees
        return True


def resident(pid: int) -> int:
    """Bytes of memory that a process holds; 0 where there is none."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0


def set_title(title: str) -> None:
    """What ps and top show: the command line, overwritten in place, and the thread name (15 bytes)."""
    text = title.encode()
    _libc.prctl(PR_SET_NAME, ctypes.c_char_p(text[:15]), 0, 0, 0)
    try:
        with open("/proc/self/stat", "rb") as file:
            # proc(5): field 2 is the name in parentheses and may hold anything; 48 and 49 bound argv.
            fields = file.read().rpartition(b")")[2].split()
        start, end = int(fields[45]), int(fields[46])
    except (OSError, IndexError, ValueError):
        return
    if 0 < start < end:
        # The last byte stays zero: otherwise the kernel reads on into the environment.
        shown = text[: end - start - 1]
        ctypes.memmove(start, shown.ljust(end - start, b"\0"), end - start)


def raise_descriptor_limit() -> int:
    """Lifts the soft limit of open descriptors to the hard one, for connections take two each; returns it. ValueError: it is
    too low for any service."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if 0 <= hard < LEAST_FILES:
        raise ValueError(f"open files: expected a limit of at least {LEAST_FILES} (ulimit -n), found {hard}")
    return hard


def descriptors_left() -> int:
    """How many connections, of both sides together, a process may hold."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 2**31 - 1 if soft == resource.RLIM_INFINITY else min(soft - KEPT - soft // KEPT_SHARE, 2**31 - 1)


class _SchedAttr(ctypes.Structure):
    """sched_setattr(2)."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )


def stand_back() -> None:
    """From now on other processes go first where cores are short.

    A tenth of their share; no preempting of others on waking (batch class); and, from Linux 6.12 on, a long slice, which whoever
    wakes and has a shorter one cuts short. Before, a process that runs may go on for its milliseconds while another waits.
    """
    os.nice(STAND_BACK_NICE)
    number = _SCHED_SETATTR.get(os.uname().machine)
    attr = _SchedAttr(
        ctypes.sizeof(_SchedAttr), getattr(os, "SCHED_BATCH", 0), 0, os.getpriority(os.PRIO_PROCESS, 0), 0, STAND_BACK_SLICE_NS
    )
    if number is None or _libc.syscall(ctypes.c_long(number), 0, ctypes.byref(attr), 0) != 0:
        log.info("this system has no batch class for us: the admin process has only niceness %d", attr.nice)
