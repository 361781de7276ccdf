"""The admin process asks the master to read the files of plugins again, and is told what came of it.

Owns: the line between the two, who waits on either side. Must not know: how plugins are read anew, HTTP. The master reads
nothing here but a name that it says back, and never waits: an answer that nobody takes is lost.

    admin process                                   master
    asks, with a name of its own     ---->          reads the files: what is at fault changes nothing
    refuses                          <---- REFUSED  the faults
    answers; it may be its last act  <---- DONE     no worker takes requests any more that has old ones
"""

import asyncio
import secrets
import socket
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

__all__ = ["Asking", "Line", "Outcome", "Waiting"]

PATIENCE_S: Final = 120.0  # for the master: each file may take 5 s to be tried, and workers as long to be replaced
MOST_FAULTS: Final = 20  # of one answer; the log has them all
MOST_TEXT: Final = 1000  # characters of one: twenty of them fit into a message


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    faults: tuple[str, ...] = ()
    """Of the files, and of objects that would not fit any more: then nothing was changed."""
    busy: str | None = None
    """Why it cannot be done, or was not done to the end, for no fault of any plugin."""
    changed: Mapping[str, str] = {}
    """The plugins that are others now, by where they came from."""


class _Answer(msgspec.Struct, frozen=True):
    name: str
    outcome: Outcome


class Line:
    """Made by the master before its first fork."""

    def __init__(self) -> None:
        self.master, self.admin = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.master.setblocking(False)
        self.admin.setblocking(False)


class Waiting:
    """The master's side: who asked, and waits for workers that have what was read."""

    def __init__(self, line: socket.socket, reload: Callable[[], Outcome]) -> None:
        self._line = line
        self._reload = reload
        self._names: dict[str, Outcome] = {}

    def on_asked(self, _fd: int) -> None:
        try:
            name = self._line.recv(64).decode(errors="replace")
        except BlockingIOError:
            return
        outcome = self._reload()
        if outcome.faults or outcome.busy:
            self._tell(name, outcome)
        else:
            self._names[name] = outcome

    def settle(self, busy: str | None = None) -> None:
        """It is done, but for what is said."""
        for name, outcome in self._names.items():
            self._tell(name, msgspec.structs.replace(outcome, busy=busy))
        self._names.clear()

    def _tell(self, name: str, outcome: Outcome) -> None:
        faults = [fault[:MOST_TEXT] for fault in outcome.faults[:MOST_FAULTS]]
        if len(outcome.faults) > MOST_FAULTS:
            faults.append(f"and {len(outcome.faults) - MOST_FAULTS} more")
        try:
            self._line.send(msgspec.json.encode(_Answer(name, msgspec.structs.replace(outcome, faults=tuple(faults)))))
        except OSError:
            pass  # nobody has read for long, so nobody waits


class Asking:
    """The admin process's side. One per process, used in its loop."""

    def __init__(self, line: socket.socket | None) -> None:
        """None: there is no master, and nothing that could be read anew."""
        self._line = line
        self._waiting: dict[str, asyncio.Future[Outcome]] = {}
        if line is not None:
            asyncio.get_running_loop().add_reader(line, self._on_told, line)

    def stop(self) -> None:
        if self._line is not None:
            asyncio.get_running_loop().remove_reader(self._line)

    async def ask(self) -> Outcome:
        if self._line is None:
            return Outcome()
        name = secrets.token_hex(8)  # what an earlier process asked may be answered here
        future = self._waiting[name] = asyncio.get_running_loop().create_future()
        try:
            self._line.send(name.encode())
            return await asyncio.wait_for(future, PATIENCE_S)
        except asyncio.TimeoutError:
            return Outcome(busy=f"the master has not answered within {PATIENCE_S:g} s; the gateway's log has the outcome")
        except OSError as exc:
            return Outcome(busy=f"the master cannot be asked: {exc.strerror or exc}")
        finally:
            del self._waiting[name]

    def _on_told(self, line: socket.socket) -> None:
        try:
            told = line.recv(1 << 20)
        except BlockingIOError:
            return
        if not told:  # the master is gone, and so is this process soon
            self.stop()
            return
        answer = msgspec.json.decode(told, type=_Answer)
        future = self._waiting.get(answer.name)
        if future is not None and not future.done():
            future.set_result(answer.outcome)
