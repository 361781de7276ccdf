"""Many clients write at once, to objects of their own and to shared ones: no answer is a failure and nothing is lost.

FASTGW_TEST_SECONDS says for how long; the default is a sample.
"""

import json
import os
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import wire
from tests.support.gateway import ADMIN_KEY, Gateway

SECONDS = float(os.environ.get("FASTGW_TEST_SECONDS", "6"))
SEED = int(os.environ.get("FASTGW_TEST_SEED", "22"))
CLIENTS = 32
OWN = 5  # objects of a client
SHARED = 3
UPSTREAM = {"nodes": {"127.0.0.1:80": 1}}
# Of objects that others remove, and that others still use, while one asks.
EXPECTED = {"GET": {200, 404}, "PUT": {200, 201, 400}, "PATCH": {200, 400, 404}, "DELETE": {200, 400, 404}}


@pytest.mark.timeout(120 + 2 * int(SECONDS))
def test_no_failure_and_no_lost_object(directory: Path) -> None:
    with Gateway(directory, {"workers": 2}) as gateway:
        gateway.put("routes/board", {"uri": "/board", "upstream": UPSTREAM})
        until = time.monotonic() + SECONDS
        clients = [Client(gateway, number, until) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert [fault for client in clients for fault in client.faults] == [], f"seed {SEED}"
        rows = {row["key"].removeprefix("/apisix/"): row["value"] for row in gateway.api("GET", "routes").json()["list"]}
        board = rows.pop("routes/board")["labels"]
        assert board == {f"c{client.number}": client.label for client in clients}, "each client's last PATCH of the one object"
        own = {path: value.get("desc") for path, value in rows.items() if not path.startswith("routes/shared-")}
        assert own == {path: desc for client in clients for path, desc in client.own.items()}
        for path, value in rows.items():
            assert value.keys() >= {"id", "uri", "create_time", "update_time"}, f"{path} is whole"
        assert min(client.turns for client in clients) > 0


class Client(threading.Thread):
    """One connection and a memory of what was acknowledged to it."""

    def __init__(self, gateway: Gateway, number: int, until: float) -> None:
        super().__init__()
        self.number = number
        self.faults: list[str] = []
        self.own: dict[str, str | None] = {}
        self.label = ""
        self.turns = 0
        self._admin = gateway.admin
        self._chance = random.Random(f"{SEED} {number}")
        self._until = until

    def run(self) -> None:
        with wire.Client(self._admin) as self._wire:
            while not self.faults and (time.monotonic() < self._until or not self.turns):
                self._chance.choice((self._write_own, self._write_shared))()
                self._write_board()
                self.turns += 1

    def _write_own(self) -> None:
        path = self._chance.choice([*self.own, *(f"routes/own-{self.number}-{each}" for each in range(OWN))])
        desc, known = str(self.turns), path in self.own
        verb = self._chance.choice(("PUT", "POST", "PATCH", "DELETE") if known else ("PUT",))
        if verb == "DELETE":
            self._must(200, "DELETE", path)
            del self.own[path]
            self._must(404, "GET", path)
            return
        if verb == "PATCH":
            value = self._must(200, "PATCH", path, {"desc": desc})
        elif verb == "PUT":
            value = self._must(200 if known else 201, "PUT", path, {"uri": f"/{path}", "desc": desc, "upstream": UPSTREAM})
        else:
            value = self._must(201, "POST", "routes", {"uri": "/posted", "desc": desc, "upstream": UPSTREAM})
            path = f"routes/{value['value']['id']}"
        self.own[path] = desc
        found = self._must(200, "GET", path)
        if found.get("value") != value.get("value"):
            self.faults.append(f"{verb} {path}: answered {value}, then {found}")

    def _write_shared(self) -> None:
        """A route and the upstream it uses, which others make, change and remove as well."""
        slot = self._chance.randrange(SHARED)
        route = {"uri": f"/shared-{slot}", "upstream_id": f"shared-{slot}"}
        method, path, body = self._chance.choice(
            (
                ("PUT", "upstreams", UPSTREAM),
                ("PUT", "routes", route),
                ("PATCH", "routes", {"desc": str(self.turns)}),
                ("PATCH", "upstreams", {"desc": str(self.turns)}),
                ("GET", "routes", None),
                ("DELETE", "routes", None),
                ("DELETE", "upstreams", None),
            )
        )
        status, answer = self._call(method, f"{path}/shared-{slot}", body)
        if status not in EXPECTED[method]:
            self.faults.append(f"{method} {path}/shared-{slot}: {status} {answer}")

    def _write_board(self) -> None:
        self.label = str(self.turns)
        self._must(200, "PATCH", "routes/board", {"labels": {f"c{self.number}": self.label}})

    def _must(self, wanted: int, method: str, path: str, body: Any = None) -> dict[str, Any]:
        status, answer = self._call(method, path, body)
        if status != wanted:
            self.faults.append(f"{method} {path}: wanted {wanted}, found {status} {answer}")
        return answer

    def _call(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        content = None if body is None else json.dumps(body)
        answer = self._wire.request(method, f"/apisix/admin/{path}", content, {"X-API-KEY": ADMIN_KEY})
        return answer.status, answer.json()
