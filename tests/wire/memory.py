"""Cases on the connection core without sockets: quick enough for every way to cut their bytes.

Owns: bytes to and from the core. Must not know what is right.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NamedTuple

from fastgw import _core, config
from fastgw.compile import Compiler
from tests.wire import gateway
from tests.wire.cases import MEMORY, Case
from tests.wire.gateway import Seen, reply

Cut = Callable[[bytes], Iterable[bytes]]


class Change(NamedTuple):
    """An object of the configuration."""

    kind: str
    id: str
    value: dict[str, Any]
    created: int = 0


@cache
def snapshot() -> _core.Snapshot:
    """The corpus's gateway, from the same configuration as a real one."""
    objects = config.loads(json.dumps(gateway.config("192.0.2.10:80")).encode(), ".json", "wire", {}).objects
    build = Compiler().apply([Change(*key, value) for key, value in objects.items()])
    assert build.faults == ()
    return build.snapshot


@cache
def region() -> _core.Region:
    return _core.Region.create(1024)


def play(case: Case, cut: Cut, behind: bytes = b"") -> Seen:
    """A case whose sends and answers are cut like this, on a core of its own; `behind` follows its last send."""
    return Play(case).run(cut, behind)


class Play:
    """One case under way."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.wire = _core.Wire(snapshot(), limits=gateway.LIMITS, region=region())
        self.client = self.wire.open(MEMORY.address, trusted=case.trusted)
        self.ups: dict[int, bytes] = {}
        self.answered: dict[int, int] = {}

    def run(self, cut: Cut, behind: bytes) -> Seen:
        steps = list(self.case.steps)
        last = max(i for i, (kind, _) in enumerate(steps) if kind == "send")
        steps[last] = "send", steps[last][1] + behind
        for kind, data in steps:
            if kind == "send":
                for piece in cut(data):
                    self.push(self.client, piece)
            elif kind == "end":
                self.wire.end(self.client)
            else:
                self.answer(kind, cut(data))
            self.serve()
        ups = sorted(self.ups)
        alive = self.wire.is_open(self.client) and not self.wire.finished(self.client)
        kept = tuple(self.wire.is_open(i) for i in ups)
        return Seen(self.wire.pull(self.client), alive, tuple(self.ups[i] for i in ups), kept)

    def push(self, line: int, piece: bytes) -> None:
        if self.wire.is_open(line):
            self.wire.push(line, piece)
            self.serve()

    def answer(self, kind: str, pieces: Iterable[bytes]) -> None:
        """What the case lets the upstream say."""
        line = max(self.ups)
        if kind == "answer end":
            self.wire.end(line)
        elif kind == "answer reset":
            self.wire.reset(line)
        else:
            self.answered[line] = self.answered.get(line, 0) + 1
            for piece in pieces:
                self.push(line, piece)

    def serve(self) -> None:
        """Takes what was sent to the upstream, which answers each whole request unless the case does so."""
        busy = True
        while busy:
            busy = False
            for line, side, _ in self.wire.lines():
                if side == "up" and (data := self.wire.pull(line)):
                    self.ups[line] = self.ups.get(line, b"") + data
                    busy = self.reply(line) or busy

    def reply(self, line: int) -> bool:
        """Whether the upstream said something."""
        whole = [each for each in gateway.requests(self.ups[line]) if each.whole]
        done = self.answered.get(line, 0)
        for message in whole[done:]:
            if self.case.scripted and message.start[1] != b"/canary":
                break
            self.answered[line] = self.answered.get(line, 0) + 1
            self.wire.push(line, reply(message))
        return self.answered.get(line, 0) > done
