"""The master: makes what all processes share, forks them, watches them, obeys signals.

Owns: start, reload, resize, stop. Must not know: requests, plugins, HTTP; it parses no byte from a network.

    TERM, INT   drain and stop; a second one: stop now
    HUP         read the config file again; a bad one changes nothing
    USR1        reopen logs, here and in the children
    USR2        binary upgrade: start this command anew, hand over to it, drain
    RTMIN       replace the workers, one after the other

Faults of the command line, config or environment leave as ConfigError, OSError or ValueError before the first fork.
"""

import logging
import os
import selectors
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

from fastgw import config, handover, logs, process, revocations, service_manager
from fastgw._core import RemoteStore, Revocations
from fastgw.admin.auth import Key
from fastgw.compile import Compiler
from fastgw.config import Config
from fastgw.dataplane import DataPlane
from fastgw.errors import ConfigError
from fastgw.family import Family, configure_log
from fastgw.misfits import refuse_misfits
from fastgw.plugin_reload import Outcome, Waiting
from fastgw.plugins import own
from fastgw.plugins.redis_fields import RedisSettings
from fastgw.renewed import renewed
from fastgw.schema.settings import Settings
from fastgw.store import Store, StoreError
from fastgw.supervisor import Role, Supervisor
from fastgw.tls import try_tls
from fastgw.upgrade import Upgrade
from fastgw.worker import MakeReactor

__all__ = ["Master", "run"]

# After new connections are steered away from a worker, or its successor was started: handshakes under way end
# within a round trip or a retransmission of SYN (1 s, RFC 6298 section 2.1).
LINGER_S: Final = 1.0
APPLY_S: Final = 5.0  # a worker that has not applied a reload by then is replaced, as after an Admin write
APPLY_CHECK_S: Final = 0.01
GRACE_S: Final = 5.0  # beyond the drain timeout, which the workers keep themselves
MOST_WORKERS: Final = 120
NEVER: Final = float("inf")

log = logging.getLogger("fastgw.master")


def run(path: Path, workers: int | None = None) -> int:
    """`fastgw run`: returns the exit code. workers: instead of the file's number."""
    return Master(path, workers).run()


def _store(settings: RedisSettings) -> RemoteStore:
    """Of the worker that calls it. Only a configuration with such a store pays for what it imports."""
    from fastgw.redis_limits.store import store_of

    return store_of(settings)


