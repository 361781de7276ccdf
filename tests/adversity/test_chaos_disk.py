"""Chaos: the disk is full, for the logs and for the store.

Held: traffic goes on; each line of the access log is in the file, whole, or counted as dropped; a write is refused or kept, and
once there is room all is as before; a process that dies meanwhile is replaced. Sequences follow from a seed:
tests/support/chaos.py.
"""

import contextlib
import json
import os
import random
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.support.asking import Asking, Telling
from tests.support.chaos import LIMIT_S, Turn, turns
from tests.support.gateway import Gateway, one_route
from tests.support.processes import descendants
from tests.support.waiting import until

SIZE = 24 * 2**20
CLIENTS = 12
LONG = "X" * 6000  # of a request's target: its line fills what a worker holds of the log in reasonable time


class Disk(Protocol):
    path: Path

    def fill(self, gateway: Gateway) -> None: ...
    def free(self, gateway: Gateway) -> None: ...


class Small:
    """A file system of its own: ENOSPC."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self, gateway: Gateway) -> None:
        with contextlib.suppress(OSError), (self.path / "filling").open("ab", buffering=0) as file:
            for size in (2**16, 2**12, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def free(self, gateway: Gateway) -> None:
        (self.path / "filling").unlink()


class Bounded:
    """Where no file system can be mounted: a file may not grow beyond a size. EFBIG, as of a quota."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self, gateway: Gateway) -> None:
        # Its standard error is a file as well, and must tell of reloads.
        self._set(gateway, max(2**18, len(gateway.log()) + 2**17))

    def free(self, gateway: Gateway) -> None:
        # Who is being forked at this moment has the master's limit and is not to be seen yet.
        until(lambda: len(gateway.workers()) == 2 and len(gateway.pids("admin")) == 1, "nobody is being replaced")
        self._set(gateway, resource.RLIM_INFINITY)

    @staticmethod
    def _set(gateway: Gateway, limit: int) -> None:
        wanted = limit, resource.RLIM_INFINITY
        resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, wanted)  # first: who is forked now has it
        for pid in descendants(gateway.process.pid):
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, wanted)


