# limit_count: the limit-count plugin's step: one atomic on the shared table, and the quota headers for the client. An edit of
# the limit keeps what was consumed. Three parts: what the request is counted by, counting, what becomes of it; a store that is
# not in this machine's memory lets time pass between them.

cdef enum:
    LIMIT_FIXED = 0
    LIMIT_BUCKET = 1
    LIMIT_SLIDING = 2

cdef enum RuleAt:               # where in several rules a step stands that is one of them
    RULE_FIRST = 1
    RULE_LAST = 2

cdef enum QuotaKnown:           # what a request is counted by
    QUOTA_KNOWN
    QUOTA_NONE                  # the rule does not concern it
    QUOTA_BAD                   # that cannot be told

cdef uint64_t WINDOW_MOST_S = (<uint64_t>1 << 31) - 1   # 68 years: in nanoseconds it fits 64 bits

cdef struct Quota:              # what one request is counted by
    LimKey key
    uint64_t count
    uint64_t burst
    uint64_t window_ns

cdef struct LimitCountConf:
    LimitedConf who
    uint8_t algorithm
    uint8_t rule                # RuleAt
    bint varies                 # of the numbers below some are 0 and come from the request
    uint64_t count
    uint64_t burst              # 0: the count that comes from the request
    uint64_t window_ns
    RemoteLimit remote          # store NULL: counts lie in this machine's memory
    const QuotaNamesC* quota    # NULL: the client is not told
    const VarPart* count_text
    uint32_t count_n
    const VarPart* window_text
    uint32_t window_n


cdef class LimitCountStep(LimitedStep):
    """limit-count for one owner. `count` and `window` (in seconds) may be templates of whole numbers. `rule` is (which, of how
    many) where one configuration has several limits: one that has no value for its key does not concern a request, and at least
    one must. `policy` is the limit's name in the RateLimit fields; None: they are not sent."""
    cdef LimitCountConf conf
    cdef _QuotaNames names
    cdef tuple texts
    cdef RemoteStore store

    def __init__(self, bytes identity not None, Template key not None, *, count, window, str algorithm="fixed", burst=None,
                 rule=None, int rejected_code=503, bytes rejected_body=b"", bint pass_on_failure=False, bint shadow=False,
                 bint quota_headers=True,
                 header_names=("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"), policy=None,
                 RemoteStore store=None, double sync=0):
        self.count_by(&self.conf.who, identity, key, rejected_code, rejected_body, pass_on_failure, shadow)
        self.conf.algorithm = ("fixed", "token-bucket", "sliding").index(algorithm)
        self.texts = (count, window)
        if isinstance(count, Template):
            self.conf.count_text = (<Template>count).parts
            self.conf.count_n = (<Template>count).n
        else:
            self.conf.count = count
        if isinstance(window, Template):
            self.conf.window_text = (<Template>window).parts
            self.conf.window_n = (<Template>window).n
        else:
            self.conf.window_ns = <uint64_t>(<double>window * 1e9)
        self.conf.varies = not (self.conf.count and self.conf.window_ns)
        self.conf.burst = self.conf.count if burst is None else burst
        if rule is not None:
            which, many = rule
            self.conf.who.is_rule = True
            self.conf.rule = RULE_FIRST * (which == 1) | RULE_LAST * (which == many)
        self.store = store
        if store is not None:
            self.conf.remote.store = &store.c
            self.conf.remote.sync_ns = <uint64_t>(sync * 1e9)
            self.conf.remote.open_without = pass_on_failure
        if quota_headers and not shadow:
            self.names = _quota_names(*header_names, policy=policy)
            self.conf.quota = &self.names.c
        self.bind(step_limit_count, &self.conf, "access")


cdef int limit_count_fail(Exchange* x, const LimitCountConf* c) noexcept nogil:
    return limited_fail(x, &c.who, "failed to limit count", "limit-count.failed")


cdef bint limit_count_numbers(Exchange* x, const LimitCountConf* c, Quota* q) noexcept nogil:
    cdef uint64_t seconds
    if c.count == 0 and not limited_number(x, c.count_text, c.count_n, 1, NUMBER_MOST, &q.count):
        return False
    if c.window_ns == 0:
        if not limited_number(x, c.window_text, c.window_n, 1, WINDOW_MOST_S, &seconds):
            return False
        q.window_ns = seconds * SECOND_NS
    if c.burst == 0:
        q.burst = q.count
    return True


cdef inline int limit_count_evaluate(Exchange* x, const LimitCountConf* c, Quota* q) noexcept nogil:
    # A QuotaKnown. The key's text is left in the loop's scratch, so it comes after the numbers.
    cdef bint known = True
    cdef bint found
    q.count = c.count
    q.burst = c.burst
    q.window_ns = c.window_ns
    if c.varies:
        known = limit_count_numbers(x, c, q)
    found = limited_key(x, &c.who, &q.key)
    if c.who.is_rule:
        x.ruled = found or (x.ruled and not c.rule & RULE_FIRST)
        if not found:
            return QUOTA_BAD if c.rule & RULE_LAST and not x.ruled else QUOTA_NONE
    return QUOTA_KNOWN if known else QUOTA_BAD


cdef inline void limit_count_take(Loop* loop, const LimitCountConf* c, const Quota* q, LimResult* r) noexcept nogil:
    if c.algorithm == LIMIT_FIXED:
        lim_fixed(loop.table, &q.key, loop.now_ns, q.count, q.window_ns, 1, r)
    elif c.algorithm == LIMIT_SLIDING:
        lim_sliding(loop.table, &q.key, loop.now_ns, q.count, q.window_ns, 1, r)
    else:
        lim_bucket(loop.table, &q.key, loop.now_ns, q.count, q.window_ns, q.burst, 1, r)


cdef uint64_t limit_count_window(const LimitCountConf* c, const Quota* q) noexcept nogil:
    # In seconds, rounded up: in which as much as the limit is admitted again. Of a bucket the limit is what it holds.
    if c.algorithm == LIMIT_BUCKET and q.burst != q.count:
        return seconds_up(<uint64_t>min(<double>q.window_ns / <double>q.count * <double>q.burst, 1e18))
    return seconds_up(q.window_ns)


cdef int limit_count_judge(Exchange* x, const LimitCountConf* c, const Quota* q, const LimResult* r) noexcept nogil:
    # What becomes of a request that was counted, here or elsewhere, now or after a wait.
    if r.failed:
        return limit_count_fail(x, c)
    if c.quota != NULL:
        quota_tell(x, c.quota, r)
        if c.quota.policy != NULL:
            put_draft(&x.down_extra, &x.loop.wbuf, c.quota, limit_count_window(c, q), r)
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
    cdef int known = limit_count_evaluate(x, c, &q)
    if known != QUOTA_KNOWN:
        return STEP_NEXT if known == QUOTA_NONE else limit_count_fail(x, c)
    if c.remote.store != NULL:
        return limit_count_ask(x, c, &q)
    limit_count_take(x.loop, c, &q, &r)
    return limit_count_judge(x, c, &q, &r)
