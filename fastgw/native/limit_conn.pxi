# limit_conn: the limit-conn plugin's step: how many requests run at once under a key. A slot is taken here and given back by
# exchange_log, which every exchange passes once however it ends. Delays are lua-resty-limit-traffic's: above `conn` a request
# waits for the usual time of a request per `conn` that are before it; that time follows what requests are seen to take.

cdef enum:
    TOOK_MOST_S = 3600          # what a request is seen to take counts up to here: one stream must not teach a day's delay

cdef struct LimitConnConf:
    LimitedConf who
    const VarPart* conn         # text of a whole number, of variables where it has any
    uint32_t conn_n
    const VarPart* burst
    uint32_t burst_n
    uint64_t delay_ns           # the usual time of a request, in this worker
    bint learns
    uint64_t ttl_ns             # how long the store believes a node that says nothing more
    RemoteLimit remote          # store NULL: counts lie in this machine's memory


cdef class LimitConnStep(LimitedStep):
    """limit-conn for one owner. `conn` and `burst` are templates of whole numbers, `delay` is in seconds."""
    cdef LimitConnConf conf
    cdef Template conn
    cdef Template burst
    cdef RemoteStore store

    def __init__(self, bytes identity not None, Template key not None, *, Template conn not None, Template burst not None,
                 double delay, bint learns=True, bint is_rule=False, int rejected_code=503, bytes rejected_body=b"",
                 bint pass_on_failure=False, bint shadow=False, RemoteStore store=None, double ttl=3600):
        self.count_by(&self.conf.who, identity, key, rejected_code, rejected_body, pass_on_failure, shadow)
        self.conn = conn
        self.burst = burst
        self.conf.conn = conn.parts
        self.conf.conn_n = conn.n
        self.conf.burst = burst.parts
        self.conf.burst_n = burst.n
        self.conf.delay_ns = <uint64_t>(delay * 1e9)
        self.conf.learns = learns
        self.conf.who.is_rule = is_rule    # nor one for which it has no numbers
        self.conf.ttl_ns = <uint64_t>(ttl * 1e9)
        self.store = store
        if store is not None:
            self.conf.remote.store = &store.c
            self.conf.remote.open_without = pass_on_failure
        self.bind(step_limit_conn, &self.conf, "access")


cdef int limit_conn_fail(Exchange* x, const LimitConnConf* c) noexcept nogil:
    return limited_fail(x, &c.who, "failed to limit conn", "limit-conn.failed")


cdef int limit_conn_refuse(Exchange* x, const LimitConnConf* c) noexcept nogil:
    # When a slot becomes free nobody knows: it may be at once, and a second is the least that can be said. In shadow it runs
    # without one, as a refused one has none: the others are counted as if it were not there.
    return limited_refuse(x, &c.who, 0, "limit-conn.exceeded")


