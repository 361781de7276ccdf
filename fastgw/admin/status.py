"""The Status API: whether the gateway lives, and whether it is ready for traffic, for probes without a key.

Owns: the two paths and what ready means: every worker has served once, and one serves now. Must not know: what a
worker serves. A worker that serves has applied the whole configuration first.
"""

from typing import Final

import msgspec

from fastgw._core import Region
from fastgw.admin.envelope import Reply, error
from fastgw.admin.server import Request
from fastgw.slots import Kind, State

__all__ = ["Status"]

OK: Final = Reply(200, b'{"status":"ok"}\n')


class Status:
    """The handler behind the status listener."""

    def __init__(self, region: Region, workers: int) -> None:
        """workers: how many there were to be when this process began; a reload may have changed it since."""
        self._region = region
        self._wanted = workers

    async def __call__(self, request: Request) -> Reply:
        path = request.target.partition("?")[0]
        if request.method not in ("GET", "HEAD") or path not in ("/status", "/status/ready"):
            return error(404, "not found")
        return OK if path == "/status" else self._readiness()

    def _readiness(self) -> Reply:
        slots = (self._region.slot(index) for index in range(self._region.slot_count))
        serving = sum(slot.kind == Kind.WORKER and slot.state == State.SERVING for slot in slots)
        if serving < self._wanted:
            why = f"{serving} of {self._wanted} workers hold the configuration"
            return Reply(503, msgspec.json.encode({"status": "error", "error": why}) + b"\n")
        self._wanted = 1  # one that dies later is replaced, and the others serve
        return OK
