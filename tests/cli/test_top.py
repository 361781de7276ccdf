"""`fastgw top` against a gateway that runs: one picture for scripts, and pictures in a terminal until q."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastgw import top
from tests.support.gateway import ADMIN_KEY, Gateway, one_route
from tests.support.processes import ROOT
from tests.support.waiting import until
from tests.support.wire import Address

HITS = 160
LIMIT = {"limit-count": {"count": 30, "time_window": 86_400, "key": "http_x_key", "rejected_code": 429}}
ENV = {**os.environ, "PYTHONPATH": str(ROOT), "FASTGW_ADMIN_KEY": ADMIN_KEY}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, echo: Address) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("top")
    with Gateway(directory, {"workers": 2, **one_route(echo, plugins=LIMIT)}) as started:
        yield started


def command(gateway: Gateway, *arguments: str) -> list[str]:
    where = ["--admin", str(gateway.admin)]
    return [sys.executable, "-m", "fastgw", "top", *arguments, *where, str(gateway.config_path)]


def ask(gateway: Gateway) -> None:
    for number in range(HITS):
        gateway.get("/get", headers={"X-Key": "rare" if number % 8 == 0 else "often\tkey"})


def test_one_picture(gateway: Gateway) -> None:
    ask(gateway)
    done = subprocess.run([*command(gateway, "--once", "--interval", "0.2")], env=ENV, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0][:5] == ["fastgw", "the", "running", "gateway", f"({gateway.admin})"]
    assert {row[1] for row in rows if row[:1] == ["worker"]} == {str(pid) for pid in gateway.workers()}
    assert [row[2] for row in rows if row[:1] == ["admin"]] == ["serving"]
    (often,) = (row for row in rows if row[-1:] == [r"often\tkey"])
    assert often[2:5] == ["30", "30", "0"]
    assert often[6:8] == ["routes/r", "limit-count"]
    assert float(often[0]) > float(often[1]) > 0
    (rare,) = (row for row in rows if row[-1:] == ["rare"])
    assert rare[2:5] == ["30", "20", "10"]
    assert rows.index(often) < rows.index(rare)


def test_pictures_in_a_terminal_until_q(gateway: Gateway) -> None:
    ask(gateway)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 60, 0, 0))
    before = termios.tcgetattr(theirs)
    ends = dict.fromkeys(("stdin", "stdout"), theirs)
    running = subprocess.Popen(command(gateway, "--interval", "0.1"), env=ENV, stderr=subprocess.PIPE, **ends)
    os.set_blocking(ours, False)
    shown = bytearray()

    def pictures() -> int:
        try:
            shown.extend(os.read(ours, 65536))
        except BlockingIOError:
            pass
        return shown.count(b"\x1b[H")

    try:
        until(lambda: pictures() >= 3, "three pictures")
        os.write(ours, b"xq")
        until(lambda: (pictures(), running.poll())[1] is not None, "it ends")
        pictures()
        assert running.returncode == 0
        assert termios.tcgetattr(theirs) == before
    finally:
        running.kill()
        running.communicate()
        os.close(ours)
        os.close(theirs)
    text = shown.decode()
    assert text.startswith("\x1b[?1049h\x1b[?25l")
    assert text.endswith("\x1b[?25h\x1b[?1049l")
    picture = text.split("\x1b[H")[2].split("\x1b[J")[0]
    lines = re.sub(r"\x1b\[K", "", picture).split("\r\n")
    assert len(lines) <= 12
    assert max(map(len, lines)) <= 60
    assert any(line.split()[:1] == ["worker"] for line in lines)


def test_where_there_is_no_terminal_it_says_so(gateway: Gateway) -> None:
    done = subprocess.run(command(gateway), env=ENV, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "fastgw top: standard output is no terminal: --once prints one picture\n"


def test_no_gateway_is_one_line(directory: Path) -> None:
    config = directory / "config.json"
    config.write_text('{"admin": {"listen": "127.0.0.1:0"}}')
    for arguments, said in (
        ([], "no gateway runs on fastgw-data; data_dir is relative to the working directory"),
        (["--interval", "0"], "argument --interval: expected 0.1 to 3600 seconds, found '0' (see fastgw top --help)"),
    ):
        line = [sys.executable, "-m", "fastgw", "top", *arguments, str(config)]
        done = subprocess.run(line, env=ENV, cwd=directory, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"fastgw top: {said}\n"


def test_latencies_nodes_consumers_and_refusals(gateway: Gateway) -> None:
    ask(gateway)
    done = subprocess.run([*command(gateway, "--once", "--interval", "0.2")], env=ENV, capture_output=True, text=True, timeout=60)
    lines = done.stdout.splitlines()
    assert re.search(r"revision \d+  p50 (-|[\d.]+ ms)  p99 (-|[\d.]+ ms)$", lines[0])
    heads = [line.split()[0] for line in lines if line and line.split()[0].isupper()]
    assert heads == ["PROCESS", "HITS/s", "NODE", "CONSUMER", "REFUSED"] or heads == ["PROCESS", "NODE", "CONSUMER", "REFUSED"]
    rows = [line.split() for line in lines if line]
    assert any(row[0] == "127.0.0.1" and row[-1] == "-" for row in rows)
    (refused,) = (row for row in rows if row[0] == "limit-count.exceeded")
    assert int(refused[2]) >= HITS - 60


def test_rates_and_quantiles_are_of_what_came_between() -> None:

    row = {"responses_4xx": 0, "responses_5xx": 0, "upstream_us": 0, "request_us": 0}
    base = {
        "time": 1.0,
        "revision": 3,
        "processes": [],
        "totals": dict.fromkeys((member for _, member in top.TOTALS), 0),
        "latency_us": [(100, 50)],
        "refused": {"a": 5},
        "consumers": [{"consumer": "c", "requests": 10, **row}],
        "nodes": [{"node": "n", "requests": 10, **row}],
        "upstreams": [{"name": "u", "ip": "n", "port": 80, "state": "mostly_healthy"}],
    }
    now = {
        **base,
        "time": 3.0,
        "latency_us": [(100, 50), (2000, 98), (9000, 2)],
        "refused": {"a": 7, "b\x1b": 1},
        "consumers": [{"consumer": "c", "requests": 30, **row, "responses_4xx": 4, "request_us": 40_000}],
        "nodes": [{"node": "n", "requests": 30, **row, "upstream_us": 60_000}],
    }
    lines = top.frame(top.Seen(base, []), top.Seen(now, []), "here")
    assert lines[0].endswith("p50 2.0 ms  p99 9.0 ms")
    rows = [line.split() for line in lines if line]
    assert ["c", "10.0", "2.0", "0.0", "2.0"] in rows
    assert ["n", "10.0", "0.0", "0.0", "3.0", "80", "mostly", "healthy"] in rows
    assert ["a", "1.0", "7"] in rows
    assert [r"b\x1b", "0.5", "1"] in rows
    assert top.quantile([], [], 0.5) is None
