"""From the first line of the log to the exit code: start, what is refused, drain, stop."""

import os
import re
import signal
import socket
import stat
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from fastgw.process import RESTART
from tests.support import wire
from tests.support.gateway import Gateway, one_route
from tests.support.processes import Process, children, title
from tests.support.upstreams import OK, Answering
from tests.support.waiting import until
from tests.support.wire import Address

READY = re.compile(r"^fastgw: ready: listen (.+), admin (.+), workers (\d+), pid (\d+)$", re.M)


def refused(directory: Path, config: Path) -> str:
    """What a start that must fail prints: one line, exit code 2."""
    process = Process([sys.executable, "-m", "fastgw", str(config)], directory / "refused.log")
    assert process.wait() == 2
    return process.log()


def test_ready_line_comes_once_all_workers_serve(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo) | {"workers": 3}) as gateway:
        found = until(lambda: READY.search(gateway.log()), "the ready line")
        assert found.groups() == (str(gateway.data), str(gateway.admin), "3", str(gateway.process.pid))
        assert len(re.findall(r"\[worker \d\] fastgw.worker: serving", gateway.log())) == 3


def test_titles_and_pid_file(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo) | {"workers": 2, "echo": True}) as gateway:
        assert title(gateway.process.pid) == "fastgw: master"
        titles = sorted(title(pid) for pid in children(gateway.process.pid))
        assert titles == ["fastgw: admin", "fastgw: echo", "fastgw: worker 1", "fastgw: worker 2"]
        pid_file = directory / "data" / "fastgw.pid"
        assert pid_file.read_text() == f"{gateway.process.pid}\n"
        assert stat.S_IMODE((directory / "data").stat().st_mode) == 0o700
    assert not pid_file.exists()


def test_the_admin_process_stands_back_behind_the_workers(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo)) as gateway:
        until(lambda: gateway.pids("admin"), "the admin process has its title")
        (admin,), (worker,) = gateway.pids("admin"), gateway.workers()
        assert os.getpriority(os.PRIO_PROCESS, admin) > os.getpriority(os.PRIO_PROCESS, worker)
        assert os.sched_getscheduler(admin) == os.SCHED_BATCH


def test_children_hold_only_their_own_listening_sockets(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo) | {"workers": 3}) as gateway:
        for worker in gateway.workers():
            assert len(listening(worker)) == 1
        (admin,) = gateway.pids("admin")
        assert len(listening(admin)) == 1
        assert len(listening(gateway.process.pid)) == 4
        assert os.readlink(f"/proc/{worker}/fd/0") == os.devnull


