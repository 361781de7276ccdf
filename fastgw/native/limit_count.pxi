# limit_count: the limit-count plugin's step: one atomic on the shared table, and the quota headers for the client. An edit of
# the limit keeps what was consumed. Three parts: what the request is counted by, counting, what becomes of it; a store that is
# not in this machine's memory lets time pass between them.

from functools import lru_cache as _lru_cache

cdef enum:
    LIMIT_FIXED = 0
    LIMIT_BUCKET = 1
    LIMIT_SLIDING = 2

cdef struct QuotaNamesC:
    const char* start[3]        # "X-RateLimit-Limit: " and so on
    uint32_t len[3]

cdef struct Quota:              # what one request is counted by
    LimKey key
    uint64_t count
    uint64_t burst
    uint64_t window_ns

cdef struct LimitCountConf:
    LimitedConf who
    uint8_t algorithm
    uint64_t count
    uint64_t burst
    uint64_t window_ns
    RemoteLimit remote          # store NULL: counts lie in this machine's memory
    const QuotaNamesC* quota    # NULL: the client is not told


@_lru_cache(maxsize=64)
def _quota_names(*names):
    # One for all steps: a copy for each consumer would be cache misses for each.
    return _QuotaNames(*names)


cdef class _QuotaNames:
    cdef QuotaNamesC c
    cdef tuple held

    def __cinit__(self, *names):
        self.held = tuple([f"{name}: ".encode() for name in names])
        for i in range(3):
            self.c.start[i] = <bytes>self.held[i]
            self.c.len[i] = len(self.held[i])


cdef class LimitCountStep(LimitedStep):
    """limit-count for one owner. `window` in seconds."""
    cdef LimitCountConf conf
    cdef _QuotaNames names
    cdef RemoteStore store

    def __init__(self, bytes identity not None, Template key not None, *, unsigned long long count, double window,
                 str algorithm="fixed", burst=None, int rejected_code=503, bytes rejected_body=b"",
                 bint pass_on_failure=False, bint quota_headers=True,
                 header_names=("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"),
                 RemoteStore store=None, double sync=0):
        self.count_by(&self.conf.who, identity, key, rejected_code, rejected_body, pass_on_failure)
        self.conf.algorithm = ("fixed", "token-bucket", "sliding").index(algorithm)
        self.conf.count = count
        self.conf.burst = count if burst is None else burst
        self.conf.window_ns = <uint64_t>(window * 1e9)
        self.store = store
        if store is not None:
            self.conf.remote.store = &store.c
            self.conf.remote.sync_ns = <uint64_t>(sync * 1e9)
            self.conf.remote.open_without = pass_on_failure
        self.names = _quota_names(*header_names)
        if quota_headers:
            self.conf.quota = &self.names.c
        self.bind(step_limit_count, &self.conf, "access")


cdef void put_seconds(Buf* out, uint64_t ns) noexcept nogil:
    # Seconds, cut to two decimals, without trailing zeros, as a number prints.
    cdef uint64_t hundredths = ns // 10000000
    cdef uint32_t part = hundredths % 100
    buf_int(out, hundredths // 100)
    if part:
        buf_byte(out, 46)
        buf_byte(out, <char>(48 + part // 10))
        if part % 10:
            buf_byte(out, <char>(48 + part % 10))


cdef int limit_count_fail(Exchange* x, const LimitCountConf* c) noexcept nogil:
    return limited_fail(x, &c.who, "failed to limit count", "limit-count.failed")


cdef inline bint limit_count_evaluate(Exchange* x, const LimitCountConf* c, Quota* q) noexcept nogil:
    # What this request is counted by. False: that cannot be told. The key's text is left in the loop's scratch.
    q.count = c.count
    q.burst = c.burst
    q.window_ns = c.window_ns
    limited_key(x, &c.who, &q.key)
    return True


cdef inline void limit_count_take(Loop* loop, const LimitCountConf* c, const Quota* q, LimResult* r) noexcept nogil:
    if c.algorithm == LIMIT_FIXED:
        lim_fixed(loop.table, &q.key, loop.now_ns, q.count, q.window_ns, 1, r)
    elif c.algorithm == LIMIT_SLIDING:
        lim_sliding(loop.table, &q.key, loop.now_ns, q.count, q.window_ns, 1, r)
    else:
        lim_bucket(loop.table, &q.key, loop.now_ns, q.count, q.window_ns, q.burst, 1, r)


cdef void put_quota(Buf* out, const QuotaNamesC* names, const LimResult* r) noexcept nogil:
    buf_put(out, names.start[0], names.len[0])
    buf_int(out, r.limit)
    buf_put(out, b"\r\n", 2)
    buf_put(out, names.start[1], names.len[1])
    buf_int(out, r.remaining)
    buf_put(out, b"\r\n", 2)
    buf_put(out, names.start[2], names.len[2])
    put_seconds(out, r.reset_ns)
    buf_put(out, b"\r\n", 2)


cdef int limit_count_judge(Exchange* x, const LimitCountConf* c, const Quota* q, const LimResult* r) noexcept nogil:
    # What becomes of a request that was counted, here or elsewhere, now or after a wait.
    if r.failed:
        return limit_count_fail(x, c)
    if c.quota != NULL:
        put_quota(&x.down_extra, c.quota, r)
    if r.allowed:
        return STEP_NEXT
    return limited_refuse(x, &c.who, r.retry_after_ns, "limit-count.exceeded")


cdef int limit_count_told(Exchange* x, const void* conf, const RemoteHit* hit, const LimResult* r) noexcept nogil:
    cdef Quota q
    q.key, q.count, q.burst, q.window_ns = hit.key, hit.count, hit.burst, hit.window_ns
    return limit_count_judge(x, <const LimitCountConf*>conf, &q, r)


cdef int limit_count_ask(Exchange* x, const LimitCountConf* c, const Quota* q) noexcept nogil:
    cdef RemoteHit hit
    cdef LimResult r
    cdef int verdict
    hit.key, hit.algorithm, hit.count, hit.burst, hit.window_ns, hit.cost = q.key, c.algorithm, q.count, q.burst, q.window_ns, 1
    verdict = remote_count(x, &c.remote, &c.who, &hit, limit_count_told, c, &r)
    if verdict == REMOTE_LATER:
        return STEP_WAIT
    return limit_count_judge(x, c, q, &r) if verdict == REMOTE_KNOWN else STEP_NEXT


cdef int step_limit_count(Exchange* x, void* p) noexcept nogil:
    cdef const LimitCountConf* c = <const LimitCountConf*>p
    cdef Quota q
    cdef LimResult r
    if not limit_count_evaluate(x, c, &q):
        return limit_count_fail(x, c)
    if c.remote.store != NULL:
        return limit_count_ask(x, c, &q)
    limit_count_take(x.loop, c, &q, &r)
    return limit_count_judge(x, c, &q, &r)