class Master:
    """One gateway, from its config file to its exit code."""

    def __init__(
        self,
        path: Path,
        workers: int | None = None,
        make_reactor: MakeReactor = DataPlane,
        make_compiler: Callable[[], Compiler] = lambda: Compiler(stores=_store),
    ) -> None:
        self._path = path
        self._workers_wanted = workers
        self._make_reactor = make_reactor
        self._make_compiler = make_compiler
        self._workers: list[Role] = []
        self._lingering: list[tuple[float, list[Role]]] = []
        self._reloading: tuple[int, float] | None = None
        self._rolling: list[Role] | None = None
        self._outgoing: Role | None = None
        self._ready = False
        self._announced = 0
        self._stopping = False
        self._stops = {"signal": 0, "predecessor": 0}
        self._told = False
        self._watch_at = NEVER if service_manager.watchdog_s() is None else 0.0
        self._deadline = NEVER

    def run(self) -> int:
        with ExitStack() as stack:
            self._prepare(config.load(self._path), stack)
            try:
                self._start()
                while not self._stopping or self._supervisor.roles or self._upgrade.awaited:
                    self._turn()
            except BaseException:
                log.critical("the master failed; children drain and end", exc_info=True)
                return 1
            log.info("stopped")
            return 0

    # ---- start ----

    def _prepare(self, loaded: Config, stack: ExitStack) -> None:
        """Everything that can fail for reasons the user can mend."""
        settings = loaded.settings
        try_tls(settings.tls)
        configure_log("master", settings.error_log)
        for source, plugin in own.loaded():
            log.info("plugin %s: of %s", plugin, source)
        self._files = process.raise_descriptor_limit()
        self._count = self._workers_of(settings)
        given = handover.handed()
        self._family = Family(self._path, settings, self._count, self._make_reactor, self._make_compiler, given)
        stack.callback(self._family.close)
        self._supervisor = Supervisor(self._family.slots)
        try:
            self._publish(loaded, first=True)
        except (StoreError, sqlite3.Error) as exc:
            raise ValueError(str(exc)) from exc
        self._listen_to_signals(stack)
        self._asked = Waiting(self._family.reloads.master, self._reload_plugins)
        self._selector.register(self._family.reloads.master, selectors.EVENT_READ, self._asked.on_asked)
        self._upgrade = Upgrade(self._family, self._selector, self._hand_over, self._take_place, self._obey_predecessor)
        if given is None:
            self._family.own(True)
        else:
            self._upgrade.follow(given.talk)

    def _start(self) -> None:
        process.set_title("fastgw: master")
        wanted, left = self._family.settings.limits.connections, process.descriptors_left()
        if left < wanted:
            text = "limits.connections: %d, but %d open files (ulimit -n) let a worker hold %d at most"
            log.warning(text, wanted, self._files, left)
        self._admin = self._family.admin()
        if not self._upgrade.follows:
            self._start_others()
        self._grow()

    def _start_others(self) -> None:
        for role in (self._admin, *self._family.others()):
            self._supervisor.start(role)

    def _workers_of(self, settings: Settings) -> int:
        wanted = self._workers_wanted or settings.workers
        return min(len(os.sched_getaffinity(0)), MOST_WORKERS) if wanted == "auto" else wanted

    def _listen_to_signals(self, stack: ExitStack) -> None:
        """Signals and children's announcements become readable descriptors of one selector."""
        self._selector = stack.enter_context(selectors.DefaultSelector())
        read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for each in process.HANDLED:
            signal.signal(each, lambda *_: None)
        self._selector.register(read, selectors.EVENT_READ, self._on_signals)
        self._selector.register(self._family.slots.ready, selectors.EVENT_READ, self._on_announcement)
        for close in (self._selector.close, lambda: os.close(read), lambda: os.close(write)):
            self._family.inherit_not(close)

    # ---- the loop ----

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._patience()):
            key.data(key.fd)
        now = time.monotonic()
        if self._reloading is not None:
            self._check_reload(*self._reloading)
        self._roll(now)
        self._upgrade.turn(now, None if self._stopping else self._count)
        if now >= self._watch_at:
            self._watch_at = now + (service_manager.watchdog_s() or NEVER)
            service_manager.tell("WATCHDOG=1")
        while self._lingering and self._lingering[0][0] <= now:
            if self._succeeded(roles := self._lingering.pop(0)[1]):
                self._supervisor.retire(roles)
            else:
                self._lingering.append((now + LINGER_S, roles))
        if now >= self._deadline:
            self._deadline = NEVER
            log.warning("not stopped in time: killed", extra={"processes": len(self._supervisor.roles)})
            self._supervisor.signal(self._supervisor.roles, signal.SIGKILL)
            self._upgrade.end()
        self._supervisor.restart_due()

    def _patience(self) -> float | None:
        """Seconds until something is due."""
        moments = [self._deadline, self._upgrade.due, self._watch_at, *(moment for moment, _ in self._lingering[:1])]
        due = self._supervisor.next_due()
        if due is not None:
            moments.append(due)
        if self._reloading is not None:
            moments.append(time.monotonic() + APPLY_CHECK_S)
        first = min(moments)
        return None if first == NEVER else max(0.0, first - time.monotonic())

    def _on_signals(self, fd: int) -> None:
        numbers = os.read(fd, 4096)
        for number in numbers:
            self._upgrade.pass_on(number)
            if number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
                self._obey(number, "signal")
            elif number in (signal.SIGUSR2, process.RESTART) and self._stopping:
                log.warning("%s: not done: this master is ending", signal.Signals(number).name)
            elif number == signal.SIGUSR2:
                self._upgrade.begin()
            elif number == process.RESTART:
                self._restart_workers()
        if signal.SIGCHLD in numbers:  # last: when the whole group was told to end, these deaths are no faults
            self._on_death()

    def _obey_predecessor(self, number: int) -> None:
        self._obey(number, "predecessor")

    def _obey(self, number: int, whence: str) -> None:
        """What tells a whole group to stop tells a successor twice: itself and by its predecessor."""
        if number == signal.SIGHUP:
            if not self._stopping:
                self._reload()
        elif number == signal.SIGUSR1:
            logs.reopen()
            self._supervisor.signal(self._supervisor.roles, signal.SIGUSR1)
        else:
            before = max(self._stops.values())
            self._stops[whence] += 1
            if self._stops[whence] > before:
                self._stop()

    def _on_death(self) -> None:
        self._supervisor.reap()
        left = self._supervisor.roles
        self._workers = [role for role in self._workers if role in left]
        self._upgrade.on_death()
        if self._upgrade.handed_over and len(left) == len(self._workers):
            self._upgrade.leave()
        elif self._stopping:
            if not self._workers:
                self._stop_others()
        elif not any(role.retired for role in self._workers):
            self._family.release(self._count)

    def _on_announcement(self, fd: int) -> None:
        # A worker serves in its slot a little before it accepts; the announcement is what says that it does.
        self._announced += os.eventfd_read(fd)
        if not self._ready and self._announced >= len(self._serving()) and self._all_serve():
            self._ready = True
            if self._upgrade.follows:
                self._family.resize(self._count)  # before the old workers leave queues that nobody takes over
                self._upgrade.serves()
            else:
                self._tell_ready()

    def _tell_ready(self) -> None:
        places = [*(each.text for each in self._family.plain), *(f"tls {each.text}" for each in self._family.tls)]
        admin, count = self._family.admin_listener.text, len(self._serving())
        line = f"fastgw: ready: listen {' '.join(places)}, admin {admin}, workers {count}, pid {os.getpid()}"
        print(line, file=sys.stderr, flush=True)
        service_manager.tell("READY=1", f"MAINPID={os.getpid()}", f"STATUS=serving, {count} workers")

    def _serving(self) -> list[Role]:
        return [role for role in self._workers if not role.retired]

    def _all_serve(self) -> bool:
        return all(role.pid and self._family.slots.serves(role.slot) for role in self._serving())

    def _admin_serves(self) -> bool:
        """Not by settings that a reload has replaced."""
        return not self._admin.renewing and bool(self._admin.pid) and self._family.slots.serves(self._admin.slot)

    # ---- reload ----

    def _reload_plugins(self) -> Outcome:
        if self._stopping or self._upgrade.under_way:
            return Outcome(busy="the gateway is ending or being upgraded: nothing was changed")
        return self._reload(whole=False)

    def _reload(self, *, whole: bool = True) -> Outcome:
        """whole: the config file, not only the files of plugins in the directory that is in force."""
        service_manager.tell("RELOADING=1", service_manager.monotonic())
        with own.Renewal() as plugins:
            taken = self._taken_in(plugins, whole)
        if isinstance(taken, list):
            for fault in taken:
                log.error("%s", fault)
            log.error("reload refused: nothing was changed", extra={"faults": len(taken)})
            service_manager.tell("READY=1", "STATUS=the last reload was refused, see the log")
            return Outcome(faults=tuple(taken))
        keys, settings, revision, changed = taken
        for source, name in changed.items():
            log.info("plugin %s: taken in anew: %s", name, source)
        self._family.take_keys(keys)
        self._take_over(settings, plugins=bool(changed))
        self._reloading = revision, time.monotonic() + APPLY_S
        return Outcome(changed=changed)

    def _taken_in(self, plugins: own.Renewal, whole: bool) -> tuple[list[Key] | None, Settings, int, dict[str, str]] | list[str]:
        """What the file says now, with plugins as they are now, and as which revision it was published; or the faults."""
        keys, settings = None, self._family.settings
        try:
            if whole:
                loaded = config.load(self._path)
                settings = loaded.settings
                keys = self._family.admin_keys(settings)
                try_tls(settings.tls)
                changed = plugins.changed()
                self._family.reserve(self._workers_of(settings))
                revision = self._publish(loaded, changed=changed.values())
                self._upgrade.note_declared()
            else:
                config.take_directory_in(settings.plugins_dir, str(self._path))
                changed = plugins.changed()
                with closing(Store(self._family.data_dir.database)) as store:
                    refuse_misfits(store, changed.values(), str(self._path))
                revision = self._family.slots.region.target()
        except ConfigError as exc:
            return [f"{exc.source}: {fault}" for fault in exc.faults]
        except (StoreError, sqlite3.Error) as exc:
            return [f"{self._family.data_dir.database}: {exc}"]
        except (ValueError, OSError) as exc:
            return [str(exc)]
        plugins.keep()
        return keys, settings, revision, changed

    def _publish(self, loaded: Config, *, first: bool = False, changed: Collection[str] = ()) -> int:
        """Makes the file's objects the file layer of the store and tells every process. changed: plugins that are others now."""
        for warning in loaded.warnings:
            log.warning("%s: %s", self._path, warning)
        with closing(Store(self._family.data_dir.database)) as store:  # not kept: a connection must not cross a fork
            if first:  # better no gateway than one that lacks an object
                store.verify()
            refuse_misfits(store, changed)
            region = self._family.slots.region
            store.bounds = {revocations.KIND: region.revocations}
            revision, hidden = store.replace_file_layer(loaded.objects)
            revocations.follow(store, Revocations(region), whole=first)  # also before a worker accepts
        if hidden:
            ids = " ".join(f"{kind}/{id_}" for kind, id_ in hidden)
            log.warning("objects of the file stay overridden by the Admin API: %s", ids)
        self._family.slots.publish(revision)
        return revision

    def _take_over(self, new: Settings, *, plugins: bool) -> None:
        """Puts the settings in force that can change while running. plugins: so have plugins, of which workers have old ones."""
        found = renewed(self._family.settings, new, self._path, plugins=plugins)
        self._family.settings = found.settings
        outdated = self._serving() if found.workers else []
        self._count = self._workers_of(found.settings)
        self._family.resize(self._count)
        self._retire_later([*outdated, *self._serving()[self._count :]])
        self._grow()
        if found.admin:
            self._supervisor.renew(self._admin)

    def _grow(self) -> None:
        """Starts a worker for every slot that has none."""
        taken = {role.name for role in self._serving()}
        for number in range(self._count):
            role = self._family.worker(number)
            if role.name not in taken:
                self._workers.append(role)
                self._supervisor.start(role)

    def _retire_later(self, roles: list[Role]) -> None:
        """They serve on for a moment, are not replaced, then drain."""
        for role in roles:
            role.retired = True
        if roles:
            self._lingering.append((time.monotonic() + LINGER_S, roles))

    def _succeeded(self, roles: list[Role]) -> bool:
        """Whether for each of them whose place is kept another one serves: who cannot be replaced serves on."""
        wanted = {role.name for role in self._serving()}
        others = {
            each.name
            for each in self._workers
            if each not in roles and not each.told and each.pid and self._family.slots.serves(each.slot)
        }
        return all(role.name in others for role in roles if role.name in wanted)

    def _check_reload(self, revision: int, deadline: float) -> None:
        """Says "reloaded" only when it is true of every worker, and of the admin process."""
        late = self._family.slots.region.lagging(revision)
        outdated = any(role.retired and self._family.slots.serves(role.slot) for role in self._workers)
        done = not late and not outdated and self._all_serve()
        if done:
            self._asked.settle()  # those who asked end with the admin process that is to be replaced
        if time.monotonic() < deadline:
            if not done or not self._admin_serves():
                return
        else:
            self._asked.settle(f"taken in, but after {APPLY_S:g} s not every worker has it yet; the gateway's log has more")
            for _, pid in late:
                log.error("worker has not applied the reload in time: killed, to be replaced", extra={"pid": pid})
            slots = {slot for slot, _ in late}
            self._supervisor.signal([r for r in self._supervisor.roles if r.slot in slots], signal.SIGKILL)
            if self._admin.renewing:
                log.error("admin process has not ended in time: killed, to be replaced", extra={"pid": self._admin.pid})
                self._supervisor.signal([self._admin], signal.SIGKILL)
        self._reloading = None
        service_manager.tell("READY=1", f"STATUS=serving, {len(self._serving())} workers")
        log.info("reloaded", extra={"revision": revision, "workers": len(self._serving())})

    def _forget_reload(self) -> None:
        self._reloading = None
        self._asked.settle("taken in, but the gateway is ending or being upgraded")

    # ---- one worker after the other ----

    def _restart_workers(self) -> None:
        if self._rolling is None:
            self._rolling = self._serving()
            log.info("workers are replaced one after the other", extra={"workers": len(self._rolling)})

    def _roll(self, now: float) -> None:
        """The next step of it: a successor that serves, then the end of the one before, for which nobody waits."""
        if self._outgoing is not None:
            if self._all_serve():
                self._lingering.append((now + LINGER_S, [self._outgoing]))
                self._outgoing = None
        elif self._rolling and not self._lingering:
            role = self._rolling.pop(0)
            if not role.retired:  # else replaced by a reload meanwhile
                role.retired = True
                self._outgoing = role
                self._grow()
        elif self._rolling is not None and not self._lingering:
            self._rolling = None
            log.info("workers replaced", extra={"workers": len(self._serving())})

    # ---- binary upgrade ----

    def _hand_over(self) -> None:
        """The successor's workers serve: from here on this master only ends. The successor's admin process follows its own."""
        self._stopping = True
        self._rolling, self._outgoing = None, None
        self._forget_reload()
        self._family.own(False)
        others = [role for role in self._supervisor.roles if role not in self._workers]
        for role in self._supervisor.roles:
            role.retired = True
        self._lingering = [(time.monotonic() + LINGER_S, self._workers)]
        self._supervisor.retire(others)
        self._deadline = time.monotonic() + LINGER_S + self._family.settings.limits.drain_timeout + GRACE_S
        log.info("upgrade: the new master serves, workers drain", extra={"workers": len(self._workers)})
        self._on_death()

    def _take_place(self) -> None:
        """The old master has no admin process any more, or is gone."""
        if self._stopping:
            self._upgrade.take_names()  # to take them away
        else:
            self._start_others()
            self._upgrade.take_names()
            self._family.resize(self._count)
            log.info("upgraded")
            if self._ready:
                self._tell_ready()

    # ---- stop ----

    def _stop(self) -> None:
        if self._upgrade.handed_over and not self._told:  # service managers tell all processes of a group
            self._told = True
            return
        if self._stopping:
            log.warning("told to stop again: stopping now")
            self._supervisor.signal(self._supervisor.roles, signal.SIGKILL)
            self._upgrade.end()
            return
        self._stopping = True
        self._forget_reload()
        self._lingering.clear()
        service_manager.tell("STOPPING=1")
        log.info("stopping: workers drain", extra={"workers": len(self._workers)})
        self._family.stop_listening()
        for role in self._supervisor.roles:
            role.retired = True
        self._supervisor.retire(self._workers)
        self._deadline = time.monotonic() + self._family.settings.limits.drain_timeout + GRACE_S
        self._on_death()

    def _stop_others(self) -> None:
        """Last: requests that drained may have needed the echo upstream, and the operator the Admin API."""
        rest = [role for role in self._supervisor.roles if not role.told]
        if rest:
            self._supervisor.retire(rest)
            self._deadline = time.monotonic() + GRACE_S
