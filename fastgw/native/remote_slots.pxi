# remote_slots: slots of running requests, and turns in a bucket, that several nodes share: what the store is told of them, and
# what holds while it is away. Must not know HTTP, or how the store is reached.
#
# A node tells how many of its requests run, not that one begins or ends: so the store is right again with the next word of a
# node, whatever was lost before. A word has a moment of this machine's clock, which is read after the change that it tells of,
# and the number is read after that: the word with the latest moment then knows of every change that was told, whichever worker
# made it.

cdef enum:
    SLOTS_MIND_MS = 10000       # so often the store is told of a key again that has requests running
    SLOTS_TICK_NS = 100         # unit of a moment: a Lua number has it exact for 28 years of uptime
    SLOTS_MINDER = 16           # above the ShareCells, and a process's number above that: it minds the key
    SLOTS_MINDER_MS = 86400000  # so long that is believed without a word of the store

cdef struct SlotHeld:           # a slot that other nodes count: what is told when it is given back
    RemoteAsk ask
    char text[1]                # the store's key


cdef uint64_t slots_running(const LimTable* t, const LimKey* key) noexcept nogil:
    # How many requests run under the key on this node, with those that wait to be let in.
    cdef LimKey k = lim_variant(t, key, LIM_SALT_HOLD)
    cdef pair16 s
    return hold_n(s) if lim_seek(t, &k, &s) >= 0 and hold_is(s) else 0


cdef void slots_numbers(RemoteC* c, const RemoteAsk* a, Buf* out) noexcept nogil:
    # What the script is told, in its order. Read just before it is sent.
    cdef uint64_t numbers[5]
    cdef timespec t
    cdef int i
    clock_gettime(CLOCK_MONOTONIC, &t)
    numbers[0], numbers[1], numbers[2] = a.hit.cost, a.hit.count, a.hit.window_ns // LIM_MS
    numbers[3] = (<uint64_t>t.tv_sec * 1000000000 + <uint64_t>t.tv_nsec) // SLOTS_TICK_NS
    numbers[4] = slots_running(c.table, &a.hit.key)
    buf_reset(out)
    for i in range(5):
        if i:
            buf_byte(out, 32)
        buf_int(out, <int64_t>numbers[i])


cdef inline void slots_say(LimResult* r, bint granted, uint64_t others) noexcept nogil:
    # `remaining` has how many run on other nodes.
    memset(r, 0, sizeof(r[0]))
    r.allowed = granted
    r.remaining = <int64_t>others


cdef void slots_alone(RemoteC* c, const RemoteHit* hit, LimResult* r) noexcept nogil:
    # While the store is away: this node's share, and others are taken to be as busy as it is.
    slots_say(r, hit.cost <= share_of(hit.count, c.nodes, c.rank), hit.cost * (c.nodes - 1))


cdef void leaky_alone(RemoteC* c, const RemoteHit* hit, uint64_t now_ns, LimResult* r) noexcept nogil:
    # A turn while the store is away: every node's come at its part of the rate, and each has one at least.
    cdef uint64_t burst = hit.cost + share_of(hit.burst - hit.cost, c.nodes, c.rank)
    cdef uint64_t longer = hit.cost * hit.window_ns // hit.count * (c.nodes - 1)
    lim_bucket(c.table, &hit.key, now_ns, hit.count, hit.window_ns * c.nodes, burst, hit.cost, r)
    # How long the bucket takes to empty is the wait and the request's own part, which the caller takes to be the whole rate's.
    r.reset_ns = r.reset_ns - longer if r.reset_ns > longer else 0


cdef void* slots_keep(RemoteC* c, const RemoteHit* hit) noexcept nogil:
    # What is to be told of a slot later. The store's key is in its scratch. NULL: no memory.
    cdef SlotHeld* held = <SlotHeld*>malloc(sizeof(SlotHeld) + c.text.len)
    if held == NULL:
        return NULL
    memset(&held.ask, 0, sizeof(RemoteAsk))
    held.ask.hit = hit[0]
    held.ask.hit.cost = 0
    held.ask.lease = 1          # it is there to be told of
    held.ask.sync_ns = min(hit.window_ns // 3, <uint64_t>SLOTS_MIND_MS * LIM_MS)
    held.ask.text_len = <uint32_t>c.text.len
    memcpy(held.text, c.text.p, c.text.len)
    return held


cdef void slots_left(Loop* loop, RemoteC* c, void* shared) noexcept nogil:
    # A slot was given back, or not used after all: the store is told how many run now, and nobody waits for that.
    cdef SlotHeld* held = <SlotHeld*>shared
    if shared == NULL:
        return
    held.ask.give = 1           # nobody minds this question
    if not c.away and loop.sends and c.asked.n < REMOTE_MOST:
        if remote_put(&c.asked, &held.ask, held.text, held.ask.text_len) != NULL:
            remote_pend(loop, c)
    free(held)


cdef bint slots_mind(RemoteC* c, const RemoteAsk* a, uint64_t now_ns, const char* text) noexcept nogil:
    # From now on this worker tells the store again and again how many run, until none does. Each worker does so of the keys that
    # it took slots of: else those of the living would expire with one that died.
    cdef RemoteAsk own = a[0]
    if c.minded.n >= REMOTE_MINDED:
        return False
    if not share_first(c.table, &a.hit.key, SLOTS_MINDER + getpid(), now_ns, <uint64_t>SLOTS_MINDER_MS * LIM_MS):
        return False
    own.asked_ms = (now_ns + a.sync_ns) // LIM_MS
    return remote_put(&c.minded, &own, text, a.text_len) != NULL


cdef void slots_minded(RemoteC* c, RemoteAsk* a, uint64_t now_ns, const char* text) noexcept nogil:
    # The store was told of a key that is minded. Where nothing runs any more, and did not when it was told either, it is let go.
    cdef uint64_t runs = slots_running(c.table, &a.hit.key)
    cdef uint64_t now_ms = now_ns // LIM_MS
    cdef int minder = SLOTS_MINDER + getpid()
    cdef LimKey k
    if runs or a.lease:
        share_change(c.table, &a.hit.key, minder, now_ms, now_ms + SLOTS_MINDER_MS, SHARE_SET, 1)
        a.lease = runs
        a.asked_ms = (now_ns + a.sync_ns) // LIM_MS
        remote_put(&c.minded, a, text, a.text_len)
        return
    k = share_key(c.table, &a.hit.key, minder)
    lim_drop(c.table, &k, now_ms)
