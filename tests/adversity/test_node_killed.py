"""A node killed under load, of two with active and passive checks: after the first second no idempotent request fails, and the
node serves again when it is well. Two ways to die: at once, and silent while the system still takes connections for it."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.proxying.nodes import to
from tests.support.checked import Checking, checks
from tests.support.gateway import free_addresses
from tests.support.load import Load
from tests.support.processes import Process
from tests.support.waiting import until
from tests.support.wire import Address

GET = b"GET /anything HTTP/1.1\r\nHost: a\r\n\r\n"
CLIENTS = 16
PASSIVE = {"unhealthy": {"tcp_failures": 1, "timeouts": 1}, "healthy": {"successes": 1}}


@contextmanager
def node(directory: Path, address: Address) -> Iterator[Process]:
    command = [sys.executable, "-m", "fastgw", "echo", "--listen", str(address)]
    process = Process(command, directory / f"echo-{address.port}.log")
    try:
        until(lambda: re.search(r"listening on", process.log()), "the node listens")
        yield process
    finally:
        process.kill()


def requests_of(gateway: Checking, address: Address) -> int:
    """How many answers have come from there, as far as the access log is written."""
    return gateway.log().count(f'"upstream":"{address}"')


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGSTOP], ids=lambda way: way.name)
def test_after_the_first_second_no_request_fails_and_the_node_returns(directory: Path, way: signal.Signals) -> None:
    one, other = free_addresses(2)
    conf = checks(PASSIVE, http_path="/status/200")
    upstream = {"checks": conf, "timeout": {"connect": 1, "send": 1, "read": 1}}
    config = to({str(one): 1, str(other): 1}, **upstream) | {"workers": 2}
    with node(directory, one), node(directory, other) as victim, Checking(directory, config) as gateway:
        with Load(gateway.data, GET, CLIENTS) as load:
            until(lambda: load.done > 500, "the load runs")
            os.kill(victim.pid, way)
            first = time.monotonic() + 1
            gateway.wait_for("routes/r", other, "unhealthy")
            until(lambda: time.monotonic() >= first, "the first second is over")
            done, failed = load.done, load.done - load.statuses[200]
            until(lambda: load.done > done + 2000, "the other node serves on")
            assert load.done - load.statuses[200] == failed, load.statuses
            if way == signal.SIGKILL:
                assert failed == 0, load.statuses  # refused connections: each goes to the other node at once
                with node(directory, other):
                    returns(gateway, other, load)
            else:
                os.kill(victim.pid, signal.SIGCONT)
                returns(gateway, other, load)
            assert load.done - load.statuses[200] == failed, load.statuses
        assert (load.lost, load.refused) == (0, 0)


def returns(gateway: Checking, address: Address, load: Load) -> None:
    """It is found well and takes its share."""
    gateway.wait_for("routes/r", address, "healthy")
    before, done = requests_of(gateway, address), load.done
    until(lambda: requests_of(gateway, address) > before + 200, "it serves again")
    assert load.done > done
