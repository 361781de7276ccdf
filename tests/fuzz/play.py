"""Scripts: clients, upstreams and time, at the byte edges of a core on memory.

Owns: the grammar of scripts, and the record of what went over each line and when. A script is a row of steps, each a letter and
its bytes, with SEPARATOR between them, so that a line of HTTP mutates as a line of HTTP. Must not know what is claimed.

A small letter is about a client's line, the newest or the one that `o` chose; its capital about an upstream's, the one that
was asked last or that `O` chose:
`s` bytes arrive, `b` one by one, `e` the other side ends, `r` it breaks, `h` it breaks and nobody is told, `f` from now on the
line takes so many bytes more, `c` it is connected. `n` a client comes, `t` time goes by, `k` says what becomes of connections,
`i` the configuration is made anew, `x` the gateway stops. A number is two bytes, the low one first. In front of all, `g1` moves
bodies inside the kernel from 16 bytes on, `g2` keeps what is free for use again, `g3` does both. `$N` is a new number each time.
"""

from __future__ import annotations

import bisect
import os
import re
from dataclasses import dataclass, field
from functools import partial

from fastgw import _core
from tests.fuzz.plugged import Clock
from tests.fuzz.scene import EMPTY, PLACEHOLDERS, WALL, Scene

SEPARATOR = b"\xfe"
STEPS = 64  # of a script that are played
LAST = 1 << 40  # no step has this number
LINE_BYTES = 320 * 1024  # what the core may hold for one line: a read and its framing, a head, pipelined bytes
PATIENCE = 60.0  # s; longer than any timeout below
CONNECTING = ("at once", "later", "refused")
_LIMITS: dict[str, float] = {
    "head_bytes": 4096,
    "body_bytes": 100000,
    "idle_timeout": 5,
    "head_timeout": 5,
    "body_timeout": 5,
    "send_timeout": 5,
}
_NUMBER = re.compile(rb"\$N")
_NOBODY_READS = os.open(os.devnull, os.O_WRONLY)


@dataclass
class Line:
    """What went over one line, to the core and from it; `sent_at` and `got_at` say up to where at which step."""

    side: str
    opened_at: int = 0
    trusted: bool = False
    sent: bytearray = field(default_factory=bytearray)
    got: bytearray = field(default_factory=bytearray)
    sent_at: list[tuple[int, int]] = field(default_factory=list)
    got_at: list[tuple[int, int]] = field(default_factory=list)
    closed_at: int | None = None  # by the core
    ended: bool = False  # by the other side
    broken: bool = False
    full: bool = False  # takes no more than some bytes
    was_full: bool = False
    connecting: bool = False

    def sent_in(self, at: int) -> int:
        """The step that brought the byte at this place to the core."""
        return self.sent_at[bisect.bisect_right(self.sent_at, (at, LAST))][1]

    def got_in(self, at: int) -> int:
        """The step in which the core sent the byte at this place."""
        return self.got_at[bisect.bisect_right(self.got_at, (at, LAST))][1]

    def got_by(self, step: int) -> int:
        """How many bytes the core had sent when that step was over."""
        return max((size for size, at in self.got_at if at <= step), default=0)


def address(client: int) -> bytes:
    """Where the client of that number comes from."""
    return b"192.0.2.%d" % (client + 1)


def _note(failures: list[str], plugin: str, phase: str, error: BaseException) -> None:
    """What a plugin has raised; the list alone, for a core that knew its Play would be let go of late."""
    if plugin == "response-rewrite" and isinstance(error, ValueError):
        return  # the upstream's body is not in the coding that it says
    failures.append(f"{plugin} in {phase}: {error!r}")


