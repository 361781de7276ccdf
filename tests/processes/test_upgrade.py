"""USR2: a new master takes over sockets, shared memory and store, and nobody notices; one that fails changes nothing."""

import os
import re
import signal
import socket
from pathlib import Path

from tests.support.gateway import Gateway, one_route
from tests.support.load import Load
from tests.support.processes import alive, children, title
from tests.support.upstreams import Answering
from tests.support.waiting import until
from tests.support.wire import Address

REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
CONNECTIONS = 64
LIMIT = {"limit-count": {"count": 3, "time_window": 600, "rejected_code": 429}}


def test_upgrades_under_load_lose_nothing(directory: Path) -> None:
    with Answering() as upstream:
        config = {"workers": 2, **one_route(upstream.address)}
        with Gateway(directory, config) as gateway, Load(gateway.data, REQUEST, CONNECTIONS) as load:
            masters = {gateway.process.pid}
            for _ in range(3):
                before = gateway.workers()
                seen = load.done
                until(lambda seen=seen: load.done > seen + CONNECTIONS, "the load goes on")
                gateway.upgrade()
                masters.add(gateway.process.pid)
                assert not any(alive(pid) for pid in before)
                assert len(gateway.workers()) == 2
            assert len(masters) == 4
    assert (set(load.statuses), load.lost, load.refused) == ({200}, 0, 0)


def test_counts_and_written_objects_outlive_it(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo, "/anything", plugins=LIMIT)) as gateway:
        gateway.put("routes/two", {"uri": "/status/201", "upstream": {"nodes": {str(echo): 1}}})
        assert [gateway.get("/anything").status for _ in range(2)] == [200, 200]
        gateway.upgrade()
        assert gateway.get("/status/201").status == 201
        assert [gateway.get("/anything").status for _ in range(2)] == [200, 429]
        gateway.put("routes/two", {"uri": "/status/202", "upstream": {"nodes": {str(echo): 1}}})
        assert gateway.get("/status/202").status == 202


def test_the_new_master_reads_the_file_and_may_have_more_or_fewer_workers(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo, "/anything") | {"workers": 2}) as gateway:
        for workers in (4, 1, 3):
            target = f"/status/20{workers}"
            gateway.write_config(one_route(echo, target) | {"workers": workers})
            gateway.upgrade()
            assert len(gateway.workers()) == workers
            assert {gateway.get(target).status for _ in range(16)} == {200 + workers}
            assert gateway.get("/anything").status == 404


def test_a_new_master_that_fails_changes_nothing(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo, "/anything") | {"workers": 2}) as gateway:
        workers, whole = gateway.workers(), gateway.config_path.read_text()
        gateway.config_path.write_text('{"wrokers": 3}')
        gateway.process.signal(signal.SIGUSR2)
        until(lambda: "upgrade failed: the new master ended with code 2; nothing was changed" in gateway.log(), "the log tells")
        assert "wrokers" in gateway.log()
        assert gateway.workers() == workers
        assert {gateway.get("/anything").status for _ in range(16)} == {200}
        gateway.config_path.write_text(whole)
        gateway.upgrade()
        assert gateway.get("/anything").status == 200


def test_unix_sockets_keep_their_names(directory: Path, echo: Address) -> None:
    path = directory / "data.sock"
    config = one_route(echo, "/anything") | {"listen": ["127.0.0.1:0", f"unix:{path}"]}
    with Gateway(directory, config) as gateway:
        gateway.upgrade()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET /anything HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert client.recv(64).startswith(b"HTTP/1.1 200 ")
    assert not path.exists()


def test_the_old_master_is_killed_meanwhile(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo, "/anything") | {"workers": 2}) as gateway:
        old, file = gateway.process.pid, Path(gateway.config["data_dir"]) / "fastgw.pid"
        gateway.process.signal(signal.SIGUSR2)
        until(lambda: [pid for pid in children(old) if title(pid) == "fastgw: master"], "a second master")
        new = next(pid for pid in children(old) if title(pid) == "fastgw: master")
        os.kill(old, signal.SIGKILL)
        gateway.process.popen.wait()
        until(lambda: file.read_text() == f"{new}\n", f"the new master takes the place\n{gateway.log()}")
        gateway.process.follow(new)
        until(lambda: len(gateway.workers()) == 2 and gateway.pids("admin"), "all of its processes")
        assert {gateway.get("/anything").status for _ in range(16)} == {200}
        gateway.put("routes/two", {"uri": "/status/202", "upstream": {"nodes": {str(echo): 1}}})
        assert gateway.get("/status/202").status == 202


def test_another_data_dir_takes_a_restart(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo, "/anything")) as gateway:
        whole = gateway.config_path.read_text()
        gateway.write_config(one_route(echo, "/anything") | {"data_dir": str(directory / "other")})
        gateway.process.signal(signal.SIGUSR2)
        until(lambda: "upgrade failed" in gateway.log(), "the log tells")
        assert re.search(r"data_dir: changed from \S+/data: that takes a restart", gateway.log())
        gateway.config_path.write_text(whole)
        assert gateway.get("/anything").status == 200
