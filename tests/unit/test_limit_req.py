"""limit-req on memory: who passes, who waits how long, who is refused; what becomes of one that waits."""

import json
import tempfile
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgw import _core
from fastgw.plugins import limit_req, order
from fastgw.plugins.contract import Env
from fastgw.schema.decode import faults_of
from tests.oracle.limits import Leaky
from tests.support.core import OK, snapshot

GET = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"
LEAST = Fraction(1, 1000)  # s: shorter waits are not made


class _Env(Env):
    owner = "routes/r"


def steps(**conf: object) -> list[_core.Step]:
    plugin = order.get("limit-req")
    decoded, faults = faults_of({"key": "remote_addr", **conf}, limit_req.Conf)
    assert plugin is not None
    assert faults == []
    return plugin.provision(decoded, _Env())


def upstream_saw(wire: _core.Wire) -> set[int]:
    """The numbers of the requests that went out since last asked."""
    lines = [wire.pull(i) for i, side, _ in wire.lines() if side == "up"]
    return {int(line.split()[1][1:]) for line in lines if line}


@given(
    rate=st.sampled_from([0.3, 1, 2.5, 7, 50, 333, 12_345.678]),
    burst=st.sampled_from([0, 0.5, 1, 2, 3.75, 20]),
    gaps=st.lists(st.integers(0, 3000), min_size=1, max_size=25),
)
def test_it_is_the_leaky_bucket(rate: float, burst: float, gaps: list[int]) -> None:
    """Each request passes when the plain-Python bucket says, to the microsecond; gaps are in thousandths of 1/rate."""
    oracle = Leaky(Fraction(str(rate)), Fraction(str(burst)))
    wire = _core.Wire(snapshot(*steps(rate=rate, burst=burst)))
    now, waiting = Fraction(0), dict[int, Fraction]()

    def until(moment: Fraction) -> None:
        """Lets time go by, looking just before and just after each wait is over."""
        nonlocal now
        for look in sorted({due + beside for due in waiting.values() for beside in (-MICRO, MICRO)} | {moment}):
            if now < look <= moment:
                wire.advance(float(look - now) + 2e-10)  # cut to whole nanoseconds: exactly this many
                now = look
                seen = upstream_saw(wire)
                assert seen >= {number for number, due in waiting.items() if due < now}
                assert all(waiting.pop(number) <= now for number in seen)  # at the very moment: the core rounds up to whole ns

    for number, gap in enumerate(gaps):
        until(now + Fraction(gap * 10**6 // int(rate * 1000), 10**6))
        line = wire.open()
        told = oracle.hit(now)
        wire.push(line, GET % number)
        if told is None:
            assert wire.pull(line).startswith(b"HTTP/1.1 503 ")
        elif told < LEAST:
            assert upstream_saw(wire) == {number}
        else:
            assert upstream_saw(wire) == set()
            waiting[number] = now + told
    until(now + 1 + max(waiting.values(), default=now) - now)
    assert not waiting


MICRO = Fraction(1, 10**6)


def test_without_delay_the_burst_passes_at_once() -> None:
    wire = _core.Wire(snapshot(*steps(rate=1, burst=2, nodelay=True, rejected_code=429, rejected_msg="slow down")))
    line = wire.open()
    for number in range(4):
        other = wire.open()
        wire.push(other, GET % number)
    assert upstream_saw(wire) == {0, 1, 2}
    refused = wire.pull(other)
    assert refused.startswith(b"HTTP/1.1 429 ")
    assert b"\r\nRetry-After: 1\r\n" in refused
    assert refused.endswith(b'\r\n\r\n{"error_msg":"slow down"}\n')
    assert wire.is_open(line)


def test_in_shadow_it_neither_refuses_nor_delays() -> None:
    """What it would have done is in the log; what it counts is what it would count."""
    region = _core.Region.create(1024)
    conf = {"rate": 1, "burst": 2, "rejected_code": 429}
    wire = _core.Wire(snapshot(*steps(**conf, _meta={"shadow": True})), region=region)
    with tempfile.TemporaryFile() as log:
        wire.access_log(log.fileno())
        for number in range(5):
            line = wire.open()
            wire.push(line, GET % number)
            up = next(i for i, side, _ in wire.lines() if side == "up")
            assert wire.pull(up).startswith(b"GET /%d " % number)
            wire.push(up, OK)
            assert wire.pull(line).startswith(b"HTTP/1.1 200 OK\r\n")
        wire.access_log(-1)
        log.seek(0)
        lines = [json.loads(line) for line in log]
    assert [line.get("shadow") for line in lines] == [None, *["limit-req.delayed"] * 2, *["limit-req.exceeded"] * 2]
    assert not any("refused" in line for line in lines)
    assert (region.metrics()["shadowed_limit"], region.metrics()["refused_limit"]) == (2, 0)
    wire.install(snapshot(*steps(**conf)))
    line = wire.open()
    wire.push(line, GET % 9)
    assert wire.pull(line).startswith(b"HTTP/1.1 429 ")


def test_requests_of_one_connection_wait_one_after_the_other() -> None:
    wire = _core.Wire(snapshot(*steps(rate=10, burst=5)))
    line = wire.open()
    wire.push(line, b"".join(GET % number for number in range(3)))
    for number in range(3):
        assert upstream_saw(wire) == {number}
        up = next(i for i, side, _ in wire.lines() if side == "up")
        wire.push(up, OK)
        assert wire.pull(line).count(b"HTTP/1.1 200 OK") == 1
        wire.advance(0.11)


@pytest.mark.parametrize("leave", ["reset", "end"])
def test_a_client_that_leaves_while_it_waits(leave: str) -> None:
    """Its turn is used up, nothing goes upstream, and nothing of it stays, not even until its time would have come."""
    wire = _core.Wire(snap := snapshot(*steps(rate=0.1, burst=5)))
    first, gone = wire.open(), wire.open()
    wire.push(first, GET % 0)
    assert upstream_saw(wire) == {0}
    wire.push(gone, GET % 1)
    getattr(wire, leave)(gone)
    wire.advance(2)  # one that only ended its side is waited for for a second
    assert not wire.is_open(gone)
    assert (wire.active, snap.inflight) == (1, 1)
    wire.advance(20)
    assert (upstream_saw(wire), wire.active, snap.inflight) == (set(), 1, 1)
    third = wire.open()
    wire.push(third, GET % 2)
    assert upstream_saw(wire) == {2}


@given(st.lists(st.integers(1, 30), max_size=30, unique=True))
def test_the_others_keep_their_turns_when_some_leave(leaving: list[int]) -> None:
    wire = _core.Wire(snapshot(*steps(rate=10, burst=50)))
    lines = [wire.open() for _ in range(31)]
    for number, line in enumerate(lines):
        wire.push(line, GET % number)
    assert upstream_saw(wire) == {0}
    for number in leaving:
        wire.reset(lines[number])
    for number in range(1, 31):
        wire.advance(0.1)
        assert upstream_saw(wire) == ({number} - set(leaving))


def test_one_that_waits_ends_on_the_snapshot_it_began_on() -> None:
    old = snapshot(*steps(rate=10, burst=5))
    wire = _core.Wire(old)
    for number in range(2):
        wire.push(wire.open(), GET % number)
    assert upstream_saw(wire) == {0}
    wire.install(snapshot(*steps(rate=10, burst=5, nodelay=True)))
    assert old.inflight == 2
    wire.advance(0.1)
    assert upstream_saw(wire) == {1}
    line = wire.open()
    wire.push(line, GET % 2)  # the bucket is the same one, and its owner no longer asks it to wait
    assert upstream_saw(wire) == {2}


def test_the_core_can_be_closed_while_requests_wait() -> None:
    snap = snapshot(*steps(rate=0.1, burst=50))
    wire = _core.Wire(snap)
    lines = [wire.open() for _ in range(20)]
    for number, line in enumerate(lines):
        wire.push(line, GET % number)
    wire.reset(lines[5])
    assert snap.inflight == 19
    del wire
    assert snap.inflight == 0


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"rate": 0, "burst": 1}, "rate: expected more than 0, found 0"),
        ({"rate": 1e-7, "burst": 1}, "rate: expected 0.000001 to 1000000000 requests per second"),
        ({"rate": 1, "burst": -1}, "burst: expected at least 0, found -1"),
        ({"rate": 1}, "burst: missing"),
        ({"rate": 1, "burst": 0, "key": ""}, "key: expected at least 1 character, found 0"),
        ({"rate": 1, "burst": 0, "policy": "redis"}, 'redis_host: missing; policy "redis" needs it'),
        ({"rate": 1, "burst": 0, "policy": "redis-sentinel"}, 'policy: expected one of "local", "redis", "redis-cluster"'),
        ({"rate": 1, "burst": 0, "key_type": "constant"}, "key_type: expected one of"),
    ],
)
def test_faults_are_named(conf: dict[str, object], message: str) -> None:
    faults = [str(fault) for fault in faults_of({"key": "remote_addr", **conf}, limit_req.Conf)[1]]
    assert len(faults) == 1
    assert faults[0].startswith(message)


@pytest.mark.parametrize("rate", [1e-6, 1 / 3, 0.1, 1, 3.3333333333, 1e6, 1e9])
def test_any_lawful_rate_is_counted(rate: float) -> None:
    """At its own pace all pass; twice as fast half of them do not."""
    wire = _core.Wire(snapshot(*steps(rate=rate, burst=0)))
    for pace, expected in ((1.001, 20), (0.501, 10)):
        wire.advance(1 / rate + 1e-6)
        passed = 0
        for _ in range(20):
            wire.push(wire.open(), GET % 0)
            passed += upstream_saw(wire) == {0}
            wire.advance(pace / rate + 1e-9)
        if rate < 1e6:  # else a nanosecond, the clock's step, is too long
            assert passed == expected
        assert passed > 0
