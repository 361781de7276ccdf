# embed: the same chain for requests that another server took: what comes of one is the consumer and header lines, or an answer in
# the application's place. Owns: how such a request begins, waits and ends. Must not know which server asks, nor what its
# interface looks like beyond the members of a scope that are read (guests).

from functools import partial as _partial
from weakref import ref as _ref

cimport cython


class Caller(_NamedTuple):
    """Who a request comes from. `username`: the consumer's; `credential`: the id of the credential that it showed, `group` that
    of its consumer group, `custom_id` its label of that name: None where there is none."""

    username: str
    credential: str | None
    group: str | None
    custom_id: str | None


cdef object caller_of(const CredentialC* c):
    cdef Credential credential = <Credential>c.owner
    if credential.shown is None:
        told = {}
        for line in (<const char*>c.identity)[:c.identity_len].split(b"\r\n"):
            name, _, value = line.partition(b": ")
            told[name] = value.decode("utf-8", "replace")
        group = c.consumer.group[:c.consumer.group_len].decode() if c.consumer.group_len else None
        credential.shown = Caller(
            told[b"X-Consumer-Username"], told.get(b"X-Credential-Identifier"), group, told.get(b"X-Consumer-Custom-ID"))
    return credential.shown


@cython.freelist(64)
cdef class Visit:
    """One request. While `waiting` nothing else is known. `status` 0: the application may answer; else `headers` and `body` are
    the answer in its place, and `reason` says why, in the words of the log.

    `caller`: the Caller, or None; `claims`: JSON of its token's claims where jwt-auth keeps them, or None. `forward`: None, or
    the headers as the application is to see them; `query`: None, or the query it is to see. `headers`: lines for its answer.
    `open`: steps of the chain still have a say in the answer: `answered` and `end` are to be called.
    """
    cdef Gate gate
    cdef int number
    cdef object told            # the headers of the request
    cdef readonly bint waiting
    cdef readonly bint open
    cdef readonly int status
    cdef readonly object caller
    cdef readonly bytes claims
    cdef readonly list headers
    cdef readonly list forward
    cdef readonly bytes query
    cdef readonly bytes body
    cdef readonly str reason
    cdef public object future   # of who waits

    def __init__(self):
        raise TypeError("Visit: Gate.ask makes them")

    def answered(self, int status) -> list:
        """The application answers with this status: the header lines that the chain adds to its answer."""
        cdef Exchange* x
        if not self.open:
            return self.headers
        x = self.gate.guests.list[self.number].down.c.x
        x.status = <uint16_t>status
        x.answering = 1
        if chain_has(x, PHASE_HEADER_FILTER):
            chain_on_answer(x, PHASE_HEADER_FILTER)
        self.headers = header_lines(x.down_extra.p, x.down_extra.len) if x.down_extra.len else []
        return self.headers

    def end(self, long long size=0) -> None:
        """The answer is over, or the client has gone; `size`: bytes of its body."""
        cdef Down* d
        if self.waiting:
            self.waiting = False
            self.gate.visits.pop(self.number, None)
            d = self.gate.guests.list[self.number].down
            if self.gate.guests.list[self.number].state == GUEST_PASSED:
                self.gate.finish(self.number, 0)
                return
            if d != NULL and d.c.x != NULL and d.c.state == DOWN_EXCHANGE:
                exchange_abort(d.c.x)
            self.gate.leave(self.number)
        elif self.open:
            self.open = False
            self.gate.finish(self.number, size)

    def __dealloc__(self):
        if self.open and self.gate is not None:
            self.gate.finish(self.number, 0)


