"""One probe: what counts as what, and that a probe is not blamed for the time in which its own process did not run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest

from fastgw.health.probe import HTTP_FAILURE, SUCCESS, TCP_FAILURE, TIMEOUT, probe
from fastgw.health.targets import Target
from fastgw.schema.checks import ActiveCheck
from tests.support.upstreams import Scripted
from tests.support.waiting import until
from tests.support.wire import Address

PATIENT = ActiveCheck(timeout=20)


def probed(address: Address, active: ActiveCheck = PATIENT, freeze: float = 0) -> str | None:
    """freeze: for so many seconds the process stands still, soon after the probe began."""

    async def run() -> str | None:
        if freeze:
            asyncio.get_running_loop().call_later(0.01, threading.Event().wait, freeze)
        return await probe(Target(1, str(address), *address, address.host), active, _no_tls)

    return asyncio.run(run())


def _no_tls(verify: bool) -> ssl.SSLContext:
    raise AssertionError("no TLS is asked for")


@contextlib.contextmanager
def silent() -> Iterator[Address]:
    """The system takes connections, and nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Address(*listener.getsockname())


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (b"HTTP/1.1 200 OK\r\n", SUCCESS),
        (b"HTTP/1.0 302 Found\n", SUCCESS),
        (b"HTTP/1.1 200\r\n", SUCCESS),
        (b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\nHTTP/1.1 503 X\r\n", HTTP_FAILURE),
        (b"HTTP/1.1 404 Not Found\r\n", HTTP_FAILURE),
        (b"HTTP/1.1 418 Teapot\r\n", None),
        (b"SSH-2.0-x\r\n", HTTP_FAILURE),
        (b"HTTP/1.1 2x0 OK\r\n", HTTP_FAILURE),
        (b"HTTP/1.1 20\r\n", HTTP_FAILURE),
        (b"HTTP/1.1 " + b"x" * 70000 + b"\r\n", HTTP_FAILURE),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 17, HTTP_FAILURE),
        (b"HTTP/1.1 2", TCP_FAILURE),
        (b"", TCP_FAILURE),
    ],
)
def test_what_an_answer_shows(answer: bytes, shown: str | None) -> None:
    with Scripted([answer]) as node:
        assert probed(node.address) == shown


def test_nobody_listens() -> None:
    with silent() as address:
        pass
    assert probed(address) == TCP_FAILURE


def test_by_tcp_it_is_enough_to_connect() -> None:
    with silent() as address:
        assert probed(address, ActiveCheck(type="tcp", timeout=20)) == SUCCESS


def test_silence_is_a_timeout_but_not_while_the_process_itself_stood_still() -> None:
    """Else each pause of a machine would take out all nodes at once."""
    with silent() as address:
        until(lambda: probed(address, ActiveCheck(timeout=0.1)) == TIMEOUT, "a timeout is told")
        assert probed(address, ActiveCheck(timeout=0.1), freeze=1.5) is None


def test_a_process_without_descriptors_says_nothing_of_the_node() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def run(address: Address) -> str | None:
        held = [os.open(os.devnull, os.O_RDONLY)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 8, hard))
        try:
            with contextlib.suppress(OSError):
                while True:
                    held.append(os.dup(held[0]))
            return await probe(Target(1, str(address), *address, address.host), PATIENT, _no_tls)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for fd in held:
                os.close(fd)

    with silent() as address:
        assert asyncio.run(run(address)) is None
