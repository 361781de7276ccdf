"""What the master's children inherit and what each of them runs.

Owns: the listening sockets, the process slots, the settings in force, and the first steps of a child between
the fork and its own main function. Must not know: when a child is started or ended.
"""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from fastgw import echo, logs, worker
from fastgw.admin import audit
from fastgw.admin import process as admin_process
from fastgw.admin.auth import Key, keys_of
from fastgw.compile import Compiler
from fastgw.datadir import DataDir
from fastgw.memory import Memory
from fastgw.process import stand_back
from fastgw.schema.settings import Admin, ErrorLog, Settings
from fastgw.slots import Kind, Slots
from fastgw.sockets import Listener
from fastgw.supervisor import Role

__all__ = ["Family", "configure_log"]

log = logging.getLogger("fastgw.master")


def configure_log(process: str, settings: ErrorLog) -> None:
    logs.configure(process, settings.path, settings.level)


class Family:
    """Made by the master once, before its first fork; `settings` changes with a reload."""

    def __init__(
        self,
        source: Path,
        settings: Settings,
        workers: int,
        make_reactor: worker.MakeReactor,
        make_compiler: Callable[[], Compiler],
    ) -> None:
        self.settings = settings
        self._source = source
        self._make_reactor = make_reactor
        self._make_compiler = make_compiler
        self._workers = workers
        self._opened: list[Listener] = []
        self._master_only: list[Callable[[], None]] = []
        self.data_dir = DataDir(Path(settings.data_dir))
        self.inherit_not(self.data_dir.let_go)
        try:
            self.plain = [self._open(address, workers) for address in settings.listen]
            self.tls = [self._open(address, workers) for address in settings.tls.listen]
            self.listeners = [*self.plain, *self.tls]
            self.admin_listener = self._open(settings.admin.listen, 1, int(settings.admin.socket_mode, 8))
            self._echo = [] if settings.echo is None else [self._open(settings.echo, 1)]
            self._control = None if settings.control is None else self._open(settings.control, 1)
            self._status = None if settings.status is None else self._open(settings.status, 1)
            self._keys = self.admin_keys(settings)
            memory = Memory(settings.shared_memory)
            self.inherit_not(memory.let_go)
            self.slots = Slots(memory.region)
        except BaseException:
            self.close()
            raise

    def admin_keys(self, settings: Settings) -> list[Key]:
        """The keys by these settings; ValueError, OSError: they, or the audit log's file, will not do."""
        audit.prepare(_audit_log(settings, self.data_dir.path))
        return _admin_keys(settings.admin, self.data_dir.path)

    def take_keys(self, keys: list[Key]) -> None:
        """For the next admin process."""
        self._keys = keys

    def inherit_not(self, close: Callable[[], None]) -> None:
        """Every child calls this first: it holds something that must end with the master."""
        self._master_only.append(close)

    def resize(self, workers: int) -> None:
        self._workers = workers
        for each in self.listeners:
            each.resize(workers)

    def release(self, workers: int) -> None:
        for each in self.listeners:
            each.release(workers)

    def stop_listening(self) -> None:
        """Closes the master's hold on the data sockets; new clients are refused once workers drain."""
        for each in self.listeners:
            each.remove()

    def close(self) -> None:
        for each in self._opened:
            each.remove()
        self.data_dir.remove_pid()

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
        beside = [each for each in (self._control, self._status) if each is not None]
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
            workers=self._workers,
            slot=slot,
            wake=self.slots.wakes[slot],
            asks=self.slots.asks[0],
            jwks=self.settings.jwks,
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
        for each in self._opened:
            each.keep(mine.get(each))
        configure_log(name, self.settings.error_log)

    def _open(self, address: str, slots: int, mode: int | None = None) -> Listener:
        opened = Listener(address, slots, mode)
        self._opened.append(opened)
        return opened


def _audit_log(settings: Settings, data_dir: Path) -> Path:
    path = settings.admin.audit.path
    return data_dir / "audit.log" if path is None else Path(path)


def _admin_keys(settings: Admin, data_dir: Path) -> list[Key]:
    keys = keys_of(settings, data_dir)
    for key in keys:
        logs.hide(key.value)
    return keys
