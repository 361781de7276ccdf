"""Keeps processes running: forks them, notices their deaths, replaces them with back-off, ends them.

Owns: the life of a child from fork to wait. Must not know: what a child does, signals of the master, sockets.
The first death of a process is answered at once; one that keeps dying within QUICK_S of its start waits
0.1 s, then twice as long each time up to 5 s, so that a broken start does not eat the machine.
"""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from fastgw import process
from fastgw.slots import Slots

__all__ = ["Role", "Supervisor"]

QUICK_S: Final = 1.0
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0

log = logging.getLogger("fastgw.master")


class Role:
    """Something that is to be running, and the process that does it now."""

    def __init__(self, name: str, main: Callable[[int], int], ends_by: signal.Signals = signal.SIGTERM) -> None:
        """main: what the child runs, given its process slot; returns its exit code."""
        self.name = name
        self.main = main
        self.ends_by = ends_by
        self.pid = 0
        self.slot = -1
        self.retired = False
        """Its death is wanted and final."""
        self.told = False
        """It was sent the signal to end."""
        self.renewing = False
        """It was sent that signal so that it starts anew."""
        self._started = 0.0
        self._pause = 0.0
        self.due = 0.0
        """When to start it, if it is not running."""

    def begin(self, now: float, slot: int, pid: int) -> None:
        self.pid, self.slot, self._started = pid, slot, now

    def end(self, now: float) -> float:
        """Notes the death, or that it never lived; returns how long to wait before the next start."""
        self.pid, self.slot = 0, -1
        if now - self._started >= QUICK_S:
            self._pause = 0.0
        pause = self._pause
        self._pause = min(max(2 * pause, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        self.due = now + pause
        return pause


class Supervisor:
    """All children of the master."""

    def __init__(self, slots: Slots, clock: Callable[[], float] = time.monotonic) -> None:
        self._slots = slots
        self._clock = clock
        self._roles: list[Role] = []

    @property
    def roles(self) -> list[Role]:
        return list(self._roles)

    def start(self, role: Role) -> None:
        self._roles.append(role)
        self._fork(role)

    def retire(self, roles: Iterable[Role]) -> None:
        """Tells those that were not told yet to end, and does not replace them."""
        for role in roles:
            role.retired = True
            if not role.told:
                role.told = True
                self.signal([role], role.ends_by)
        self._roles = [role for role in self._roles if role.pid or not role.retired]

    def renew(self, role: Role) -> None:
        """Ends the process and starts it anew, with what is to be inherited now."""
        if role.pid and not role.retired:
            role.renewing = True
            self.signal([role], role.ends_by)

    def signal(self, roles: Iterable[Role], signum: int) -> None:
        for role in roles:
            if role.pid:  # not yet waited for, so the number is still its own
                os.kill(role.pid, signum)

    def reap(self) -> None:
        """Notices every death, and forgets the roles whose death was wanted."""
        for role in self.roles:
            if role.pid:
                pid, status = os.waitpid(role.pid, os.WNOHANG)
                if pid:
                    self._bury(role, status)
        self._roles = [role for role in self._roles if role.pid or not role.retired]

    def restart_due(self) -> None:
        now = self._clock()
        for role in self._roles:
            if not role.pid and role.due <= now:
                self._fork(role)

    def next_due(self) -> float | None:
        """When the next restart is to be made."""
        return min((role.due for role in self._roles if not role.pid), default=None)

    def _fork(self, role: Role) -> None:
        now, slot = self._clock(), None
        try:
            slot = self._slots.take()
            pid = process.fork(f"fastgw: {role.name}", partial(role.main, slot))
        except OSError as exc:  # no memory, no process number, or no slot left: may pass
            if slot is not None:
                self._slots.free(slot)
            log.error("%s cannot be started: %s", role.name, exc.strerror, extra={"pause": role.end(now)})
        else:
            role.begin(now, slot, pid)

    def _bury(self, role: Role, status: int) -> None:
        pid = role.pid
        self._slots.free(role.slot)
        pause = role.end(self._clock())
        code = os.waitstatus_to_exitcode(status)
        renewed, role.renewing = role.renewing and not role.retired, False
        if renewed:
            role.due = self._clock()
            level, then = logging.INFO, "as wanted, starts anew"
        elif role.retired:
            level, then = (logging.INFO if code == 0 else logging.WARNING), "as wanted"
        else:
            level, then = logging.ERROR, f"replaced in {pause:g} s" if pause else "replaced at once"
        how = f"exited with code {code}" if code >= 0 else f"was killed by {_signal_name(-code)}"
        log.log(level, "%s %s: %s", role.name, how, then, extra={"pid": pid})


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
