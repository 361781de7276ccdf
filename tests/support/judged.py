"""The health of nodes as the core knows it, without an admin process.

Owns: places in a table, who has one. Must not know what a test claims.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

from fastgw import _core

LOOPBACK = "127.0.0.1"  # what support.core.pool resolves every name to
_owners = itertools.count(1)


@cache
def region() -> _core.Region:
    return _core.Region.create(64, slots=1)


class Judged:
    """The nodes of an object of its own."""

    def __init__(self, *passive: Any) -> None:
        """passive: what requests report, as Checks has it."""
        self.health = _core.Health(region())
        self.owner = f"upstreams/{next(_owners)}"
        self._passive: Any = passive or None

    def checks(self) -> _core.Checks:
        return _core.Checks(self.health, self.owner, self._passive)

    def who(self, node: str, address: str = LOOPBACK) -> int:
        """Of this address of a node."""
        return self.health.who(self.owner, node, address)

    def add(self, node: str, *addresses: str) -> None:
        """It is checked, at these addresses."""
        for address in addresses or (LOOPBACK,):
            assert self.health.add(self.who(node, address))

    def set(self, node: str, well: bool, address: str = LOOPBACK) -> None:
        """It was found so."""
        who = self.who(node, address)
        assert self.health.report(who, "success" if well else "tcp_failure", 1), "it has no place"

    def look(self, node: str, address: str = LOOPBACK) -> _core.NodeHealth:
        found = self.health.look(self.who(node, address))
        assert found is not None
        return found
