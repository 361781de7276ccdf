"""Chaos: every kind of process is killed (SIGKILL), at any moment, under load and writes, also in the middle of upgrades.

Held: no wrong answer; who was not on the dead process is served; what was acknowledged is there; limits have counted each request
once, but for those in flight on the dead; nothing is held for the dead; each line of the log is whole; all processes are back in
time. Sequences follow from a seed: tests/support/chaos.py.
"""

import contextlib
import http.client
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support import wire
from tests.support.asking import Asking, Telling
from tests.support.chaos import LIMIT_S, Turn, turns
from tests.support.gateway import ADMIN_KEY, Gateway
from tests.support.processes import adopt_orphans, alive, children, descendants, title
from tests.support.upstreams import Upstream
from tests.support.waiting import until

CLIENTS, WORKERS = 24, 3
COUNT = 1_000_000_000
LONGEST_S = 0.5  # of load before a kill
LONGEST_UPGRADE_S = 2.0


def _config(directory: Path, upstream: Upstream, **members: Any) -> dict[str, Any]:
    node = {"type": "roundrobin", "nodes": {str(upstream.address): 1}}
    counted = {"count": COUNT, "time_window": 86_400, "key_type": "constant", "key": "all"}
    held = {"conn": 1, "burst": 0, "default_conn_delay": 0.1, "key": "http_x_client", "rejected_code": 429}
    return {
        "workers": WORKERS,
        "access_log": {"path": str(directory / "access.log")},
        "shared_memory": {"path": str(directory / "shared"), "counters": 4096},
        "routes": [{"id": "r", "uri": "/*", "upstream": node, "plugins": {"limit-count": counted, "limit-conn": held}}],
        **members,
    }


def _named(chance: random.Random, client: int) -> tuple[str, str]:
    return "GET", f"X-Client: {client}\r\n"


class Writer(threading.Thread):
    """Writes one object after the other, each anew, until it is told to stop; `known` is what it was acknowledged."""

    def __init__(self, gateway: Gateway, name: str) -> None:
        super().__init__(daemon=True)
        self.known: dict[str, str] = {}
        self.doubtful: dict[str, set[str]] = {}
        """Values that may have been taken: no answer came."""
        self.faults: list[str] = []
        self.acknowledged = 0
        self._gateway, self._name = gateway, name
        self._stopped = threading.Event()

    def __enter__(self) -> "Writer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self.join(60)

    def run(self) -> None:
        number = 0
        while not self._stopped.is_set() and not self.faults:
            number += 1
            path, value = f"upstreams/{self._name}-{number % 7}", f"{self._name} {number}"
            body = json.dumps({"nodes": {"127.0.0.1:80": 1}, "desc": value})
            try:
                answer = wire.request(self._gateway.admin, "PUT", f"/apisix/admin/{path}", body, {"X-API-KEY": ADMIN_KEY})
            except (OSError, http.client.HTTPException):
                self.doubtful.setdefault(path, set()).add(value)
                self._stopped.wait(0.02)
                continue
            if answer.status in (200, 201):
                self.known[path] = value
                self.doubtful.pop(path, None)
                self.acknowledged += 1
            else:
                self.faults.append(f"PUT {path}: {answer.status} {answer.body!r}")

    def missing(self) -> list[str]:
        """What was acknowledged and is not there. Both sides are as the last write left them."""
        rows = {row["key"].removeprefix("/apisix/"): row["value"].get("desc") for row in _list(self._gateway)}
        return [
            f"{path}: expected {value!r}, found {rows.get(path)!r}"
            for path, value in self.known.items()
            if rows.get(path) != value and rows.get(path) not in self.doubtful.get(path, ())
        ]


def _list(gateway: Gateway) -> list[Any]:
    answer = gateway.api("GET", "upstreams")
    assert answer.status == 200, answer.body
    found: list[Any] = answer.json()["list"]
    return found


