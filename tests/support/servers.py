"""Ordinary upstreams as real processes: fastgw's own echo, and httpbin under gunicorn."""

import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support import wire
from tests.support.gateway import free_addresses
from tests.support.processes import Process
from tests.support.waiting import until
from tests.support.wire import Address


@contextlib.contextmanager
def echo(directory: Path) -> Iterator[Address]:
    """`fastgw echo` on a port that the system picks."""
    process = Process([sys.executable, "-m", "fastgw", "echo", "--listen", "127.0.0.1:0"], directory / "echo.log")
    try:
        line = until(lambda: _listening(process), "the echo upstream says where it listens")
        yield Address(line[1], int(line[2]))
        assert process.stop() == 0, process.log()
    finally:
        process.kill()


def _listening(process: Process) -> re.Match[str] | None:
    assert process.popen.poll() is None, f"the echo upstream ended\n{process.log()}"
    return re.search(r"listening on ([\d.]+):(\d+)\n", process.log())


@contextlib.contextmanager
def httpbin(directory: Path) -> Iterator[Address]:
    """The httpbin package under gunicorn with threads, kept alive connections included."""
    (address,) = free_addresses(1)
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "gunicorn",
        "--bind",
        str(address),
        "--worker-class",
        "gthread",
    ]
    process = Process([*command, "--threads", "4", "--no-control-socket", "httpbin:app"], directory / "httpbin.log")

    def answers() -> bool:
        assert process.popen.poll() is None, f"httpbin ended\n{process.log()}"
        try:
            return wire.get(address, "/status/200").status == 200
        except OSError:
            return False

    try:
        until(answers, "httpbin answers", seconds=60)
        yield address
    finally:
        process.stop()
        process.kill()
