# shares: what one node knows of a count that several nodes share. A few cells per key, in the table that its workers share, so
# that all know the last word of the store and none of it goes with a worker. Must not know: the store, requests.
#
# A cell's time is the window's end, in this machine's clock, and never later than the store's: it is the moment at which the
# store was asked plus what it said was left. So a cell that lives is of the window that the store counts in; unless the store
# lost that one and began another: then a cell ends long before the store's, and what is in it is not added to.


cdef inline LimKey share_key(const LimTable* t, const LimKey* k, int cell) noexcept nogil:
    return lim_variant(t, k, LIM_SALT_SHARE + <uint64_t>cell)


cdef uint64_t share_read(const LimTable* t, const LimKey* key, int cell, uint64_t now_ms, uint64_t* end) noexcept nogil:
    # The count, and the window's end; 0 and 0 where nothing is known.
    cdef LimKey k = share_key(t, key, cell)
    cdef pair16 s
    if lim_seek(t, &k, &s) >= 0 and lim_time(s) > now_ms:
        end[0] = lim_time(s)
        return lim_count(s)
    end[0] = 0
    return 0


cdef bint share_change(
    LimTable* t, const LimKey* key, int cell, uint64_t now_ms, uint64_t end_ms, int how, uint64_t n
) noexcept nogil:
    # False: there is no cell for it, or its window is over.
    cdef LimKey k = share_key(t, key, cell)
    cdef uint64_t end = min(end_ms, now_ms + LIM_HORIZON_MS)
    cdef uint64_t was, then
    cdef LimCell* at_cell
    cdef pair16 s
    cdef int at, claimed, attempt
    if end <= now_ms:
        return False
    for attempt in range(LIM_TRIES):
        at = lim_seek(t, &k, &s)
        was = lim_count(s) if at >= 0 and lim_time(s) > now_ms else 0
        if how == SHARE_ADD:
            then = n
            if was and lim_time(s) + (end - now_ms) // 2 >= end:
                then += was
        elif how == SHARE_CUT:
            then = was - n if was > n else 0
        else:
            then = n if how == SHARE_SET or n > was else was
        claimed = lim_claim(t, &k, at, now_ms, LIM_EVICTS, &s, &at_cell)
        if claimed < 0:
            return False
        if claimed and at_cas16(&at_cell.state, s, lim_pack(k.fp, end, min(then, LIM_COUNT_MAX))):
            return True
        at_pause()
    return False


cdef uint64_t share_take(
    LimTable* t, const LimKey* key, uint64_t now_ms, uint64_t least, uint64_t most, uint64_t* end
) noexcept nogil:
    # Out of the lease, at least so much and at most so much: how much that was, 0 where there is not as much.
    cdef LimKey k = share_key(t, key, SHARE_LEASE)
    cdef uint64_t left, taken
    cdef pair16 s
    cdef int at, attempt
    for attempt in range(LIM_TRIES):
        at = lim_seek(t, &k, &s)
        if at < 0 or lim_time(s) <= now_ms or lim_count(s) < least or lim_count(s) == 0:
            return 0
        left = lim_count(s)
        taken = min(left, most)
        if at_cas16(&lim_cell(t, &k, at).state, s, lim_pack(k.fp, lim_time(s), left - taken)):
            end[0] = lim_time(s)
            return taken
        at_pause()
    return 0


cdef bint share_first(LimTable* t, const LimKey* key, int cell, uint64_t now_ns, uint64_t span_ns) noexcept nogil:
    # Whether nobody of this node came here in the span, which then begins.
    cdef LimKey k = share_key(t, key, cell)
    return lim_once(t, &k, now_ns, span_ns) == 1


cdef inline uint64_t share_of(uint64_t all, uint32_t nodes, uint32_t rank) noexcept nogil:
    # Of so many that are to be divided among nodes, those of one: all of them together are exactly as many.
    return all // nodes + (rank < all % nodes)


cdef void share_leased(
    LimTable* t, const LimKey* key, uint64_t now_ns, uint64_t count, uint64_t end_ms, LimResult* r
) noexcept nogil:
    # What is said of a hit that took from the lease, which ends then. Where the limit is lower than when the lease was given
    # out, by an edit or because it varies, the lease does not make up for it.
    cdef uint64_t now_ms = now_ns // LIM_MS
    cdef uint64_t any_end
    cdef uint64_t lease = share_read(t, key, SHARE_LEASE, now_ms, &any_end)
    cdef uint64_t own = share_read(t, key, SHARE_OWN, now_ms, &any_end)
    cdef uint64_t used = own - min(lease, own) + share_read(t, key, SHARE_OTHERS, now_ms, &any_end)
    cdef uint64_t reset = end_ms * LIM_MS - now_ns
    if used <= count:
        share_admits(r, count, count - used, reset)
        return
    r.limit = <int64_t>count
    lim_say(r, False, 0, reset, reset)


cdef void share_admits(LimResult* r, uint64_t count, uint64_t left, uint64_t reset_ns) noexcept nogil:
    # What is said of a hit that was admitted.
    r.limit = <int64_t>count
    lim_say(r, True, left, reset_ns, 0)


cdef void share_alone(
    LimTable* t, const LimKey* key, uint64_t now_ns, uint64_t count, uint64_t window_ns, uint64_t cost, uint32_t nodes,
    uint32_t rank, LimResult* r
) noexcept nogil:
    # A hit on a fixed window that the store cannot be asked about. Of what was left at its last word this node has its share;
    # of a window that begins meanwhile, its share of the whole.
    cdef uint64_t now_ms = now_ns // LIM_MS
    cdef uint64_t end, others_end, others, base, taken
    cdef uint64_t most = share_of(count, nodes, rank)
    cdef LimKey own = share_key(t, key, SHARE_OWN)
    taken = share_take(t, key, now_ms, cost, cost, &end)
    if taken:
        share_leased(t, key, now_ns, count, end, r)
        return
    base = share_read(t, key, SHARE_BASE, now_ms, &end)
    if end:
        others = share_read(t, key, SHARE_OTHERS, now_ms, &others_end)
        most = base + (share_of(count - base - others, nodes, rank) if base + others < count else 0)
        share_change(t, key, SHARE_OWN, now_ms, end, SHARE_RAISE, base)
    lim_fixed(t, &own, now_ns, most, window_ns, cost, r)
    r.limit = <int64_t>count
    if not r.allowed and not r.failed and r.retry_after_ns == LIM_NEVER:
        r.reset_ns = r.retry_after_ns = end * LIM_MS - now_ns if end else window_ns
