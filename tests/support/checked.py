"""Nodes whose health a test decides, and what the Control API tells of them.

Owns: nodes, a gateway that checks them. Must not know what a test claims.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.proxying.nodes import saying
from tests.support.control import ask
from tests.support.gateway import Gateway
from tests.support.upstreams import Answering
from tests.support.waiting import until
from tests.support.wire import Address

PATH = "/healthz"
NEUTRAL = 418  # in no list
SILENT = 0
QUICK = {"successes": 1, "http_failures": 1, "tcp_failures": 1, "timeouts": 1}


class Node(Answering):
    """Says its name to requests and `status` to probes, but `next` to the next ones; SILENT: nothing at all.

    `answers`: what a request gets instead.
    """

    def __init__(self, name: str = "", **where: Any) -> None:
        super().__init__(self._respond, **where)
        self.name = name
        self.status = 200
        self.next: list[int] = []
        self.answers: bytes | None = None
        self.probes: list[bytes] = []
        self.requests = 0

    def _respond(self, request: bytes) -> bytes:
        if request.split(b" ", 2)[1] != PATH.encode():
            self.requests += 1
            return self.answers or saying(self.name)(request)
        status = self.next.pop(0) if self.next else self.status
        self.probes.append(request)
        if status == SILENT:
            self.closing.wait()
            raise ConnectionError
        return b"HTTP/1.1 %d Status\r\nContent-Length: 0\r\n\r\n" % status

    def probed(self, more: int = 1) -> None:
        """Waits until it was probed so often again."""
        seen = len(self.probes)
        until(lambda: len(self.probes) >= seen + more, "it is probed")


def checks(passive: dict[str, Any] | None = None, **active: Any) -> dict[str, Any]:
    """A check in every second where one result decides, unless told otherwise."""
    healthy = {"interval": 1, "successes": QUICK["successes"], **active.pop("healthy", {})}
    failures = {name: QUICK[name] for name in ("http_failures", "tcp_failures", "timeouts")}
    unhealthy = {"interval": 1, **failures, **active.pop("unhealthy", {})}
    made: dict[str, Any] = {"active": {"http_path": PATH, "healthy": healthy, "unhealthy": unhealthy, **active}}
    if passive is not None:
        made["passive"] = passive
    return made


class Checking(Gateway):
    """A gateway whose Control API is asked."""

    def __init__(self, directory: Path, config: dict[str, Any], **more: Any) -> None:
        super().__init__(directory, {"control": f"unix:{directory}/control.sock", **config}, **more)

    def control(self, target: str, **fields: str) -> tuple[int, Any]:
        return ask(self.directory / "control.sock", "GET", f"/v1/healthcheck{target}", fields)[:2]

    def states(self, owner: str) -> dict[str, str]:
        """Of the nodes of an object, by address and port."""
        status, told = self.control(f"/{owner}")
        assert status == 200, told
        return {f"{node['ip']}:{node['port']}": node["status"] for node in told["nodes"]}

    def counters(self, owner: str, node: Address) -> dict[str, int]:
        told = self.control(f"/{owner}")[1]["nodes"]
        (found,) = [each["counter"] for each in told if (each["ip"], each["port"]) == tuple(node)]
        return dict(found)

    def wait_for(self, owner: str, node: Address, state: str) -> None:
        until(lambda: self._state(owner, node) == state, f"{owner}: {node} is {state}")

    def _state(self, owner: str, node: Address) -> str:
        try:
            return self.states(owner).get(str(node), "")
        except OSError:  # no admin process at this moment
            return ""
