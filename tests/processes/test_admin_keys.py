"""Keys of the Admin API and its listener: refused at the start, changed by HUP, guarded by a file's mode."""

import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import ADMIN_KEY, Gateway
from tests.support.waiting import until

OPS, EYE, NEXT = "a-key-of-operations", "a-key-that-only-reads", "the-next-key-of-operations"
ROUTE = {"uri": "/", "plugins": {}}


def with_keys(*keys: tuple[str, str, str], **admin: Any) -> dict[str, Any]:
    return {"admin": {"keys": [{"name": name, "key": key, "role": role} for name, key, role in keys], **admin}}


def statuses(gateway: Gateway, *keys: str) -> list[int]:
    return [gateway.api("GET", "routes", key=key).status for key in keys]


def test_keys_change_by_reload(directory: Path) -> None:
    with Gateway(directory, with_keys(("ops", OPS, "admin"), ("eye", EYE, "viewer"))) as gateway:
        assert statuses(gateway, ADMIN_KEY, OPS, EYE, NEXT) == [200, 200, 200, 401]
        assert gateway.api("PUT", "routes/1", ROUTE, key=EYE).status == 403
        workers = gateway.workers()
        log = gateway.reload(with_keys(("ops", NEXT, "admin"), ("eye", EYE, "admin")))
        assert "starts anew" in log
        assert "takes effect at the next start" not in log
        assert statuses(gateway, ADMIN_KEY, OPS, EYE, NEXT) == [200, 401, 200, 200]
        assert gateway.api("PUT", "routes/1", ROUTE, key=EYE).status == 201
        assert gateway.workers() == workers, "traffic is not touched"
        entries = gateway.api("GET", "audit").json()["list"]
        assert [(entry["key"], entry["id"]) for entry in entries] == [("eye", "1")]
        for text in (gateway.log(), (directory / "data" / "audit.log").read_text()):
            assert not any(key in text for key in (OPS, EYE, NEXT, ADMIN_KEY))


def test_a_reload_with_keys_that_will_not_do_changes_nothing(directory: Path) -> None:
    with Gateway(directory, with_keys(("ops", OPS, "admin"))) as gateway:
        (admin,) = gateway.pids("admin")
        log = gateway.reload(with_keys(("ops", "short", "admin")))
        assert "admin.keys[0].key: expected at least 16 characters" in log
        assert "reload refused" in log
        log = gateway.reload(with_keys(("ops", OPS, "admin"), audit={"path": str(directory)}))
        assert "reload refused" in log
        assert gateway.pids("admin") == [admin]
        assert statuses(gateway, OPS) == [200]


def test_a_reload_without_another_setting_leaves_the_admin_process(directory: Path) -> None:
    with Gateway(directory, with_keys(("ops", OPS, "admin"))) as gateway:
        (admin,) = gateway.pids("admin")
        gateway.reload()
        assert gateway.pids("admin") == [admin]


@pytest.mark.parametrize(("given", "mode"), [(None, 0o600), ("0666", 0o666)])
def test_a_unix_listener_has_its_mode_and_outlives_a_reload(directory: Path, given: str | None, mode: int) -> None:
    path = directory / "admin.sock"
    config = with_keys(("ops", OPS, "admin"), listen=f"unix:{path}", **({"socket_mode": given} if given else {}))

    class Unix(Gateway):
        def _ready(self) -> Any:
            """The admin address of the line is a path; the data address stands for it here."""
            assert self.process.popen.poll() is None, self.log()
            found = until(lambda: "fastgw: ready:" in self.log(), "the log says ready")
            return found and _Match(self.log())

    def get(key: str) -> int:
        connection = http.client.HTTPConnection("localhost", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(path))
        connection.request("GET", "/apisix/admin/routes", headers={"X-API-KEY": key})
        status = connection.getresponse().status
        connection.close()
        return status

    with Unix(directory, config) as gateway:
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert get(OPS) == 200
        assert [get("wrong") for _ in range(15)] == [401] * 15, "guarded by its mode, not by a count"
        renewed = json.loads(json.dumps(config).replace(OPS, NEXT))
        gateway.reload(renewed)
        assert (get(OPS), get(NEXT)) == (401, 200)


class _Match:
    """What Gateway takes from the line that says ready."""

    def __init__(self, log: str) -> None:
        self._address = log.split("ready: listen ")[1].split(",")[0].split(":")

    def group(self, *numbers: int) -> list[str]:
        return self._address


@pytest.mark.parametrize(
    ("admin", "environ", "told"),
    [
        ({}, {"FASTGW_ADMIN_KEY": "short"}, "admin.key: expected at least 16 characters"),
        ({"key": ""}, {}, "admin.key: expected at least 16 characters"),
        ({"viewer_key": "short"}, {}, "admin.viewer_key: expected at least 16 characters"),
        ({"audit": {"path": "/dev/null"}}, {}, "/dev/null: expected a regular file"),
        ({"audit": {"path": "/no/such/place"}}, {}, "/no/such/place: No such file or directory"),
    ],
)
def test_a_start_with_what_will_not_do_is_refused(
    directory: Path, admin: dict[str, Any], environ: dict[str, str], told: str
) -> None:
    config = directory / "config.json"
    config.write_text(json.dumps({"listen": ["127.0.0.1:0"], "admin": {"listen": "127.0.0.1:0", **admin}}))
    clean = {name: value for name, value in os.environ.items() if name != "FASTGW_ADMIN_KEY"}
    line = [sys.executable, "-m", "fastgw", str(config)]
    done = subprocess.run(line, env={**clean, **environ}, cwd=directory, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_logs_of_the_admin_process_are_reopened(directory: Path) -> None:
    with Gateway(directory) as gateway:
        log, moved = directory / "data" / "audit.log", directory / "moved"
        gateway.put("routes/1", ROUTE)
        log.rename(moved)
        gateway.process.signal(signal.SIGUSR1)
        until(log.exists, "a new audit log")
        gateway.put("routes/2", ROUTE)
        told = [[json.loads(line)["id"] for line in path.read_text().splitlines()] for path in (moved, log)]
        assert told == [["1"], ["2"]]
