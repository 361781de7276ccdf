"""A binary upgrade: how a master starts its successor, what it hands over, what the two tell each other.

Owns: the descriptors that cross and how they travel, the successor's process, the words between the two. Must not know: what a
descriptor is for, when anything is started or ended.

    old master                                       new master
    starts it, with the descriptors    ---->         maps the memory, takes the sockets, starts its workers
    its workers and admin drain, end   <---- SERVES  all its workers accept
    the admin process has ended        LEFT ---->    starts its own, writes the pid file
    ends with its last worker          ---- EOF ---> gives back what the old one's processes left

Until the pid file names the new one, signals come to the old one alone: TERM, HUP and USR1 are passed on (`word_of`); a gateway
told to stop stops, whichever of the two has it. Both may die at any moment: each reads the end of the connection as the other's,
and goes on alone. A successor that fails before it SERVES has changed nothing.
"""

import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

__all__ = ["LEFT", "SERVES", "Handed", "Successor", "handed", "keep_private", "signal_of", "word_of"]

VARIABLE: Final = "FASTGW_HANDOVER"
SERVES: Final = b"S"
LEFT: Final = b"L"
PASSED_ON: Final = {signal.SIGTERM: b"T", signal.SIGINT: b"T", signal.SIGHUP: b"H", signal.SIGUSR1: b"U"}


def word_of(signum: int) -> bytes | None:
    """How a signal is passed on; None: it is not."""
    return PASSED_ON.get(signal.Signals(signum))


def signal_of(word: bytes) -> signal.Signals | None:
    """Which one was; None: the word means something else."""
    return next((each for each, name in PASSED_ON.items() if name == word), None)


class Handed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Descriptors, by the numbers that they have in both processes, and what they are of."""

    data_dir: str
    """Its real path: the successor must be about the same."""
    lock: int
    memory: int
    memory_lock: int
    """-1: the memory has no file, so nobody locks it."""
    wakes: list[int]
    ack: int
    asks: tuple[int, int]
    downward: bool
    """Which way the successor's processes take process slots."""
    sockets: dict[str, list[int]]
    """By listener."""
    lent: list[str]
    """Those whose one socket is the service manager's."""
    talk: int

    def descriptors(self) -> list[int]:
        single = [self.lock, self.memory, self.memory_lock, self.ack, self.talk]
        every = [*single, *self.wakes, *self.asks, *(fd for fds in self.sockets.values() for fd in fds)]
        return [fd for fd in every if fd >= 0]


def handed() -> Handed | None:
    """What this process was given by the master that started it. ValueError: what it finds there is nothing of the kind.

    Children and programs that they start must not take it for theirs, so it is taken out of the environment.
    """
    text = os.environ.pop(VARIABLE, None)
    if text is None:
        return None
    try:
        given = msgspec.json.decode(text, type=Handed)
        for fd in given.descriptors():
            keep_private(fd)
    except (msgspec.DecodeError, OSError) as exc:
        raise ValueError(
            f"{VARIABLE}: expected what a running fastgw hands to its successor, found something else: {exc}"
        ) from None
    return given


def keep_private(fd: int) -> None:
    """A descriptor that was inherited over exec is not to be inherited further that way."""
    fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)


class Successor:
    """The new master, as the old one sees it: started by the command line that started this one."""

    def __init__(self, offer: Mapping[str, Any], command: Sequence[str] | None = None) -> None:
        """offer: the members of `Handed` but `talk`. OSError: it cannot be started."""
        self.talk, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.talk.setblocking(False)
            # The watchdog watches whoever is the main process then.
            environment = {name: value for name, value in os.environ.items() if name != "WATCHDOG_PID"}
            given = Handed(**offer, talk=theirs.fileno())
            self._process = subprocess.Popen(
                command or [sys.executable, *sys.orig_argv[1:]],
                env={**environment, VARIABLE: msgspec.json.encode(given).decode()},
                pass_fds=given.descriptors(),
            )
        except BaseException:
            self.talk.close()
            raise
        finally:
            theirs.close()
        self.pid = self._process.pid

    def ended(self) -> int | None:
        """Its exit code, once it has one."""
        return self._process.poll()

    def end(self) -> None:
        """It takes too long; its workers drain when it dies."""
        self._process.send_signal(signal.SIGKILL)

    def close(self) -> None:
        self.talk.close()
