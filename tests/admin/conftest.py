"""A real admin process on a port the system picked, a real database, and stand-ins for the workers."""

import http.client
import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import fastgw
from fastgw._core import Region
from fastgw.admin.server import MAX_BODY
from fastgw.store import Store

KEY = "admin-key-of-this-test"
VIEWER = "viewer-key-of-this-test"
WORKER, SERVING = 1, 2  # a slot's kind and state
SLOTS = 4


class Answer(NamedTuple):
    status: int
    body: Any  # decoded where it is JSON
    headers: http.client.HTTPMessage


class Admin:
    """One admin process and all it was given."""

    def __init__(self, directory: Path, **setup: Any) -> None:
        self.directory = directory
        self.region = Region.create(1024, str(directory / "region"), SLOTS, setup.pop("revocations", 64))
        self.wakes = [os.eventfd(0) for _ in range(SLOTS)]
        self.ack = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.unix = str(directory / "admin.sock")
        self.sockets = [socket.create_server(("127.0.0.1", 0)), socket.create_server(self.unix, family=socket.AF_UNIX)]
        self.port = self.sockets[0].getsockname()[1]
        self.log = directory / "log"
        self.setup = {
            "sockets": [sock.fileno() for sock in self.sockets],
            "region": str(directory / "region"),
            "wakes": self.wakes,
            "ack": self.ack,
            "database": str(directory / "data" / "fastgw.db"),
            "keys": [["admin", KEY, "admin"], ["viewer", VIEWER, "viewer"]],
            "allow": ["127.0.0.0/8", "::1"],
            "source": "config.json",
            "audit": str(directory / "audit.log"),
            "audit_entries": 10_000,
            "wrong_keys": {"count": 1000, "total": 100_000, "window": 10},
            "server_tokens": True,
            "body_bytes": MAX_BODY,
            **setup,
        }
        self.followers: list[Follower] = []
        self.start()

    def start(self) -> None:
        """Starts the process and waits until it answers; connections made meanwhile wait in the socket."""
        fds = (*self.setup["sockets"], *self.wakes, self.ack)
        with self.log.open("ab") as log:
            harness = [sys.executable, str(Path(__file__).with_name("harness.py")), json.dumps(self.setup)]
            path = {"PYTHONPATH": str(Path(fastgw.__file__).parents[1])}
            self.process = subprocess.Popen(harness, pass_fds=fds, stderr=log, env=os.environ | path)
        probe, ended = self.raw(), os.pidfd_open(self.process.pid)
        probe.sendall(b"HEAD /apisix/admin HTTP/1.0\r\n\r\n")
        select.select([probe, ended], [], [])
        probe.close()
        os.close(ended)
        assert self.process.poll() is None, self.log.read_text()

    def store(self) -> Store:
        return Store(Path(self.setup["database"]))

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)

    def raw(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = KEY,
        headers: dict[str, str] | None = None,
        connection: http.client.HTTPConnection | None = None,
    ) -> Answer:
        """One request below /apisix/admin; a body that is not bytes is sent as JSON."""
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        own = connection or self.connect()
        sent = {**({} if key is None else {"X-API-KEY": key}), **(headers or {})}
        own.request(method, f"/apisix/admin{path}", raw, sent)
        answer = own.getresponse()
        text = answer.read()
        if connection is None:
            own.close()
        try:
            decoded: Any = json.loads(text)
        except ValueError:
            decoded = text.decode()
        return Answer(answer.status, decoded, answer.headers)

    def follow(self, slot: int) -> "Follower":
        self.followers.append(Follower(self, slot))
        return self.followers[-1]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        for follower in self.followers:
            follower.stop()
        for sock in self.sockets:
            sock.close()
        for fd in (*self.wakes, self.ack):
            os.close(fd)


class Follower(threading.Thread):
    """Does what a worker does about configuration: wakes, reads the changes, says so."""

    def __init__(self, admin: Admin, slot: int) -> None:
        super().__init__()
        self.objects: dict[tuple[str, str], Any] = {}
        self._admin, self._slot = admin, slot
        self._stopping = False
        self._store = admin.store()
        self._applied = 0
        self._apply()
        admin.region.set_slot(slot, os.getpid(), WORKER, SERVING)
        admin.region.set_applied(slot, self._applied)
        self.start()

    def _apply(self) -> None:
        self._applied, changes = self._store.changes(self._applied)
        for change in changes:
            self.objects[change.kind, change.id] = change.value

    def run(self) -> None:
        while os.eventfd_read(self._admin.wakes[self._slot]) and not self._stopping:
            self._apply()
            self._admin.region.set_applied(self._slot, self._applied)
            os.eventfd_write(self._admin.ack, 1)

    def stop(self) -> None:
        self._stopping = True
        os.eventfd_write(self._admin.wakes[self._slot], 1)
        self.join()
        self._store.close()


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    """One process for all tests of a file; they use names of their own."""
    started = Admin(tmp_path_factory.mktemp("admin"))
    yield started
    started.stop()


@pytest.fixture
def make_admin(tmp_path: Path) -> Iterator[Callable[..., Admin]]:
    """Makes a process for one test, set up as it says."""
    made: list[Admin] = []

    def make(**setup: Any) -> Admin:
        made.append(Admin(tmp_path, **setup))
        return made[-1]

    yield make
    for each in made:
        each.stop()