cdef class Gate:
    """The chain of a snapshot for requests of another server's, in one thread.

    `snapshot`: routes without upstreams; `region`: where counts are and what is revoked, shared with whoever maps it; `loop`: the
    running asyncio loop, on which steps may wait; None: those that need one are refused. `limits`, `trusted`, `token_cache`,
    `on_error`: as Reactor's. `settled()` is called when visits that waited are known.
    """
    cdef Reactor reactor
    cdef Region region
    cdef Guests guests
    cdef Buf head
    cdef dict visits
    cdef object __weakref__

    def __cinit__(self, Snapshot snapshot not None, Region region not None, *, loop=None, limits=None, trusted=(),
                  uint32_t token_cache=0, on_error=None):
        # Process slots are the gateway's to give: samples and counters of this process lie in memory of its own.
        cdef Region own = Region.create(16, slots=1, revocations=1)
        self.region = region
        self.visits = {}
        self.guests.idle = self.guests.free = -1
        self.reactor = Reactor(
            loop=loop, region=own, slot=0, limits=limits, trusted=trusted, server_tokens=False,
            token_cache=token_cache, verify_threads=2 if loop is not None else 0, on_error=on_error)
        self.reactor.core.limits.idle_ms = self.reactor.core.limits.send_ms = 0
        self.reactor.core.limits.head_ms = self.reactor.core.limits.body_ms = 0
        self.reactor.core.table = region.limit_table()
        self.reactor.core.revoked = region.revoked_table()
        self.reactor.core.net = &self.guests
        self.reactor.core.embedded = 1
        self.reactor.core.io.recv = guest_recv
        self.reactor.core.io.send = guest_send
        self.reactor.core.io.close = guest_close
        self.reactor.core.io.finish = guest_finish
        self.reactor.install(snapshot)
        # Weakly, or both would wait for the collector: servers that have a thread for each request would soon be out of
        # descriptors where that is seldom, or switched off.
        self.reactor.settled = _partial(_settle, _ref(self))

    def install(self, Snapshot snapshot not None) -> None:
        """As Reactor.install."""
        self.reactor.install(snapshot)

    def fileno(self) -> int:
        """Readable when there is something to drain."""
        return self.reactor.fileno()

    def drain(self) -> None:
        """Steps that waited go on where their wait is over."""
        self.reactor.drain_for(0)

    def tick(self) -> None:
        """To be called now and then: retired snapshots go."""
        self.reactor.tick()

    def close(self) -> None:
        """Ends what waits; the gate is of no use afterwards."""
        self.reactor.settled = None
        self.reactor.close()

    @property
    def requests(self) -> int:
        """Requests under way."""
        return self.reactor.core.n_exchanges

    def ask(self, scope not None) -> Visit:
        """A request as ASGI tells of it: the members `method`, `path`, `query_string`, `headers`, `client` and `server` are
        read."""
        cdef dict told = scope if type(scope) is dict else dict(scope)
        cdef Loop* core = &self.reactor.core
        cdef Visit visit = Visit.__new__(Visit)
        cdef int fields = told_head(&self.head, told)
        cdef int number = self.enter()
        cdef Guest* g = &self.guests.list[number]
        cdef Down* d = g.down
        cdef bint begin = False
        cdef size_t used
        visit.gate = self
        visit.number = number
        visit.told = told["headers"]
        loop_clock(core)
        if clock_ahead_s:
            core.now_ns += <uint64_t>clock_ahead_s * 1000000000
            core.now_ms += <uint64_t>clock_ahead_s * 1000
            core.wall += clock_ahead_s
        try:
            told_by(d, told.get("client"), told.get("server"))
            if fields < 0 and exchange_new(core, d) == NULL:
                raise MemoryError
        except BaseException:
            self.leave(number)
            raise
        g.state = GUEST_ASKED
        g.at_once = 1
        if fields < 0:
            d.c.state = DOWN_EXCHANGE
            down_refuse(d.c.x, 400, "framing.refused")
        else:
            used = down_head(d, self.head.p, self.head.len, &begin)
            if begin and used == self.head.len and d.c.x.head.n == fields:
                exchange_begin(d.c.x)
            elif d.c.x != NULL:         # what one of the parts says is more than one line of a head
                d.c.state = DOWN_EXCHANGE
                down_refuse(d.c.x, 400, "framing.refused")
        g = &self.guests.list[number]   # a step's Python may have asked too
        g.at_once = 0
        if core.remotes != NULL:
            self.reactor.send()
        if g.state == GUEST_ASKED:
            visit.waiting = True
            self.visits[number] = visit
        else:
            self.tell(visit, g)
        if core.dead != NULL:
            conn_bury(core)
        return visit

    cdef int tell(self, Visit visit, Guest* g) except -1:
        cdef Exchange* x
        cdef bytes raw
        visit.waiting = False
        if g.state == GUEST_ANSWERED:
            raw = g.answer.p[:g.answer.len]
            head, _, visit.body = raw.partition(b"\r\n\r\n")
            visit.status = g.status
            visit.reason = g.reason.decode() if g.reason != NULL else ""
            visit.headers = [line for line in header_lines(head, len(head)) if line[0] not in (b"date", b"connection")]
            self.leave(visit.number)
            return 0
        x = g.down.c.x
        if x.credential != NULL:
            visit.caller = caller_of(x.credential)
        if x.claims.len:
            visit.claims = x.claims.p[:x.claims.len]
        self.tell_forward(visit, x)
        visit.open = x.n_holds or chain_has(x, PHASE_HEADER_FILTER) or chain_has(x, PHASE_LOG)
        if not visit.open:
            visit.headers = header_lines(x.down_extra.p, x.down_extra.len) if x.down_extra.len else None
            self.finish(visit.number, 0)
        return 0

    cdef int tell_forward(self, Visit visit, Exchange* x) except -1:
        # What steps did to the request: what they took out, as framing did with what only a gateway may say, and what they set.
        cdef uint32_t i
        cdef bint changed = x.up_extra.len != 0
        cdef const char* mark
        for i in range(x.head.n):
            changed |= (x.head.fields[i].flags & FIELD_HIDDEN) != 0
        if changed:
            visit.forward = self.left_of(visit.told, x)
            if x.up_extra.len:
                visit.forward += header_lines(x.up_extra.p, x.up_extra.len)
        if x.target.len:
            mark = <const char*>memchr(x.target.p, c"?", x.target.len)
            visit.query = b"" if mark == NULL else (mark + 1)[:x.target.p + x.target.len - mark - 1]
        return 0

    cdef list left_of(self, headers, Exchange* x):
        # What steps left of the headers. What a step set takes the place of all that the client says under that name, as on the
        # way to an upstream.
        cdef uint32_t i = 0
        cdef const Field* f
        cdef Names names
        names_collect(&names, &x.up_extra)
        left = []
        for pair in headers:
            name, value = pair
            if field_tells(name):
                f = &x.head.fields[i]
                i += 1
                if f.flags & FIELD_HIDDEN or (f.id == FIELD_COOKIE and f.flags & FIELD_DROP):
                    continue
                if names.n and names_have(&names, x.bytes.p + f.name, f.name_len):
                    continue
            left.append((name, value))
        return left

    cdef int enter(self) except -1:
        # The number of a guest with a connection and no request.
        cdef Guests* all_ = &self.guests
        cdef Guest* grown
        cdef Listener nobody
        cdef int number = all_.idle
        if number >= 0:
            all_.idle = all_.list[number].next_idle
            all_.n_idle -= 1
            return number
        number = all_.free
        if number >= 0:
            all_.free = all_.list[number].next_idle
        else:
            number = all_.n
            grown = <Guest*>realloc(all_.list, (number + 1) * sizeof(Guest))
            if grown == NULL:
                raise MemoryError
            all_.list = grown
            memset(&grown[number], 0, sizeof(Guest))
            all_.n += 1
        memset(&nobody, 0, sizeof(nobody))
        all_.list[number].down = down_open(&self.reactor.core, number, &nobody)
        if all_.list[number].down == NULL:
            all_.list[number].next_idle = all_.free
            all_.free = number
            raise MemoryError
        return number

    cdef void leave(self, int number) noexcept:
        cdef Guests* all_ = &self.guests
        cdef Guest* g = &all_.list[number]
        g.state = GUEST_FREE
        buf_reset(&g.answer)
        g.reason = NULL
        if g.down != NULL and (all_.n_idle >= GUESTS_KEPT or g.down.c.state != DOWN_IDLE):
            down_close(g.down)
        if g.down != NULL:
            g.next_idle = all_.idle
            all_.idle = number
            all_.n_idle += 1
        else:
            g.next_idle = all_.free
            all_.free = number

    cdef void finish(self, int number, int64_t size) noexcept:
        # Of a request that passed: whatever the application did, its exchange is over.
        cdef Down* d = self.guests.list[number].down
        cdef Exchange* x
        if d == NULL or d.c.x == NULL:
            return
        x = d.c.x
        x.answering = x.answer_done = x.body_done = 1
        x.answer_bytes = size
        exchange_finish(x)
        self.leave(number)
        if self.reactor.core.dead != NULL:
            conn_bury(&self.reactor.core)

    def _settled(self) -> None:
        """Visits that waited are told."""
        cdef Visit visit
        cdef int number
        cdef size_t i = 0
        while i < self.guests.settled.len:
            number = (<int*>(self.guests.settled.p + i))[0]
            i += sizeof(int)
            visit = self.visits.pop(number, None)
            if visit is None:
                continue
            self.tell(visit, &self.guests.list[number])
            if visit.future is not None and not visit.future.done():
                visit.future.set_result(None)
        buf_reset(&self.guests.settled)

    def __dealloc__(self):
        cdef int i
        if self.reactor is not None:
            self.reactor.settled = None
            self.reactor.close()
            self.reactor.core.net = NULL
        for i in range(self.guests.n):
            buf_free(&self.guests.list[i].answer)
        free(self.guests.list)
        buf_free(&self.guests.settled)
        buf_free(&self.head)


def _settle(gate) -> None:
    cdef Gate found = gate()
    if found is not None:
        found._settled()
