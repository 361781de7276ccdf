"""`fastgw restart`: every worker replaced, one after the other, and no request lost."""

import subprocess
import sys
from pathlib import Path

from fastgw.process import RESTART
from tests.support.gateway import Gateway, one_route
from tests.support.load import Load
from tests.support.processes import ROOT
from tests.support.upstreams import Answering
from tests.support.waiting import PATIENCE, until
from tests.support.wire import Address

REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
CONNECTIONS = 64


def restart(gateway: Gateway) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fastgw", "restart", str(gateway.config_path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60 * PATIENCE)


def test_rolling_restarts_under_load_lose_nothing(directory: Path) -> None:
    with Answering() as upstream:
        config = {"workers": 3, **one_route(upstream.address)}
        with Gateway(directory, config) as gateway, Load(gateway.data, REQUEST, CONNECTIONS) as load:
            for _ in range(2):
                before = gateway.workers()
                done = restart(gateway)
                assert (done.returncode, done.stdout, done.stderr) == (0, "workers replaced: 3\n", "")
                assert not set(before) & set(gateway.workers())
                assert len(gateway.workers()) == 3
    assert (set(load.statuses), load.lost, load.refused) == ({200}, 0, 0)


def test_it_is_told_when_all_were_replaced(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo) | {"workers": 3}) as gateway:
        gateway.process.signal(RESTART)
        gateway.process.signal(RESTART)  # one such round at a time
        until(lambda: "workers replaced workers=3" in gateway.log(), "the log tells that it is done")
        until(lambda: gateway.log().count("exited with code 0: as wanted") == 3, "each of them has ended")
        until(lambda: len(gateway.workers()) == 3, "their successors")
        order = [word for line in gateway.log().splitlines() for word in ("one after the other", "draining") if word in line]
        assert order == ["one after the other", "draining", "draining", "draining"]


def test_no_gateway_runs(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo)) as gateway:
        pass
    done = restart(gateway)
    assert (done.returncode, done.stdout) == (2, "")
    assert "fastgw restart: no gateway runs on " in done.stderr
