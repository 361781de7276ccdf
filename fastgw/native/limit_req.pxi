# limit_req: the limit-req plugin's step: a leaky bucket that lets requests pass evenly. What flows over is refused; what has to
# wait for its turn is suspended until then. Counted as a token bucket of burst + 1 (GCRA, the same arithmetic seen from the
# other side): the time until it is full again, less one request's share, is how long this request has to wait.

cdef enum:
    DELAY_LEAST_NS = 1000000    # shorter waits are not worth it (APISIX 3.18, limit-req: below 1 ms it does not sleep)

cdef struct LimitReqConf:
    LimitedConf who
    uint64_t count              # parts per window
    uint64_t window_ns
    uint64_t burst              # parts that the bucket holds, with the request itself
    uint64_t cost               # parts per request: above 1 only where burst is no whole number
    uint64_t share_ns           # a request's share of the time: 1 / rate
    bint nodelay
    RemoteLimit remote          # store NULL: counts lie in this machine's memory


cdef class LimitReqStep(LimitedStep):
    """limit-req for one owner. `count` requests per `window` seconds, as `parts` each, of which `burst` (with the request
    itself, in parts) may flow together."""
    cdef LimitReqConf conf
    cdef RemoteStore store

    def __init__(self, bytes identity not None, Template key not None, *, unsigned long long count, double window,
                 unsigned long long burst, unsigned long long parts=1, bint nodelay=False, int rejected_code=503,
                 bytes rejected_body=b"", bint pass_on_failure=False, bint shadow=False, RemoteStore store=None):
        self.count_by(&self.conf.who, identity, key, rejected_code, rejected_body, pass_on_failure, shadow)
        self.conf.count = count * parts
        self.conf.window_ns = <uint64_t>(window * 1e9 + 0.5)
        self.conf.burst = burst
        self.conf.cost = parts
        self.conf.share_ns = self.conf.window_ns // count
        self.conf.nodelay = nodelay
        self.store = store
        if store is not None:
            self.conf.remote.store = &store.c
            self.conf.remote.open_without = pass_on_failure
        self.bind(step_limit_req, &self.conf, "access")


cdef int limit_req_fail(Exchange* x, const LimitReqConf* c) noexcept nogil:
    return limited_fail(x, &c.who, "failed to limit req", "limit-req.failed")


cdef int limit_req_judge(Exchange* x, const LimitReqConf* c, const LimResult* r) noexcept nogil:
    if r.failed:
        return limit_req_fail(x, c)
    if not r.allowed:
        return limited_refuse(x, &c.who, r.retry_after_ns, "limit-req.exceeded")
    if c.nodelay or r.reset_ns < c.share_ns + DELAY_LEAST_NS:
        return STEP_NEXT
    if c.who.shadow:
        return limited_shadow(x, "limit-req.delayed")
    if delay_start(x, r.reset_ns - c.share_ns) == 0:
        return STEP_WAIT
    return limit_req_fail(x, c)


cdef int limit_req_told(Exchange* x, const void* conf, const RemoteHit* hit, const LimResult* r) noexcept nogil:
    return limit_req_judge(x, <const LimitReqConf*>conf, r)


cdef int limit_req_ask(Exchange* x, const LimitReqConf* c, const LimKey* key) noexcept nogil:
    cdef RemoteHit hit
    cdef LimResult r
    cdef int verdict
    hit.key, hit.algorithm, hit.count, hit.burst, hit.window_ns, hit.cost = (
        key[0], REMOTE_LEAKY, c.count, c.burst, c.window_ns, c.cost)
    verdict = remote_count(x, &c.remote, &c.who, &hit, limit_req_told, c, &r)
    if verdict == REMOTE_LATER:
        return STEP_WAIT
    return limit_req_judge(x, c, &r) if verdict == REMOTE_KNOWN else STEP_NEXT


cdef int step_limit_req(Exchange* x, void* p) noexcept nogil:
    cdef LimitReqConf* c = <LimitReqConf*>p
    cdef LimKey key
    cdef LimResult r
    limited_key(x, &c.who, &key)
    if c.remote.store != NULL:
        return limit_req_ask(x, c, &key)
    lim_bucket(x.loop.table, &key, x.loop.now_ns, c.count, c.window_ns, c.burst, c.cost, &r)
    return limit_req_judge(x, c, &r)
