# remote: counts that a store outside this machine's memory keeps, shared by several nodes. A step asks here. It is answered at
# once where this node holds a lease, or where the store is away; else its exchange is suspended, the questions of one turn of the
# event loop go out together, and the answers resume. Must not know: how the store is reached (Python sends), HTTP.
#
# Owns: the questions, who waits for which, what this node keeps of the answers (shares.pxi), which counts it minds: those whose
# lease has to go back, and those that it judged alone.

cdef enum:
    REMOTE_MOST = 65536         # questions of one worker that wait; what comes beyond is judged here
    REMOTE_FLYING = 8           # batches under way to one store; meanwhile the next one fills
    REMOTE_MINDED = 10000       # counts that one worker minds; beyond, no lease is taken
    REMOTE_VALUE = 128          # bytes of a key's value that the store is told; of a longer one its digest
    REMOTE_MINDS = 5            # sync_intervals without a sign of the worker that minds a count
    REMOTE_NODES = 1 << 16      # that share counts
    REMOTE_NODES_MS = 86400000  # so long the last word on how many there are is kept
    REMOTE_SLACK_MS = 1000      # so close to its end a window is not restored in a store that lost it

cdef const char* REMOTE_PREFIX = "fastgw:limit:v1:"
cdef const char* REMOTE_KINDS[5]        # by the algorithm: each has a shape of its own in the store
REMOTE_KINDS[:] = ["", "bucket:", "sliding:", "bucket:", "slots:"]


# -- questions -----------------------------------------------------------------------------------------


cdef RemoteAsk* remote_put(RemoteQueue* q, const RemoteAsk* a, const char* text, uint32_t n) noexcept nogil:
    # NULL: no memory.
    cdef RemoteAsk* grown
    if q.n == q.cap:
        grown = <RemoteAsk*>realloc(q.asks, (2 * q.cap + 64) * sizeof(RemoteAsk))
        if grown == NULL:
            return NULL
        q.asks = grown
        q.cap = 2 * q.cap + 64
    q.asks[q.n] = a[0]
    q.asks[q.n].text = q.texts.len
    q.asks[q.n].text_len = n
    q.asks[q.n].told = False
    buf_put(&q.texts, text, n)
    if q.texts.failed:
        q.texts.failed = 0
        return NULL
    q.n += 1
    return &q.asks[q.n - 1]


cdef void remote_free(RemoteQueue* q) noexcept nogil:
    free(q.asks)
    buf_free(&q.texts)
    memset(q, 0, sizeof(q[0]))


cdef inline bint remote_brace(char byte) noexcept nogil:
    # A cluster places a key by what stands in braces in it, if anything does (hash tags).
    return byte == 123 or byte == 125


cdef bint remote_plain(const Buf* value) noexcept nogil:
    cdef uint32_t i
    for i in range(value.len):
        if remote_brace(value.p[i]):
            return False
    return value.len <= REMOTE_VALUE


cdef void remote_text(const LimitedConf* who, int algorithm, const Buf* value, Buf* out) noexcept nogil:
    # What the store knows the key by. One that its client made long, or in which he chose the place of, is told by its digest;
    # an identity, as of a rule by ${name}, leaves the place to the whole key.
    cdef uint8_t digest[SHA2_MAX_DIGEST]
    cdef uint32_t i
    buf_reset(out)
    buf_str(out, REMOTE_PREFIX)
    buf_str(out, REMOTE_KINDS[algorithm])
    for i in range(who.identity_len):
        if remote_brace(who.identity[i]):
            buf_str(out, "%7B" if who.identity[i] == 123 else "%7D")
        else:
            buf_byte(out, who.identity[i])
    buf_byte(out, 58)
    if remote_plain(value):
        buf_put(out, value.p, value.len)
        return
    sha2_digest(SHA2_256, <const uint8_t*>value.p, value.len, digest)
    buf_put(out, b"sha256:", 7)
    for i in range(32):
        buf_byte(out, HEX_DIGITS[digest[i] >> 4])
        buf_byte(out, HEX_DIGITS[digest[i] & 15])


cdef inline uint64_t remote_minds_ns(const RemoteAsk* a) noexcept nogil:
    # How long a worker is believed to see to a count without a sign of it: then another one may, that brings a lease.
    return min(a.hit.window_ns, REMOTE_MINDS * a.sync_ns + REMOTE_SLACK_MS * LIM_MS) if a.sync_ns else a.hit.window_ns