class Play:
    """One script on one core."""

    def __init__(self, script: bytes) -> None:
        numbers = iter(range(10, 10000))
        script = _NUMBER.sub(lambda _: b"%d" % next(numbers), script) if b"$N" in script else script
        for name, meant in PLACEHOLDERS.items():
            script = script.replace(name, meant)
        self.steps = [(step[:1], step[1:]) for step in script.split(SEPARATOR)[:STEPS]]
        way = self.steps.pop(0)[1][:1] if self.steps[0][0] == b"g" else b""
        splices, keeps = way[:1] in (b"1", b"3"), way[:1] in (b"2", b"3")
        self.scene = Scene()
        self.failures: list[str] = []  # of plugins
        self.wire = _core.Wire(
            self.scene.snapshot(),
            limits=_LIMITS,
            token_cache=8,
            region=_core.Region.create(64, slots=1, revocations=16),
            splice_least=16 if splices else 32768,
            strict=not keeps,
            on_error=partial(_note, self.failures),
        )
        self.wire.wall = WALL
        self.clock = Clock(WALL)
        self.wire.access_log(_NOBODY_READS)
        self.lines: list[Line] = []
        self.clients: list[int] = []
        self.chosen: dict[str, int] = {}
        self.now = 0  # number of the step; each single byte is one
        self.come(trusted=False)

    def come(self, *, trusted: bool) -> None:
        """A client connects."""
        number = self.wire.open(address(len(self.clients)).decode(), trusted)
        self.see()
        self.lines[number].trusted = trusted
        self.clients.append(number)
        self.chosen["down"] = number

    def _pass(self, seconds: float) -> None:
        self.wire.advance(seconds)
        self.clock.now = self.wire.wall

    def played(self) -> tuple[list[int], int]:
        """All of it. Gives the clients that nothing kept from being served, and until when."""
        with self.clock.kept():
            self.run()
            free = self.settle()
            over = self.now
            self.leave()
        return free, over

    def run(self) -> None:
        for letter, data in self.steps:
            self.now += 1
            self.step(letter, data)
            self.see()
            held, lines = self.wire.held(), sum(line.closed_at is None for line in self.lines)
            assert held <= lines * LINE_BYTES, f"{held} bytes held for {lines} lines"

    def line(self, side: str) -> int | None:
        """The open line of that side that was chosen, else the upstream's that was asked last, or was opened last."""
        chosen = self.chosen.get(side)
        if side == "down" or (chosen is not None and self.lines[chosen].closed_at is None):
            return chosen
        return max((i for i in range(len(self.lines)) if self._is_open(i, side)), key=self._moved, default=None)

    def _moved(self, i: int) -> tuple[int, int]:
        """When something last went out over a line; of those where it was in one step the newest counts."""
        line = self.lines[i]
        return (line.got_at[-1][1] if line.got_at else line.opened_at), i

    def _is_open(self, i: int, side: str) -> bool:
        return self.lines[i].side == side and self.lines[i].closed_at is None

    def step(self, letter: bytes, data: bytes) -> None:
        kind, number, side = letter.lower(), int.from_bytes(data[:2], "little"), "down" if letter.islower() else "up"
        if kind == b"n":
            self.come(trusted=bool(number & 1))
        elif kind == b"t":
            self._pass(number % 600 / 10)
        elif kind == b"k":
            self.wire.connecting(CONNECTING[number % 3])  # type: ignore[arg-type]
        elif kind == b"i":
            self.wire.install(self.scene.snapshot())
        elif kind == b"x":
            self.wire.stop_listening()
            self.wire.close_idle()
        elif kind == b"o":
            among = self.clients if side == "down" else [i for i in range(len(self.lines)) if self._is_open(i, side)]
            if among:
                self.chosen[side] = among[number % len(among)]
        else:
            at = self.line(side)
            if at is not None and self.wire.is_open(at):
                self.act(kind, at, data, number)

    def act(self, kind: bytes, at: int, data: bytes, number: int) -> None:
        """What the other side of an open line does."""
        line = self.lines[at]
        if kind == b"s" and data:
            self.push(at, data)
        elif kind == b"b":
            for i in range(len(data)):
                if not self.wire.is_open(at):
                    break
                self.push(at, data[i : i + 1])
                self.see()
                self.now += 1
        elif kind == b"e":
            line.ended = True
            self.wire.end(at)
        elif kind in (b"r", b"h"):
            line.ended = line.broken = True
            self.wire.reset(at) if kind == b"r" else self.wire.breaks(at)
        elif kind == b"f":
            line.full = number != 0xFFFF
            line.was_full |= line.full
            self.wire.room(at, number if line.full else 1 << 40)
        elif kind == b"c":
            line.connecting = False
            self.wire.connected(at)

    def push(self, at: int, data: bytes) -> None:
        line = self.lines[at]
        if not line.ended:
            line.sent += data
            line.sent_at.append((len(line.sent), self.now))
            line.connecting = line.connecting and line.full  # where there is room, the event says that too
            self.wire.push(at, data)

    def see(self) -> None:
        """Takes what the core did since the last look."""
        for i, side, is_open in self.wire.lines():
            if i == len(self.lines):
                self.lines.append(Line(side, self.now, connecting=side == "up" and self.wire.is_connecting(i)))
            line = self.lines[i]
            if line.closed_at is None:
                got = self.wire.pull(i)
                if got:
                    line.got += got
                    line.got_at.append((len(line.got), self.now))
                if not is_open:
                    line.closed_at = self.now

    def settle(self) -> list[int]:
        """Who was delayed goes on. Gives the lines of clients that nothing keeps from being served."""
        before = -1
        while before != (before := sum(len(line.got) for line in self.lines)):  # of a row of requests one by one is delayed
            self.now += 1
            self._pass(1)
            self.see()
        return [i for i in self.clients if self.wire.is_open(i) and not self.lines[i].ended and not self.lines[i].full]

    def leave(self) -> None:
        """Everybody goes, and time passes."""
        self.now += 1
        for i, line in enumerate(self.lines):
            if self.wire.is_open(i):
                line.ended = True
                self.wire.end(i)
        for _ in range(8):
            self._pass(PATIENCE)
            self.see()
        self.wire.install(EMPTY)  # a plugin that counts knows the core, and would keep it
        self._pass(0)
