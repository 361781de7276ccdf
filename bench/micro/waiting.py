"""An exchange under way: the request went to the upstream, whose answer is not there yet. What rooms do for it can be done again.

Owns: the wire it runs on and the ends that a bench compares with. Must not know the rooms.
"""

from __future__ import annotations

import os
import tempfile
from typing import Literal

from bench import workload
from fastgw import _core

Room = Literal["uri", "route", "serialise", "accesslog", "metrics"]
CLIENT, UPSTREAM = 0, 1


class Waiting:
    """One exchange; `bench(room)` is a loop of what the room does for it."""

    def __init__(self, snapshot: _core.Snapshot, request: bytes) -> None:
        self.region = _core.Region.create(1024)
        self.wire = _core.Wire(snapshot, region=self.region)
        self.wire.access_log(os.open(os.devnull, os.O_WRONLY))
        self.wire.open()
        self.wire.push(CLIENT, request)
        self.sent = self.wire.pull(UPSTREAM)

    def loop(self, room: Room) -> _Loop:
        return _Loop(self.wire, room)


class _Loop:
    def __init__(self, wire: _core.Wire, room: Room) -> None:
        self._wire, self._room = wire, room

    def __call__(self, times: int) -> float:
        return _core._bench_exchange(self._wire, CLIENT, self._room, times)


def logged(snapshot: _core.Snapshot, request: bytes) -> bytes:
    """The access log's line of a whole exchange."""
    wire = _core.Wire(snapshot)
    with tempfile.TemporaryFile() as log:
        wire.access_log(log.fileno())
        wire.open()
        wire.run(CLIENT, request, workload.ANSWER, 1)
        wire.access_log(-1)
        log.seek(0)
        return log.read()
