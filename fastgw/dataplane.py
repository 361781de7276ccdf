"""A worker's data plane: the native reactor with the settings applied to it.

Owns: settings to reactor arguments, the access log's descriptor. Must not know: where configuration
comes from, processes, signals.
"""

import asyncio
import logging
import os
import signal
from typing import Final

import msgspec

from fastgw import _core, logs
from fastgw.compile import Compiler
from fastgw.plugin_log import PluginLog
from fastgw.plugins import opentelemetry
from fastgw.process import descriptors_left
from fastgw.schema.settings import Settings
from fastgw.unaccepted import Unaccepted

__all__ = ["DataPlane"]

STDOUT: Final = 1
# Per worker. There are as many workers as processors: more threads would only take turns with other workers' loops.
VERIFY_THREADS: Final = 2
# Of no use to anybody else: a real-time signal that nothing sends but the thread that watches plugins.
OVERRUN: Final = signal.SIGRTMIN + 1

log = logging.getLogger("fastgw.worker")


class DataPlane:
    """The reactor of one worker, as worker.py drives it."""

    def __init__(self, region: _core.Region, slot: int, settings: Settings, compiler: Compiler) -> None:
        self._settings = settings
        self._compiler = compiler
        self._log_fd = -1
        self._region, self._slot = region, slot
        compiler.use(settings.tls, settings.router)
        compiler.health = _core.Health(region)
        self._reactor = _core.Reactor(
            loop=asyncio.get_running_loop(),
            region=region,
            slot=slot,
            limits={**msgspec.structs.asdict(settings.limits), "descriptors": descriptors_left()},
            trusted=settings.trusted_addresses,
            server_tokens=settings.server_tokens,
            show_upstream_status=settings.show_upstream_status_in_response_header,
            token_cache=settings.token_cache,
            verify_threads=VERIFY_THREADS,
            on_error=PluginLog().failed,
        )
        if settings.limits.plugin_time:
            signal.signal(OVERRUN, self._reactor.overrun)
            self._reactor.guard(settings.limits.plugin_time, OVERRUN)
        self._reactor.keep_time()
        self.fileno = self._reactor.fileno
        self.drain = self._reactor.drain
        self._unaccepted = Unaccepted(settings.limits)
        self.call_on = self._reactor.call_on
        self.ask_by = self._reactor.ask_by
        self.listen = self._reactor.listen
        self.stop_listening = self._reactor.stop_listening
        self.close_idle = self._reactor.close_idle
        self.active = self._reactor.active
        self.install = self._reactor.install
        self._reactor.trust_ids(settings.request_ids_from == "trusted")
        if settings.access_log.format != "json":
            self._reactor.log_as(_core.LogFormat(settings.access_log.format, settings.access_log.escape == "json"))
        self.reopen_logs()

    def tick(self) -> None:
        """To be called now and then: tells of what the reactor has counted."""
        self._unaccepted.tell(*self._reactor.unaccepted())
        spans = opentelemetry.take_counts()
        if any(spans):
            self._region.count(self._slot, "spans_exported", spans.exported)
            self._region.count(self._slot, "spans_dropped", spans.dropped)

    def close(self) -> None:
        """As Reactor.close; the last spans go out."""
        self._reactor.close()
        opentelemetry.close()

    def listen_tls(self, fd: int) -> None:
        """Accepts connections on which TLS is spoken."""
        self._reactor.listen(fd, _core.TlsListener((self._settings.tls.fallback_sni or "").encode()))

    def reopen_logs(self) -> None:
        """Opens the access log anew, after it was moved away."""
        access = self._settings.access_log
        if not access.enabled:
            return
        try:
            fd = logs.sink(access.path, STDOUT)
        except OSError as exc:
            if self._log_fd < 0:
                raise
            log.error("%s: cannot be opened anew, the log goes on in the old file: %s", access.path, exc.strerror)
            return
        self._reactor.access_log(fd)
        if self._log_fd >= 0:
            os.close(self._log_fd)
        self._log_fd = fd
