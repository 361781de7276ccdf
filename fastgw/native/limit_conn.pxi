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


cdef class LimitConnStep(LimitedStep):
    """limit-conn for one owner. `conn` and `burst` are templates of whole numbers, `delay` is in seconds."""
    cdef LimitConnConf conf
    cdef Template conn
    cdef Template burst

    def __init__(self, bytes identity not None, Template key not None, *, Template conn not None, Template burst not None,
                 double delay, bint learns=True, bint is_rule=False, int rejected_code=503, bytes rejected_body=b"",
                 bint pass_on_failure=False, bint shadow=False):
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
        self.bind(step_limit_conn, &self.conf, "access")


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
        # When a slot becomes free nobody knows: it may be at once, and a second is the least that can be said. In shadow it runs
        # without one, as a refused one has none: the others are counted as if it were not there.
        return limited_refuse(x, &c.who, 0, "limit-conn.exceeded")
    if n > 0:
        hold.conf = c
        hold.delay_ns = c.delay_ns * ((<uint64_t>n - 1) // conn) if <uint64_t>n > conn else 0
        x.n_holds += 1
        if hold.delay_ns < DELAY_LEAST_NS:
            return STEP_NEXT
        if c.who.shadow:
            hold.delay_ns = 0   # it does not wait: all of its time is its own
            return limited_shadow(x, "limit-conn.delayed")
        if delay_start(x, hold.delay_ns) == 0:
            return STEP_WAIT
    return limited_fail(x, &c.who, "failed to limit conn", "limit-conn.failed")


cdef void limit_conn_leave(Exchange* x) noexcept nogil:
    # Gives back what the exchange holds, and learns from what it took: the upstream's time, else the request's own.
    cdef LimitConnConf* c
    cdef uint64_t now = x.loop.now_ns
    cdef uint64_t took
    while x.n_holds:
        x.n_holds -= 1
        hold_give(&x.loop.holds, &x.holds[x.n_holds])
        c = <LimitConnConf*>x.holds[x.n_holds].conf
        if c.learns:
            took = now - (x.t_up if x.t_up else x.t_start)
            if not x.t_up:
                took = took - x.holds[x.n_holds].delay_ns if took > x.holds[x.n_holds].delay_ns else 0
            c.delay_ns = (min(took, <uint64_t>TOOK_MOST_S * 1000000000) + c.delay_ns) // 2
