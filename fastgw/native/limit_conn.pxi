# limit_conn: the limit-conn plugin's step: how many requests run at once under a key. A slot is taken here and given back by
# exchange_log, which every exchange passes once however it ends. Delays are lua-resty-limit-traffic's: above `conn` a request
# waits for the usual time of a request per `conn` that are before it; that time follows what requests are seen to take.

cdef enum:
    TOOK_MOST_S = 3600          # what a request is seen to take counts up to here: one stream must not teach a day's delay

cdef struct LimitConnConf:
    const LimitedConf* who
    uint64_t conn
    uint64_t burst
    uint64_t delay_ns           # the usual time of a request, in this worker
    bint learns
    bint pass_on_failure


cdef class LimitConnStep(LimitedStep):
    """limit-conn for one owner. `delay` in seconds."""
    cdef LimitConnConf conf

    def __init__(self, bytes identity not None, Template key not None, *, unsigned long long conn, unsigned long long burst,
                 double delay, bint learns=True, int rejected_code=503, bytes rejected_body=b"", bint pass_on_failure=False):
        self.count_by(identity, key, rejected_code, rejected_body)
        self.conf.who = &self.who
        self.conf.conn = conn
        self.conf.burst = burst
        self.conf.delay_ns = <uint64_t>(delay * 1e9)
        self.conf.learns = learns
        self.conf.pass_on_failure = pass_on_failure
        self.bind(step_limit_conn, &self.conf, "access")


cdef int step_limit_conn(Exchange* x, void* p) noexcept nogil:
    cdef LimitConnConf* c = <LimitConnConf*>p
    cdef Loop* loop = x.loop
    cdef Hold* hold = &x.holds[x.n_holds]
    cdef LimKey key
    cdef LimKey k
    cdef int64_t n = -1
    limited_key(x, c.who, &key)
    k = lim_variant(loop.table, &key, LIM_SALT_HOLD)
    if x.n_holds < HOLDS_MAX:
        n = hold_take(&loop.holds, &k, loop.now_ms, c.conn + c.burst, hold)
    if n == 0:
        # When a slot becomes free nobody knows: it may be at once, and a second is the least that can be said.
        return limited_refuse(x, c.who, 0, "limit-conn.exceeded")
    if n > 0:
        hold.conf = c
        hold.delay_ns = c.delay_ns * ((<uint64_t>n - 1) // c.conn) if <uint64_t>n > c.conn else 0
        x.n_holds += 1
        if hold.delay_ns < DELAY_LEAST_NS:
            return STEP_NEXT
        if delay_start(x, hold.delay_ns) == 0:
            return STEP_WAIT
    if c.pass_on_failure:
        return STEP_NEXT
    reply_error(x, 500, "failed to limit conn", "limit-conn.failed")
    return STEP_REPLY


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
