"""Processes are killed: service goes on, the dead are replaced, nobody outlives the master."""

import os
import re
import signal
from pathlib import Path

from tests.support import wire
from tests.support.gateway import Gateway, one_route
from tests.support.processes import alive, children
from tests.support.waiting import until
from tests.support.wire import Address


def test_each_worker_is_replaced_and_service_goes_on(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo) | {"workers": 3}) as gateway:
        before = gateway.workers()
        for pid in before:
            gateway.kill_worker(pid)
            for _ in range(12):
                assert gateway.get("/anything").status == 200
        assert not set(before) & set(gateway.workers())
        assert len(re.findall(r"worker \d was killed by SIGKILL: replaced", gateway.log())) == 3


def test_a_connection_that_waits_in_a_dead_workers_queue_is_served(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo)) as gateway:
        (worker,) = gateway.workers()
        os.kill(worker, signal.SIGSTOP)
        with wire.connect(gateway.data) as client:
            client.sendall(b"GET /anything HTTP/1.1\r\nHost: x\r\n\r\n")
            os.kill(worker, signal.SIGKILL)
            assert wire.read_response(client).status == 200


def test_a_worker_that_keeps_dying_is_started_ever_more_slowly(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo) | {"workers": 2}) as gateway:
        until(lambda: "admin process serves" in gateway.log(), "the admin process, which opens the database too")
        database = directory / "data" / "fastgw.db"
        kept = database.rename(directory / "kept.db")
        database.mkdir()
        first, second = gateway.workers()
        with wire.Client(gateway.data) as client:
            # The connection is on the worker that lives on.
            client.request("GET", "/anything")
            on = first if connected(first) else second
            os.kill(second if on == first else first, signal.SIGKILL)
            until(lambda: "replaced in 0.4 s" in gateway.log(), "the fourth death")
            assert client.request("GET", "/anything").status == 200
        pauses = re.findall(r"replaced (at once|in [\d.]+ s)", gateway.log())
        assert pauses[:4] == ["at once", "in 0.1 s", "in 0.2 s", "in 0.4 s"]
        database.rmdir()
        kept.rename(database)
        until(lambda: gateway.log().count("fastgw.worker: serving") == 3, "a worker that starts again")
        for _ in range(10):
            assert gateway.get("/anything").status == 200


def connected(pid: int) -> bool:
    """Whether the process has an established TCP connection open."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {row[9] for row in rows if row[3] == "01"}
    links = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()]
    return bool({link[8:-1] for link in links if link.startswith("socket:[")} & inodes)


def test_the_admin_process_is_replaced_and_workers_go_on(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo) | {"workers": 2}) as gateway:
        workers = gateway.workers()
        (admin,) = gateway.pids("admin")
        os.kill(admin, signal.SIGKILL)
        assert gateway.get("/anything").status == 200
        # The listening socket is the master's: a call made in between waits for the new process.
        assert gateway.api("GET", "routes").status == 200
        assert gateway.pids("admin") != [admin]
        assert gateway.workers() == workers
        gateway.put("routes/2", {"uri": "/two", "upstream": {"nodes": {str(echo): 1}}})
        for _ in range(8):
            assert gateway.get("/two").status != 502


def test_the_echo_upstream_is_replaced(directory: Path) -> None:
    gateway = Gateway(directory)
    gateway.write_config(one_route(gateway.echo) | {"echo": True})
    with gateway:
        (echo,) = gateway.pids("echo")
        os.kill(echo, signal.SIGKILL)
        until(lambda: gateway.pids("echo") not in ([], [echo]), "a new echo process")
        assert gateway.get("/anything").status == 200


def test_nobody_outlives_a_killed_master(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo) | {"workers": 2, "echo": True}) as gateway:
        left = children(gateway.process.pid)
        assert len(left) == 4
        gateway.process.popen.kill()
        gateway.process.wait()
        until(lambda: not any(alive(pid) for pid in left), "all children gone")
        assert gateway.log().count("fastgw.worker: stopped") == 2
        gateway.start()
        assert gateway.get("/anything").status == 200