def _all_run(gateway: Gateway, echo: bool) -> bool:
    return len(gateway.workers()) == WORKERS and len(gateway.pids("admin")) == 1 and len(gateway.pids("echo")) == int(echo)


def _counted(gateway: Gateway) -> int:
    """Requests that the limit has counted before this one."""
    answer = gateway.get("/l/probe/2", headers={"X-Client": "probe"})
    assert answer.status == 200, answer
    return COUNT - int(answer.headers["x-ratelimit-remaining"]) - 1


@pytest.mark.timeout(LIMIT_S)
def test_processes_are_killed(directory: Path) -> None:
    with Telling() as upstream:
        gateway = Gateway(directory)
        gateway.write_config(_config(directory, upstream, echo=True))
        with gateway:
            sums = Counter[str]()

            def play(turn: Turn) -> None:
                victims = [
                    turn.chance.choice(("worker", "worker", "admin", "echo", "master")) for _ in range(1 + turn.number % 2)
                ]
                where = f"{turn.where}: {' '.join(victims)}"
                before = _counted(gateway)
                sums["asked"] += 1
                name, seed = f"k{turn.number}", turn.number
                with (
                    Writer(gateway, f"w{turn.number}") as writer,
                    Asking(lambda: gateway.data, CLIENTS, name=name, seed=seed, ways=_named) as asking,
                ):
                    until(lambda: asking.done > CLIENTS and writer.acknowledged, f"{where}: all is under way")
                    for victim in victims:
                        time.sleep(turn.chance.random() * LONGEST_S)  # no wait for anything: the moment is to be any
                        _kill(gateway, victim, turn.chance)
                        sums[victim] += 1
                    until(lambda: _all_run(gateway, True), f"{where}: all processes\n{gateway.log()[-4000:]}")
                    seen = asking.done
                    until(lambda: asking.done > seen + 2 * CLIENTS, f"{where}: the load goes on\n{gateway.log()[-4000:]}")
                assert asking.wrong + writer.faults == [], where
                assert set(asking.statuses) <= {200, 429}, f"{where}: {asking.statuses}"
                assert asking.cut <= len(victims) * 2 * CLIENTS, where
                if "worker" not in victims and "master" not in victims:
                    assert (set(asking.statuses), asking.cut, asking.refused) == ({200}, 0, 0), where
                if "master" not in victims:
                    assert asking.refused == 0, where
                assert writer.missing() == [], where
                counted = _counted(gateway) - before - 1
                sums["asked"] += 1
                right = asking.statuses[200]
                assert right <= counted <= right + asking.cut, f"{where}: {counted}, {asking.statuses}"
                sums["asked"] += asking.done + asking.cut
                # Nothing is held for the dead: each client's one place is free.
                free = {gateway.get("/l/free/2", headers={"X-Client": str(each)}).status for each in range(CLIENTS)}
                assert free == {200}, where
                sums["asked"] += CLIENTS

            for turn in turns("kills", least=6):
                play(turn)
        lines = (directory / "access.log").read_bytes().splitlines(keepends=True)
        broken = [line for line in lines if not _is_whole(line)]
        assert broken == [], broken[:3]
        # A worker that is killed takes along what it has not written: what it had in hand, and a tenth of a second's lines.
        assert len(lines) <= sums["asked"]
        print(f"{dict(sums)}, {len(lines)} lines")


def _is_whole(line: bytes) -> bool:
    try:
        return line.endswith(b"}\n") and isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _kill(gateway: Gateway, victim: str, chance: random.Random) -> None:
    if victim != "master":
        pids = until(lambda: gateway.pids(victim), f"a process: {victim}")
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(pids), signal.SIGKILL)
        return
    family = descendants(gateway.process.pid)
    gateway.process.popen.kill()
    gateway.process.wait()
    until(lambda: not any(alive(pid) for pid in family), "nobody outlives the master", 60)
    gateway.start()


