# limits: counting in shared memory, exactly, without a lock.
#
# A key's cell is one of the LIM_WINDOW cells from its home. All that a cell says changes by one 16-byte compare-and-swap, so
# that a process killed at any instruction leaves a whole state behind, and counts no more than what it had in flight.
#
# Two processes may insert one key at the same time while other cells of the window expire under them, so that they choose
# different cells. Therefore a cell is first placed provisionally (time 0, a nonce in place of the count) and may be counted on
# only once confirmed. Whoever finds a provisional cell of his key resolves it before he counts:
#   1. Look at the whole window. A confirmed twin: take the provisional cell back (empty it) and start again.
#   2. A provisional twin at a lower index: take this one back and start again. At a higher index: empty that one; if that
#      fails, start again.
#   3. Confirm: the first count is the swap from exactly the provisional state that was there before step 1.
# Two confirmed cells i < j of one key cannot coexist. Say j was confirmed by X, after X saw no twin at i; so i was placed after
# that look, when j already stood. Whoever confirms i looked at j after i was placed: he saw j confirmed, and took i back, or saw
# it provisional and emptied it, so that X's swap failed (the nonce makes each placing a different state, so it cannot have been
# placed anew in between). If instead i was confirmed first, j's resolver, looking after j was placed, saw i and took j back.
# tests/unit/test_limits_model.py runs every interleaving of this protocol, with a crash at every step.

from typing import NamedTuple as _NamedTuple


cdef void lim_key(const LimTable* t, const uint8_t* identity, size_t n, const uint8_t* value, size_t m,
                  LimKey* out) noexcept nogil:
    # The length of the first part goes first: no two pairs of parts make the same bytes.
    cdef siphash_state s
    cdef uint64_t length = n
    cdef uint64_t lo, hi
    siphash_start(&s, t.seed[0], t.seed[1])
    siphash_feed(&s, &length, 8)
    siphash_feed(&s, identity, n)
    siphash_feed(&s, value, m)
    siphash_end(&s, &lo, &hi)
    out.fp = lo >> 16
    if out.fp == 0:
        out.fp = 1
    out.home = <uint32_t>hi & t.mask


cdef inline LimCell* lim_cell(const LimTable* t, const LimKey* k, int i) noexcept nogil:
    return &t.cells[(k.home + <uint32_t>i) & t.mask]


cdef int lim_seek(const LimTable* t, const LimKey* k, int skip, pair16* s) noexcept nogil:
    # Index of the first cell of the key but `skip`, with its state; -1 where there is none.
    cdef int i
    for i in range(LIM_WINDOW):
        if i == skip:
            continue
        s[0] = at_read16(&lim_cell(t, k, i).state)
        if lim_fp(s[0]) == k.fp:
            return i
    return -1


cdef int lim_place(LimTable* t, const LimKey* k, uint64_t now_ms, pair16* placed) noexcept nogil:
    # A provisional cell for a key that has none: the first free or expired one; else the one nearest to its end gives way
    # (the documented policy of a full window: the least is forgotten). -1 when another process was faster.
    cdef int i
    cdef int best = 0
    cdef uint64_t best_time = ~<uint64_t>0
    cdef uint64_t time
    cdef pair16 s
    cdef pair16 victim
    for i in range(LIM_WINDOW):
        s = at_read16(&lim_cell(t, k, i).state)
        time = lim_time(s)
        if time < best_time:
            best = i
            best_time = time
            victim = s
        if time < now_ms:
            break
    placed[0] = lim_pack(k.fp, 0, (at_add(t.nonce, 1) + 1) & LIM_COUNT_MAX)
    if not at_cas16(&lim_cell(t, k, best).state, victim, placed[0]):
        return -1
    if best_time >= now_ms:
        t.evictions += 1
    return best


