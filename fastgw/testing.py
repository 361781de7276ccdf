"""Fixtures for pytest, for programs behind or beside a gateway: one that runs, tokens that it takes, a clock that one can put
forward.

Owns: how a test gets a gateway of its own. Must not know: how one is served. pytest finds it by the entry point `fastgw`; the
fixtures are fastgw_gateway, fastgw_token, fastgw_clock.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import pytest

from fastgw import _core, tokens

__all__ = ["Clock", "RunningGateway", "fastgw_clock", "fastgw_gateway", "fastgw_token", "free_port", "running"]

READY: Final = re.compile(r"fastgw: ready: listen (?:unix:\S+ |tls )*([\d.]+):(\d+)[^,]*, admin ([\d.]+):(\d+),")
START_S: Final = 60.0
STOP_S: Final = 20.0
LOOK_S: Final = 0.02


class RunningGateway:
    """A gateway on ports that were free.

    url: of its listener, "http://127.0.0.1:41234"
    admin_url: of its Admin API
    admin_key: what that asks for in X-API-KEY
    config: the configuration, with what was filled in
    table: the path of its counters, for `Table.attach` or a middleware's `table`
    """

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path, config: Mapping[str, Any]) -> None:
        self.config = config
        self.admin_key: str = config["admin"]["key"]
        self.table: str = config["shared_memory"]["path"]
        self._process = process
        self._log = log
        data, self._data_port, admin, self._admin_port = self._ready()
        self.url = f"http://{data}:{self._data_port}"
        self.admin_url = f"http://{admin}:{self._admin_port}"

    def log(self) -> str:
        """What it and its access log have said."""
        return self._log.read_text(errors="replace")

    def _ready(self) -> tuple[str, int, str, int]:
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            found = READY.search(self.log())
            if found:
                return found[1], int(found[2]), found[3], int(found[4])
            if self._process.poll() is not None:
                raise RuntimeError(f"the gateway ended with code {self._process.returncode}:\n{self.log()}")
            time.sleep(LOOK_S)
        raise RuntimeError(f"the gateway is not ready after {START_S:g} s:\n{self.log()}")


@contextlib.contextmanager
def running(directory: Path, config: Mapping[str, Any]) -> Iterator[RunningGateway]:
    """A gateway as long as the block lasts, its files in a directory that is there. What the configuration leaves open
    (listeners, data_dir, admin key, one worker, the path of the shared memory) is filled in."""
    filled = json.loads(json.dumps(config))
    filled.setdefault("listen", ["127.0.0.1:0"])
    filled.setdefault("workers", 1)
    filled.setdefault("data_dir", str(directory / "data"))
    filled["admin"] = {"listen": "127.0.0.1:0", "key": "a-key-for-tests-only-0123456789", **filled.get("admin", {})}
    filled["shared_memory"] = {"path": str(directory / "counters"), **filled.get("shared_memory", {})}
    path, log = directory / "config.json", directory / "gateway.log"
    path.write_text(json.dumps(filled, indent=2))
    environ = {name: value for name, value in os.environ.items() if name != "FASTGW_ADMIN_KEY"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "fastgw", "run", str(path)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environ,
        )
    try:
        yield RunningGateway(process, log, filled)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A TCP port that nobody listened on a moment ago, for an upstream."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


class MakeToken(Protocol):
    """See fastgw_token."""

    def __call__(
        self, key: str, secret: str | bytes, algorithm: str = "HS256", *, expires: float | None = 3600, **claims: Any
    ) -> str: ...


@pytest.fixture
def fastgw_gateway(tmp_path: Path) -> Iterator[Callable[[Mapping[str, Any]], RunningGateway]]:
    """`fastgw_gateway(config)` runs a gateway until the test ends; as often as it is called."""
    with contextlib.ExitStack() as stack:
        made = 0

        def run(config: Mapping[str, Any]) -> RunningGateway:
            nonlocal made
            made += 1
            directory = tmp_path / f"gateway-{made}"
            directory.mkdir()
            return stack.enter_context(running(directory, config))

        yield run


@pytest.fixture
def fastgw_token() -> MakeToken:
    """`fastgw_token("john-key", "secret")` makes a token whose claim `key` is that; `expires`: seconds from now, None: it has no
    `exp`. Further arguments are claims."""

    def make(key: str, secret: str | bytes, algorithm: str = "HS256", *, expires: float | None = 3600, **claims: Any) -> str:
        raw = secret.encode() if isinstance(secret, str) else secret
        times = {} if expires is None else {"exp": int(time.time() + expires)}
        signed = raw if algorithm.startswith("HS") else tokens.private_key(raw)
        return tokens.make({"key": key, **times, **claims}, signed, algorithm)

    return make


class Clock:
    """What time Limiters, JWTVerifiers and middlewares of this process take it to be: later than it is, by what it was put
    forward."""

    def __init__(self) -> None:
        self._ahead = 0

    def forward(self, seconds: int) -> None:
        """Lets so many seconds go by at once. Limits that delay requests are not helped."""
        self._ahead += seconds
        _core.shift_clock(self._ahead)


@pytest.fixture
def fastgw_clock() -> Iterator[Clock]:
    """A clock that the test puts forward; right again afterwards."""
    try:
        yield Clock()
    finally:
        _core.shift_clock(0)
