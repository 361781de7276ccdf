"""What the system refuses the master (a file, a process slot, a name) ends no gateway: it says so, serves on, and tries again."""

import contextlib
import json
import os
import signal
from pathlib import Path

from fastgw import _core
from tests.support import wire
from tests.support.gateway import Gateway, one_route
from tests.support.load import Load
from tests.support.processes import adopt_orphans, alive
from tests.support.upstreams import Answering
from tests.support.waiting import until
from tests.support.wire import Address

REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
CONNECTIONS = 16


def test_where_no_process_slot_is_left_the_old_workers_serve_on(directory: Path) -> None:
    """As where many workers of many reloads still drain."""
    shared = directory / "shared"
    with Answering() as upstream:
        config = {"workers": 2, "shared_memory": {"path": str(shared), "counters": 1024}, **one_route(upstream.address)}
        with Gateway(directory, config) as gateway, Load(gateway.data, REQUEST, CONNECTIONS) as load:
            gateway.reload()  # all have entered their slots
            region = _core.Region.attach(os.open(shared, os.O_RDWR))
            free = [index for index in range(region.slot_count) if region.slot(index).state == 0]
            for index in free[1:]:
                region.set_slot(index, os.getpid(), 2, 1)
            before = gateway.workers()
            gateway.reload({**config, "server_tokens": False})
            assert "all 256 process slots are taken" in gateway.log()
            seen = load.done
            until(lambda: load.done > seen + 20 * CONNECTIONS, "the load goes on")
            assert len(set(before) & set(gateway.workers())) >= 1, "who cannot be replaced serves on"
            for index in free[1:]:
                region.set_slot(index, 0, 0, 0)
            until(lambda: len(set(gateway.workers()) - set(before)) == len(gateway.workers()) == 2, "two others")
            assert "server" not in gateway.get("/").headers
    assert (set(load.statuses), load.lost, load.refused) == ({200}, 0, 0)


def test_logs_that_cannot_be_opened_anew_go_on_in_the_old_files(directory: Path, echo: Address) -> None:
    logs = directory / "logs"
    logs.mkdir()
    access, errors = logs / "access.log", logs / "error.log"
    config = {"workers": 2, "access_log": {"path": str(access)}, "error_log": {"path": str(errors)}, **one_route(echo)}
    with Gateway(directory, config) as gateway:
        workers = gateway.workers()
        moved = logs.rename(directory / "moved")
        gateway.process.signal(signal.SIGUSR1)
        old = moved / "error.log"
        until(lambda: old.read_text().count(f"{errors}: cannot be opened anew") == 4, "all four processes say so")
        assert old.read_text().count(f"{access}: cannot be opened anew") == 2
        assert gateway.get("/anything").status == 200
        until(lambda: "/anything" in (moved / "access.log").read_text(), "its line")
        assert gateway.workers() == workers
        logs.mkdir()
        gateway.process.signal(signal.SIGUSR1)
        until(lambda: access.exists() and errors.exists(), "both are opened anew")
        until(lambda: gateway.get("/anything").status == 200 and access.read_text(), "lines in the new file")
        assert gateway.process.popen.poll() is None


def test_a_pid_file_that_cannot_be_written_ends_no_upgrade(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo)) as gateway:
        data = Path(gateway.config["data_dir"])
        blocked = data / "fastgw.new"
        blocked.mkdir()
        old = gateway.process.pid
        adopt_orphans()
        gateway.process.signal(signal.SIGUSR2)
        until(lambda: "the pid file cannot be written" in gateway.log(), f"the new master says so\n{gateway.log()}")
        until(lambda: not alive(old), "the old one ends")
        gateway.process.popen.wait()
        assert gateway.get("/anything").status == 200
        blocked.rmdir()
        until(lambda: (data / "fastgw.pid").read_text() != f"{old}\n", "it is tried again")
        gateway.process.follow(int((data / "fastgw.pid").read_text()))
        assert gateway.log().count("the pid file cannot be written") == 1
        assert gateway.get("/anything").status == 200


def test_signals_to_a_master_that_ends_are_not_lost_in_silence(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo)) as gateway, wire.connect(gateway.data) as client:
        client.sendall(b"GET /anything HTTP/1.1\r\n")  # a request under way: the gateway drains
        until(lambda: gateway.get("/anything").status == 200, "it is read")
        gateway.process.signal(signal.SIGTERM)
        until(lambda: "stopping: workers drain" in gateway.log(), "it stops")
        gateway.process.signal(signal.SIGUSR2)
        until(lambda: "SIGUSR2: not done: this master is ending" in gateway.log(), "the log says so")
        client.sendall(b"Host: a\r\n\r\n")
        assert wire.read_response(client).status == 200


def test_who_does_not_read_standard_output_stops_no_traffic(directory: Path, echo: Address) -> None:
    """The access log of two workers goes there; what it has no room for waits, and is whole when it is read."""
    pipe = directory / "output"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    under = ("sh", "-c", f'exec "$@" > {pipe}', "sh")
    count, found = 60, bytearray()
    with Gateway(directory, one_route(echo) | {"workers": 2}, under=under) as gateway:
        for number in range(count):  # three times what a pipe holds
            answer = gateway.get(f"/anything?{number}", headers={"Referer": "/" + "x" * 3000})
            assert answer.status == 200

        def all_read() -> bool:
            with contextlib.suppress(BlockingIOError):
                found.extend(os.read(end, 1 << 20))
            return found.count(b"\n") == count

        until(all_read, "all lines")
    os.close(end)
    assert {json.loads(line)["uri"] for line in found.splitlines()} == {f"/anything?{number}" for number in range(count)}
