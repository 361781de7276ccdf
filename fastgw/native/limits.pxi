# limits: fixed window, sliding window and token bucket on the cells of cells.pxi. Must not know: identities, requests.
#
# A hit of cost 0 only looks: allowed says whether one of cost 1 would pass, and nothing is written. A refusal writes nothing
# either, but for a time too far ahead after an edit. `now_ns` is the caller's reading of CLOCK_MONOTONIC; processes whose
# readings differ by what one turn of an event loop takes count correctly, see each algorithm.

cdef enum:
    LIM_SALT_BREAKER = 0        # of lim_variant: one identity's windows, buckets and so on are different keys
    LIM_SALT_BUCKET = 1
    LIM_SALT_HOLD = 2
    LIM_SALT_SLIDE = 3          # and above: one number per window

cdef uint64_t LIM_SALT_SHARE = <uint64_t>1 << 60    # and above: one number per ShareCell


cdef inline void lim_say(LimResult* out, bint allowed, uint64_t remaining, uint64_t reset_ns, uint64_t retry_ns) noexcept nogil:
    out.allowed = allowed
    out.failed = False
    out.remaining = <int64_t>remaining if allowed else 0
    out.reset_ns = reset_ns
    out.retry_after_ns = retry_ns


cdef void lim_fail(LimResult* out, uint64_t ns) noexcept nogil:
    # Lost LIM_TRIES races, or all cells of the window are held: closed rather than uncounted.
    lim_say(out, False, 0, ns, ns)
    out.failed = True


cdef void lim_fixed(LimTable* t, const LimKey* k, uint64_t now_ns, uint64_t count, uint64_t window_ns, uint64_t cost,
                    LimResult* out) noexcept nogil:
    # The window starts at a key's first hit: at the earliest reading of the clock among those that count on it. Its end is
    # rounded up to a millisecond, so it is never short. An edit of count keeps what was consumed; an edit of the window keeps
    # the end, but never one later than a window from now.
    cdef uint64_t now_ms = now_ns // LIM_MS
    cdef uint64_t longest = min(window_ns, LIM_HORIZON_MS * LIM_MS)
    cdef uint64_t latest = (now_ns + longest + LIM_MS - 1) // LIM_MS
    cdef uint64_t most = min(count, LIM_COUNT_MAX)
    cdef uint64_t need = cost if cost else 1
    cdef uint64_t used, end, reset
    cdef bint live
    cdef LimCell* cell
    cdef pair16 s
    cdef int at, claimed, attempt
    out.limit = <int64_t>count
    for attempt in range(LIM_TRIES):
        at = lim_seek(t, k, &s)
        live = at >= 0 and lim_time(s) > now_ms
        used = lim_count(s) if live else 0
        end = min(lim_time(s), latest) if live else latest
        reset = min(end * LIM_MS - now_ns, longest) if live or cost else 0
        if need > most or used > most - need:
            if live and cost and end < lim_time(s):     # else an edited window would end a window from each refusal
                at_cas16(&lim_cell(t, k, at).state, s, lim_pack(k.fp, end, used))
            lim_say(out, False, 0, reset if live else 0, LIM_NEVER if need > most else reset)
            return
        if cost == 0:
            lim_say(out, True, count - used, reset, 0)
            return
        claimed = lim_claim(t, k, at, now_ms, LIM_EVICTS, &s, &cell)
        if claimed < 0:
            break
        if claimed and at_cas16(&cell.state, s, lim_pack(k.fp, end, used + cost)):
            lim_say(out, True, count - used - cost, reset, 0)
            return
        at_pause()
    lim_fail(out, longest)


cdef void lim_bucket(LimTable* t, const LimKey* key, uint64_t now_ns, uint64_t count, uint64_t window_ns, uint64_t burst,
                     uint64_t cost, LimResult* out) noexcept nogil:
    # `burst` tokens at most, `count` new ones per window: no more than burst + count * T / window are admitted in any T, and
    # no fewer. A reading of the clock that lags behind another's only finds the bucket emptier.
    cdef LimKey k = lim_variant(t, key, LIM_SALT_BUCKET)
    cdef uint64_t now_ms = now_ns // LIM_MS
    cdef lim_bucket_hit hit
    cdef bint live, allowed
    cdef LimCell* cell
    cdef pair16 s
    cdef int at, claimed, attempt
    out.limit = <int64_t>burst
    hit.now_ns, hit.count, hit.window_ns, hit.burst = now_ns, count, window_ns, burst
    for attempt in range(LIM_TRIES):
        at = lim_seek(t, &k, &s)
        live = at >= 0 and lim_time(s) > now_ms
        hit.cost = cost if cost else 1
        allowed = lim_gcra(&hit, s, live)
        if cost == 0 and allowed:
            hit.cost = 0
            lim_gcra(&hit, s, live)
        if not allowed or cost == 0:
            if cost and hit.changed:
                at_cas16(&lim_cell(t, &k, at).state, s, hit.state)
            lim_say(out, allowed, hit.left, hit.full_ns, hit.retry_ns)
            return
        claimed = lim_claim(t, &k, at, now_ms, LIM_EVICTS, &s, &cell)
        if claimed < 0:
            break
        if claimed and at_cas16(&cell.state, s, lim_pack(k.fp, lim_time(hit.state), lim_count(hit.state))):
            lim_say(out, True, hit.left, hit.full_ns, 0)
            return
        at_pause()
    lim_fail(out, window_ns)


