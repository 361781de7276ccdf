"""Balancing while everything changes: nodes, addresses of names, health, time, and either side leaving. Whatever the order, each
request ends and no connection is lost count of."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fastgw import _core
from tests.support.core import OK, pool, snapshot
from tests.support.judged import Judged

ADDRESSES = [f"192.0.2.{i}:80" for i in range(10, 16)]
NAMES = ["a.test:80", "b.test:80"]
GET = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"

nodes = st.lists(
    st.tuples(st.sampled_from(ADDRESSES + NAMES), st.integers(0, 3), st.integers(-1, 1)),
    min_size=1,
    max_size=5,
    unique_by=lambda each: each[0],
)
balances = st.sampled_from(["roundrobin", "chash", "least_conn", "ewma"])


class Changing(RuleBasedStateMachine):
    """`pools` are kept as compile.py keeps them; a name's members go when the name has other addresses."""

    @initialize(listed=nodes, balance=balances)
    def start(self, listed: list[tuple[str, int, int]], balance: str) -> None:
        self.wire = _core.Wire()
        self.pools: dict[str, _core.Pool] = {}
        self.judged = Judged([200], 2, [500], 1, 2, 1)
        for name in ADDRESSES:
            self.judged.add(name)
        for name in NAMES:
            self.judged.add(name, *(f"198.51.100.{i}" for i in range(1, 7)))  # and of the others nothing is known
        self.install(listed, balance, 0)

    @rule(listed=nodes, balance=balances, slow=st.sampled_from([0, 60]))
    def install(self, listed: list[tuple[str, int, int]], balance: str, slow: int) -> None:
        for name, _, _ in listed:
            if name not in self.pools:
                self.pools[name] = pool(name) if name in ADDRESSES else _core.Pool(name)
        entries = [(self.pools[name], weight, priority, name.encode()) for name, weight, priority in listed]
        options: dict[str, Any] = {"keepalive_requests": 3, "slow_start": slow, "balance": balance}
        if balance == "chash":
            options["key"] = _core.Template("uri")
        checks = self.judged.checks()
        self.upstream = _core.Upstream(entries, pass_host="node", budget=(1, 5), retries=None, checks=checks, **options)
        self.wire.install(snapshot(to=self.upstream))
        self.pools = {name: self.pools[name] for name, _, _ in listed}

    @rule(name=st.sampled_from(NAMES), addresses=st.lists(st.integers(1, 9), max_size=4, unique=True))
    def spread(self, name: str, addresses: list[int]) -> None:
        if name in self.pools:
            self.pools[name].spread([pool(f"198.51.100.{i}:80", f"198.51.100.{i}") for i in addresses])

    @rule(down=st.sets(st.sampled_from(ADDRESSES)), names=st.sets(st.integers(1, 6)))
    def judge(self, down: set[str], names: set[int]) -> None:
        for name in ADDRESSES:
            self.judged.set(name, name not in down)
        for i in range(1, 7):
            self.judged.set(NAMES[0], i not in names, f"198.51.100.{i}")

    @rule(how=st.sampled_from(["at once", "later", "refused"]))
    def connecting(self, how: str) -> None:
        self.wire.connecting(how)

    @rule(seconds=st.sampled_from([0.01, 1, 30, 100]))
    def wait(self, seconds: float) -> None:
        self.wire.advance(seconds)

    @rule(number=st.integers(0, 99))
    def ask(self, number: int) -> None:
        line = self.wire.open()
        self.wire.push(line, GET % number)

    def ups(self) -> list[int]:
        return [line for line, side, is_open in self.wire.lines() if side == "up" and is_open]

    @precondition(lambda self: self.ups())
    @rule(which=st.integers(0, 99), what=st.sampled_from(["answer", "connect", "reset", "end", "half"]))
    def upstream_does(self, which: int, what: str) -> None:
        line = self.ups()[which % len(self.ups())]
        if what == "answer":
            self.wire.connected(line)
            self.wire.push(line, OK)
        elif what == "connect":
            self.wire.connected(line)
        elif what == "half":
            self.wire.push(line, OK[:20])
        else:
            getattr(self.wire, what)(line)

    @rule(which=st.integers(0, 99))
    def client_leaves(self, which: int) -> None:
        downs = [line for line, side, is_open in self.wire.lines() if side == "down" and is_open]
        if downs:
            self.wire.reset(downs[which % len(downs)])

    @invariant()
    def no_more_requests_than_clients(self) -> None:
        downs = [line for line, side, is_open in self.wire.lines() if side == "down" and is_open]
        assert self.wire.active <= len(downs)

    def teardown(self) -> None:
        if not hasattr(self, "wire"):
            return
        for line, side, is_open in self.wire.lines():
            if side == "down" and is_open:
                self.wire.reset(line)
        self.wire.advance(200)
        self.wire.advance(200)
        assert (self.wire.active, self.ups()) == (0, [])
        assert [each.open for each in self.pools.values()] == [0] * len(self.pools)


TestChanging = Changing.TestCase
TestChanging.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)
