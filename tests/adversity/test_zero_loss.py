"""Reloads, rolling restarts and binary upgrades in one run under load: no request fails; no count, counter or line is lost.

FASTGW_TEST_RELOADS, FASTGW_TEST_RESTARTS and FASTGW_TEST_UPGRADES say how many there are (200, 20 and 5: the long run, some
minutes), FASTGW_TEST_SEED in which order. The default is a sample.
"""

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import Gateway, one_route
from tests.support.load import Load
from tests.support.processes import alive
from tests.support.upstreams import OK, Answering
from tests.support.waiting import PATIENCE, until

RELOADS = int(os.environ.get("FASTGW_TEST_RELOADS", "6"))
RESTARTS = int(os.environ.get("FASTGW_TEST_RESTARTS", "2"))
UPGRADES = int(os.environ.get("FASTGW_TEST_UPGRADES", "1"))
SEED = int(os.environ.get("FASTGW_TEST_SEED", "9"))
CONNECTIONS, WORKERS = 64, 2
KEPT = b"GET /kept HTTP/1.1\r\nHost: test\r\n\r\n"
CLOSED = b"GET /closed HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
ONE_IN = 16  # asks on a connection of its own: the queues of those who come and go are in use all the time
DRAIN_S = 300  # a machine so busy that the clients here stand still for longer is no fault of the gateway's
COUNT = 1_000_000_000
NEW_WORKERS_EVERY = 4  # reloads; the others change objects only
LIMIT = {"limit-count": {"count": COUNT, "time_window": 86_400, "key_type": "constant", "key": "all"}}


class Counting(Answering):
    """Knows how many requests it was sent."""

    def __init__(self) -> None:
        super().__init__(self._count)
        self.asked = 0
        self._lock = threading.Lock()

    def _count(self, request: bytes) -> bytes:
        with self._lock:
            self.asked += 1
        return OK


@pytest.mark.timeout(120 + 4 * RELOADS + 20 * RESTARTS + 30 * UPGRADES)
def test_nothing_is_lost(directory: Path) -> None:
    chance = random.Random(SEED)
    steps = ["reload"] * RELOADS + ["restart"] * RESTARTS + ["upgrade"] * UPGRADES
    chance.shuffle(steps)
    log = directory / "access.log"
    with Counting() as upstream:
        config = {"workers": WORKERS, "access_log": {"path": str(log)}, **one_route(upstream.address, plugins=LIMIT)}
        config["limits"] = {"drain_timeout": DRAIN_S}
        with Gateway(directory, config) as gateway:
            began = time.monotonic()
            with Load(gateway.data, lambda: CLOSED if chance.randrange(ONE_IN) == 0 else KEPT, CONNECTIONS) as load:
                reloads = 0
                for number, step in enumerate(steps):
                    seen = load.done
                    until(lambda seen=seen: load.done > seen + CONNECTIONS, "the load goes on")
                    if step == "reload":
                        reloads += 1
                        assert "refused" not in gateway.reload(_changed(config, reloads)), gateway.log()[-4000:]
                    elif step == "restart":
                        _restart(gateway)
                    else:
                        _upgrade(gateway)
                    where = f"seed {SEED}, step {number}: {step}"
                    assert (set(load.statuses), load.lost, load.refused) == ({200}, 0, 0), f"{where}\n{gateway.log()[-4000:]}"
                    assert len(gateway.workers()) >= WORKERS, where
                last = load.done
                until(lambda: load.done > last + CONNECTIONS, "the load goes on")
            elapsed = time.monotonic() - began
            assert (set(load.statuses), load.lost, load.refused) == ({200}, 0, 0)
            sent = load.done + 1
            assert gateway.get("/kept").headers["x-ratelimit-remaining"] == str(COUNT - sent), "the limit has counted each once"
            totals = gateway.api("GET", "stats").json()["totals"]
            assert {name: totals[name] for name in ("requests", "responses_2xx", "responses_5xx", "log_lines_dropped")} == {
                "requests": sent,
                "responses_2xx": sent,
                "responses_5xx": 0,
                "log_lines_dropped": 0,
            }
        assert upstream.asked == sent, "each was asked of the upstream once"
    with log.open("rb") as lines:
        assert sum(line.endswith(b"}\n") for line in lines) == sent, "each has a line"
    said = f"{RELOADS} reloads, {RESTARTS} restarts, {UPGRADES} upgrades in {elapsed:.0f} s"
    print(f"{said}; {sent} requests on {CONNECTIONS} connections, {load.of[CLOSED][200]} of them on one of their own; 0 lost")


def _changed(config: dict[str, Any], turn: int) -> dict[str, Any]:
    changed = {**config, "routes": [{**config["routes"][0], "desc": f"turn {turn}"}]}
    changed["limits"] = {"idle_timeout": 60 + turn // NEW_WORKERS_EVERY, "drain_timeout": DRAIN_S}
    return changed


def _restart(gateway: Gateway) -> None:
    before = gateway.workers()
    command = [sys.executable, "-m", "fastgw", "restart", str(gateway.config_path)]
    done = subprocess.run(command, cwd=gateway.directory, capture_output=True, text=True, timeout=60 * PATIENCE)
    assert (done.returncode, done.stderr) == (0, ""), gateway.log()[-4000:]
    assert not set(before) & set(gateway.workers())


def _upgrade(gateway: Gateway) -> None:
    before = [gateway.process.pid, *gateway.workers()]
    gateway.upgrade()
    assert not any(alive(pid) for pid in before)
