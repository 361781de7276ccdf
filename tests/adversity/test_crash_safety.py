"""kill -9 at random moments while several clients write: what was acknowledged is there, and nothing is half there.

FASTGW_TEST_KILLS says how many moments there are; the default is a sample.
"""

import contextlib
import copy
import http.client
import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import wire
from tests.support.gateway import Gateway
from tests.support.model import Model, Object, Write
from tests.support.probing import Numbered, ask, send
from tests.support.processes import alive, descendants
from tests.support.waiting import until

KILLS = int(os.environ.get("FASTGW_TEST_KILLS", "12"))
SEED = int(os.environ.get("FASTGW_TEST_SEED", "21"))
WRITERS = 4
LONGEST_S = 0.3  # of writing before a kill
KINDS = ("routes", "services", "upstreams", "plugin_configs", "consumers")
OWN = {"id", "username", "create_time", "update_time"}


@pytest.mark.timeout(120 + 8 * KILLS)
def test_what_was_acknowledged_survives_and_nothing_is_half_there(directory: Path) -> None:
    chance = random.Random(SEED)
    with contextlib.ExitStack() as stack:
        addresses = [stack.enter_context(Numbered(index)).address for index in range(3)]
        gateway = stack.enter_context(Gateway(directory, {"workers": 2}))
        models = [Model(f"w{number}", random.Random(f"{SEED} {number}"), addresses) for number in range(WRITERS)]
        with wire.Client(gateway.admin) as admin:
            for model in models:
                for write in model.first_writes():
                    assert send(admin, write).status == 201
        doubts = 0
        for turn in range(KILLS):
            victim = ("admin", "master", "all")[turn % 3]
            writers = [Writer(gateway, model) for model in models]
            _kill_while_they_write(gateway, writers, victim, chance.random() * LONGEST_S)
            where = f"seed {SEED}, kill {turn} of {victim}"
            assert [writer.fault for writer in writers if writer.fault] == [], where
            for writer in writers:
                doubts += _settle(gateway, writer, where)
        assert doubts > 0 or KILLS < 12, "some kills hit a write"


def _kill_while_they_write(gateway: Gateway, writers: list["Writer"], victim: str, after: float) -> None:
    for writer in writers:
        writer.start()
    until(lambda: all(writer.acknowledged or writer.fault for writer in writers), "all write")
    time.sleep(after)  # no wait for anything: the moment is to be any
    family = descendants(gateway.process.pid)
    if victim == "admin":
        (pid,) = gateway.pids("admin")
        os.kill(pid, signal.SIGKILL)
    else:
        gateway.process.popen.kill()
        for pid in family if victim == "all" else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        gateway.process.wait()
    for writer in writers:
        writer.join()
    if victim != "admin":
        until(lambda: not any(alive(pid) for pid in family), "all processes are gone")
        gateway.start()


class Writer(threading.Thread):
    """Writes until a write gets no answer."""

    def __init__(self, gateway: Gateway, model: Model) -> None:
        super().__init__()
        self.model = model
        self.acknowledged = 0
        self.doubtful: Write
        self.fault = ""
        self._admin = gateway.admin

    def run(self) -> None:
        with wire.Client(self._admin) as admin:
            while not self.fault:
                self.doubtful = self.model.random_write()
                try:
                    answer = send(admin, self.doubtful)
                except (OSError, http.client.HTTPException):
                    return
                if answer.status in (200, 201):
                    self.model.apply(self.doubtful)
                    self.acknowledged += 1
                else:
                    self.fault = f"{self.doubtful}: {answer.status} {answer.body!r}"


def _settle(gateway: Gateway, writer: Writer, where: str) -> bool:
    """The write that was not answered is there whole or not at all; the model takes it over. Whether it was found there."""
    without, found = writer.model, _stored(gateway, writer.model.namespace)
    done = copy.deepcopy(without)
    done.apply(writer.doubtful)
    assert found in (without.objects, done.objects), f"{where}: {writer.doubtful}"
    came = found != without.objects
    if came:
        without.apply(writer.doubtful)
    probes = without.probes() * 2
    for probe, seen in zip(probes, ask(gateway.data, probes), strict=True):
        assert seen == without.expected(probe), f"{where}: {writer.doubtful}, {probe}"
    return came


def _stored(gateway: Gateway, namespace: str) -> dict[str, Object]:
    """All objects of a namespace as the Admin API has them, by path and without what it adds."""
    found: dict[str, Object] = {}
    for kind in KINDS:
        for path, value in _rows(gateway, kind):
            if path.partition("/")[2].startswith(f"{namespace}-"):
                found[path] = value
                if kind == "consumers":
                    found |= _rows(gateway, f"{path}/credentials")
    return found


def _rows(gateway: Gateway, path: str) -> list[tuple[str, Any]]:
    answer = gateway.api("GET", path)
    if answer.status == 404:
        return []  # there is no empty list of credentials
    assert answer.status == 200, answer.body
    rows = answer.json()["list"]
    return [(row["key"].removeprefix("/apisix/"), _sent(row)) for row in rows]


def _sent(row: Any) -> Object:
    own = OWN - {"username"} if row["key"].startswith("/apisix/consumers/") else OWN
    return {name: member for name, member in row["value"].items() if name not in own}
