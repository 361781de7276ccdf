"""What was counted outlives the gateway in the file of `shared_memory.path`, however it ended; one that will not do is said."""

import os
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fastgw import _core
from tests.support import wire
from tests.support.gateway import ADMIN_KEY, Gateway, one_route
from tests.support.processes import ROOT, alive, descendants
from tests.support.upstreams import Scripted
from tests.support.waiting import until
from tests.support.wire import Address

BOOT = 24  # where the file names the boot that its times are of
LIMIT = 4
ENV = {**os.environ, "PYTHONPATH": str(ROOT), "FASTGW_ADMIN_KEY": ADMIN_KEY}


def config(echo: Address, shared: Path, **members: Any) -> dict[str, Any]:
    conf = {"count": LIMIT, "time_window": 86_400, "key": "all", "key_type": "constant", "rejected_code": 429}
    memory = {"path": str(shared), "counters": 2048, **members}
    return {"workers": 2, "shared_memory": memory, **one_route(echo, plugins={"limit-count": conf})}


def admitted(gateway: Gateway, count: int) -> int:
    return [gateway.get("/get").status for _ in range(count)].count(200)


def start_refused(gateway: Gateway) -> str:
    """What a start says that is refused; the exit code is 2, and the line one."""
    command = [sys.executable, "-m", "fastgw", "run", str(gateway.config_path)]
    done = subprocess.run(command, cwd=gateway.directory, env=ENV, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    return done.stderr.removeprefix("fastgw run: ").rstrip("\n")


def test_counts_go_on_after_a_stop_and_a_start(directory: Path, echo: Address) -> None:
    gateway = Gateway(directory, config(echo, directory / "shared"))
    with gateway:
        assert admitted(gateway, LIMIT - 1) == LIMIT - 1
    with gateway:
        assert admitted(gateway, LIMIT) == 1
    (directory / "shared").unlink()
    with gateway:
        assert admitted(gateway, LIMIT + 1) == LIMIT


def test_counts_go_on_after_all_processes_were_killed(directory: Path, echo: Address) -> None:
    gateway = Gateway(directory, config(echo, directory / "shared"))
    with gateway:
        assert admitted(gateway, LIMIT - 1) == LIMIT - 1
        _kill_all(gateway)
        gateway.start()
        assert admitted(gateway, LIMIT) == 1


def test_what_killed_processes_held_is_given_back_at_the_start(directory: Path) -> None:
    conf = {"conn": 1, "burst": 0, "default_conn_delay": 0.1, "key": "remote_addr", "rejected_code": 429}
    memory = {"path": str(directory / "shared"), "counters": 2048}
    with Scripted([b""], keep_open=True) as silent:
        given = {"shared_memory": memory, **one_route(silent.address, plugins={"limit-conn": conf})}
        with Gateway(directory, given) as gateway:
            with wire.connect(gateway.data) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                until(lambda: gateway.get("/").status == 429, "it is held")
                _kill_all(gateway)
            gateway.start()
            with wire.connect(gateway.data) as client:
                client.sendall(b"GET /again HTTP/1.1\r\nHost: a\r\n\r\n")
                until(lambda: any(b"/again" in each for each in silent.received), "it is let through")


def _kill_all(gateway: Gateway) -> None:
    """As the kernel does where memory is short: none has a say in it."""
    pids = [gateway.process.pid, *descendants(gateway.process.pid)]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    gateway.process.wait()
    until(lambda: not any(alive(pid) for pid in pids), "all are gone")


def test_what_an_earlier_boot_counted_is_forgotten(directory: Path, echo: Address) -> None:
    """Its clock began anew since."""
    shared = directory / "shared"
    gateway = Gateway(directory, config(echo, shared))
    with gateway:
        assert admitted(gateway, LIMIT) == LIMIT
    with shared.open("r+b") as file:
        file.seek(BOOT)
        file.write(bytes(8))
    with gateway:
        assert admitted(gateway, LIMIT) == LIMIT


def test_a_program_that_maps_the_file_draws_on_the_same_counts(directory: Path, echo: Address) -> None:
    with Gateway(directory, config(echo, directory / "shared")) as gateway:
        limiter = _core.Limiter(_core.Table.attach(directory / "shared"), "routes/r/limit-count", count=LIMIT, window=86_400)
        assert limiter.hit("all").remaining == LIMIT - 1
        assert admitted(gateway, LIMIT) == LIMIT - 1
        assert not limiter.hit("all").allowed


def test_a_second_gateway_on_the_file_is_refused(directory: Path, echo: Address) -> None:
    shared = directory / "shared"
    (directory / "other").mkdir()
    with Gateway(directory, config(echo, shared)) as gateway:
        other = Gateway(directory / "other", config(echo, shared))
        assert start_refused(other) == f"{shared}: in use by another gateway; programs may share it, gateways have one each"
        assert admitted(gateway, LIMIT + 1) == LIMIT
    with other:
        assert admitted(other, 1) == 0


@pytest.mark.parametrize(
    ("at", "raw", "said"),
    [
        (8, struct.pack("<I", 99), "expected layout version {version}, found 99: {mend}"),
        (0, b"NOT-OURS", "expected a fastgw region, found other content: {mend}"),
        (16, struct.pack("<Q", 12345), "expected 12345 bytes, found {size}: {mend}"),
    ],
)
def test_a_file_that_will_not_do_is_one_line_and_exit_code_2(
    directory: Path, echo: Address, at: int, raw: bytes, said: str
) -> None:
    shared = directory / "shared"
    gateway = Gateway(directory, config(echo, shared))
    with gateway:
        pass
    (version,) = struct.unpack_from("<I", shared.read_bytes(), 8)
    with shared.open("r+b") as file:
        file.seek(at)
        file.write(raw)
    mend = "remove the file, and with it what was counted, before a start"
    assert start_refused(gateway) == f"{shared}: " + said.format(version=version, size=shared.stat().st_size, mend=mend)
    shared.unlink()
    with gateway:
        assert admitted(gateway, 1) == 1


def test_another_number_of_counters_is_said(directory: Path, echo: Address) -> None:
    shared = directory / "shared"
    gateway = Gateway(directory, config(echo, shared))
    with gateway:
        assert admitted(gateway, LIMIT) == LIMIT
    gateway.write_config(config(echo, shared, counters=5000))
    assert start_refused(gateway) == (
        f"{shared}: expected 8192 counters, by shared_memory.counters, found 2048: set that, or "
        "remove the file, and with it what was counted, before a start"
    )
    gateway.write_config(config(echo, shared, counters=2000))
    with gateway:
        assert admitted(gateway, 1) == 0


def test_a_place_where_no_file_can_be_is_said(directory: Path, echo: Address) -> None:
    for shared, said in ((directory / "absent" / "shared", "No such file or directory"), (directory, "Is a directory")):
        assert start_refused(Gateway(directory, config(echo, shared))) == f"{shared}: {said}"