@pytest.fixture(params=["small", "bounded"])
def disk(request: pytest.FixtureRequest, directory: Path) -> Iterator[Disk]:
    path = directory / "disk"
    path.mkdir()
    if request.param == "bounded":
        yield Bounded(path)
        return
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(path)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr}")
    try:
        yield Small(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.timeout(LIMIT_S)
def test_a_log_without_room(directory: Path, disk: Disk) -> None:
    """Every request has a line, or is one of those that the counter of dropped lines has."""

    def ways(chance: random.Random, client: int) -> tuple[str, str]:
        return "GET", f"Referer: /{LONG}\r\n"

    log, errors = disk.path / "access.log", disk.path / "error.log"
    config = {"workers": 2, "access_log": {"path": str(log)}, "error_log": {"path": str(errors)}}
    with Telling() as upstream, Gateway(directory, {**config, **one_route(upstream.address)}) as gateway:

        def play(turn: Turn) -> None:
            before = _dropped(gateway)
            with Asking(lambda: gateway.data, CLIENTS, name=f"d{turn.number}", seed=turn.number, ways=ways) as asking:
                until(lambda: asking.done > turn.chance.randrange(4 * CLIENTS), "the load runs")
                disk.fill(gateway)
                until(lambda: _dropped(gateway) > before, f"{turn.where}: lines are dropped", 60)
                _goes_on(asking, turn.where)
                disk.free(gateway)
                size = log.stat().st_size
                until(lambda: log.stat().st_size > size, f"{turn.where}: lines are written again")
                _goes_on(asking, turn.where)
            assert asking.wrong == [], turn.where
            assert (set(asking.statuses), asking.cut, asking.refused) == ({200}, 0, 0), turn.where
            sent, dropped = asking.done, _dropped(gateway) - before
            until(lambda: len(_lines(log)) + dropped == sent, f"{turn.where}: lines of {sent}, less {dropped}")
            old = log.rename(disk.path / "rotated.log")
            gateway.process.signal(signal.SIGUSR1)
            until(lambda: log.exists() and all(_writes_to(pid, log) for pid in gateway.workers()), "the log was opened anew")
            assert len({json.loads(line)["uri"] for line in _lines(old)}) == sent - dropped, f"{turn.where}: none is there twice"
            old.unlink()

        for turn in turns("log without room"):
            play(turn)
        assert len(gateway.workers()) == 2


def _lines(log: Path) -> list[bytes]:
    """Those that are whole. The beginning of one for which there was no room stands by itself; the line follows when there is."""
    return [line for line in log.read_bytes().split(b"\n") if line.startswith(b"{") and line.endswith(b"}")]


def _dropped(gateway: Gateway) -> int:
    return int(gateway.api("GET", "stats").json()["totals"]["log_lines_dropped"])


def _goes_on(asking: Asking, where: str) -> None:
    seen = asking.done
    until(lambda: asking.done > seen + 4 * CLIENTS, f"{where}: the load goes on")


def _writes_to(pid: int, path: Path) -> bool:
    return str(path) in {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()}


@pytest.mark.timeout(LIMIT_S)
def test_a_store_without_room(directory: Path, disk: Disk) -> None:
    data = disk.path / "data"
    with Telling() as upstream, Gateway(directory, _on(data, upstream)) as gateway:
        kept: dict[str, str] = {}
        told: set[int] = set()
        until(lambda: "admin process serves" in gateway.log(), "it has made its tables")

        def play(turn: Turn) -> None:
            with Asking(lambda: gateway.data, CLIENTS, name=f"s{turn.number}", seed=turn.number) as asking:
                disk.fill(gateway)
                refused = 0
                for number in range(400):
                    path, value = f"upstreams/o-{number % 5}", f"{turn.number} {number} " + "x" * 3000
                    labels = {f"l{at}": value[at : at + 200].replace(" ", "-") for at in range(0, 3000, 200)}
                    body = {"nodes": {"127.0.0.1:80": 1}, "desc": value[:200], "labels": labels}
                    answer = gateway.api("PUT", path, body)
                    if answer.status in (200, 201):
                        kept[path] = value[:200]
                    else:
                        assert answer.status == 503, f"{turn.where}: {answer}"
                        refused += 1
                        if refused > 5:
                            break
                assert refused, f"{turn.where}: there was room"
                gateway.reload(_on(data, upstream, f"turn {turn.number} " + "x" * 200))  # refused, if there is no room for it
                victim = turn.chance.choice(("worker", "admin"))
                os.kill(turn.chance.choice(gateway.pids(victim)), signal.SIGKILL)
                _goes_on(asking, turn.where)
                disk.free(gateway)
                until(lambda: _writes(gateway), f"{turn.where}: writes are taken again\n{gateway.log()}", 30)
                until(lambda: len(gateway.workers()) == 2, f"{turn.where}: both workers")
                assert "refused" not in gateway.reload(), turn.where
            assert asking.wrong == [], turn.where
            assert (set(asking.statuses), asking.refused) == ({200}, 0), turn.where
            assert asking.cut <= 2 * CLIENTS, turn.where
            rows = gateway.api("GET", "upstreams").json()["list"]
            found = {row["key"].removeprefix("/apisix/"): row["value"].get("desc") for row in rows}
            found.pop("upstreams/room", None)
            assert found == kept, f"{turn.where}: what was acknowledged, and nothing else"
            numbers = _rotated(gateway, data / "audit.log")
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), f"{turn.where}: each write has its line"
            told.update(numbers)  # one may stand in the file before, too, where the admin process died after that was rotated
            assert told == set(range(1, len(told) + 1)), f"{turn.where}: each write has its line"

        for turn in turns("store without room", least=2):
            play(turn)


def _on(data: Path, upstream: Telling, desc: str = "first") -> dict[str, object]:
    log = {"access_log": {"enabled": False}}  # it would take what little room standard output has
    return {"workers": 2, "data_dir": str(data), **log, **one_route(upstream.address, desc=desc)}


def _rotated(gateway: Gateway, log: Path) -> list[int]:
    """The numbers of the audit log's lines, which is begun anew: in a long run it would be all that the disk holds."""
    old = log.rename(log.with_name("audit.log.1"))
    os.kill(gateway.process.pid, signal.SIGUSR1)
    until(log.exists, "the audit log is begun anew")
    numbers = [json.loads(line).get("seq") for line in old.read_text().splitlines()]
    old.unlink()
    return [number for number in numbers if number is not None]


def _writes(gateway: Gateway) -> bool:
    with contextlib.suppress(OSError):
        return gateway.api("PUT", "upstreams/room", {"nodes": {"127.0.0.1:80": 1}}).status in (200, 201)
    return False
