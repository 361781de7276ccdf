# wire: the connection core on memory instead of sockets: bytes in, bytes out, time in the caller's hand. For tests,
# fuzzing, and explaining requests; the code under it is the same that serves sockets.

cdef struct MemConn:
    Conn* conn                  # NULL once the core closed it
    Buf inbox                   # for the core to receive
    Buf outbox                  # what the core sent
    size_t room                 # bytes the next sends may take before the line is full
    bint ended                  # our side sent FIN
    bint broken                 # reset
    bint finished               # the core sent FIN
    bint is_up
    bint connecting


cdef struct MemNet:
    MemConn* list
    int n
    int cap
    bint strict
    int connect_result          # 0, -EINPROGRESS or -ECONNREFUSED for connections to come


cdef MemConn* mem_of(Conn* c) noexcept nogil:
    return &(<MemNet*>c.loop.net).list[c.fd]


cdef int mem_add(MemNet* net, Conn* c, bint is_up) noexcept nogil:
    cdef MemConn* grown
    if net.n == net.cap:
        grown = <MemConn*>realloc(net.list, (net.cap * 2 + 16) * sizeof(MemConn))
        if grown == NULL:
            return -ENOMEM
        net.list = grown
        net.cap = net.cap * 2 + 16
    memset(&net.list[net.n], 0, sizeof(MemConn))
    net.list[net.n].conn = c
    net.list[net.n].room = <size_t>1 << 40
    net.list[net.n].is_up = is_up
    c.fd = net.n
    net.n += 1
    return 0


cdef ssize_t mem_recv(Conn* c, void* buf, size_t n) noexcept nogil:
    cdef MemConn* m = mem_of(c)
    cdef size_t k = buf_left(&m.inbox)
    if m.broken:
        return -ECONNRESET
    if k == 0:
        return 0 if m.ended else -EAGAIN
    if k > n:
        k = n
    if (<MemNet*>c.loop.net).strict:
        heap_allow(buf, n)
        heap_forbid(<char*>buf + k, n - k)      # what an earlier read left there is nobody's
    memcpy(buf, m.inbox.p + m.inbox.off, k)
    buf_eat(&m.inbox, k)
    return k


cdef ssize_t mem_send(Conn* c, const void* head, size_t h, const void* body, size_t n) noexcept nogil:
    cdef MemConn* m = mem_of(c)
    cdef size_t take = h + n if h + n < m.room else m.room
    if m.broken:
        return -EPIPE
    if take == 0:
        return -EAGAIN if h + n else 0
    m.room -= take
    buf_put(&m.outbox, head, h if h < take else take)
    if take > h:
        buf_put(&m.outbox, body, take - h)
    return take


cdef int mem_connect(Conn* c, const sockaddr* address, socklen_t size) noexcept nogil:
    cdef MemNet* net = <MemNet*>c.loop.net
    cdef int r = net.connect_result
    if r != 0 and r != -EINPROGRESS:
        return r
    if mem_add(net, c, True) != 0:
        return -ENOMEM
    net.list[c.fd].connecting = r != 0
    return r


cdef int mem_error(Conn* c) noexcept nogil:
    return ECONNREFUSED


cdef void mem_close(Conn* c) noexcept nogil:
    if c.fd >= 0:
        mem_of(c).conn = NULL
        c.fd = -1


cdef void mem_finish(Conn* c) noexcept nogil:
    mem_of(c).finished = True


cdef int mem_pipe(Pipe* p) noexcept nogil:
    return 0


cdef void mem_unpipe(Pipe* p) noexcept nogil:
    buf_free(&p.memory)


cdef ssize_t mem_fill(Conn* c, Pipe* p, size_t n) noexcept nogil:
    cdef ssize_t r
    if buf_room(&p.memory, n) != 0:
        return -ENOMEM
    r = mem_recv(c, p.memory.p + p.memory.len, n)
    if r > 0:
        p.memory.len += <uint32_t>r
    return r


cdef ssize_t mem_spill(Conn* c, Pipe* p) noexcept nogil:
    cdef ssize_t r = mem_send(c, p.memory.p + p.memory.off, buf_left(&p.memory), p.memory.p, 0)
    if r > 0:
        buf_eat(&p.memory, r)
    return r


cdef void mem_wake(Loop* loop, uint64_t due_ns) noexcept nogil:
    pass                        # time goes by in Wire.advance, which looks for itself


cdef uint64_t mem_clock(Loop* loop) noexcept nogil:
    return loop.now_ns