cdef inline uint64_t lim_used(const LimTable* t, const LimKey* k, uint64_t now_ms) noexcept nogil:
    cdef pair16 s
    return lim_count(s) if lim_seek(t, k, &s) >= 0 and lim_time(s) > now_ms else 0


cdef inline uint64_t lim_slide_ms(uint64_t window_ns) noexcept nogil:
    # How long a sliding window is, as its cells are named and counted.
    return max(min((window_ns + LIM_MS - 1) // LIM_MS, LIM_HORIZON_MS // 2), <uint64_t>1)


cdef void lim_sliding(LimTable* t, const LimKey* key, uint64_t now_ns, uint64_t count, uint64_t window_ns, uint64_t cost,
                      LimResult* out) noexcept nogil:
    # Windows aligned to the clock, one cell each. A hit passes while the present window's count plus the share of the one
    # before that a window ending now would still see is below count (limits as in APISIX 3.18). The window before changes no
    # more, so reading it and then swapping the present cell is one step. An edit of the window starts afresh.
    cdef uint64_t window_ms = lim_slide_ms(window_ns)
    cdef uint64_t now_ms = now_ns // LIM_MS
    cdef uint64_t index = now_ms // window_ms
    cdef uint64_t left_ms = (index + 1) * window_ms - now_ms
    cdef uint64_t most = min(count, LIM_COUNT_MAX)
    cdef uint64_t need = cost if cost else 1
    cdef LimKey sized = lim_variant(t, key, LIM_SALT_SLIDE + window_ms)
    cdef LimKey last = lim_variant(t, &sized, index)
    cdef LimKey k = lim_variant(t, &sized, index + 1)
    cdef uint64_t before, used, reset, wait
    cdef LimCell* cell
    cdef pair16 s
    cdef int at, claimed, attempt
    reset = left_ms * LIM_MS - now_ns % LIM_MS
    out.limit = <int64_t>count
    for attempt in range(LIM_TRIES):
        before = min(lim_used(t, &last, now_ms), most)
        at = lim_seek(t, &k, &s)
        used = lim_count(s) if at >= 0 and lim_time(s) > now_ms else 0
        if lim_slides_over(before, used, need, most, left_ms, window_ms):
            wait = LIM_NEVER
            if need <= most:
                wait = lim_slides_wait(before, used, need, most, left_ms, window_ms) * LIM_MS - now_ns % LIM_MS
            lim_say(out, False, 0, reset, wait)
            return
        if cost == 0:
            lim_say(out, True, lim_slides_left(before, used, most, left_ms, window_ms), reset, 0)
            return
        claimed = lim_claim(t, &k, at, now_ms, LIM_EVICTS, &s, &cell)
        if claimed < 0:
            break
        if claimed and at_cas16(&cell.state, s, lim_pack(k.fp, (index + 2) * window_ms, used + cost)):
            lim_say(out, True, lim_slides_left(before, used + cost, most, left_ms, window_ms), reset, 0)
            return
        at_pause()
    lim_fail(out, reset)


cdef int lim_once(LimTable* t, const LimKey* k, uint64_t now_ns, uint64_t span_ns) noexcept nogil:
    # Whether a key is used for the first time in the span, which begins with that use: 1 it is, 0 it is not. -1: that cannot be
    # kept, as nobody makes room for what is only to be remembered; a limit's key may push it out as any other.
    cdef uint64_t now_ms = now_ns // LIM_MS
    cdef uint64_t end = (now_ns + min(span_ns, LIM_HORIZON_MS * LIM_MS) + LIM_MS - 1) // LIM_MS
    cdef LimCell* cell
    cdef pair16 s
    cdef int at, claimed, attempt
    for attempt in range(LIM_TRIES):
        at = lim_seek(t, k, &s)
        if at >= 0 and lim_time(s) > now_ms:
            return 0
        claimed = lim_claim(t, k, at, now_ms, LIM_YIELDS, &s, &cell)
        if claimed < 0:
            return -1
        if claimed and at_cas16(&cell.state, s, lim_pack(k.fp, end, 1)):
            return 1
        at_pause()
    return -1


cdef bint lim_reset(LimTable* t, const LimKey* key, uint64_t now_ns, uint64_t window_ns) noexcept nogil:
    # Forgets what the key consumed, by any algorithm (sliding: of this window length); whether there was anything.
    cdef uint64_t now_ms = now_ns // LIM_MS
    cdef uint64_t window_ms = lim_slide_ms(window_ns)
    cdef LimKey sized = lim_variant(t, key, LIM_SALT_SLIDE + window_ms)
    cdef LimKey bucket = lim_variant(t, key, LIM_SALT_BUCKET)
    cdef LimKey last = lim_variant(t, &sized, now_ms // window_ms)
    cdef LimKey present = lim_variant(t, &sized, now_ms // window_ms + 1)
    cdef bint found = lim_drop(t, key, now_ms)
    found |= lim_drop(t, &bucket, now_ms)
    found |= lim_drop(t, &last, now_ms)
    found |= lim_drop(t, &present, now_ms)
    return found