def listening(pid: int) -> set[str]:
    """Inodes of the listening TCP sockets that a process has open."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {row[9] for row in rows if row[3] == "0A"}
    links = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()]
    return {link[8:-1] for link in links if link.startswith("socket:[")} & inodes


def test_port_zero_is_one_port_for_all_workers(directory: Path, echo: Address) -> None:
    gateway = Gateway(directory, one_route(echo) | {"workers": 3, "listen": ["127.0.0.1:0"]})
    command = [sys.executable, "-m", "fastgw", "run", str(gateway.config_path)]
    gateway.process = Process(command, directory / "gateway.log", gateway.env)
    try:
        found = until(lambda: READY.search(gateway.log()), "the ready line")
        host, port = found[1].split(":")
        for _ in range(20):
            assert wire.get(Address(host, int(port)), "/anything").status == 200
        assert gateway.stop() == 0
    finally:
        gateway.process.kill()


def test_unix_socket_is_served_and_taken_away(directory: Path, echo: Address) -> None:
    path = directory / "gateway.sock"
    with Gateway(directory, one_route(echo) | {"workers": 2}) as gateway:
        gateway.write_config(one_route(echo) | {"listen": [str(gateway.data), f"unix:{path}"]})
        gateway.stop()
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(str(path))  # as a killed master leaves it
        stale.close()
        gateway.start()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET /anything HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert wire.read_to_end(client).startswith(b"HTTP/1.1 200 ")
    assert not path.exists()


def test_an_address_in_use_is_one_line_and_exit_code_2(directory: Path, echo: Address) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = Address(*other.getsockname())
        gateway = Gateway(directory, one_route(echo) | {"listen": [str(address)]})
        assert refused(directory, gateway.config_path) == f"fastgw run: {address}: Address already in use\n"


def test_another_gateway_on_the_same_port_is_noticed(directory: Path, echo: Address) -> None:
    """Both would listen with SO_REUSEPORT, and the kernel would mix their clients."""
    with Gateway(directory, one_route(echo) | {"workers": 2}) as gateway:
        second = directory / "second"
        second.mkdir()
        other = Gateway(second, one_route(echo) | {"listen": [str(gateway.data)]})
        assert refused(second, other.config_path) == f"fastgw run: {gateway.data}: Address already in use\n"


def test_a_second_master_on_the_same_data_is_refused(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo)) as gateway:
        second = directory / "second"
        second.mkdir()
        data = directory / "data"
        other = Gateway(second, one_route(echo) | {"data_dir": str(data)})
        line = f"fastgw run: {data}: in use by another gateway (pid {gateway.process.pid})\n"
        assert refused(second, other.config_path) == line


def test_an_open_data_directory_is_refused(directory: Path, echo: Address) -> None:
    data = directory / "data"
    data.mkdir()
    data.chmod(0o755)
    gateway = Gateway(directory, one_route(echo))
    assert refused(directory, gateway.config_path) == f"fastgw run: {data}: expected mode 0700, found 0755\n"


def test_a_bad_config_starts_nothing(directory: Path, echo: Address) -> None:
    gateway = Gateway(directory, one_route(echo) | {"wrokers": 2})
    line = refused(directory, gateway.config_path)
    assert line.startswith(f"{gateway.config_path}: wrokers: ")
    assert line.count("\n") == 1
    assert not (directory / "data").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_lets_requests_in_flight_end(directory: Path, number: signal.Signals) -> None:
    release = threading.Event()

    def respond(_: bytes) -> bytes:
        assert release.wait(wire.TIMEOUT)
        return OK

    with ExitStack() as stack:
        upstream = stack.enter_context(Answering(respond))
        gateway = stack.enter_context(Gateway(directory, one_route(upstream.address, "/slow")))
        idle, busy = (stack.enter_context(wire.connect(gateway.data)) for _ in range(2))
        idle.sendall(b"GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wire.read_response(idle).status == 404
        busy.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        upstream.wait_for(b"\r\n\r\n")
        gateway.process.signal(number)
        until(lambda: "draining connections=" in gateway.log(), "the drain begins")
        assert idle.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            wire.connect(gateway.data)
        release.set()
        answer = wire.read_response(busy)
        assert answer.status == 200
        assert answer.headers["connection"] == "close"
        assert gateway.process.wait() == 0


def test_a_second_term_stops_now(directory: Path) -> None:
    release = threading.Event()

    def respond(_: bytes) -> bytes:
        release.wait(wire.TIMEOUT)
        return OK

    with Answering(respond) as upstream, Gateway(directory, one_route(upstream.address)) as gateway:
        with wire.connect(gateway.data) as busy:
            busy.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            upstream.wait_for(b"\r\n\r\n")
            gateway.process.signal(signal.SIGTERM)
            until(lambda: "draining connections=" in gateway.log(), "the drain begins")
            gateway.process.signal(signal.SIGTERM)
            assert gateway.process.wait() == 0
            assert wire.read_to_end(busy) == b""
        release.set()


def test_term_to_the_whole_group_is_one_term(directory: Path) -> None:
    """As service managers do it: workers get it from outside, and the master asks them to drain as well."""
    release = threading.Event()

    def respond(_: bytes) -> bytes:
        assert release.wait(wire.TIMEOUT)
        return OK

    with Answering(respond) as upstream, Gateway(directory, one_route(upstream.address)) as gateway:
        with wire.connect(gateway.data) as busy:
            busy.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            upstream.wait_for(b"\r\n\r\n")
            for pid in [*gateway.workers(), gateway.process.pid]:
                os.kill(pid, signal.SIGTERM)
            until(lambda: "stopping: workers drain" in gateway.log(), "the master stops")
            release.set()
            assert wire.read_response(busy).status == 200
        assert gateway.process.wait() == 0


def test_drain_timeout_cuts_what_does_not_end(directory: Path) -> None:
    release = threading.Event()

    def respond(_: bytes) -> bytes:
        release.wait(wire.TIMEOUT)
        return OK

    config = {"limits": {"drain_timeout": 1}}
    with Answering(respond) as upstream, Gateway(directory, one_route(upstream.address) | config) as gateway:
        with wire.connect(gateway.data) as busy:
            busy.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            upstream.wait_for(b"\r\n\r\n")
            assert gateway.stop() == 0
            assert "drain timeout: 1 connections are cut" in gateway.log()
        release.set()


def test_logs_are_reopened(directory: Path, echo: Address) -> None:
    names = {"access": directory / "access.log", "error": directory / "error.log"}
    config = {"access_log": {"path": str(names["access"])}, "error_log": {"path": str(names["error"])}}
    with Gateway(directory, one_route(echo) | config) as gateway:
        for path in names.values():
            path.rename(f"{path}.1")
        gateway.process.signal(signal.SIGUSR1)
        until(lambda: all(path.exists() for path in names.values()), "new files under the old names")
        # The master makes the first file, each process opens its own descriptor of it.
        (worker,) = gateway.workers()
        until(lambda: str(names["access"]) in opened(worker), "the worker writes to the new access log")
        gateway.get("/anything")
        until(lambda: "/anything" in names["access"].read_text(), "the request in the new access log")
        gateway.process.signal(RESTART)
        until(lambda: "workers replaced" in names["error"].read_text(), "what was said since, in the new error log")


def opened(pid: int) -> set[str]:
    return {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()}


def test_ctrl_c_reaches_all_but_only_the_master_acts(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo) | {"workers": 2, "echo": True}) as gateway:
        before = children(gateway.process.pid)
        for pid in before:
            for number in (signal.SIGINT, signal.SIGHUP):
                os.kill(pid, number)
        assert gateway.get("/anything").status == 200
        assert children(gateway.process.pid) == before