@pytest.mark.timeout(LIMIT_S)
def test_an_upgrade_in_which_somebody_dies(directory: Path) -> None:
    """Whoever it is, and whenever: in the end one gateway is there, which serves, has all counts and writes, and can be upgraded.
    But for a new master that is killed once the old one has handed over: that is the end of the gateway, as of any master."""
    with Telling() as upstream, Gateway(directory, _config(directory, upstream)) as gateway:
        pid_file = Path(gateway.config["data_dir"]) / "fastgw.pid"
        adopt_orphans()

        def play(turn: Turn) -> None:
            victim = turn.chance.choice(("old", "new", "new", "worker", "admin"))
            after = turn.chance.random() * LONGEST_UPGRADE_S
            where = f"{turn.where}: {victim} after {after:.3f} s"
            before = _counted(gateway)
            old = gateway.process.pid
            known = set(children(old))
            name, seed = f"u{turn.number}", turn.number
            with (
                Writer(gateway, f"w{turn.number}") as writer,
                Asking(lambda: gateway.data, CLIENTS, name=name, seed=seed, ways=_named) as asking,
            ):
                until(lambda: asking.done > CLIENTS and writer.acknowledged, f"{where}: all is under way")
                seen_log = len(gateway.log())
                gateway.process.signal(signal.SIGUSR2)
                new = until(lambda: _new_master(old, known), f"{where}: a second master")
                time.sleep(after)  # no wait for anything: the moment is to be any
                pid = {"old": old, "new": new}.get(victim) or _any_of(victim, (old, new), turn.chance)
                family = descendants(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                until(lambda: not alive(pid), f"{where}: it is dead")
                # One that has handed over ends in any case, also where its successor dies after that.
                until(
                    lambda: not alive(old) or (not alive(new) and "upgrade failed" in gateway.log()[seen_log:]),
                    f"{where}: one master\n{gateway.log()[seen_log:]}",
                    90,
                )
                if not alive(old):
                    gateway.process.popen.wait(60)
                    gateway.process.follow(new)
                replaced = not alive(old) and not alive(new)
                if replaced:  # the new one had taken the place, and was killed in it: as any master
                    until(lambda: not any(alive(each) for each in family), f"{where}: nobody outlives the master", 60)
                    gateway.start()
                until(lambda: pid_file.exists() and pid_file.read_text() == f"{gateway.process.pid}\n", f"{where}: the pid file")
                until(lambda: _all_run(gateway, False), f"{where}: all processes\n{gateway.log()[-4000:]}")
                seen = asking.done
                until(lambda: asking.done > seen + 2 * CLIENTS, f"{where}: the load goes on\n{gateway.log()[-4000:]}")
            assert asking.wrong + writer.faults == [], where
            assert set(asking.statuses) <= {200, 429}, f"{where}: {asking.statuses}"
            assert asking.cut <= 4 * CLIENTS, where
            if not replaced:
                assert asking.refused == 0, where
            assert writer.missing() == [], where
            counted = _counted(gateway) - before - 1
            right = asking.statuses[200]
            assert right <= counted <= right + asking.cut, f"{where}: {counted}, {asking.statuses}"
            until(lambda: _no_hold(gateway), f"{where}: nothing is held for the dead")

        for turn in turns("upgrade kills", least=4):
            play(turn)


def _no_hold(gateway: Gateway) -> bool:
    return {gateway.get("/l/free/2", headers={"X-Client": str(each)}).status for each in range(CLIENTS)} == {200}


def _new_master(old: int, known: set[int]) -> int:
    """0: there is none yet. Any other child is a worker that replaces another."""
    fresh = [pid for pid in set(children(old)) - known if "fastgw: " not in title(pid) or title(pid) == "fastgw: master"]
    return min(fresh, default=0)


def _any_of(role: str, masters: tuple[int, ...], chance: random.Random) -> int:
    found = [pid for master in masters for pid in children(master) if title(pid).startswith(f"fastgw: {role}")]
    return chance.choice(sorted(found)) if found else masters[0]