cdef int lim_resolve(LimTable* t, const LimKey* k, int at, pair16 own) noexcept nogil:
    # Steps 1 and 2 for the provisional cell at `at`. 1: it may be confirmed; 0: start again.
    cdef int i
    cdef pair16 s
    cdef pair16 empty = lim_pack(0, 0, 0)
    for i in range(LIM_WINDOW):
        if i == at:
            continue
        s = at_read16(&lim_cell(t, k, i).state)
        if lim_fp(s) != k.fp:
            continue
        if lim_time(s) != 0 or i < at:
            at_cas16(&lim_cell(t, k, at).state, own, empty)
            return 0
        if not at_cas16(&lim_cell(t, k, i).state, s, empty):
            return 0
    return 1


cdef LimCell* lim_open(LimTable* t, const LimKey* k, uint64_t now_ms, pair16* s) noexcept nogil:
    # The key's cell and the state to swap from, confirmed or ready to be; NULL: a race was lost, try again.
    cdef int at = lim_seek(t, k, LIM_WINDOW, s)
    if at < 0:
        at = lim_place(t, k, now_ms, s)
        if at < 0:
            return NULL
    elif lim_time(s[0]) != 0:
        return lim_cell(t, k, at)
    if not lim_resolve(t, k, at, s[0]):
        return NULL
    return lim_cell(t, k, at)


cdef void lim_refuse(LimResult* out, uint64_t window_ns) noexcept nogil:
    # After LIM_TRIES lost races: closed rather than uncounted.
    out.allowed = False
    out.remaining = 0
    out.reset_ns = out.retry_after_ns = window_ns


cdef void lim_fixed(LimTable* t, const LimKey* k, uint64_t now_ns, uint64_t count, uint64_t window_ns, uint64_t cost,
                    LimResult* out) noexcept nogil:
    # The window starts at a key's first hit. An edit of count keeps what was consumed; an edit of the window keeps its end,
    # but never one later than a window from now.
    cdef uint64_t now_ms = (now_ns + 999999) // 1000000
    cdef uint64_t window_ms = (window_ns + 999999) // 1000000
    cdef uint64_t used, end
    cdef LimCell* cell
    cdef pair16 s
    cdef int attempt
    out.limit = count
    for attempt in range(LIM_TRIES):
        cell = lim_open(t, k, now_ms, &s)
        if cell == NULL:
            continue
        end = lim_time(s)
        used = lim_count(s)
        if end <= now_ms:       # expired, or provisional
            end = now_ms + window_ms
            used = 0
        elif end > now_ms + window_ms:
            end = now_ms + window_ms
        out.reset_ns = end * 1000000 - now_ns
        if used + cost > count or used + cost > LIM_COUNT_MAX:
            out.allowed = False
            out.remaining = 0
            out.retry_after_ns = out.reset_ns
            return
        if at_cas16(&cell.state, s, lim_pack(k.fp, end, used + cost)):
            out.allowed = True
            out.remaining = count - used - cost
            out.retry_after_ns = 0
            return
    lim_refuse(out, window_ns)


