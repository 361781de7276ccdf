"""Real Redis, started by tests: one server, a cluster of three nodes, a master with a replica and three sentinels.

Owns: their processes, ports, files and arguments. Ports are taken and given back a moment before a server takes them.
"""

import contextlib
import signal
import subprocess
from pathlib import Path
from typing import Any

from tests.support.gateway import PORTS, free_addresses
from tests.support.processes import Process
from tests.support.programs import program
from tests.support.waiting import until
from tests.support.wire import Address

MASTER = "limits"  # what the sentinels call the master


class Server:
    """One redis-server: as a context it runs, with what it is given beside the port, and is gone afterwards.

    `tls`: files of the certificate and its key; then it is reached by TLS only.
    """

    def __init__(
        self,
        directory: Path,
        *arguments: str,
        tls: tuple[Path, Path] | None = None,
        password: str = "",
        address: Address | None = None,
    ) -> None:
        self.address = address or free_addresses(1)[0]
        self.directory = directory
        self.arguments = arguments
        self.tls = tls
        self.password = password
        self.process: Process

    @property
    def policy(self) -> dict[str, Any]:
        """What a limit plugin is configured with to count there."""
        secret = {"redis_password": self.password} if self.password else {}
        host, port = self.address
        return {"policy": "redis", "redis_host": host, "redis_port": port, "redis_ssl": self.tls is not None, **secret}

    def start(self) -> None:
        """Starts it, the first time or again: with the data in its directory, which `kill` leaves and `clear` removes."""
        port = str(self.address.port)
        listen = ["--port", port]
        if self.tls is not None:
            certificate, key = map(str, self.tls)
            files = ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate]
            listen = ["--port", "0", "--tls-port", port, *files, "--tls-auth-clients", "no"]
        if self.password:
            listen += ["--requirepass", self.password]
        kept = ["--dir", str(self.directory), "--dbfilename", f"{port}.rdb", "--appendfilename", f"{port}.aof", "--save", ""]
        command = [program("redis-server"), "--bind", str(self.address.host), *listen, *kept, *self.arguments]
        until(lambda: self._begins(command), f"redis-server has port {port}, and of a cluster the one of its bus")
        until(self._answers, f"redis-server on port {port} answers")

    def _begins(self, command: list[str]) -> bool:
        """False: a test beside this one has the port for the moment."""
        self.process = Process(command, self.directory / f"redis-{self.address.port}.log")
        until(lambda: self.process.popen.poll() is not None or self._listens(), "it listens, or ends")
        return self.process.popen.poll() is None or "Address already in use" not in self.process.log()

    def _listens(self) -> bool:
        return "Ready to accept connections" in self.process.log()

    def _answers(self) -> bool:
        assert self.process.popen.poll() is None, f"redis-server ended\n{self.process.log()}"
        return "PONG" in self.cli("PING", check=False)

    def cli(self, *arguments: str, check: bool = True) -> str:
        """What redis-cli prints for a command."""
        command = [program("redis-cli"), "-h", str(self.address.host), "-p", str(self.address.port), "--no-auth-warning"]
        command += ["-a", self.password] if self.password else []
        command += ["--tls", "--insecure"] if self.tls is not None else []
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, timeout=60)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def kill(self) -> None:
        """As by kill -9; what it has not written is lost."""
        self.process.kill()

    def clear(self) -> None:
        """Removes its data, of a server that does not run."""
        for path in self.directory.glob(f"*{self.address.port}.*"):
            if path.suffix in (".rdb", ".aof"):
                path.unlink()

    def pause(self) -> None:
        """From now on it takes connections and answers none, as a machine that hangs."""
        self.process.signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.signal(signal.SIGCONT)

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()


class Cluster:
    """Three masters, that share the slots."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        program("redis-server"), program("redis-cli")
        addresses = addresses_with_bus(3)
        self.nodes = [Server(directory, *_member(address), *arguments, address=address) for address in addresses]

    @property
    def addresses(self) -> list[str]:
        return [str(node.address) for node in self.nodes]

    @property
    def policy(self) -> dict[str, Any]:
        """What a limit plugin is configured with to count there."""
        return {"policy": "redis-cluster", "redis_cluster_nodes": self.addresses, "redis_cluster_name": "limits"}

    def __enter__(self) -> "Cluster":
        with contextlib.ExitStack() as stack:
            for node in self.nodes:
                stack.enter_context(node)
            self.nodes[0].cli("--cluster", "create", *self.addresses, "--cluster-yes")
            for node in self.nodes:
                until(lambda node=node: "cluster_state:ok" in node.cli("CLUSTER", "INFO"), "the cluster has formed")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def of(self, key: str) -> Server:
        """The node that has the key."""
        slot = int(self.nodes[0].cli("CLUSTER", "KEYSLOT", key))
        return next(node for node in self.nodes if any(first <= slot <= last for first, last in self.slots(node)))

    @staticmethod
    def slots(node: Server) -> list[tuple[int, int]]:
        """The ranges of slots that a node says it has itself."""
        for line in node.cli("CLUSTER", "NODES").splitlines():
            fields = line.split()
            if "myself" in fields[2]:
                ranges = [each.partition("-") for each in fields[8:] if not each.startswith("[")]
                return [(int(first), int(last or first)) for first, _, last in ranges]
        return []

    def move(self, key: str, target: Server) -> None:
        """Gives the slot of the key to another node, with what is in it."""
        source, slot = self.of(key), self.nodes[0].cli("CLUSTER", "KEYSLOT", key)
        target_id, source_id = (node.cli("CLUSTER", "MYID") for node in (target, source))
        target.cli("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        source.cli("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        for held in source.cli("CLUSTER", "GETKEYSINSLOT", slot, "100").splitlines():
            source.cli("MIGRATE", str(target.address.host), str(target.address.port), held, "0", "5000")
        for node in (target, source, *self.nodes):
            node.cli("CLUSTER", "SETSLOT", slot, "NODE", target_id)


def _member(address: Address) -> list[str]:
    timeout = ["--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no"]
    return ["--cluster-enabled", "yes", "--cluster-config-file", f"nodes-{address.port}.conf", *timeout]


def heard(server: Server) -> dict[str, float]:
    """When each gateway last said that it is there, in ms of the server's clock."""
    words = server.cli("ZRANGE", "fastgw:limit:v1:nodes", "0", "-1", "WITHSCORES").splitlines()
    return dict(zip(words[::2], map(float, words[1::2]), strict=True))


