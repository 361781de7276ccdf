# breaker: whether a place that keeps failing is to be left alone for a while, as APISIX's api-breaker counts it: on a cell of
# the limiter's table, so that all processes count as one. Must not know: requests, statuses.
#
# A cell's count is  failures 20 | successes 15 | span 5,  its time when all of that is forgotten. With a span the breaker has
# opened, 2^span seconds before that time; without one it has not, or so long ago that it cannot be open any more. So one swap
# changes everything there is to know, and the moment of opening needs no bits of its own.
#
# What is only remembered makes no limit's key give way (as lim_once), nor does it take the room of those that come later: a cell
# lives for an hour, limits' keys for seconds, and whoever finds paths at which an upstream fails could fill the table. So with
# half of the cells of its window taken a place is not watched.

cdef enum:
    BREAKER_SUCCESSES = 32767       # most that are counted of each; also the largest lawful thresholds
    BREAKER_FAILURES = 1048575
    BREAKER_LEVEL = 28              # 2^28 s is longer than the longest max_s
    BREAKER_MAX_S = 100000000       # three years: with BREAKER_KEEP_S it is spanned by 2^27 s
    BREAKER_KEEP_S = 3600           # how long a state is kept at least once it cannot be open any more

cdef struct BreakerConf:
    uint64_t failures               # thresholds
    uint64_t successes
    uint64_t max_ms
    uint8_t span

cdef struct BreakerState:
    uint64_t failures
    uint64_t successes
    uint8_t span
    uint64_t until                  # ms: when it is forgotten


cdef int breaker_set(
    BreakerConf* c, unsigned long long failures, unsigned long long successes, unsigned long long max_s
) except -1:
    cdef unsigned long long value, most
    for name, value, most in (("failures", failures, BREAKER_SUCCESSES), ("successes", successes, BREAKER_SUCCESSES),
                              ("max_s", max_s, BREAKER_MAX_S)):
        if not 1 <= value <= most:
            raise ValueError(f"{name}: expected 1 to {most}, found {value}")
    c.failures = failures
    c.successes = successes
    c.max_ms = max_s * 1000
    c.span = <uint8_t>(<object>max_s + BREAKER_KEEP_S - 1).bit_length()
    return 0


cdef inline bint breaker_read(const LimTable* t, int at, pair16 s, uint64_t now_ms, BreakerState* b) noexcept nogil:
    # False: there is nothing to know. An expired or a provisional cell says nothing either.
    cdef uint64_t count = lim_count(s)
    if at < 0 or lim_time(s) <= now_ms:
        return False
    b.failures = count >> 20
    b.successes = count >> 5 & BREAKER_SUCCESSES
    b.span = count & 31
    b.until = lim_time(s)
    return True


cdef inline pair16 breaker_pack(const LimKey* k, const BreakerState* b) noexcept nogil:
    return lim_pack(k.fp, b.until, b.failures << 20 | b.successes << 5 | b.span)


cdef inline bint breaker_lapsed(const BreakerState* b, const BreakerConf* c, uint64_t now_ms) noexcept nogil:
    # Whether it cannot be open any more, however long it was to be so.
    return b.span == 0 or now_ms > b.until - (<uint64_t>1000 << b.span) + c.max_ms


cdef bint breaker_open(const LimTable* t, const LimKey* k, const BreakerConf* c, uint64_t now_ms) noexcept nogil:
    cdef BreakerState b
    cdef pair16 s
    cdef uint64_t level
    cdef int at = lim_seek(t, k, &s)
    if not breaker_read(t, at, s, now_ms, &b) or b.span == 0:
        return False
    level = min(max(b.failures // c.failures, <uint64_t>1), <uint64_t>BREAKER_LEVEL)
    return now_ms <= b.until - (<uint64_t>1000 << b.span) + min(<uint64_t>1000 << level, c.max_ms)


cdef void breaker_failed(LimTable* t, const LimKey* k, const BreakerConf* c, uint64_t now_ms) noexcept nogil:
    cdef BreakerState b
    cdef LimCell* cell
    cdef pair16 s
    cdef int at, claimed, attempt
    for attempt in range(LIM_TRIES):
        at = lim_seek(t, k, &s)
        if not breaker_read(t, at, s, now_ms, &b):
            memset(&b, 0, sizeof(b))
        # At the most it goes back by one threshold: the remainder stays, and so does a level that no maximum is above.
        b.failures = b.failures + 1 if b.failures < BREAKER_FAILURES else b.failures + 1 - c.failures
        b.successes = 0
        if b.failures % c.failures == 0:
            b.span = c.span
            b.until = now_ms + (<uint64_t>1000 << c.span)
        elif breaker_lapsed(&b, c, now_ms):
            b.span = 0
            b.until = now_ms + (<uint64_t>1000 << c.span)
        claimed = lim_claim(t, k, at, now_ms, LIM_SPARES, &s, &cell)
        if claimed < 0 or (claimed and at_cas16(&cell.state, s, breaker_pack(k, &b))):
            return
        at_pause()


cdef void breaker_succeeded(LimTable* t, const LimKey* k, const BreakerConf* c, uint64_t now_ms) noexcept nogil:
    # Where nothing failed there is nothing to write.
    cdef BreakerState b
    cdef pair16 s
    cdef int at, attempt
    for attempt in range(LIM_TRIES):
        at = lim_seek(t, k, &s)
        if not breaker_read(t, at, s, now_ms, &b):
            return
        b.successes += 1
        if breaker_lapsed(&b, c, now_ms):
            b.span = 0
            b.until = now_ms + (<uint64_t>1000 << c.span)
        if at_cas16(&lim_cell(t, k, at).state, s,
                    breaker_pack(k, &b) if b.successes < c.successes else lim_pack(0, 0, 0)):
            return
        at_pause()
