"""USR2: a new master takes over sockets, shared memory and store, and nobody notices; one that fails changes nothing."""

import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.plugins.own import source, write
from tests.support.gateway import Gateway, one_route
from tests.support.load import Load
from tests.support.processes import adopt_orphans, alive, children, open_files, title
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


BROKEN = source(
    "broken",
    """
    def provision(self, conf, env):
        import os
        os._exit(3)

    def access(self, conf, request):
        return None
""",
    phases='("access",)',
)


def test_a_new_master_that_fails_later_leaves_nothing_of_its_file(directory: Path, echo: Address) -> None:
    config = one_route(echo, "/anything") | {"consumers": [{"username": "jane"}]}
    with Gateway(directory, config) as gateway:
        whole = gateway.config_path.read_text()
        gateway.put("routes/two", {"uri": "/status/202", "upstream": {"nodes": {str(echo): 1}}})
        gateway.put("consumers/jane/credentials/one", {"plugins": {"key-auth": {"key": "the-key-of-jane"}}})
        files = {"plugins_dir": str(write(directory, broken=BROKEN)), "global_rules": [{"id": "g", "plugins": {"broken": {}}}]}
        gateway.write_config(one_route(echo, "/status/203") | files)  # without the consumer
        new = successor(gateway)
        until(lambda: "worker 1 exited with code 3" in gateway.log(), "its worker fails")
        gateway.put("routes/three", {"uri": "/status/204", "upstream": {"nodes": {str(echo): 1}}})
        os.kill(new, signal.SIGKILL)
        until(lambda: "upgrade failed: the new master ended with code -9; nothing was changed" in gateway.log(), gateway.log())
        until(lambda: gateway.get("/anything").status == 200, f"the file's route is back\n{gateway.log()}")
        assert [gateway.get(f"/status/20{number}").status for number in (2, 3, 4)] == [202, 404, 204]
        assert gateway.api("GET", "global_rules/g").status == 404
        assert gateway.api("GET", "consumers/jane/credentials/one").status == 200
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


def successor(gateway: Gateway) -> int:
    """Sends USR2; the new master's pid, as soon as there is one."""
    pid = gateway.process.pid
    before = set(children(pid))
    adopt_orphans()
    gateway.process.signal(signal.SIGUSR2)
    until(lambda: set(children(pid)) - before, "a second master")
    return min(set(children(pid)) - before)


@contextmanager
def handed_over(gateway: Gateway) -> Iterator[int]:
    """The new master serves, and the old one's admin process takes its time to end: the pid file still names the old one."""
    until(lambda: "admin process serves" in gateway.log(), "it holds no lock of the store's any more")
    (admin,) = gateway.pids("admin")
    os.kill(admin, signal.SIGSTOP)
    try:
        new = successor(gateway)
        until(lambda: "upgrade: the new master serves" in gateway.log(), "the new master serves")
        yield new
    finally:
        os.kill(admin, signal.SIGCONT)


def nothing_is_left(gateway: Gateway, new: int) -> bool:
    with socket.socket() as client:
        refused = client.connect_ex((gateway.data.host, gateway.data.port)) != 0
    return refused and not alive(new) and not (Path(gateway.config["data_dir"]) / "fastgw.pid").exists()


def test_told_to_stop_before_the_new_one_serves(directory: Path, echo: Address) -> None:
    path = directory / "data.sock"
    config = one_route(echo, "/anything") | {"listen": ["127.0.0.1:0", f"unix:{path}"]}
    with Gateway(directory, config) as gateway:
        new = successor(gateway)
        os.kill(new, signal.SIGSTOP)
        gateway.process.signal(signal.SIGTERM)
        until(lambda: "stopping: workers drain" in gateway.log(), "the old one stops")
        os.kill(new, signal.SIGCONT)
        assert gateway.process.wait() == 0
        assert nothing_is_left(gateway, new), gateway.log()
        assert not path.exists()
        assert "upgrade given up: told to stop" in gateway.log()


def test_told_to_stop_before_the_pid_file_names_the_new_one(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo, "/anything")) as gateway:
        with handed_over(gateway) as new:
            gateway.process.signal(signal.SIGTERM)
            until(lambda: "stopping: workers drain" in gateway.log(), "the new one stops")
        assert gateway.process.wait() == 0
        until(lambda: nothing_is_left(gateway, new), f"the end of all\n{gateway.log()}")


def test_a_group_that_is_told_to_stop_drains(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo, "/anything")) as gateway:
        with handed_over(gateway) as new:
            os.kill(new, signal.SIGTERM)
            gateway.process.signal(signal.SIGTERM)
        assert gateway.process.wait() == 0
        until(lambda: nothing_is_left(gateway, new), f"the end of all\n{gateway.log()}")
        assert "told to stop again" not in gateway.log()


@pytest.mark.parametrize("early", [True, False])
def test_signals_to_the_old_one_reach_the_new_one(directory: Path, echo: Address, early: bool) -> None:
    log = directory / "access.log"
    config = one_route(echo, "/anything") | {"access_log": {"path": str(log)}}
    with Gateway(directory, config) as gateway:
        old, file = gateway.process.pid, Path(gateway.config["data_dir"]) / "fastgw.pid"

        def told() -> None:
            log.rename(directory / "rotated.log")
            gateway.process.signal(signal.SIGUSR1)
            gateway.write_config(one_route(echo, "/status/202") | {"access_log": {"path": str(log)}, "server_tokens": False})
            gateway.process.signal(signal.SIGHUP)

        if early:
            new = successor(gateway)
            until(lambda: title(new) == "fastgw: master" and log.exists(), "it has read the file")
            told()
        else:
            with handed_over(gateway) as new:
                told()
        until(lambda: file.read_text() == f"{new}\n" and not alive(old), f"the new master takes the place\n{gateway.log()}")
        gateway.process.popen.wait()
        gateway.process.follow(new)

        def reloaded() -> bool:
            answer = gateway.get("/status/202")
            return answer.status == 202 and answer.headers.get("server") != "fastgw"

        until(reloaded, f"what the file says now\n{gateway.log()}")
        until(lambda: log.exists() and "/status/202" in log.read_text(), "the log that was opened anew")


def test_nobody_waits_in_queues_that_the_new_one_does_not_have(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo, "/anything") | {"workers": 4}) as gateway:
        workers = gateway.workers()
        gateway.write_config(one_route(echo, "/anything") | {"workers": 1})
        with handed_over(gateway) as new:
            until(lambda: not any(alive(pid) for pid in workers), "the old workers have ended")
            assert {gateway.get("/anything").status for _ in range(24)} == {200}
        assert gateway.process.wait() == 0
        gateway.process.follow(new)


def test_after_one_that_failed_there_can_be_more_workers(directory: Path, echo: Address) -> None:
    with Gateway(directory, one_route(echo, "/anything") | {"workers": 1}) as gateway:
        gateway.write_config(one_route(echo, "/anything") | {"workers": 3, "admin": {"audit": {"path": "/nowhere/audit.log"}}})
        gateway.process.signal(signal.SIGUSR2)
        until(lambda: "upgrade failed" in gateway.log(), "the log tells")
        gateway.reload(one_route(echo, "/anything") | {"workers": 3})
        until(lambda: len(gateway.workers()) == 3, "three workers")
        before = {pid: open_files(pid) for pid in gateway.workers()}
        clients = [socket.create_connection((gateway.data.host, gateway.data.port)) for _ in range(60)]
        until(lambda: sum(open_files(pid) - n for pid, n in before.items()) >= 60, "all are accepted")
        assert all(open_files(pid) > n for pid, n in before.items())
        for each in clients:
            each.close()