cdef void mem_event(Loop* loop, Conn* c, uint32_t events) noexcept nogil:
    # One event and what it leads to, as a drain of the epoll set has it.
    cdef int turn = 0
    if c != NULL:
        conn_on_event(c, events)
    while loop.ready != NULL and turn < 100000:
        loop_ready(loop)
        turn += 1
    conn_bury(loop)


cdef int mem_run(Loop* loop, MemNet* net, int i, const char* request, size_t n, const char* answer, size_t m) noexcept nogil:
    # One exchange on line i, and the part of the upstream it reaches. The first byte of its answer's status, 0 without one.
    cdef int k
    buf_reset(&net.list[i].outbox)
    buf_put(&net.list[i].inbox, request, n)
    mem_event(loop, net.list[i].conn, EPOLLIN | EPOLLOUT)
    for k in range(net.n - 1, -1, -1):      # the newest lines are the ones in use
        if net.list[k].is_up and buf_left(&net.list[k].outbox):
            buf_reset(&net.list[k].outbox)
            buf_put(&net.list[k].inbox, answer, m)
            mem_event(loop, net.list[k].conn, EPOLLIN | EPOLLOUT)
            break
    return net.list[i].outbox.p[9] if buf_left(&net.list[i].outbox) > 12 else 0


cdef class Wire:
    """A worker's core without sockets.

    Lines are numbered in the order in which they are opened: `open()` makes a client's, connecting upstreams add theirs
    (`lines()`). `push` gives the core bytes, `pull` takes what it sent. Time stands still but for `advance`. Bodies with
    `splice_least` or more bytes to come are moved by what stands for splice(2) here. `revoked` is where it stands what is
    revoked, if not in `region`. `slot` is its process's in `region`.
    """
    cdef Reactor reactor
    cdef Region revoked
    cdef MemNet net
    cdef list tls

    def __cinit__(self, Snapshot snapshot=None, *, limits=None, trusted=(), Region region=None, loop=None, uint32_t token_cache=0,
                  uint32_t verify_threads=0, on_error=None, long long splice_least=SPLICE_LEAST, Region revoked=None,
                  bint show_upstream_status=False, int slot=0, bint strict=False):
        if region is None:
            region = Region.create(1024, revocations=64)
        self.reactor = Reactor(
            loop=loop, region=region, slot=slot, limits=limits, trusted=trusted, token_cache=token_cache,
            verify_threads=verify_threads, on_error=on_error, show_upstream_status=show_upstream_status)
        if revoked is not None:
            self.revoked = revoked
            self.reactor.core.revoked = revoked.revoked_table()
        self.tls = []
        self.reactor.core.net = &self.net
        self.reactor.core.io.recv = mem_recv
        self.reactor.core.io.send = mem_send
        self.reactor.core.io.connect = mem_connect
        self.reactor.core.io.error = mem_error
        self.reactor.core.io.close = mem_close
        self.reactor.core.io.finish = mem_finish
        self.reactor.core.io.pipe = mem_pipe
        self.reactor.core.io.fill = mem_fill
        self.reactor.core.io.spill = mem_spill
        self.reactor.core.io.unpipe = mem_unpipe
        self.reactor.core.splice_least = splice_least
        self.reactor.core.unheard = 0           # an event tells of all that comes, at once
        if strict:
            self.net.strict = True
            self.reactor.core.n_free = EXCHANGES_KEPT   # as if the lists were full already
            self.reactor.core.n_pipes = PIPES_KEPT
        self.reactor.core.io.wake = mem_wake
        self.reactor.core.io.clock = mem_clock
        if snapshot is not None:
            self.reactor.install(snapshot)

    def install(self, Snapshot snapshot not None):
        """As Reactor.install."""
        self.reactor.install(snapshot)

    def access_log(self, int fd):
        """As Reactor.access_log."""
        self.reactor.access_log(fd)

    def log_as(self, LogFormat format):
        """As Reactor.log_as."""
        self.reactor.log_as(format)

    def trust_ids(self, bint trusted_only):
        """As Reactor.trust_ids."""
        self.reactor.trust_ids(trusted_only)

    def stop_listening(self):
        """As Reactor.stop_listening: from now on every answer closes its connection."""
        self.reactor.core.draining = 1

    def close_idle(self):
        """As Reactor.close_idle."""
        self.reactor.close_idle()

    @property
    def now(self) -> int:
        """CLOCK_MONOTONIC as the core sees it, in ns."""
        return self.reactor.core.now_ns

    @property
    def wall(self) -> int:
        """CLOCK_REALTIME as the core sees it, in s."""
        return self.reactor.core.wall

    @wall.setter
    def wall(self, int64_t seconds):
        self.reactor.core.wall = seconds

    cdef MemConn* line(self, int i) except NULL:
        if not 0 <= i < self.net.n:
            raise IndexError(f"line: expected 0 to {self.net.n - 1}, found {i}")
        return &self.net.list[i]

    cdef int event(self, int i, uint32_t events) except -1:
        cdef Conn* c = self.line(i).conn
        with nogil:
            mem_event(&self.reactor.core, c, events)
        self.reactor.send()
        return 0

    def open(self, str address="192.0.2.1", bint trusted=False, TlsListener tls=None) -> int:
        """A client connects; gives its line, or -1 where its address holds too many. `tls`: it speaks TLS, as a client of
        Reactor.listen does."""
        cdef Listener listener
        cdef Down* d
        cdef bytes raw = address.encode()
        cdef Cidr own
        cdef uint64_t held
        memset(&listener, 0, sizeof(listener))
        cidr_parse(address, &own)
        if not address_admits(&self.reactor.core, own.bytes, &held):
            return -1
        if tls is not None:
            self.tls.append(tls)
            listener.tls = &tls.c
        d = down_open(&self.reactor.core, -1, &listener)
        if d == NULL or mem_add(&self.net, &d.c, False) != 0 or len(raw) >= <Py_ssize_t>sizeof(d.client.address):
            raise MemoryError
        memcpy(d.client.address, <const char*>raw, len(raw))
        d.client.address_len = <uint8_t>len(raw)
        d.held = held
        memcpy(d.client.bytes, own.bytes, 16)
        d.port = 9080
        d.trusted = trusted
        return d.c.fd

    def push(self, int i, bytes data not None) -> None:
        """Bytes arrive on a line; where it takes any, the event says so too, and that it is connected."""
        cdef MemConn* m = self.line(i)
        buf_put(&m.inbox, <const char*>data, len(data))
        m.connecting = m.connecting and m.room == 0
        self.event(i, EPOLLIN | (EPOLLOUT if m.room else 0))

    def together(self, arrivals not None) -> None:
        """Pairs of a line and bytes that arrive there: at once, told as one batch of events in this order."""
        cdef epoll_event events[EVENTS_MAX]
        cdef bytes data
        cdef int i
        cdef int n = 0
        if len(arrivals) > EVENTS_MAX:
            raise ValueError(f"arrivals: expected at most {EVENTS_MAX}, found {len(arrivals)}")
        for i, data in arrivals:
            if self.line(i).conn == NULL:
                raise ValueError(f"line {i}: expected an open one")
            buf_put(&self.line(i).inbox, <const char*>data, len(data))
            events[n].events = EPOLLIN | (EPOLLOUT if self.line(i).room else 0)
            events[n].data.ptr = self.line(i).conn
            n += 1
        with nogil:
            loop_batch(&self.reactor.core, events, n)
            mem_event(&self.reactor.core, NULL, 0)
        self.reactor.send()

    def pull(self, int i) -> bytes:
        """What the core sent on a line since the last pull."""
        cdef MemConn* m = self.line(i)
        cdef bytes data = m.outbox.p[m.outbox.off:m.outbox.len] if buf_left(&m.outbox) else b""
        buf_reset(&m.outbox)
        return data

    def run(self, int i, bytes request not None, bytes answer not None, int rounds) -> bytes:
        """A request on a line, over and over, each answered by the upstream that it reaches; gives the last answer.

        A loop in C, so that whoever counts instructions or time sees the core and not the interpreter.
        """
        cdef const char* ask = request
        cdef const char* say = answer
        cdef size_t n = len(request)
        cdef size_t m = len(answer)
        cdef int k = 0
        cdef char first
        if self.line(i).conn == NULL or rounds < 1:
            raise ValueError(f"run: expected an open line and a round or more, found line {i} and {rounds} rounds")
        first = <char>mem_run(&self.reactor.core, &self.net, i, ask, n, say, m)
        with nogil:
            for k in range(1, rounds):
                if mem_run(&self.reactor.core, &self.net, i, ask, n, say, m) != first or first == 0:
                    break
            else:
                k = rounds
        if k != rounds or first == 0:
            raise ValueError(f"run: round {k}: expected the answer that the first round had, found {self.pull(i)[:64]!r}")
        return self.pull(i)

    def end(self, int i) -> None:
        """The other side sends FIN."""
        self.line(i).ended = True
        self.event(i, EPOLLIN | EPOLLRDHUP)

    def reset(self, int i) -> None:
        """The line breaks."""
        self.line(i).broken = True
        self.event(i, EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)

    def breaks(self, int i) -> None:
        """The line breaks, and no event tells: the core finds out when it next sends or reads."""
        self.line(i).broken = True

    def room(self, int i, size_t n) -> None:
        """From now on the line takes n more bytes, then it is full."""
        cdef bint was_full = self.line(i).room == 0
        self.line(i).room = n
        if n and was_full:
            self.event(i, EPOLLOUT)

    def connected(self, int i) -> None:
        """A connection under way is established."""
        self.line(i).connecting = False
        self.event(i, EPOLLOUT)

    def connecting(self, str how) -> None:
        """What connections to come do: "at once", "later" or "refused"."""
        self.net.connect_result = {"at once": 0, "later": -EINPROGRESS, "refused": -ECONNREFUSED}[how]

    def lines(self) -> list[tuple[int, str, bool]]:
        """(line, "down" or "up", open) of every line there was."""
        return [(i, "up" if self.net.list[i].is_up else "down", self.net.list[i].conn != NULL) for i in range(self.net.n)]

    def is_connecting(self, int i) -> bool:
        """Whether the line's connection is still under way."""
        return self.line(i).connecting

    def is_open(self, int i) -> bool:
        """Whether the core still holds the line."""
        return self.line(i).conn != NULL

    def finished(self, int i) -> bool:
        """Whether the core sent FIN."""
        return self.line(i).finished

    def advance(self, double seconds) -> None:
        """Time goes by; timers run, and retired snapshots go."""
        cdef Loop* loop = &self.reactor.core
        loop.now_ns += <uint64_t>(seconds * 1e9)
        loop.now_ms = loop.now_ns // 1000000
        loop.wall += <int64_t>seconds
        with nogil:
            timer_advance(loop)
            delay_run(loop)
            while loop.ready != NULL:
                loop_ready(loop)
            conn_bury(loop)
        self.reactor.release()

    def verified(self, double seconds) -> int:
        """Waits for signatures that threads judge, no longer than that, and resumes who waited for those that came; gives how
        many are still under way."""
        cdef Loop* loop = &self.reactor.core
        cdef epoll_event e
        with nogil:
            epoll_wait(loop.epfd, &e, 1, <int>(seconds * 1000))
            verify_run(loop)
            mem_event(loop, NULL, 0)
        return loop.verifiers.n_jobs

    def held(self) -> int:
        """Bytes of bodies that the core holds for all lines: what backpressure must bound."""
        cdef int i
        total = 0
        for i in range(self.net.n):
            if self.net.list[i].conn != NULL:
                total += buf_left(&self.net.list[i].conn.out)
                if self.net.list[i].conn.pipe != NULL:
                    total += self.net.list[i].conn.pipe.n
                if not self.net.list[i].is_up:
                    total += buf_left(&(<Down*>self.net.list[i].conn).input)
        return total

    def _bench_step(self, int i, Step step not None, size_t rounds):
        """Nanoseconds per run of a step on the request under way on a client's line, by whatever it ends."""
        cdef Exchange* x = self.line(i).conn.x if self.line(i).conn != NULL else NULL
        cdef uint32_t up, down, target
        cdef size_t n
        if x == NULL:
            raise ValueError(f"line {i}: expected one with a request under way")
        up = x.up_extra.len
        down = x.down_extra.len
        target = x.target.len
        started = perf_counter_ns()
        with nogil:
            for n in range(rounds):
                step.c.fn(x, step.c.conf)
                x.up_extra.len = up
                x.down_extra.len = down
                x.target.len = target
        return (perf_counter_ns() - started) / rounds

    @property
    def active(self) -> int:
        """Exchanges under way."""
        return self.reactor.core.n_exchanges

    @property
    def gathered(self) -> int:
        """Bytes of gathered bodies that count."""
        return self.reactor.core.gathered

    def __dealloc__(self):
        cdef int i
        if self.reactor is not None:
            self.reactor.close()
            self.reactor.core.net = NULL
        for i in range(self.net.n):
            if self.net.list[i].conn != NULL:
                self.net.list[i].conn.fd = -1
            buf_free(&self.net.list[i].inbox)
            buf_free(&self.net.list[i].outbox)
        free(self.net.list)
