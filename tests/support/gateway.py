"""The gateway under test: a real `fastgw run` on free ports, driven by config, signals and Admin API."""

import contextlib
import copy
import json
import os
import random
import re
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.support import wire
from tests.support.processes import Process, adopt_orphans, children, title
from tests.support.waiting import until
from tests.support.wire import Address, Response

ADMIN_KEY = "an-admin-key-for-tests-only"
PORTS = 12_000, 32_000
# What an operator waits for; of several listeners the first TCP one is the data address.
READY = re.compile(r"fastgw: ready: listen (?:unix:\S+ |tls )*([\d.]+):(\d+)[^,]*, admin ([\d.]+):(\d+),")


class Gateway:
    """Context manager around one gateway: leaving it stops the gateway and demands exit code 0.

    `config` is the content of the config file; what it leaves open (listeners, data_dir, one worker) is set.
    """

    def __init__(
        self,
        directory: Path,
        config: Mapping[str, Any] | None = None,
        *,
        arguments: tuple[str, ...] = (),
        env: Mapping[str, str] | None = None,
        under: tuple[str, ...] = (),
    ) -> None:
        """under: a command, with its arguments, that runs the command behind it."""
        self.directory = directory
        self.data: Address  # both are known once it runs: the system picks the ports
        self.admin: Address
        self.echo = free_addresses(1)[0]
        self.config_path = directory / "config.json"
        self.config: dict[str, Any] = {}
        self.write_config(config or {})
        self.arguments = arguments
        self.under = under
        self.env = {"FASTGW_ADMIN_KEY": ADMIN_KEY, **(env or {})}
        self.process: Process

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Writes the file; a running gateway reads it at the next `reload`."""
        filled = copy.deepcopy(dict(config))
        filled.setdefault("listen", ["127.0.0.1:0"])
        filled["admin"] = {"listen": "127.0.0.1:0", **filled.get("admin", {})}
        filled.setdefault("data_dir", str(self.directory / "data"))
        filled.setdefault("workers", 1)
        filled.setdefault("prometheus", {"enabled": False})
        if filled.get("echo") is True:
            filled["echo"] = str(self.echo)
        self.config = filled
        self.config_path.write_text(json.dumps(filled, indent=2))

    def __enter__(self) -> "Gateway":
        self.start()
        return self

    def __exit__(self, exc_type: object, *_: object) -> None:
        try:
            if exc_type is None:
                code = self.stop()
                assert code == 0, f"exit code {code}\n{self.log()}"
        finally:
            self.process.kill()

    # life

    def start(self) -> None:
        command = [*self.under, sys.executable, "-m", "fastgw", "run", *self.arguments, str(self.config_path)]
        self.process = Process(command, self.directory / "gateway.log", self.env)
        try:
            ready = until(self._ready, "the log says ready")
        except BaseException as failure:
            self.process.kill()
            raise AssertionError(f"the gateway did not start: {failure}\n{self.log()}") from failure
        self.data, self.admin = (Address(host, int(port)) for host, port in (ready.group(1, 2), ready.group(3, 4)))

    @property
    def tls(self) -> Address:
        """Where it listens for TLS."""
        found = re.search(r"fastgw: ready: listen .*\btls ([\d.]+):(\d+)", self.log())
        assert found, self.log()
        return Address(found[1], int(found[2]))

    def stop(self) -> int:
        return self.process.stop()

    def reload(self, config: Mapping[str, Any] | None = None) -> str:
        """Writes `config` if given, sends HUP, and returns what the log says once the outcome is known."""
        if config is not None:
            self.write_config(config)
        seen = len(self.log())
        self.process.signal(signal.SIGHUP)
        until(lambda: re.search(r"\breload(ed| refused)\b", self.log()[seen:]), "the log tells of the reload")
        return self.log()[seen:]

    def upgrade(self) -> None:
        """USR2, and wait until the old master has ended and the new one is in its place."""
        old, file = self.process, Path(self.config["data_dir"]) / "fastgw.pid"
        before = file.read_text()
        adopt_orphans()
        old.signal(signal.SIGUSR2)
        until(lambda: file.read_text() != before, f"the new master takes the place\n{self.log()}")
        assert old.wait(60) == 0, self.log()
        old.follow(int(file.read_text()))

    def log(self) -> str:
        return self.process.log()

    def _ready(self) -> re.Match[str] | None:
        code = self.process.popen.poll()
        assert code is None, f"it ended with exit code {code}"
        return READY.search(self.log())

    # processes, by the titles that an operator sees

    def pids(self, role: str) -> list[int]:
        """Pids of the children whose title is `fastgw: <role>` or `fastgw: <role> <number>`."""
        pattern = re.compile(rf"fastgw: {re.escape(role)}( \d+)?")
        return [pid for pid in children(self.process.pid) if pattern.fullmatch(title(pid))]

    def workers(self) -> list[int]:
        return self.pids("worker")

    def kill_worker(self, pid: int) -> None:
        """SIGKILL, and wait until the master has put another in its place."""
        before = len(self.workers())
        os.kill(pid, signal.SIGKILL)
        until(lambda: pid not in self.workers() and len(self.workers()) >= before, "a new worker")

    # traffic

    def get(self, target: str, token: str | None = None, headers: Mapping[str, str] | None = None) -> Response:
        """GET on the data plane; `token` goes into Authorization as the guide has it, without a scheme."""
        fields = dict(headers or {})
        if token is not None:
            fields["Authorization"] = token
        return wire.get(self.data, target, fields)

    def api(self, method: str, path: str, body: Any = None, key: str | None = ADMIN_KEY) -> Response:
        """One Admin API call; `path` is what follows /apisix/admin/, `body` any JSON value."""
        fields = {} if key is None else {"X-API-KEY": key}
        content = None if body is None else json.dumps(body)
        return wire.request(self.admin, method, f"/apisix/admin/{path}", content, fields)

    def put(self, path: str, value: Any) -> Response:
        """A PUT that must be accepted."""
        response = self.api("PUT", path, value)
        assert response.status in (200, 201), f"PUT {path}: {response.status} {response.body!r}"
        return response


def free_addresses(count: int) -> list[Address]:
    """Ports that nothing listened on a moment ago: all are held at once, so that none is given twice.

    By chance out of those that the system gives to no connection (its own begin at 32768), as tests run side by side.
    """
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            sock = socket.socket()
            try:
                sock.bind(("127.0.0.1", random.randrange(*PORTS)))
                held.append(sock)
            except OSError:
                sock.close()
        return [Address(*sock.getsockname()) for sock in held]
    finally:
        for sock in held:
            sock.close()


@contextlib.contextmanager
def gateways(directory: Path, config: Mapping[str, Any], count: int = 2) -> Iterator[list[Gateway]]:
    """So many of one configuration, each with a directory of its own."""
    with contextlib.ExitStack() as stack:
        made = []
        for number in range(count):
            (directory / str(number)).mkdir()
            made.append(stack.enter_context(Gateway(directory / str(number), config)))
        yield made


def one_route(upstream: Address, uri: str = "/*", **fields: Any) -> dict[str, Any]:
    """The smallest config that proxies: one route to one node."""
    node = {"type": "roundrobin", "nodes": {str(upstream): 1}}
    return {"routes": [{"id": "r", "uri": uri, "upstream": node, **fields}]}
