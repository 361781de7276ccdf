# reactor: the worker's native event core as Python sees it. Owns: the Loop and everything in it. The event loop watches its
# epoll descriptor and calls drain; Python is entered only for that wake-up, for timers, snapshots and Python plugins.

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_REFCNT
from ipaddress import ip_address as _ip_address
from msgspec.json import encode as _json_encode


cdef enum:
    QUEUE_TURNS = 64            # of accepts, for what waits when listening ends: as many as a queue is long (sockets.py)
    BURY_NS = 200000            # freeing old snapshots: as long as some ten requests take, then they get their turn


cdef class Reactor:
    """One worker's data plane.

    `loop` is the running event loop; `region` and `slot` give the shared table and this process's metrics; `limits` maps the
    names of the config's `limits` to numbers (bytes, seconds, counts); `trusted` are the CIDRs of trusted_addresses;
    `token_cache` is how many verified tokens are remembered; `verify_threads` how many threads may judge signatures, 0: all are
    judged on the loop; `on_error(plugin, phase, exception)` is told what Python plugins
    raise.
    """
    cdef Loop core
    cdef object loop
    cdef Region region
    cdef Snapshot current
    cdef list retired           # snapshots that requests may still run on
    cdef list debris            # shards of snapshots that are gone
    cdef set tasks
    cdef dict timed             # of tasks that have a time to end in, the requests that they hold up
    cdef dict late              # of those that were cancelled for it
    cdef double plugin_time     # s for which a plugin may hold up the worker; 0: nobody looks
    cdef PasswordDesk passwords      # who judges them
    cdef object stores          # RemoteStores that were asked, weakly
    cdef object error_sink
    cdef bint scheduled
    cdef list tls_listeners
    cdef LogFormat log_format
    cdef object settled         # told after exchanges may have gone on, where the core is embedded

    def __cinit__(self, *, loop, Region region not None, int slot, limits=None, trusted=(), bint server_tokens=True,
                  bint show_upstream_status=False, uint32_t token_cache=0, uint32_t verify_threads=0, on_error=None):
        cdef Loop* core = &self.core
        self.loop = loop
        self.region = region
        self.retired = []
        self.debris = []
        self.tasks = set()
        self.timed = {}
        self.late = {}
        self.passwords = PasswordDesk()
        self.stores = _WeakSet()
        core.sends = loop is not None
        self.tls_listeners = []
        self.error_sink = on_error
        core.reactor = <PyObject*>self
        core.io.recv = sock_recv
        core.io.send = sock_send
        core.io.connect = sock_connect
        core.io.error = sock_error
        core.io.close = sock_close
        core.io.finish = sock_finish
        core.io.pipe = sock_pipe
        core.io.fill = sock_fill
        core.io.spill = sock_spill
        core.io.unpipe = sock_unpipe
        core.splice_least = SPLICE_LEAST
        core.io.wake = sock_wake
        core.delays.timer.loop = core
        core.delays.timer.kind = CONN_TIMER
        core.delays.timer.fd = -1
        core.beat.loop = core
        core.beat.kind = CONN_BEAT
        core.beat.fd = -1
        core.server_tokens = server_tokens
        core.status_shown_from = 0 if show_upstream_status else 500
        core.unheard = 1
        core.log_fd = -1
        core.ask_fd = -1
        core.epfd = epoll_create1(EPOLL_CLOEXEC)
        if core.epfd < 0:
            raise OSError(errno, "epoll_create1")
        core.rbuf = <char*>malloc(IO_BYTES)
        if core.rbuf == NULL:
            raise MemoryError
        core.jwt = <JwtScratch*>malloc(sizeof(JwtScratch))
        if core.jwt == NULL:
            raise MemoryError
        jwt_scratch_init(core.jwt, &core.jwt_headers, JWT_DEFAULT_MAX)
        token_cache_init(&core.tokens, token_cache)
        core.verifiers = <Verifiers*>calloc(1, sizeof(Verifiers))
        if core.verifiers == NULL:
            raise MemoryError
        verify_init(core.verifiers, core, verify_threads)
        core.table = region.limit_table()
        core.revoked = region.revoked_table()
        region.open_ledger(slot, &core.holds)
        region.open_ring(slot, &core.hot)
        region.open_book(slot, &core.addresses)
        core.metrics = region.metrics_block(slot)
        core.plugin_names = region.plugin_names
        core.plugins = region.plugin_blocks(slot)
        plugin_clear_kept(core.plugins)
        loop_limits(&core.limits, limits or {})
        cidrs_set(&core.trusted, trusted)
        loop_clock(core)
        core.series = region.open_series(slot, core.now_ms)
        core.tick = core.now_ms // TIMER_TICK_MS

    def fileno(self) -> int:
        """The epoll descriptor: readable when there is something to drain."""
        return self.core.epfd

    def drain(self) -> None:
        """Serves what is there and what follows at once, up to a cap; comes back by itself when the cap was reached."""
        # A coroutine of a Python plugin waits for the event loop: then it must not be kept from its turn.
        self.drain_for(0 if self.tasks else DRAIN_WAIT_MS)

    cdef int drain_for(self, int wait_ms) except -1:
        cdef bint more
        self.core.wait_ms = wait_ms
        with nogil:
            more = loop_drain(&self.core)
        if self.core.beaten:
            self.beaten()
            more = more or self.core.ready != NULL
        self.send()
        if more and self.loop is not None:
            self.drain_soon()
        return 0

    cdef int send(self) except -1:
        # What exchanges want to ask of stores.
        cdef RemoteC* store
        while self.core.remotes != NULL:
            store = self.core.remotes
            self.core.remotes = store.next_pending
            store.pending = False
            (<RemoteStore>store.owner).fly(self)
        if self.settled is not None:
            self.settled()
        return 0

    cdef int resumed(self) except -1:
        # After exchanges were resumed outside any drain.
        conn_bury(&self.core)
        if self.core.ready != NULL:
            self.drain()
        self.send()
        return 0

    cdef int drain_soon(self) except -1:
        if not self.scheduled:
            self.scheduled = True
            self.loop.call_soon(self._again)
        return 0

    def _again(self) -> None:
        """The drain that an earlier one asked for. Only this one clears the mark: were each drain that the descriptor causes to
        ask for another, they would become ever more under load, and so the time to the event loop's next turn."""
        self.scheduled = False
        self.drain_for(0)           # before the event loop has looked at its descriptors: it must not be kept from them

    cdef int beaten(self) except -1:
        # What else has its time, of what Python holds.
        self.core.beaten = 0
        turns_overdue(self)
        conn_bury(&self.core)
        return self.release()

    def tick(self) -> None:
        """To be called every 100 ms unless it keeps time: timeouts, the access log, listeners that paused, retired snapshots."""
        with nogil:
            loop_clock(&self.core)
            loop_beat(&self.core)
        self.beaten()
        self.resumed()

    def keep_time(self) -> None:
        """From now on what `tick` does is done without it."""
        if beat_start(&self.core) != 0:
            raise OSError(errno, "timerfd")

    def call_on(self, int fd) -> None:
        """From now on a descriptor that becomes readable ends a drain: the event loop, which watches it too, has its turn."""
        cdef epoll_event e
        self.core.caller.loop = &self.core
        self.core.caller.kind = CONN_CALLER
        e.events = EPOLLIN | EPOLLET
        e.data.ptr = &self.core.caller
        if epoll_ctl(self.core.epfd, EPOLL_CTL_ADD, fd, &e) != 0:
            raise OSError(errno, "epoll_ctl")

    def guard(self, double seconds, int signum) -> None:
        """From now on a method of a plugin that holds up the calling thread for longer is cut off: `overrun` must be what Python
        calls for that signal."""
        self.plugin_time = seconds
        overrun_start(&self.core.overrun, seconds, signum)

    def overrun(self, signum, frame) -> None:
        """The handler of that signal."""
        if overrun_is(&self.core.overrun):
            raise PluginTimeout(f"it held up its worker for more than {self.plugin_time:g} s (limits.plugin_time)")

    def ask_by(self, int fd) -> None:
        """Numbers of key sets that tokens name keys of, which are not among those known, go to this descriptor; -1: nowhere."""
        self.core.ask_fd = fd

    def listen(self, int fd, TlsListener tls=None) -> None:
        """Accepts connections from a listening, non-blocking socket. The descriptor stays the caller's. `tls`: TLS is spoken."""
        cdef Listener* listener = <Listener*>conn_new(&self.core, sizeof(Listener), CONN_LISTENER)
        cdef sockaddr_storage a
        cdef socklen_t size = sizeof(a)
        if listener == NULL:
            raise MemoryError
        listener.c.fd = fd
        if getsockname(fd, <sockaddr*>&a, &size) != 0:
            free(listener)
            raise OSError(errno, "getsockname")
        listener.unix_socket = a.ss_family == AF_UNIX
        if tls is not None:
            self.tls_listeners.append(tls)
            listener.tls = &tls.c
        if a.ss_family == AF_INET:
            listener.port = ntohs((<sockaddr_in*>&a).sin_port)
        elif a.ss_family == AF_INET6:
            listener.port = ntohs((<sockaddr_in6*>&a).sin6_port)
        listener.next = self.core.listeners
        self.core.listeners = listener
        if listener_watch(listener) != 0:
            raise OSError(errno, "epoll_ctl")

    def stop_listening(self) -> None:
        """Takes what waits in the accept queues, then no more; from now on every answer closes its connection."""
        cdef Listener* listener
        cdef int i
        self.core.draining = 1
        with nogil:
            loop_clock(&self.core)
            while self.core.listeners != NULL:
                listener = self.core.listeners
                self.core.listeners = listener.next
                for i in range(QUEUE_TURNS):
                    if listener.paused or listener_on_event(listener) < ACCEPTS_MAX:
                        break
                if not listener.paused:
                    epoll_ctl(self.core.epfd, EPOLL_CTL_DEL, listener.c.fd, NULL)
                free(listener)

    def close_idle(self) -> None:
        """Closes connections that wait between two requests; not those whose first is still to come."""
        cdef Down* d
        cdef Down* following
        with nogil:
            d = self.core.downs
            while d != NULL:
                following = d.next
                if (d.c.state == DOWN_IDLE and d.requests and not d.c.readable and buf_left(&d.input) == 0
                        and not conn_unsent(&d.c)):
                    down_close(d)
                d = following
            conn_bury(&self.core)

    def install(self, Snapshot snapshot not None) -> None:
        """New requests run on `snapshot`; those under way end on theirs."""
        if self.current is not None and self.current is not snapshot:
            self.retired.append(self.current)
        self.current = snapshot
        self.core.snapshot = &snapshot.c

    cdef int release(self) except -1:
        # What a snapshot shares with the next one is only let go of; the rest, which may be thousands of plans, is freed in
        # pieces, because each takes a microsecond or two that no request should wait for. Nothing but `debris` may refer to a
        # piece then, or it would go with whatever else does: neither the snapshot, which the loop lets go of, nor an
        # older one that stays, which takes over what it shares (_bury).
        cdef Snapshot snapshot
        cdef bint idle = not self.debris
        if not self.retired:
            return 0
        kept = []
        for snapshot in self.retired:
            if snapshot.c.inflight:
                kept.append(snapshot)
            else:
                self.debris += snapshot.replaced
        snapshot = None             # the last one goes now, while the debris still holds what would go with it
        self.retired = kept
        if idle:
            self._bury()
        return 0

    def _bury(self) -> None:
        """Frees some of what old snapshots left, and comes back for the rest."""
        cdef timespec a
        cdef timespec b
        cdef int64_t spent = 0
        clock_gettime(CLOCK_MONOTONIC, &a)
        while self.debris and (spent < BURY_NS or self.loop is None):
            piece = self.debris.pop()
            if self.retired and Py_REFCNT(piece) > 1:
                (<Snapshot>self.retired[0]).replaced.append(piece)
            piece = None
            clock_gettime(CLOCK_MONOTONIC, &b)
            spent = (b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec
        if self.debris:
            self.loop.call_soon(self._bury)

    def access_log(self, int fd) -> None:
        """Lines go to this descriptor; -1 switches the log off."""
        with nogil:
            if self.core.log_on:
                log_flush(&self.core)
        if fd != self.core.log_fd:
            self.core.log_torn = 0
        self.core.log_fd = fd
        self.core.log_on = fd >= 0
        if fd >= 0:
            mode = _os.fstat(fd).st_mode
            self.core.log_sink = LOG_FILE if _stat.S_ISREG(mode) else LOG_SOCKET if _stat.S_ISSOCK(mode) else LOG_PIPE

    def log_as(self, LogFormat format) -> None:
        """Lines of the access log are texts of this form; None: JSON."""
        self.log_format = format
        self.core.log_parts = NULL if format is None else format.parts
        self.core.log_parts_n = 0 if format is None else format.n
        self.core.log_json = 0 if format is None else format.json

    def trust_ids(self, bint trusted_only) -> None:
        """Whether only peers in trusted_addresses may say what the id of a request is."""
        self.core.trusted_ids = trusted_only

    def set_limits(self, limits) -> None:
        """Applies the config's `limits` to what begins from now on."""
        loop_limits(&self.core.limits, limits)

    def set_trusted(self, networks) -> None:
        """Applies trusted_addresses to connections accepted from now on."""
        cidrs_set(&self.core.trusted, networks)

    def set_server_tokens(self, bint on) -> None:
        """Whether answers carry `Server: fastgw`."""
        self.core.server_tokens = on

    def requests(self) -> int:
        """Requests under way."""
        return self.core.n_exchanges

    def active(self) -> int:
        """Client connections open."""
        return self.core.n_down

    def unaccepted(self) -> tuple[int, str, int, int]:
        """Since the start: connections closed at once as their address holds too many, and the last such address; how often a
        listener paused, and why the last time (Paused)."""
        cdef Refused* refused = &self.core.refused
        last = _ip_address(<bytes>(<char*>refused.last)[:16])
        return refused.n, str(last.ipv4_mapped or last) if refused.n else "", self.core.pauses.n, self.core.pauses.why

    cdef int on_error(self, str plugin, str phase, error) except -1:
        if self.error_sink is not None:
            self.error_sink(plugin, phase, error)
        return 0

    cdef int suspend(self, Request request, PythonStep step, awaitable, uint64_t began) except -1:
        turns_begin(self, request, step, awaitable, began)
        self.core.wait_ms = 0   # of the drain that goes on here: the task begins with the event loop's turn
        return 0

    def close(self) -> None:
        """Cuts every connection and releases the native memory; the reactor is of no use afterwards."""
        cdef Exchange* x
        with nogil:
            overrun_stop(&self.core.overrun)
            while self.core.downs != NULL:
                if self.core.downs.c.kind == CONN_TUNNEL:
                    tunnel_end(self.core.downs.c.x, "tunnel.drained")
                elif self.core.downs.c.state == DOWN_EXCHANGE and self.core.downs.c.x != NULL:
                    exchange_abort(self.core.downs.c.x)
                else:
                    down_close(self.core.downs)
            while self.core.ups != NULL:
                up_close(self.core.ups)
            self.core.ready = self.core.ready_tail = NULL
            delay_close(&self.core)
            beat_stop(&self.core)
            verify_close(&self.core)
        self.core.remotes = NULL
        for store in self.stores:
            (<RemoteStore>store).give_up()
        with nogil:
            conn_bury_all(&self.core)
            pipe_drop_all(&self.core)
            if self.core.log_on:
                log_flush(&self.core)
            while self.core.free_exchanges != NULL:
                x = self.core.free_exchanges
                self.core.free_exchanges = x.next_free
                exchange_destroy(x)
            self.core.n_free = 0
        self.passwords.close()

    def __dealloc__(self):
        if self.core.ups != NULL or self.core.downs != NULL:
            self.close()        # pools may outlive the loop that their idle connections name
        if self.core.epfd > 0:      # else it was never made, and its descriptors are 0
            delay_close(&self.core)
            beat_stop(&self.core)
        with nogil:
            overrun_stop(&self.core.overrun)
        if self.core.verifiers != NULL:
            with nogil:
                verify_close(&self.core)
            free(self.core.verifiers)
        hold_ledger_close(&self.core.holds)
        if self.core.epfd > 0:
            close(self.core.epfd)
        free(self.core.rbuf)
        free(self.core.jwt)
        free(self.core.series)
        token_cache_free(&self.core.tokens)
        free(self.core.trusted.list)
        buf_free(&self.core.wbuf)
        buf_free(&self.core.sealed)
        buf_free(&self.core.joined)
        buf_free(&self.core.log)


cdef int loop_limits(LoopLimits* out, limits) except -1:
    out.head_bytes = limits.get("head_bytes", 32768)
    out.target_bytes = limits.get("target_bytes", 8192)
    out.headers = min(limits.get("headers", 100), HEAD_MAX_FIELDS)
    out.body_bytes = limits.get("body_bytes", 67108864) or 0x7fffffffffffffff
    out.gathered_bytes = limits.get("gathered_bytes", 268435456)
    out.idle_ms = milliseconds(limits.get("idle_timeout", 60))
    out.head_ms = milliseconds(limits.get("head_timeout", 10))
    out.body_ms = milliseconds(limits.get("body_timeout", 60))
    out.send_ms = milliseconds(limits.get("send_timeout", 60))
    out.min_rate = limits.get("min_rate", 240)
    out.connections = limits.get("connections", 65536)
    out.per_address = limits.get("connections_per_address", 8192)
    out.descriptors = limits.get("descriptors", 0xffffffff)
    out.plugin_wait_ns = <uint64_t>(limits.get("plugin_wait", 0) * 1e9)
    return 0
