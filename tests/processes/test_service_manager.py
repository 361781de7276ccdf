"""What systemd gives and is told, played by a socket and an environment of the test's own."""

import os
import signal
import socket
import sys
from pathlib import Path

from tests.support.gateway import Gateway, one_route
from tests.support.processes import Process
from tests.support.waiting import until
from tests.support.wire import Address

# What systemd does between fork and exec: the sockets from descriptor 3 on, and whose they are.
ACTIVATE = """
import os, sys
given, rest = [int(fd) for fd in sys.argv[1].split(",")], sys.argv[2:]
high = [os.dup2(fd, 100 + fd, inheritable=False) for fd in given]
for number, fd in enumerate(high):
    os.dup2(fd, 3 + number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)))
os.execv(sys.executable, [sys.executable, *rest])
"""


class Manager:
    """The notification socket: everything it was told so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.told: list[dict[str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def __enter__(self) -> "Manager":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def heard(self, *wanted: str) -> dict[str, str] | None:
        """The first message, of those not yet looked at by an earlier call, that has all these lines."""
        while True:
            try:
                text = self._socket.recv(4096).decode()
            except BlockingIOError:
                break
            self.told.append(dict(line.split("=", 1) for line in text.splitlines()))
        for number, each in enumerate(self.told):
            if all(item in [f"{name}={value}" for name, value in each.items()] for item in wanted):
                del self.told[: number + 1]
                return each
        return None


def test_ready_reload_upgrade_and_stop_are_told(directory: Path, echo: Address) -> None:
    with Manager(directory / "notify") as manager:
        with Gateway(directory, one_route(echo, "/anything"), env={"NOTIFY_SOCKET": str(manager.path)}) as gateway:
            first = until(lambda: manager.heard("READY=1"), "it is ready")
            assert first["MAINPID"] == str(gateway.process.pid)
            gateway.reload()
            assert until(lambda: manager.heard("RELOADING=1"), "it reloads")["MONOTONIC_USEC"].isdecimal()
            until(lambda: manager.heard("READY=1"), "it has reloaded")
            gateway.config_path.write_text("{")
            assert "reload refused" in gateway.reload()
            until(lambda: manager.heard("RELOADING=1"), "it reloads")
            assert "refused" in until(lambda: manager.heard("READY=1"), "it goes on")["STATUS"]
            gateway.write_config(one_route(echo, "/anything"))
            gateway.upgrade()
            until(lambda: manager.heard(f"MAINPID={gateway.process.pid}", "READY=1"), "there is another main process")
        until(lambda: manager.heard("STOPPING=1"), "it stops")


def test_the_watchdog_is_told_in_time_also_after_an_upgrade(directory: Path, echo: Address) -> None:
    with Manager(directory / "notify") as manager:
        env = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "200000"}
        with Gateway(directory, one_route(echo), env=env) as gateway:
            for _ in range(3):
                until(lambda: manager.heard("WATCHDOG=1"), "the watchdog hears of it")
            gateway.upgrade()
            manager.heard("none")  # takes what there is
            manager.told.clear()
            for _ in range(3):
                until(lambda: manager.heard("WATCHDOG=1"), "the watchdog hears of it")
            os.kill(gateway.process.pid, signal.SIGSTOP)
            manager.heard("none")
            manager.told.clear()
            assert manager.heard("WATCHDOG=1") is None
            os.kill(gateway.process.pid, signal.SIGCONT)


def test_sockets_that_were_opened_for_it(directory: Path, echo: Address) -> None:
    path = directory / "data.sock"
    with socket.create_server(("127.0.0.1", 0)) as data, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(path))
        local.listen()
        where = Address(*data.getsockname())
        gateway = Gateway(directory, one_route(echo, "/anything") | {"workers": 2, "listen": [str(where), f"unix:{path}"]})
        fds = [data.fileno(), local.fileno()]
        for fd in fds:
            os.set_inheritable(fd, True)
        arguments = [",".join(map(str, fds)), "-m", "fastgw", "run", str(gateway.config_path)]
        process = Process([sys.executable, "-c", ACTIVATE, *arguments], directory / "gateway.log", gateway.env, fds)
        try:
            gateway.process = process
            until(lambda: "fastgw: ready: " in gateway.log(), "the log says ready")
            gateway.data = where
            assert {gateway.get("/anything").status for _ in range(16)} == {200}
            gateway.upgrade()
            assert {gateway.get("/anything").status for _ in range(16)} == {200}
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.sendall(b"GET /anything HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert client.recv(64).startswith(b"HTTP/1.1 200 ")
            assert process.stop() == 0
            assert path.exists()  # it belongs to whoever opened it
        finally:
            process.kill()


def test_a_socket_that_no_listener_has(directory: Path, echo: Address) -> None:
    with socket.create_server(("127.0.0.1", 0)) as data:
        os.set_inheritable(data.fileno(), True)
        gateway = Gateway(directory, one_route(echo))
        arguments = [str(data.fileno()), "-m", "fastgw", "run", str(gateway.config_path)]
        process = Process([sys.executable, "-c", ACTIVATE, *arguments], directory / "gateway.log", gateway.env, [data.fileno()])
        assert process.wait() == 2
        assert f"the service manager passed a socket of {data.getsockname()}, which no listener" in process.log()
        assert "Traceback" not in process.log()
