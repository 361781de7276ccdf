"""The picture of `fastgw top`: what it shows is a function of what it was told, and nothing in it moves a terminal."""

from typing import Any

import pytest

from fastgw.top import Seen, frame, plain

NAMES = ("requests", "responses_2xx", "responses_4xx", "responses_5xx")
TOTALS = (*NAMES, "limit_evictions")


def process(pid: int, requests: int, role: str = "worker", state: str = "serving") -> dict[str, Any]:
    counted = dict.fromkeys(NAMES, 0) | {"requests": requests}
    return {"slot": pid, "pid": pid, "role": role, "state": state, "revision": 7, **counted}


def seen(time: float, *processes: dict[str, Any], hot: tuple[dict[str, Any], ...] = (), **members: Any) -> Seen:
    """members: totals by their names, and others of the answer."""
    totals = dict.fromkeys(TOTALS, 0) | {name: value for name, value in members.items() if name in TOTALS}
    empty: dict[str, Any] = {"latency_us": [], "refused": {}, "consumers": [], "nodes": [], "upstreams": []}
    more = {name: value for name, value in members.items() if name not in TOTALS}
    return Seen({"time": time, "revision": 7, "processes": processes, "totals": totals, **empty, **more}, hot)


def asked(member: str, name: str, requests: int, us: int = 0) -> dict[str, Any]:
    zeros = dict.fromkeys(("responses_4xx", "responses_5xx", "upstream_us", "request_us"), 0)
    return {member: name, "requests": requests, **zeros, "request_us": us, "upstream_us": us}


def limit(key: str | None, **members: Any) -> dict[str, Any]:
    numbers = {"limit": 3, "consumed": 2, "remaining": 1, "reset": 41.5, "retry_after": 0.0}
    rates = {"hits_per_second": 12.25, "refused_per_second": 0.5}
    return {"owner": "routes/r", "plugin": "limit-count", "key": key, "algorithm": "fixed", **numbers, **rates, **members}


def test_rates_are_differences_over_the_time_between() -> None:
    before = seen(10.0, process(11, 100), process(12, 5), requests=1000, limit_evictions=4)
    now = seen(12.0, process(11, 300), process(13, 900), process(1, 0, "admin"), requests=1400, limit_evictions=10)
    lines = frame(before, now, "gateway")
    assert lines[0].split("  ")[:2] == ["fastgw gateway", "revision 7"]
    assert "requests 1400 (200/s)" in lines[1]
    assert "evicted 10 (3.0/s)" in lines[1]
    rows = [line.split() for line in lines]
    assert ["worker", "11", "serving", "100", "0.0", "0.0", "7"] in rows
    assert ["worker", "13", "serving", "0.0", "0.0", "0.0", "7"] in rows  # it has just come: of what before it nothing is known
    assert ["admin", "1", "serving", "0.0", "0.0", "0.0", "7"] in rows
    assert not any("12" in row[1:2] for row in rows)


def test_limits_and_what_nobody_knows() -> None:
    unknown = dict.fromkeys(("limit", "consumed", "remaining", "reset", "retry_after"))
    now = seen(2.0, hot=(limit("192.0.2.1"), limit(None, **unknown), limit("k", rule="$uri")))
    rows = [line.split() for line in frame(seen(1.0), now, "g")]
    assert ["12.2", "0.5", "3", "2", "1", "42s", "routes/r", "limit-count", "192.0.2.1"] in rows
    assert ["12.2", "0.5", "-", "-", "-", "-", "routes/r", "limit-count", "-"] in rows
    assert any(row[-3:] == ["limit-count", "$uri", "k"] for row in rows)
    assert "no limit was asked in the last ten seconds" in frame(seen(1.0), seen(2.0), "g")


def test_a_key_moves_no_terminal() -> None:
    lines = frame(seen(1.0), seen(2.0, hot=(limit("a\x1b[2J\r\n\x9b\u202eb"),)), "g")
    assert any(line.endswith(r"a\x1b[2J\r\n\x9b\u202eb") for line in lines)
    evil = "\x1b[2J\r\n"
    named = {"consumers": [asked("consumer", evil, 1)], "nodes": [asked("node", evil, 1)], "refused": {evil: 1}}
    more = frame(seen(1.0), seen(2.0, **named), "g")
    assert sum(line.startswith(r"\x1b[2J\r\n") for line in more) == 3
    assert all(line.isprintable() for line in more)
    assert all(line.isprintable() for line in lines)
    assert plain("é€ ok") == "é€ ok"


def test_a_picture_fits() -> None:
    now = seen(2.0, hot=tuple(limit("k" * 300) for _ in range(100)))
    lines = frame(seen(1.0), now, "g", width=80, height=20)
    assert len(lines) == 20
    assert max(map(len, lines)) == 80
    assert frame(seen(1.0), seen(1.0), "g")  # two answers of one moment


def test_who_has_just_come_into_the_list_has_no_rate_yet() -> None:
    """It has the busiest only: of one that was not in it before nobody knows what it had counted then."""
    before = seen(1.0, consumers=[asked("consumer", "known", 100, 1_000)])
    now = seen(2.0, consumers=[asked("consumer", "known", 150, 101_000), asked("consumer", "old", 1_000_000)])
    rows = [line.split() for line in frame(before, now, "g")]
    assert ["known", "50.0", "0.0", "0.0", "2.0"] in rows
    assert ["old", "0.0", "0.0", "0.0", "-"] in rows


def node(ip: str, state: str) -> dict[str, Any]:
    return {"name": "/apisix/upstreams/u", "ip": ip, "port": 80, "state": state}


@pytest.mark.parametrize("height", [24, 40])
def test_many_limits_leave_room_for_the_others(height: int) -> None:
    many: dict[str, Any] = {
        "consumers": [asked("consumer", f"c{number}", 1) for number in range(100)],
        "nodes": [asked("node", f"192.0.2.{number}", 1) for number in range(100)],
        "refused": {f"reason-{number}": 1 for number in range(100)},
    }
    hot = tuple(limit("k") for _ in range(100))
    lines = frame(seen(1.0, process(1, 0)), seen(2.0, process(1, 0), hot=hot, **many), "g", height=height)
    assert len(lines) == height
    for beginning in ("NODE ", "192.0.2.", "CONSUMER ", "c", "REFUSED ", "reason-"):
        assert any(line.startswith(beginning) for line in lines), beginning
    assert sum(line.endswith(" k") for line in lines) >= 2


def test_nodes_that_are_not_well_come_first() -> None:
    nodes = [asked("node", f"192.0.2.{number}", 10 - number) for number in range(10)]
    states = ("healthy", "mostly_healthy", "unhealthy", "healthy", "mostly_unhealthy")
    upstreams = [node(f"192.0.2.{number + 4}", state) for number, state in enumerate(states)]
    lines = frame(seen(1.0, nodes=nodes), seen(2.0, nodes=nodes, upstreams=upstreams), "g")
    shown = [line.split()[0] for line in lines if line.startswith("192.0.2.")]
    assert set(shown[:2]) == {"192.0.2.6", "192.0.2.8"}
    assert shown[2:] == ["192.0.2.0", "192.0.2.1", "192.0.2.2"]