cdef void remote_mind_on(RemoteC* c, const RemoteAsk* a, uint64_t now_ns, const char* text) noexcept nogil:
    # This worker goes on seeing to the count.
    cdef uint64_t now_ms = now_ns // LIM_MS
    share_change(c.table, &a.hit.key, SHARE_MINDED, now_ms, now_ms + remote_minds_ns(a) // LIM_MS, SHARE_SET, 1)
    remote_put(&c.minded, a, text, a.text_len)


cdef void remote_mind(RemoteC* c, const RemoteAsk* a, uint64_t now_ns, const char* text, uint32_t n) noexcept nogil:
    # From now on this worker sees to the count, unless one of the node does already.
    cdef RemoteAsk own = a[0]
    if c.minded.n >= REMOTE_MINDED or not share_first(c.table, &a.hit.key, SHARE_MINDED, now_ns, remote_minds_ns(a)):
        return
    own.x = NULL
    own.hit.cost = 0
    own.asked_ms = (now_ns + a.sync_ns) // LIM_MS if a.sync_ns else LIM_NEVER
    remote_put(&c.minded, &own, text, n)


cdef void remote_let_go(RemoteC* c, const RemoteAsk* a, uint64_t now_ms) noexcept nogil:
    # Nobody of this worker minds the count any more.
    cdef LimKey k = share_key(c.table, &a.hit.key, SHARE_MINDED)
    lim_drop(c.table, &k, now_ms)


cdef bint remote_due(RemoteC* c, RemoteAsk* a, uint64_t now_ms, bint everything) noexcept nogil:
    # Makes the question of a count that is minded. A lease that nobody took from since the last time goes back. False: there is
    # nothing more to tell.
    cdef uint64_t end
    cdef uint64_t lease = share_read(c.table, &a.hit.key, SHARE_LEASE, now_ms, &end)
    a.reports = everything
    if everything:
        a.leases = False
        return True
    if lease == 0 and a.lease == 0:
        return False
    a.leases = True
    if lease and lease == a.lease:
        a.give = share_take(c.table, &a.hit.key, now_ms, 1, LIM_COUNT_MAX, &end)
        a.leases = False
    if a.give:
        # Before the store is told: what another worker tells it meanwhile must not undo this.
        share_change(c.table, &a.hit.key, SHARE_OWN, now_ms, end, SHARE_CUT, a.give)
        share_change(c.table, &a.hit.key, SHARE_BASE, now_ms, end, SHARE_CUT, a.give)
        remote_let_go(c, a, now_ms)
    a.lease = lease
    return True


cdef void remote_numbers(RemoteC* c, const RemoteAsk* a, uint64_t now_ms, Buf* out) noexcept nogil:
    # What the script is told of a question, in its order.
    if a.hit.algorithm == REMOTE_SLOTS:
        slots_numbers(c, a, out)
        return
    cdef const RemoteHit* hit = &a.hit
    cdef uint64_t window_ms = hit.window_ns // LIM_MS
    cdef uint64_t end, any_end
    cdef uint64_t own = share_read(c.table, &hit.key, SHARE_OWN, now_ms, &end)
    cdef uint64_t left = end - now_ms if end else 0
    cdef uint64_t numbers[10]
    cdef int i
    cdef int n = 10
    if left <= min(window_ms // 4, <uint64_t>REMOTE_SLACK_MS):
        left = 0
    numbers[0], numbers[1], numbers[2] = hit.count, window_ms, hit.cost
    if hit.algorithm != REMOTE_FIXED:
        numbers[3] = hit.burst
        n = 4
    else:
        numbers[3] = a.give
        numbers[4] = c.nodes if a.leases else 0
        numbers[5] = share_read(c.table, &hit.key, SHARE_LEASE, now_ms, &any_end)
        numbers[6] = own
        numbers[7] = share_read(c.table, &hit.key, SHARE_BASE, now_ms, &any_end)
        numbers[8] = share_read(c.table, &hit.key, SHARE_OTHERS, now_ms, &any_end)
        numbers[9] = left
    buf_reset(out)
    for i in range(n):
        if i:
            buf_byte(out, 32)
        buf_int(out, <int64_t>numbers[i])


# -- what can be told at once --------------------------------------------------------------------------


cdef bint remote_leased(Loop* loop, const RemoteLimit* m, const RemoteHit* hit, LimResult* r) noexcept nogil:
    # Out of the lease. Where that is used up, as the store knew it to be a moment ago, nobody asks again so soon.
    cdef uint64_t now_ms = loop.now_ns // LIM_MS
    cdef uint64_t end, any_end
    cdef uint64_t taken = share_take(loop.table, &hit.key, now_ms, hit.cost, hit.cost, &end)
    cdef uint64_t own, others
    if not taken and m.store.away:
        return False
    if taken:
        share_leased(loop.table, &hit.key, loop.now_ns, hit.count, end, r)
        return True
    own = share_read(loop.table, &hit.key, SHARE_OWN, now_ms, &any_end)
    others = share_read(loop.table, &hit.key, SHARE_OTHERS, now_ms, &any_end)
    if any_end == 0 or own + others + hit.cost <= hit.count:
        return False
    if share_first(loop.table, &hit.key, SHARE_ASKED, loop.now_ns, m.sync_ns):
        return False
    end = any_end * LIM_MS - loop.now_ns
    r.limit = <int64_t>hit.count
    lim_say(r, False, 0, end, end)
    return True


cdef void remote_alone(
    RemoteC* c, const RemoteAsk* a, uint64_t now_ns, const char* text, uint32_t n, LimResult* r
) noexcept nogil:
    # The store cannot be asked: this node's share holds. Of a window that moves on, and of a bucket, that is an equal part.
    cdef const RemoteHit* hit = &a.hit
    cdef uint64_t share
    if hit.algorithm == REMOTE_FIXED:
        share_alone(c.table, &hit.key, now_ns, hit.count, hit.window_ns, hit.cost, c.nodes, c.rank, r)
        if r.allowed:
            remote_mind(c, a, now_ns, text, n)
        return
    if hit.algorithm == REMOTE_SLOTS:
        slots_alone(c, hit, r)
        return
    if hit.algorithm == REMOTE_LEAKY:
        leaky_alone(c, hit, now_ns, r)
        return
    if hit.algorithm == REMOTE_SLIDING:
        share = share_of(hit.count, c.nodes, c.rank)
        lim_sliding(c.table, &hit.key, now_ns, share, hit.window_ns, hit.cost, r)
        r.limit = <int64_t>hit.count
    else:
        share = share_of(hit.burst, c.nodes, c.rank)
        lim_bucket(c.table, &hit.key, now_ns, hit.count, hit.window_ns * c.nodes, share, hit.cost, r)
        r.limit = <int64_t>hit.burst
    if r.retry_after_ns == LIM_NEVER:
        r.retry_after_ns = r.reset_ns = hit.window_ns


cdef int remote_count(
    Exchange* x, const RemoteLimit* m, const LimitedConf* who, const RemoteHit* hit, remote_fn then, const void* conf,
    LimResult* r
) noexcept nogil:
    """A RemoteVerdict. Of REMOTE_LATER the step must end with STEP_WAIT. The key's value is in the loop's scratch."""
    cdef Loop* loop = x.loop
    cdef RemoteC* c = m.store
    cdef Buf* text = &c.text
    cdef RemoteAsk a
    c.table = loop.table
    a.sync_ns = m.sync_ns if hit.algorithm == REMOTE_FIXED and hit.window_ns > m.sync_ns else 0
    if a.sync_ns and remote_leased(loop, m, hit, r):
        return REMOTE_KNOWN
    if m.open_without and c.away:
        return REMOTE_OPEN
    a.hit = hit[0]
    a.asked_ms = a.lease = a.give = 0
    a.reports = False
    a.x = x
    a.then = then
    a.conf = conf
    a.open_without = m.open_without
    a.leases = a.sync_ns != 0 and c.minded.n < REMOTE_MINDED
    remote_text(who, hit.algorithm, &loop.wbuf, text)
    if (c.away or not loop.sends or c.asked.n >= REMOTE_MOST
            or remote_put(&c.asked, &a, text.p, text.len) == NULL):
        remote_alone(c, &a, loop.now_ns, text.p, text.len, r)
        return REMOTE_KNOWN
    x.waiting = 1
    remote_pend(loop, c)
    return REMOTE_LATER


cdef void remote_pend(Loop* loop, RemoteC* c) noexcept nogil:
    # It is sent with the event loop's turn, which comes at once.
    if c.pending or c.flying >= REMOTE_FLYING:
        return
    c.pending = True
    c.next_pending = loop.remotes
    loop.remotes = c
    loop.called = 1


# -- answers -------------------------------------------------------------------------------------------


cdef void remote_settle(RemoteAsk* a, const LimResult* r) noexcept nogil:
    # Whoever waits goes on. r NULL: it passes uncounted.
    cdef Exchange* x = a.x
    cdef int verdict = STEP_NEXT
    a.x = NULL
    if x == NULL:
        return
    x.waiting = 0
    if x.down != NULL and r != NULL:
        verdict = a.then(x, a.conf, &a.hit, r)
    if verdict != STEP_WAIT:    # it waits for the next count then
        exchange_resume(x, verdict)


cdef void remote_note(RemoteC* c, const RemoteAsk* a, uint64_t now_ms, uint64_t granted, uint64_t lease, uint64_t own,
                      uint64_t others, uint64_t end_ms) noexcept nogil:
    # What the store said, for all workers. A lease counts only when it is in its cell.
    share_change(c.table, &a.hit.key, SHARE_BASE, now_ms, end_ms, SHARE_SET, own)
    share_change(c.table, &a.hit.key, SHARE_OTHERS, now_ms, end_ms, SHARE_SET, others)
    if granted + lease:
        share_change(c.table, &a.hit.key, SHARE_OWN, now_ms, end_ms, SHARE_ADD, granted + lease)
    if lease:
        share_change(c.table, &a.hit.key, SHARE_LEASE, now_ms, end_ms, SHARE_ADD, lease)


cdef void remote_told_fixed(RemoteC* c, RemoteAsk* a, const char* text, uint64_t now_ns, const int64_t* said) noexcept nogil:
    # said: granted, lease, own, others, and ms to the window's end.
    cdef LimResult r
    cdef uint64_t now_ms = now_ns // LIM_MS
    cdef uint64_t used = <uint64_t>(said[2] + said[3] - said[1])
    cdef uint64_t left_ns = <uint64_t>said[4] * LIM_MS
    if not a.reports:           # else others may still have to report: until then each keeps to its share of what was left
        remote_note(c, a, now_ms, <uint64_t>said[0], <uint64_t>said[1], <uint64_t>said[2], <uint64_t>said[3],
                    a.asked_ms + <uint64_t>said[4])
    if a.x == NULL:
        if a.give == 0 and (a.sync_ns or c.away) and c.minded.n < REMOTE_MINDED:
            a.lease += <uint64_t>said[1]
            a.asked_ms = (now_ns + a.sync_ns) // LIM_MS if a.sync_ns else LIM_NEVER
            remote_mind_on(c, a, now_ns, text)
        elif a.give == 0:
            remote_let_go(c, a, now_ms)
        return
    if said[1]:
        remote_mind(c, a, now_ns, text, a.text_len)
    r.limit = <int64_t>a.hit.count
    lim_say(&r, said[0] > 0, a.hit.count - used if a.hit.count > used else 0, left_ns, 0 if said[0] else left_ns)
    remote_settle(a, &r)


cdef void remote_told_moving(RemoteC* c, RemoteAsk* a, uint64_t now_ns, const int64_t* said) noexcept nogil:
    # said: granted, what remains, and ms until it is whole and until another passes. What was granted is charged to this node's
    # equal part too, as far as it goes.
    cdef LimResult r
    if said[0]:
        remote_alone(c, a, now_ns, NULL, 0, &r)
    r.limit = <int64_t>(a.hit.count if a.hit.algorithm == REMOTE_SLIDING else a.hit.burst)
    lim_say(&r, said[0] > 0, <uint64_t>said[1], <uint64_t>said[2] * LIM_MS, <uint64_t>said[3] * LIM_MS)
    remote_settle(a, &r)


cdef void remote_told_slots(RemoteC* c, RemoteAsk* a, const char* text, uint64_t now_ns, const int64_t* said) noexcept nogil:
    # said: granted, and how many slots other nodes use.
    cdef LimResult r
    if a.x != NULL:
        slots_say(&r, said[0] > 0, <uint64_t>said[1])
        remote_settle(a, &r)
    elif a.give == 0:
        slots_minded(c, a, now_ns, text)


cdef void remote_failed(RemoteC* c, RemoteAsk* a, const char* text, uint64_t now_ns) noexcept nogil:
    cdef LimResult r
    if a.x == NULL:
        if a.give == 0 and c.minded.n < REMOTE_MINDED:
            remote_mind_on(c, a, now_ns, text)
        return
    if a.open_without:
        remote_settle(a, NULL)
        return
    remote_alone(c, a, now_ns, text, a.text_len, &r)
    remote_settle(a, &r)