cdef void lim_bucket(LimTable* t, const LimKey* k, uint64_t now_ns, uint64_t count, uint64_t window_ns, uint64_t burst,
                     uint64_t cost, LimResult* out) noexcept nogil:
    # `burst` tokens at most, `count` new ones per window: no more than burst + count * T / window are admitted in any T.
    cdef uint64_t left
    cdef LimCell* cell
    cdef pair16 s
    cdef pair16 fresh
    cdef int attempt
    out.limit = burst
    for attempt in range(LIM_TRIES):
        cell = lim_open(t, k, now_ns // 1000000, &s)
        if cell == NULL:
            continue
        out.allowed = lim_gcra(s, lim_time(s) == 0, k.fp, now_ns, count, window_ns, burst, cost, &fresh, &left,
                               &out.reset_ns, &out.retry_after_ns)
        out.remaining = left
        if not out.allowed or at_cas16(&cell.state, s, fresh):
            return
    lim_refuse(out, window_ns)


cdef bint lim_reset(LimTable* t, const LimKey* k) noexcept nogil:
    # Forgets what the key consumed; whether there was anything.
    cdef pair16 s
    cdef int at
    while True:
        at = lim_seek(t, k, LIM_WINDOW, &s)
        if at < 0:
            return False
        if at_cas16(&lim_cell(t, k, at).state, s, lim_pack(0, 0, 0)):
            return True


class Decision(_NamedTuple):
    """What a limiter said of one hit. Times in seconds; `remaining` hits are left now."""

    allowed: bool
    limit: int
    remaining: int
    reset: float
    retry_after: float


cdef class Limiter:
    """A limit on a shared table: every process that maps the region counts on the same cells.

    `identity` names the limit (two limiters with one identity share counters), `count` hits per `window` seconds;
    `algorithm` "fixed" (window from a key's first hit) or "token-bucket" (`burst` at once, refilled at count per window).
    """
    cdef Region region
    cdef bytes identity
    cdef bint bucket
    cdef uint64_t count
    cdef uint64_t burst
    cdef uint64_t window_ns

    def __init__(self, Region region not None, identity, *, count, double window, str algorithm="fixed", burst=None):
        if algorithm not in ("fixed", "token-bucket"):
            raise ValueError(f"algorithm: expected fixed or token-bucket, found {algorithm!r}")
        burst = count if burst is None else burst
        for name, value in (("count", count), ("burst", burst)):
            if not 1 <= value <= LIM_COUNT_MAX:
                raise ValueError(f"{name}: expected 1 to {LIM_COUNT_MAX}, found {value}")
        if not 0.001 <= window <= 1e9:
            raise ValueError(f"window: expected 0.001 to 1e9 seconds, found {window}")
        self.region = region
        self.identity = identity if isinstance(identity, bytes) else identity.encode()
        self.bucket = algorithm == "token-bucket"
        self.count = count
        self.burst = burst
        self.window_ns = <uint64_t>(window * 1e9)

    cdef LimKey key_of(self, key):
        cdef bytes raw = key if isinstance(key, bytes) else key.encode()
        cdef LimKey k
        lim_key(&self.region.table, <const uint8_t*><const char*>self.identity, len(self.identity),
                <const uint8_t*><const char*>raw, len(raw), &k)
        return k

    def hit(self, key, unsigned long long cost=1, now_ns=None) -> Decision:
        """Counts `cost` for `key` (str or bytes) if that is within the limit. `now_ns`: CLOCK_MONOTONIC, default now."""
        cdef LimKey k = self.key_of(key)
        cdef LimResult r
        cdef timespec t
        cdef uint64_t now
        if now_ns is None:
            clock_gettime(CLOCK_MONOTONIC, &t)
            now = <uint64_t>t.tv_sec * 1000000000 + <uint64_t>t.tv_nsec
        else:
            now = now_ns
        if self.bucket:
            lim_bucket(&self.region.table, &k, now, self.count, self.window_ns, self.burst, cost, &r)
        else:
            lim_fixed(&self.region.table, &k, now, self.count, self.window_ns, cost, &r)
        return Decision(bool(r.allowed), r.limit, r.remaining, r.reset_ns / 1e9, r.retry_after_ns / 1e9)

    def reset(self, key) -> bool:
        """Forgets what `key` consumed; whether there was anything."""
        cdef LimKey k = self.key_of(key)
        return lim_reset(&self.region.table, &k)


def _bench_limit(Limiter limiter not None, bytes key not None, int rounds) -> float:
    """Nanoseconds per hit on one key, hashing included."""
    cdef timespec a
    cdef timespec b
    cdef LimKey k
    cdef LimResult r
    cdef int i
    cdef const uint8_t* identity = <const uint8_t*><const char*>limiter.identity
    cdef size_t n = len(limiter.identity)
    cdef const uint8_t* raw = <const uint8_t*><const char*>key
    cdef size_t m = len(key)
    clock_gettime(CLOCK_MONOTONIC, &a)
    with nogil:
        for i in range(rounds):
            lim_key(&limiter.region.table, identity, n, raw, m, &k)
            lim_fixed(&limiter.region.table, &k, <uint64_t>a.tv_sec * 1000000000, limiter.count, limiter.window_ns, 1, &r)
    clock_gettime(CLOCK_MONOTONIC, &b)
    return ((b.tv_sec - a.tv_sec) * 1e9 + b.tv_nsec - a.tv_nsec) / rounds