cdef int limit_conn_admit(Exchange* x, const LimitConnConf* c, uint64_t n, uint64_t conn) noexcept nogil:
    # The request is the n-th of those that run.
    cdef Hold* hold = &x.holds[x.n_holds - 1]
    hold.delay_ns = c.delay_ns * ((n - 1) // conn) if n > conn else 0
    if hold.delay_ns < DELAY_LEAST_NS:
        return STEP_NEXT
    if c.who.shadow:
        hold.delay_ns = 0       # it does not wait: all of its time is its own
        return limited_shadow(x, "limit-conn.delayed")
    if delay_start(x, hold.delay_ns) == 0:
        return STEP_WAIT
    return limit_conn_fail(x, c)


cdef int limit_conn_told(Exchange* x, const void* conf, const RemoteHit* hit, const LimResult* r) noexcept nogil:
    cdef const LimitConnConf* c = <const LimitConnConf*>conf
    if r.allowed:
        return limit_conn_admit(x, c, hit.cost + <uint64_t>r.remaining, hit.burst)
    x.n_holds -= 1
    limit_conn_give(x, &x.holds[x.n_holds])
    return limit_conn_refuse(x, c)


cdef int limit_conn_ask(
    Exchange* x, const LimitConnConf* c, const LimKey* key, uint64_t n, uint64_t conn, uint64_t burst
) noexcept nogil:
    # The request has a slot of this node, the n-th; whether it may have one of all nodes the store says.
    cdef RemoteC* store = c.remote.store
    cdef Hold* hold = &x.holds[x.n_holds - 1]
    cdef RemoteHit hit
    cdef LimResult r
    cdef int verdict
    hit.key, hit.algorithm, hit.count, hit.burst, hit.window_ns, hit.cost = key[0], REMOTE_SLOTS, conn + burst, conn, c.ttl_ns, n
    store.table = x.loop.table
    remote_text(&c.who, REMOTE_SLOTS, &x.loop.wbuf, &store.text)
    hold.shared = slots_keep(store, &hit)
    if hold.shared == NULL:
        return limit_conn_fail(x, c)
    slots_mind(store, &(<SlotHeld*>hold.shared).ask, x.loop.now_ns, (<SlotHeld*>hold.shared).text)
    verdict = remote_count(x, &c.remote, &c.who, &hit, limit_conn_told, c, &r)
    if verdict == REMOTE_LATER:
        return STEP_WAIT
    return limit_conn_told(x, c, &hit, &r) if verdict == REMOTE_KNOWN else STEP_NEXT


cdef int step_limit_conn(Exchange* x, void* p) noexcept nogil:
    cdef LimitConnConf* c = <LimitConnConf*>p
    cdef Loop* loop = x.loop
    cdef Hold* hold = &x.holds[x.n_holds]
    cdef LimKey key
    cdef LimKey k
    cdef uint64_t conn, burst
    cdef int64_t n = -1
    cdef bint known = (limited_number(x, c.conn, c.conn_n, 1, NUMBER_MOST, &conn)
                       and limited_number(x, c.burst, c.burst_n, 0, NUMBER_MOST, &burst))
    if not limited_key(x, &c.who, &key) or not known:
        if c.who.is_rule:
            return STEP_NEXT
    if known and x.n_holds < HOLDS_MAX:
        k = lim_variant(loop.table, &key, LIM_SALT_HOLD)
        n = hold_take(&loop.holds, &k, loop.now_ms, conn + burst, hold)
    if n == 0:
        return limit_conn_refuse(x, c)
    if n < 0:
        return limit_conn_fail(x, c)
    hold.conf = c
    hold.shared = NULL
    hold.delay_ns = 0
    x.n_holds += 1
    if c.remote.store != NULL:
        return limit_conn_ask(x, c, &key, <uint64_t>n, conn, burst)
    return limit_conn_admit(x, c, <uint64_t>n, conn)


cdef void limit_conn_give(Exchange* x, Hold* hold) noexcept nogil:
    hold_give(&x.loop.holds, hold)
    slots_left(x.loop, (<const LimitConnConf*>hold.conf).remote.store, hold.shared)


cdef void limit_conn_leave(Exchange* x) noexcept nogil:
    # Gives back what the exchange holds, and learns from what it took: the upstream's time, else the request's own.
    cdef LimitConnConf* c
    cdef uint64_t now = x.loop.now_ns
    cdef uint64_t took
    while x.n_holds:
        x.n_holds -= 1
        limit_conn_give(x, &x.holds[x.n_holds])
        c = <LimitConnConf*>x.holds[x.n_holds].conf
        if c.learns:
            took = now - (x.t_up if x.t_up else x.t_start)
            if not x.t_up:
                took = took - x.holds[x.n_holds].delay_ns if took > x.holds[x.n_holds].delay_ns else 0
            c.delay_ns = (min(took, <uint64_t>TOOK_MOST_S * 1000000000) + c.delay_ns) // 2
