"""An upstream of several nodes on the core without sockets: which of them a request goes to, and what becomes of it there.

Owns: what the tests of balancing share. Must not know what they claim.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fastgw import _core
from tests.support.core import OK, pool, snapshot
from tests.support.judged import Judged

Nodes = Mapping[str, int] | Iterable[tuple[str, int, int]]
"""Names to weights, or names with weights and priorities."""


class Balanced:
    """The nodes are told apart by the Host that reaches them."""

    def __init__(self, nodes: Nodes, *, address: str = "192.0.2.1", unresolved: tuple[str, ...] = (), **options: Any) -> None:
        self.address = address
        self.pools: dict[str, _core.Pool] = {}
        self.unresolved = unresolved
        self.judged = Judged()
        self.credentials: tuple[_core.Credential, ...] = ()
        self.wire = _core.Wire()
        self._idle: list[int] = []
        self.use(nodes, **options)

    def use(self, nodes: Nodes, *steps: _core.Step, **options: Any) -> None:
        """From now on these are the nodes; those that stay keep their pools, as the compiler has it."""
        listed = [(name, weight, 0) for name, weight in nodes.items()] if isinstance(nodes, Mapping) else list(nodes)
        entries = [(self._pool(name), weight, priority, name.encode()) for name, weight, priority in listed]
        for name, _, _ in listed:
            if name not in self.unresolved:
                self.judged.add(name)
        self._names = [name for name, _, _ in sorted(listed, key=lambda each: -each[2])]
        # No connection is kept unless asked for: one that breaks while idle is no fault of its node.
        chosen = {"keepalive_requests": 1, "checks": self.judged.checks(), **options}
        self.upstream = _core.Upstream(entries, pass_host="node", **chosen)
        self.wire.install(snapshot(*steps, to=self.upstream, credentials=self.credentials))
        self.pools = {name: self.pools[name] for name, _, _ in listed}

    def down(self, *indices: int) -> None:
        """These nodes, counted by priority, are unwell from now on, and no others."""
        for index, name in enumerate(self._names):
            if name not in self.unresolved:
                self.judged.set(name, index not in indices)

    def _pool(self, name: str) -> _core.Pool:
        if name not in self.pools:
            self.pools[name] = _core.Pool(name) if name in self.unresolved else pool(name)
        return self.pools[name]

    def begin(self, target: str = "/", method: str = "GET", **fields: str) -> Request:
        """A request on a line that has no other under way."""
        self._idle = [line for line in self._idle if self.wire.is_open(line)]
        line = self._idle.pop() if self._idle else self.wire.open(self.address)
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in {"Host": "x", **fields}.items())
        self.wire.push(line, f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode())
        return Request(self, line)

    def asked(self, target: str = "/", **fields: str) -> str:
        """The node that answers a request."""
        request = self.begin(target, **fields)
        node = request.node
        assert request.answer() == 200
        return node

    def free(self, line: int) -> None:
        """This line may be used for another request."""
        self._idle.append(line)

    def sent(self) -> tuple[int, str] | None:
        """The upstream line on which a request went out since the last look, and the node it is to."""
        for line, side, is_open in reversed(self.wire.lines()):
            if side == "up" and is_open and (data := self.wire.pull(line)):
                return line, data.partition(b"Host: ")[2].partition(b"\r\n")[0].decode()
        return None


class Request:
    """One under way. `node` is where it is now; empty where it has been answered."""

    def __init__(self, balanced: Balanced, line: int) -> None:
        self._balanced = balanced
        self._line = line
        self.up = -1
        self.node = ""
        self._look()

    def _look(self) -> None:
        self.up, self.node = self._balanced.sent() or (-1, "")

    def answer(self, data: bytes = OK) -> int:
        """Its node says this; gives the status that the client got, 0 for none yet."""
        self._balanced.wire.push(self.up, data)
        return self.status()

    def status(self) -> int:
        status = int(self._balanced.wire.pull(self._line)[9:12] or 0)
        if status:
            self._balanced.free(self._line)
        return status

    def fail(self) -> str:
        """Its connection breaks; gives the node that it goes to now."""
        self._balanced.wire.reset(self.up)
        self._look()
        return self.node

    def leave(self) -> None:
        """The client goes away."""
        self._balanced.wire.reset(self._line)
