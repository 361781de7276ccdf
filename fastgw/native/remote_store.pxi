# remote_store: a store of counts as Python sees it, which sends the questions and brings the answers. Must not know what becomes
# of an answer (remote.pxi).


cdef class RemoteStore:
    """One store of counts, as one worker has it. This one is away for ever; a subclass gives it a `send`."""

    def __cinit__(self, *_):
        self.batches = set()
        self.name = b""
        self.c.away = True
        self.c.owner = <PyObject*>self
        self.c.nodes = 1

    def __dealloc__(self):
        remote_free(&self.c.asked)
        remote_free(&self.c.minded)
        buf_free(&self.c.text)

    def send(self, batch):
        """Starts to ask for the answers of a batch, and gives the task that does."""
        raise TypeError("RemoteStore cannot be asked: a subclass can")

    @property
    def away(self) -> bool:
        """Whether counts are judged here, without the store."""
        return self.c.away

    @away.setter
    def away(self, bint away):
        self.c.away = away

    @property
    def nodes(self) -> int:
        """How many nodes share the counts."""
        return self.c.nodes

    def share(self, uint32_t rank, uint32_t nodes) -> None:
        """This node's place among those that share the counts, from 0. Kept for workers to come."""
        cdef uint64_t now = _now(None) // LIM_MS
        cdef uint64_t known
        cdef LimKey k
        if not rank < nodes <= REMOTE_NODES:
            raise ValueError(f"rank: expected less than {nodes}, and that at most {REMOTE_NODES}, found {rank}")
        self.c.rank, self.c.nodes = rank, nodes
        if self.c.table != NULL:
            k = self.place()
            known = nodes * <uint64_t>REMOTE_NODES + rank
            share_change(self.c.table, &k, SHARE_NODES, now, now + REMOTE_NODES_MS, SHARE_SET, known)

    def recall(self) -> None:
        """Takes over what another worker of this node knew last of the nodes: this one may find no store to learn it from."""
        cdef uint64_t known, end
        cdef LimKey k
        if self.c.table == NULL:
            return
        k = self.place()
        known = share_read(self.c.table, &k, SHARE_NODES, _now(None) // LIM_MS, &end)
        if known:
            self.c.rank, self.c.nodes = <uint32_t>(known % REMOTE_NODES), <uint32_t>(known // REMOTE_NODES)

    cdef LimKey place(self) noexcept:
        # Of what is known of the store as such.
        cdef LimKey k
        lim_key(self.c.table, b"store", 5, <const uint8_t*><const char*>self.name, len(self.name), &k)
        return k

    @property
    def node(self) -> bytes:
        """The name of this node: one for all its workers, and for as long as its counters live. b"": nothing was counted yet."""
        cdef siphash_state s
        cdef uint64_t lo, hi
        if self.c.table == NULL:
            return b""
        siphash_start(&s, self.c.table.seed[0], self.c.table.seed[1])
        siphash_end(&s, <const uint8_t*>b"node", 4, &lo, &hi)
        return b"%016x" % lo

    def minded(self) -> int:
        """How many counts this worker minds."""
        return self.c.minded.n

    def mind(self, bint everything=False) -> RemoteBatch | None:
        """The counts that are due, or all: what to tell the store of them, and what of their leases goes back."""
        cdef RemoteBatch batch = RemoteBatch.__new__(RemoteBatch)
        cdef RemoteQueue all = self.c.minded
        cdef uint64_t now = _now(None) // LIM_MS
        cdef uint64_t end
        cdef RemoteAsk* a
        cdef uint32_t i
        memset(&self.c.minded, 0, sizeof(RemoteQueue))
        batch.store = self
        with nogil:
            for i in range(all.n):
                a = &all.asks[i]
                if a.asked_ms > now and not everything:
                    remote_put(&self.c.minded, a, all.texts.p + a.text, a.text_len)
                    continue
                share_read(self.c.table, &a.hit.key, SHARE_OWN, now, &end)
                if a.hit.algorithm == REMOTE_SLOTS or (end and remote_due(&self.c, a, now, everything)):
                    remote_put(&batch.asked, a, all.texts.p + a.text, a.text_len)
                else:
                    remote_let_go(&self.c, a, now)
            remote_free(&all)
        return batch if batch.asked.n else None

    cdef int fly(self, reactor) except -1:
        # Sends what is there.
        cdef Reactor own = <Reactor>reactor
        cdef RemoteBatch batch
        if self.c.asked.n == 0 or self.c.flying >= REMOTE_FLYING:
            return 0
        batch = RemoteBatch.__new__(RemoteBatch)
        batch.store = self
        batch.reactor = reactor
        batch.asked = self.c.asked
        memset(&self.c.asked, 0, sizeof(RemoteQueue))
        self.c.flying += 1
        self.batches.add(batch)
        own.stores.add(self)
        try:
            task = self.send(batch)
            own.tasks.add(task)
            task.add_done_callback(_partial(_remote_landed, batch))
        except BaseException as error:
            own.on_error("limit", PHASES[PHASE_ACCESS], error)
            _remote_landed(batch, None)
        return 0

    cdef int give_up(self) except -1:
        # At the end, when every client's connection is closed.
        cdef RemoteBatch batch
        for batch in self.batches:
            batch.drop(&batch.asked)
        self.batches.clear()
        if self.c.asked.n:
            batch = RemoteBatch.__new__(RemoteBatch)
            batch.drop(&self.c.asked)
            self.c.asked.n = 0
        return 0


cdef class RemoteBatch:
    """Questions that go to the store together."""

    def __len__(self) -> int:
        return self.asked.n

    def questions(self) -> list[tuple[int, bytes, bytes]]:
        """Of each, the algorithm, the store's key, and numbers: see `scripts.py`. Asked for just before they are sent."""
        cdef RemoteC* c = &self.store.c
        cdef uint64_t now = _now(None) // LIM_MS
        cdef RemoteAsk* a
        cdef uint32_t i
        found = []
        for i in range(self.asked.n):
            a = &self.asked.asks[i]
            a.asked_ms = now
            with nogil:
                remote_numbers(c, a, now, &c.text)
            found.append((a.hit.algorithm, (self.asked.texts.p + a.text)[:a.text_len], c.text.p[:c.text.len]))
        return found

    def tell(self, indices, answers) -> None:
        """What the store said of these: a list of numbers, or whatever else where it said none."""
        cdef RemoteC* c = &self.store.c
        cdef uint64_t now = _now(None)
        cdef int64_t said[5]
        cdef RemoteAsk* a
        cdef const char* text
        cdef uint32_t i
        cdef int n
        cdef bint good
        self.clock()
        for i, answer in zip(indices, answers):
            if i >= self.asked.n:
                raise IndexError(i)
            a = &self.asked.asks[i]
            if a.told:
                continue
            n = 2 if a.hit.algorithm == REMOTE_SLOTS else 4 + (a.hit.algorithm == REMOTE_FIXED)
            good = isinstance(answer, list) and len(answer) == n
            if good:
                for k in range(n):
                    said[k] = max(answer[k], 0)
            a.told = True
            text = self.asked.texts.p + a.text
            with nogil:
                if not good:
                    remote_failed(c, a, text, now)
                elif a.hit.algorithm == REMOTE_FIXED:
                    remote_told_fixed(c, a, text, now, said)
                elif a.hit.algorithm == REMOTE_SLOTS:
                    remote_told_slots(c, a, text, now, said)
                else:
                    remote_told_moving(c, a, now, said)
        self.after()

    cdef int clock(self) except -1:
        if self.reactor is not None:
            loop_clock(&(<Reactor>self.reactor).core)
        return 0

    cdef int after(self) except -1:
        if self.reactor is not None:
            (<Reactor>self.reactor).resumed()
        return 0

    cdef int drop(self, RemoteQueue* q) except -1:
        cdef Exchange* x
        cdef uint32_t i
        for i in range(q.n):
            x = q.asks[i].x
            q.asks[i].x = NULL
            q.asks[i].told = True
            if x != NULL:
                exchange_release(x)
        return 0

    def __dealloc__(self):
        remote_free(&self.asked)


def _remote_landed(RemoteBatch batch not None, task):
    """The callback of a batch that was answered, or never will be. Runs outside any drain."""
    cdef RemoteStore store = batch.store
    cdef Reactor reactor = <Reactor>batch.reactor
    cdef uint32_t i
    reactor.tasks.discard(task)
    store.batches.discard(batch)
    store.c.flying -= 1
    if task is not None and not task.cancelled() and task.exception() is not None:
        reactor.on_error("limit", PHASES[PHASE_ACCESS], task.exception())
    if store.c.asked.n:
        remote_pend(&reactor.core, &store.c)
    batch.tell([i for i in range(batch.asked.n) if not batch.asked.asks[i].told], [None] * batch.asked.n)