def acquainted(server: Server, count: int) -> None:
    """So many gateways of one worker each know of each other: since all were there each has spoken twice, and so has taken in
    what it was told the first time."""
    until(lambda: len(heard(server)) == count, "all gateways are known")
    for turn in ("first", "second"):
        before = max(heard(server).values())
        until(lambda: min(heard(server).values()) > before, f"each speaks for the {turn} time")  # noqa: B023 (called at once)


def addresses_with_bus(count: int) -> list[Address]:
    """Ports whose number plus 10,000, where nodes of a cluster talk with each other, is none that connections are given."""
    found: list[Address] = []
    while len(found) < count:
        found += [each for each in free_addresses(count) if each.port < PORTS[1] - 10_000 and each not in found]
    return found[:count]


class Sentinels:
    """A master and a replica of it, watched by three sentinels."""

    def __init__(self, directory: Path, password: str = "", sentinel_password: str = "") -> None:
        program("redis-server"), program("redis-cli")
        self.directory = directory
        self.password = password
        self.sentinel_password = sentinel_password
        master, replica, *watching = free_addresses(5)
        secret = ["--masterauth", password] if password else []
        follows = ["--replicaof", f"{master.host} {master.port}"]
        self.master = Server(directory, *secret, "--repl-diskless-sync-delay", "0", password=password, address=master)
        self.replica = Server(directory, *secret, *follows, "--repl-diskless-sync-delay", "0", password=password, address=replica)
        self.sentinels = [self._sentinel(address) for address in watching]

    def _sentinel(self, address: Address) -> Server:
        """One that looks often, and needs another's word for it that the master is gone."""
        file = self.directory / f"sentinel-{address.port}.conf"
        lines = [f"sentinel monitor {MASTER} {self.master.address.host} {self.master.address.port} 2"]
        lines += [f'sentinel auth-pass {MASTER} "{self.password}"'] if self.password else []
        lines += [f"sentinel down-after-milliseconds {MASTER} 1000", f"sentinel failover-timeout {MASTER} 5000"]
        if self.sentinel_password:
            lines += [f'sentinel sentinel-pass "{self.sentinel_password}"']
        file.write_text("\n".join(lines) + "\n")
        return _Sentinel(self.directory, str(file), password=self.sentinel_password, address=address)

    @property
    def addresses(self) -> list[Address]:
        return [sentinel.address for sentinel in self.sentinels]

    @property
    def policy(self) -> dict[str, Any]:
        """What a limit plugin is configured with to count there."""
        secret = {"redis_password": self.password} if self.password else {}
        asked = {"sentinel_password": self.sentinel_password} if self.sentinel_password else {}
        places = [{"host": host, "port": port} for host, port in self.addresses]
        return {"policy": "redis-sentinel", "redis_sentinels": places, "redis_master_name": MASTER, **secret, **asked}

    def __enter__(self) -> "Sentinels":
        with contextlib.ExitStack() as stack:
            for server in (self.master, self.replica):
                stack.enter_context(server)
            until(lambda: "state=online" in self.master.cli("INFO", "replication"), "the replica follows")
            for sentinel in self.sentinels:
                stack.enter_context(sentinel)
            for sentinel in self.sentinels:
                until(lambda each=sentinel: self._knows_all(each), "the sentinels know each other and the replica")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @staticmethod
    def _knows_all(sentinel: Server) -> bool:
        fields = sentinel.cli("SENTINEL", "MASTER", MASTER).splitlines()
        known = dict(zip(fields[::2], fields[1::2], strict=False))
        return known["num-slaves"] == "1" and known["num-other-sentinels"] == "2" and known["flags"] == "master"

    def fail_over(self) -> None:
        """Kills the master, and waits until the replica has its place: on the replica, and to all sentinels."""
        self.master.kill()
        self.master, self.replica = self.replica, self.master
        until(lambda: "role:master" in self.master.cli("INFO", "replication"), "the replica is the master", seconds=60)
        for sentinel in self.sentinels:
            until(lambda each=sentinel: self._says(each) == self.master.address, "the sentinel knows the master", seconds=60)

    @staticmethod
    def _says(sentinel: Server) -> Address:
        host, port = sentinel.cli("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER).splitlines()
        return Address(host, int(port))


class _Sentinel(Server):
    """A redis-server that watches others. It writes what it learns into its file of configuration."""

    def start(self) -> None:
        file, *_ = self.arguments
        secret = ["--requirepass", self.password] if self.password else []
        listen = ["--bind", str(self.address.host), "--port", str(self.address.port), "--dir", str(self.directory), *secret]
        self.process = Process(
            [program("redis-server"), file, "--sentinel", *listen], self.directory / f"sentinel-{self.address.port}.log"
        )
        until(self._answers, f"the sentinel on port {self.address.port} answers")
