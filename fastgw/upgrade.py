"""The part of a master's life in which there are two: this one and its successor, or this one and its predecessor.

Owns: who of the two is where in the exchange that handover.py draws, what happens when the other one is gone. Must not know: how
processes are started and ended, what is served; the master is told when it is to hand over, and when it may take the place.
"""

import logging
import os
import selectors
import signal
import socket
import sqlite3
import time
from collections.abc import Callable
from typing import Final

from fastgw import handover
from fastgw.family import Family
from fastgw.store import StoreError
from fastgw.undo import Declared

__all__ = ["Upgrade"]

SERVE_S: Final = 60.0  # a successor whose workers do not serve by then is given up
SWEEP_S: Final = 1.0  # between two looks whether the processes of a master that is gone have ended
NEVER: Final = float("inf")

log = logging.getLogger("fastgw.master")


class Upgrade:
    """Of one master. What `due` says is the next moment for `turn`."""

    def __init__(
        self,
        family: Family,
        selector: selectors.BaseSelector,
        hand_over: Callable[[], None],
        take_place: Callable[[], None],
        obey: Callable[[int], None],
    ) -> None:
        """hand_over: the successor's workers serve. take_place: the predecessor has no admin process any more. obey: it was sent
        this signal."""
        self._family = family
        self._selector = selector
        self._hand_over = hand_over
        self._take_place = take_place
        self._obey = obey
        self._successor: handover.Successor | None = None
        self._declared: Declared | None = None
        self._predecessor: socket.socket | None = None
        self._placed = True
        self._give_up_at = NEVER
        self._sweep_at = NEVER
        self._names_at = NEVER
        self._nameless = False
        self._ending = False
        self._left = False
        self.handed_over = False
        """This master only ends."""

    @property
    def due(self) -> float:
        return min(self._give_up_at, self._sweep_at, self._names_at)

    def turn(self, now: float, workers: int | None) -> None:
        """workers: how many sockets of an address are to stay once nobody else serves them; None: they are closed."""
        if now >= self._give_up_at and self._successor is not None:
            log.error("upgrade: the new master's workers do not serve after %g s: killed", SERVE_S)
            self._give_up_at = NEVER
            self._successor.end()
        if now >= self._names_at:
            self.take_names()
        if now >= self._sweep_at:
            self._sweep_at = NEVER
            if workers is None:
                return
            self._family.reclaim(workers)
            if self._family.slots.sweep():
                self._sweep_at = now + SWEEP_S
            else:
                self._family.release(workers)

    # ---- the old master ----

    @property
    def under_way(self) -> bool:
        """There are two masters."""
        return self._successor is not None or self._predecessor is not None

    def begin(self) -> None:
        if self.under_way:
            log.warning("USR2: an upgrade is under way")
        elif os.getpid() == 1:
            log.error("USR2: refused: this is process 1, whose end would end its container: replace the container instead")
        else:
            try:
                self._declared = Declared(self._family.data_dir.database)
                self._successor = handover.Successor(self._family.offer())
            except (OSError, StoreError, sqlite3.Error) as exc:
                log.error("USR2: the new master cannot be started: %s", exc)
                return
            self._family.inherit_not(self._successor.close)
            self._give_up_at = time.monotonic() + SERVE_S
            self._selector.register(self._successor.talk, selectors.EVENT_READ, self._on_successor)
            log.info("upgrade: a new master was started", extra={"pid": self._successor.pid})

    def on_death(self) -> None:
        """Some child has ended: perhaps that one."""
        if self._successor is not None and not self.handed_over:
            code = self._successor.ended()
            if code is not None:
                self._selector.unregister(self._successor.talk)
                self._successor.close()
                self._successor = None
                self._give_up_at = NEVER
                if self._ending:
                    log.info("upgrade given up: told to stop")
                    return
                self._sweep_at = time.monotonic()
                log.error("upgrade failed: the new master ended with code %d; %s", code, self._undone())

    def note_declared(self) -> None:
        """This master has read the file again: that is what a successor that fails leaves in force."""
        if self._declared is not None:
            try:
                self._declared = Declared(self._family.data_dir.database)
            except (OSError, StoreError, sqlite3.Error) as exc:
                self._declared = None
                log.error("what a new master that fails reads from the file will stay in force until the next reload: %s", exc)

    def _undone(self) -> str:
        """Puts back what the successor read from the file, which workers of this master follow too; what came of it."""
        declared, self._declared = self._declared, None
        try:
            if declared is not None:
                slots = self._family.slots
                slots.publish(declared.put_back(self._family.data_dir.database, slots.region))
        except (OSError, StoreError, sqlite3.Error) as exc:
            return f"what it read from the file may be in force until the next reload: {exc}"
        return "nothing was changed"

    @property
    def awaited(self) -> bool:
        """A successor that was told to stop, for then nothing of the gateway is to be left."""
        return self._ending and not self.handed_over and self._successor is not None

    def pass_on(self, signum: int) -> None:
        """This master was sent it as the gateway's, whose pid is still this one's."""
        word = handover.word_of(signum)
        if signum in (signal.SIGTERM, signal.SIGINT):
            self._ending = True
        if word is not None and self._successor is not None and not self._left:
            try:
                self._successor.talk.send(word)
            except OSError:
                pass  # it is gone, which is noticed elsewhere

    def end(self) -> None:
        """There is no more time for a successor that is awaited."""
        if self.awaited and self._successor is not None:
            self._successor.end()

    def leave(self) -> None:
        """Nothing runs here any more of which there can be only one."""
        if self._successor is not None and not self._left:
            self._left = True
            try:
                self._successor.talk.send(handover.LEFT)
            except OSError:
                log.error("upgrade: the new master is gone; whoever watches over it must start it")

    def _on_successor(self, _fd: int) -> None:
        if self._successor is None:
            return
        said = _said(self._successor.talk)
        if said == handover.SERVES and not self.handed_over:
            if self._ending:
                return
            self.handed_over = True
            self._declared = None
            self._give_up_at = NEVER
            self._hand_over()
        elif said is None and self.handed_over:  # before, its exit code tells more
            self._selector.unregister(self._successor.talk)
            self._successor = None
            if self._family.data_dir.names_us():
                self.take_names()  # it never took the place: there is nobody else who takes them away
        elif said is None:
            self._successor.end()

    # ---- either ----

    def take_names(self) -> None:
        """Names of sockets and the pid file are this master's. Where the file cannot be written it is tried again."""
        self._names_at = NEVER
        try:
            self._family.own(True)
        except OSError as exc:
            self._names_at = time.monotonic() + SWEEP_S
            if not self._nameless:
                log.error("the pid file cannot be written, which is tried again each second: %s", exc)
            self._nameless = True

    # ---- the new master ----

    @property
    def follows(self) -> bool:
        """It has not taken the place yet."""
        return not self._placed

    def follow(self, talk: int) -> None:
        self._predecessor = socket.socket(fileno=talk)
        self._predecessor.setblocking(False)
        self._placed = False
        self._selector.register(self._predecessor, selectors.EVENT_READ, self._on_predecessor)
        self._family.inherit_not(self._predecessor.close)

    def serves(self) -> None:
        """All workers here accept."""
        try:
            if self._predecessor is not None:
                self._predecessor.send(handover.SERVES)
        except OSError:
            pass  # it is gone, which the next turn reads

    def _on_predecessor(self, _fd: int) -> None:
        if self._predecessor is None:
            return
        said = _said(self._predecessor)
        for word in _words(said):
            signum = handover.signal_of(word)
            if signum is not None:
                self._obey(signum)
        if not self._placed and (said is None or handover.LEFT in said):
            self._placed = True
            self._take_place()
        if said is None:
            self._selector.unregister(self._predecessor)
            self._predecessor.close()
            self._predecessor = None
            self._sweep_at = time.monotonic()


def _said(talk: socket.socket) -> bytes | None:
    """What the other master has said since; None: it is gone."""
    try:
        return talk.recv(64) or None
    except BlockingIOError:
        return b""
    except OSError:
        return None


def _words(said: bytes | None) -> list[bytes]:
    return [bytes([each]) for each in said or b""]
