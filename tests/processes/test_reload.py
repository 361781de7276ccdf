"""HUP: a good file is live in every worker, a bad one changes nothing."""

import re
import threading
from pathlib import Path
from typing import Any

from tests.support import wire
from tests.support.gateway import Gateway, one_route
from tests.support.waiting import until
from tests.support.wire import Address

ROUNDS = 16  # connections, so that every worker is asked, but for a chance of 2 ** -16


def statuses(gateway: Gateway, target: str) -> set[int]:
    return {gateway.get(target).status for _ in range(ROUNDS)}


def test_a_good_file_is_live_in_every_worker(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo, "/anything") | {"workers": 2}) as gateway:
        workers = gateway.workers()
        assert "reloaded" in gateway.reload(one_route(echo, "/status/201") | {"workers": 2})
        assert statuses(gateway, "/status/201") == {201}
        assert statuses(gateway, "/anything") == {404}
        assert gateway.workers() == workers


def test_a_bad_file_changes_nothing_and_every_fault_is_logged(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo, "/anything") | {"workers": 2}) as gateway:
        workers = gateway.workers()
        bad: dict[str, Any] = one_route(echo, "/other")
        bad["routes"][0]["uri"] = 7
        bad["limits"] = {"headers": "many"}
        bad["wrokers"] = 3
        log = gateway.reload(bad)
        for path in ("routes[0].uri", "limits.headers", "wrokers"):
            assert len(re.findall(rf"config\.json: {re.escape(path)}: ", log)) == 1
        assert "reload refused: nothing was changed faults=3" in log
        assert statuses(gateway, "/anything") == {200}
        assert gateway.workers() == workers


def test_a_missing_file_changes_nothing(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo, "/anything")) as gateway:
        gateway.config_path.rename(directory / "away.json")
        assert "reload refused" in gateway.reload()
        assert gateway.get("/anything").status == 200


def test_what_the_admin_api_overrides_is_named(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo, "/anything")) as gateway:
        gateway.put("routes/r", {"uri": "/anything/mine", "upstream": {"nodes": {str(echo): 1}}})
        log = gateway.reload()
        assert "stay overridden by the Admin API: routes/r" in log
        assert gateway.get("/anything/mine").status == 200


def test_settings_of_workers_are_taken_by_new_workers(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo) | {"workers": 2}) as gateway:
        before = gateway.workers()
        gateway.reload(one_route(echo) | {"workers": 2, "limits": {"body_bytes": 10}})
        until(lambda: not set(before) & set(gateway.workers()), "the old workers gone")
        for _ in range(ROUNDS):
            assert wire.request(gateway.data, "POST", "/anything", b"x" * 11).status == 413


def test_settings_that_need_a_restart_are_named(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo)) as gateway:
        log = gateway.reload(one_route(echo) | {"listen": ["127.0.0.1:1"], "shared_memory": {"counters": 2048}})
        assert "listen: changed, takes effect at the next start" in log
        assert "shared_memory: changed, takes effect at the next start" in log
        assert gateway.get("/anything").status == 200


class Load:
    """Clients that ask without a pause, each request on a new connection or all on a kept one."""

    def __init__(self, address: Address) -> None:
        self.failures: list[str] = []
        self.answers = 0
        self._address = address
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._new, self._new, self._kept, self._kept)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _new(self) -> None:
        while not self._stop.is_set():
            self._ask(lambda: wire.get(self._address, "/anything").status)

    def _kept(self) -> None:
        with wire.Client(self._address) as client:
            while not self._stop.is_set():
                self._ask(lambda: client.request("GET", "/anything").status)

    def _ask(self, ask: Any) -> None:
        try:
            status = ask()
        except OSError as exc:
            self.failures.append(repr(exc))
        else:
            self.answers += 1
            if status != 200:
                self.failures.append(str(status))


def test_no_request_fails_while_workers_come_and_go(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo) | {"workers": 2}) as gateway:
        with Load(gateway.data) as load:
            for count in (4, 1, 3, 2):
                gateway.reload(one_route(echo) | {"workers": count})
                until(lambda count=count: len(gateway.workers()) == count, f"{count} workers")
        assert load.failures == []
        assert load.answers > 100


def test_no_request_fails_while_the_file_is_read_again(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo) | {"workers": 2}) as gateway:
        with Load(gateway.data) as load:
            for number in range(20):
                gateway.reload(one_route(echo, labels={"round": str(number)}) | {"workers": 2})
        assert load.failures == []
        assert load.answers > 100
