"""lua-resty-healthcheck's counting in the plainest words, from its documentation and what `incr_counter` does.

Owns: the definition that the core is compared with. Must not know how the core packs it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

FAILURES = ("http_failure", "tcp_failure", "timeout_failure")


@dataclass
class Node:
    """One target of a checker."""

    state: str = "healthy"
    counters: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("success", *FAILURES), 0))

    @property
    def serves(self) -> bool:
        return self.state in ("healthy", "mostly_healthy")

    def report(self, what: str, limit: int) -> None:
        goal = "healthy" if what == "success" else "unhealthy"
        if limit == 0:  # this counter is disabled
            return
        if self.state == goal:  # nothing could change
            return
        self.counters[what] += 1
        for other in FAILURES if goal == "healthy" else ("success",):
            self.counters[other] = 0
        if self.counters[what] >= limit:
            self.state = goal
        elif self.state == "healthy":
            self.state = "mostly_healthy"
        elif self.state == "unhealthy":
            self.state = "mostly_unhealthy"
