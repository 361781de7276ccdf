"""Chaos: clocks jump, forwards and backwards; processes stand still and go on.

Held: what the wall clock says decides of tokens and stands in logs, and of nothing else: limits count on, connections and
requests under way go on. A clock that only goes forward may leap: what has waited too long by it is given up, and all else is as
before. Sequences follow from a seed: tests/support/chaos.py.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.support import wire
from tests.support.asking import Asking, Telling
from tests.support.chaos import LIMIT_S, Turn, turns
from tests.support.clock import Clock, clock
from tests.support.gateway import Gateway
from tests.support.processes import descendants
from tests.support.upstreams import OK, Scripted
from tests.support.waiting import until

CLIENTS = 8
COUNT, WINDOW = 1_000_000, 86_400
MOST_S = 40 * 86_400  # of a jump, either way
HOUR = 3600
SECRET = "a-secret-of-more-than-thirty-two-bytes"
NEAR_S = 5  # between what a test reads and what a process writes


def _config(upstream: Telling, log: Path, window: int = WINDOW) -> dict[str, Any]:
    node = {"type": "roundrobin", "nodes": {str(upstream.address): 1}}
    limit = {"count": COUNT, "time_window": window, "key_type": "constant", "key": "all", "rejected_code": 429}
    token = {"id": "c", "plugins": {"jwt-auth": {"key": "user", "secret": SECRET}}}
    routes = [
        {"id": "plain", "uri": "/*", "upstream": node, "plugins": {"limit-count": limit}},
        {"id": "token", "uri": "/l/token/2", "upstream": node, "plugins": {"jwt-auth": {}}},
    ]
    consumers = [{"username": "user", "credentials": [token]}]
    return {"workers": 2, "access_log": {"path": str(log)}, "routes": routes, "consumers": consumers}


@contextlib.contextmanager
def _gateway(directory: Path, config: dict[str, Any]) -> Iterator[tuple[Gateway, Clock]]:
    with clock(directory) as clock_, Gateway(directory, config, env=clock_.env) as gateway:
        yield gateway, clock_


@pytest.mark.timeout(LIMIT_S)
def test_the_wall_clock_jumps(directory: Path) -> None:
    now = time.time()
    token = jwt.encode({"key": "user", "nbf": int(now - HOUR), "exp": int(now + HOUR)}, SECRET, "HS256")
    log = directory / "access.log"
    with Telling() as upstream, _gateway(directory, _config(upstream, log)) as (gateway, clock_):
        with wire.Client(gateway.data) as kept:
            seen_of: list[tuple[float, float]] = []  # what was left of the limit, and when its window was to end

            def play(turn: Turn) -> None:
                with Asking(lambda: gateway.data, CLIENTS, name=f"w{turn.number}", seed=turn.number) as asking:
                    ahead = turn.chance.choice(
                        (0, turn.chance.uniform(-MOST_S, MOST_S), turn.chance.uniform(-HOUR / 2, HOUR / 2))
                    )
                    where = f"{turn.where}: {ahead:.0f} s ahead"
                    clock_.set(wall=ahead)
                    seen = asking.done
                    until(lambda: asking.done > seen + 2 * CLIENTS, f"{where}: the load goes on")
                    valid = abs(ahead) < HOUR - 60
                    answer = gateway.get("/l/token/2", token)
                    # What is remembered of a token is judged by the clock again.
                    assert answer.status == (200 if valid else 401), f"{where}: {answer}"
                    gateway.put("upstreams/u", {"nodes": {"127.0.0.1:80": 1}, "desc": where})
                    assert "reloaded" in gateway.reload()
                assert asking.wrong == [], where
                assert (set(asking.statuses), asking.cut, asking.refused) == ({200}, 0, 0), where
                answer = kept.request("GET", "/l/kept/2")
                assert answer.status == 200, f"{where}: a connection that has waited"
                left, reset = (float(answer.headers[f"x-ratelimit-{name}"]) for name in ("remaining", "reset"))
                for before, end in seen_of[-1:]:
                    assert left == before - asking.done - 1, f"{where}: the limit counts on"
                    assert end - HOUR < reset <= end, f"{where}: its window ends when it was to end"
                seen_of.append((left, reset))
                until(lambda: abs(_last_line(log) - time.time() - ahead) < NEAR_S, f"{where}: the log has the clock's time")

            for turn in turns("wall clock", least=8):
                play(turn)
        assert len(gateway.workers()) == 2


def _last_line(log: Path) -> float:
    text = json.loads(log.read_text().splitlines()[-1])["time"]
    return datetime.fromisoformat(text.rstrip("Z")).replace(tzinfo=timezone.utc).timestamp()


@pytest.mark.timeout(LIMIT_S)
def test_a_request_under_way_does_not_see_it(directory: Path) -> None:
    """Its timeouts are of a clock that nobody sets."""
    with Telling() as upstream, Scripted([OK], keep_open=True) as slow:
        config = _config(upstream, directory / "access.log")
        config["routes"].append({"id": "slow", "uri": "/slow", "upstream": {"nodes": {str(slow.address): 1}}})
        with _gateway(directory, config) as (gateway, clock_), wire.connect(gateway.data) as client:
            client.sendall(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
            slow.wait_for(b"POST /slow")
            for ahead in (MOST_S, -MOST_S, 0):
                clock_.set(wall=ahead)
                assert gateway.get("/l/other/2").status == 200
            client.sendall(b"body")
            assert wire.read_response(client).status == 200


@pytest.mark.timeout(LIMIT_S)
def test_the_steady_clock_leaps(directory: Path) -> None:
    """As after a machine was put to sleep, where its clock goes on. A window is over by then, so the limit counts afresh."""
    with (
        Telling() as upstream,
        _gateway(directory, _config(upstream, directory / "access.log", window=HOUR)) as (gateway, clock_),
    ):
        ahead = 0.0

        def play(turn: Turn) -> None:
            nonlocal ahead
            with Asking(lambda: gateway.data, CLIENTS, name=f"s{turn.number}", seed=turn.number) as asking:
                until(lambda: asking.done > 4 * CLIENTS, "the load runs")
                ahead += turn.chance.uniform(HOUR, 10 * HOUR)
                clock_.set(monotonic=ahead)
                seen = asking.done
                until(lambda: asking.done > seen + 4 * CLIENTS, f"{turn.where}: the load goes on")
            assert asking.wrong == [], turn.where
            # Requests under way have waited too long; what was kept for the next request is closed.
            assert set(asking.statuses) <= {200, 504, 408}, turn.where
            assert asking.statuses[504] + asking.statuses[408] + asking.cut <= 2 * CLIENTS, turn.where
            left = int(gateway.get("/l/after/2").headers["x-ratelimit-remaining"])
            assert COUNT - left < asking.done, f"{turn.where}: a window that is over"
            gateway.put("upstreams/u", {"nodes": {"127.0.0.1:80": 1}, "desc": turn.where})
            assert "reloaded" in gateway.reload(), turn.where
            assert len(gateway.workers()) == 2, gateway.log()

        for turn in turns("steady clock", least=3):
            play(turn)


@pytest.mark.timeout(LIMIT_S)
def test_processes_stand_still(directory: Path) -> None:
    """For longer than any turn takes, and less than any timeout: as where a machine swaps, or is moved."""
    with Telling() as upstream, Gateway(directory, _config(upstream, directory / "access.log")) as gateway:

        def play(turn: Turn) -> None:
            before = gateway.workers()
            with Asking(lambda: gateway.data, CLIENTS, name=f"p{turn.number}", seed=turn.number) as asking:
                until(lambda: asking.done > 4 * CLIENTS, "the load runs")
                family = [gateway.process.pid, *descendants(gateway.process.pid)]
                victims = turn.chance.sample(family, turn.chance.randrange(1, len(family) + 1))
                for pid in victims:
                    os.kill(pid, signal.SIGSTOP)
                began = time.monotonic()
                until(lambda: time.monotonic() - began > 1.5, "they stand still")
                for pid in victims:
                    os.kill(pid, signal.SIGCONT)
                seen = asking.done
                until(lambda: asking.done > seen + 4 * CLIENTS, f"{turn.where}: the load goes on")
            assert asking.wrong == [], turn.where
            assert (set(asking.statuses), asking.cut, asking.refused) == ({200}, 0, 0), turn.where
            assert gateway.workers() == before, turn.where

        for turn in turns("standstill", least=2):
            play(turn)
