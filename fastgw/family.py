"""What the master's children inherit and what each of them runs.

Owns: the listening sockets, the process slots, the settings in force, and the first steps of a child between
the fork and its own main function. Must not know: when a child is started or ended.
"""

import errno
import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fastgw import echo, logs, plugin_reload, service_manager, worker
from fastgw.admin import audit
from fastgw.admin import process as admin_process
from fastgw.admin.auth import Key, keys_of
from fastgw.cache import zones
from fastgw.compile import Compiler
from fastgw.datadir import DataDir
from fastgw.handover import Handed
from fastgw.memory import Memory
from fastgw.process import stand_back
from fastgw.schema.settings import Admin, ErrorLog, Prometheus, Settings
from fastgw.slots import Kind, Slots
from fastgw.sockets import Listener
from fastgw.supervisor import Role

__all__ = ["Family", "configure_log"]

log = logging.getLogger("fastgw.master")


def configure_log(process: str, settings: ErrorLog) -> None:
    logs.configure(process, settings.path, settings.level, settings.format)


class Family:
    """Made by the master once, before its first fork; `settings` changes with a reload."""

    def __init__(
        self,
        source: Path,
        settings: Settings,
        workers: int,
        make_reactor: worker.MakeReactor,
        make_compiler: Callable[[], Compiler],
        given: Handed | None = None,
    ) -> None:
        """given: by the master whose place this one is to take."""
        self.settings = settings
        self._source = source
        self._make_reactor = make_reactor
        self._make_compiler = make_compiler
        self._workers = workers
        self._opened: dict[str, Listener] = {}
        self._given = dict(given.sockets) if given else {}
        self._lent = set(given.lent) if given else set()
        self._activated = [] if given else service_manager.given_sockets()
        self._ours = given is None
        self._master_only: list[Callable[[], None]] = []
        if given and os.path.realpath(settings.data_dir) != given.data_dir:
            raise ValueError(f"data_dir: changed from {given.data_dir}: that takes a restart, not an upgrade")
        self.data_dir = DataDir(Path(settings.data_dir), given.lock if given else None)
        self.inherit_not(self.data_dir.let_go)
        try:
            self.plain = [self._open("listen", address, workers) for address in settings.listen]
            self.tls = [self._open("tls", address, workers) for address in settings.tls.listen]
            self.listeners = [*self.plain, *self.tls]
            self.admin_listener = self._open("admin", settings.admin.listen, 1, int(settings.admin.socket_mode, 8))
            self._echo = [] if settings.echo is None else [self._open("echo", settings.echo, 1)]
            self._control = None if settings.control is None else self._open("control", settings.control, 1)
            self._status = None if settings.status is None else self._open("status", settings.status, 1)
            self._metrics = self._open_metrics(settings)
            self._check_sockets()
            self._keys = self.admin_keys(settings)
            self._memory = Memory(settings.shared_memory, (given.memory, given.memory_lock) if given else None)
            self.inherit_not(self._memory.let_go)
            zones.make(self.data_dir.path / "proxy-cache")
            descriptors = (given.wakes, given.ack, given.asks) if given else None
            self.slots = Slots(self._memory.region, descriptors, given.downward if given else False)
            self.reloads = plugin_reload.Line()
            self.inherit_not(self.reloads.master.close)
        except BaseException:
            self.close()
            raise

    def admin_keys(self, settings: Settings) -> list[Key]:
        """The keys by these settings; ValueError, OSError: they, or the audit log's file, will not do."""
        audit.prepare(_audit_log(settings, self.data_dir.path))
        return _admin_keys(settings.admin, self.data_dir.path)

    def take_keys(self, keys: list[Key] | None) -> None:
        """For the next admin process; None: those that there are."""
        self._keys = self._keys if keys is None else keys

    def inherit_not(self, close: Callable[[], None]) -> None:
        """Every child calls this first: it holds something that must end with the master."""
        self._master_only.append(close)

    def resize(self, workers: int) -> None:
        self._workers = workers
        for each in self.listeners:
            each.resize(workers)

    def reserve(self, workers: int) -> None:
        """Before anything else is changed for that many. OSError: there is no room for their sockets."""
        for each in self.listeners:
            each.reserve(workers)

    def release(self, workers: int) -> None:
        for each in self.listeners:
            each.release(workers)

    def reclaim(self, workers: int) -> None:
        """Another master, which had the sockets as well, is gone."""
        for each in self.listeners:
            each.reclaim(workers)

    def stop_listening(self) -> None:
        """Closes the master's hold on the data sockets; new clients are refused once workers drain."""
        for each in self.listeners:
            each.remove()

    def close(self) -> None:
        for each in self._opened.values():
            each.remove()
        if self._ours:
            self.data_dir.remove_pid()

    # ---- a binary upgrade ----

    def offer(self) -> dict[str, Any]:
        """What a successor needs to take over: the members of handover.Handed but `talk`."""
        slots = self.slots
        return {
            "data_dir": os.path.realpath(self.data_dir.path),
            "lock": self.data_dir.lock,
            "memory": slots.region.fileno(),
            "memory_lock": self._memory.lock,
            "wakes": slots.wakes,
            "ack": slots.ack,
            "asks": slots.asks,
            "downward": not slots.downward,
            "sockets": {name: each.descriptors for name, each in self._opened.items()},
            "lent": [name for name, each in self._opened.items() if each.lent],
        }

    def own(self, ours: bool) -> None:
        """Whether names of sockets and the pid file are this master's, which takes them away at its end."""
        self._ours = ours
        for each in self._opened.values():
            each.ours = ours
        if ours:
            self.data_dir.write_pid()

    # ---- roles ----

    def worker(self, number: int) -> Role:
        """number: which of the listeners' sockets it serves; people count from 1."""
        return Role(f"worker {number + 1}", partial(self._run_worker, number), worker.DRAIN)

    def admin(self) -> Role:
        return Role("admin", self._run_admin)

    def others(self) -> list[Role]:
        """Everything that is neither worker nor admin."""
        return [Role("echo", self._run_echo) for _ in self._echo]

    # ---- in the child ----

    def _run_worker(self, number: int, slot: int) -> int:
        self._begin(f"worker {number + 1}", dict.fromkeys(self.listeners, number))
        plain, tls = ([each.socket(number).detach() for each in group] for group in (self.plain, self.tls))
        setup = worker.Setup(
            self.slots,
            slot,
            plain,
            tls,
            self.data_dir.database,
            self.settings,
            self._make_reactor,
            self._make_compiler,
        )
        return worker.run(setup)

    def _run_admin(self, slot: int) -> int:
        beside = [each for each in (self._control, self._status, self._metrics) if each is not None]
        self._begin("admin", dict.fromkeys([self.admin_listener, *beside], 0))
        stand_back()  # a write may take a little longer, traffic may not
        self.slots.enter(slot, Kind.ADMIN)
        self.slots.serve(slot)
        admin = self.settings.admin
        setup = admin_process.Setup(
            database=self.data_dir.database,
            keys=self._keys,
            allow=admin.allow,
            source=str(self._source),
            server_tokens=self.settings.server_tokens,
            body_bytes=admin.body_bytes,
            wrong_keys=admin.wrong_keys,
            audit=_audit_log(self.settings, self.data_dir.path),
            audit_entries=admin.audit.entries,
            limits=self.settings.limits,
            router=self.settings.router,
            control=self._control.socket(0) if self._control else None,
            status=self._status.socket(0) if self._status else None,
            prometheus=self.settings.prometheus,
            metrics=self._metrics.socket(0) if self._metrics else None,
            workers=self._workers,
            slot=slot,
            wake=self.slots.wakes[slot],
            asks=self.slots.asks[0],
            reloads=self.reloads.admin,
            jwks=self.settings.jwks,
            dns_resolver=self.settings.dns_resolver,
            dns_resolver_valid=self.settings.dns_resolver_valid,
            trusted_certificate=self.settings.tls.trusted_certificate,
        )
        sockets = [self.admin_listener.socket(0)]
        admin_process.run(sockets, self.slots.region, self.slots.wakes, self.slots.ack, setup)
        return 0

    def _run_echo(self, _slot: int) -> int:
        self._begin("echo", dict.fromkeys(self._echo, 0))
        echo.run_on(self._echo[0].socket(0))
        return 0

    def _begin(self, name: str, mine: dict[Listener, int]) -> None:
        for close in self._master_only:
            close()
        for each in self._opened.values():
            each.keep(mine.get(each))
        configure_log(name, self.settings.error_log)

    def _open(self, use: str, address: str, slots: int, mode: int | None = None) -> Listener:
        name = f"{use} {address}"
        opened = Listener(address, slots, mode, self._sockets_of(name, address), lent=name in self._lent)
        self._opened[name] = opened
        return opened

    def _open_metrics(self, settings: Settings) -> Listener | None:
        """The default address gives way to whoever has it: one gateway must not keep another on its machine from starting."""
        address = settings.prometheus.listen
        if not settings.prometheus.enabled:
            return None
        try:
            return self._open("metrics", address, 1)
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE or address != Prometheus().listen:
                raise
            log.warning("prometheus.listen: %s is in use: metrics are on the Admin listener only", address)
            return None

    def _sockets_of(self, name: str, address: str) -> list[int]:
        """What there is already for a listener: from the master before, or from the service manager."""
        for each in self._activated:
            if Listener.is_of(each, address):
                self._activated.remove(each)
                self._lent.add(name)
                each.setblocking(False)
                return [each.detach()]
        return self._given.pop(name, [])

    def _check_sockets(self) -> None:
        for fd in (fd for fds in self._given.values() for fd in fds):
            os.close(fd)  # of an address that is none any more
        service_manager.forget_sockets()
        for each in self._activated:
            found = each.getsockname()
            raise ValueError(f"the service manager passed a socket of {found}, which no listener of the settings has")


def _audit_log(settings: Settings, data_dir: Path) -> Path:
    path = settings.admin.audit.path
    return data_dir / "audit.log" if path is None else Path(path)


def _admin_keys(settings: Admin, data_dir: Path) -> list[Key]:
    keys = keys_of(settings, data_dir)
    for key in keys:
        logs.hide(key.value)
    return keys
