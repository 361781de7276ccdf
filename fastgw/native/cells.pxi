# cells: keys to cells in shared memory, exactly, without a lock. Must not know: what a limit is.
#
# A key's cell is one of the LIM_WINDOW cells from its home. All that a cell says changes by one 16-byte compare-and-swap, so a
# process killed at any instruction leaves a whole state behind, and counts no more than what it had in flight.
#
# Two processes may insert one key at once while other cells of the window expire under them, so that they choose different
# cells. Therefore a cell is first placed provisionally (time 0, a nonce in place of the count) and may be counted on only once
# confirmed. Whoever finds a provisional cell of his key resolves it before he counts, whoever placed it:
#   1. Look at the whole window. A confirmed twin, or a provisional one at a lower index: take this one back, start again.
#   2. A provisional twin at a higher index: empty it; if that fails, start again.
#   3. Confirm: the first count is the swap from exactly the provisional state that stood there before step 1.
# Claim: one key never has two confirmed cells, live or expired, at any moment. (So a confirmed cell, once found, is counted on
# without looking further, and clocks that differ between processes do no harm.) Proof: let i and j be two, j the one that was
# confirmed later, from the nonce y, by X. X looked at i after y was placed and saw no cell of the key there, or emptied it; so
# the placing of i, with nonce x, came after that look, and so after y was placed. Whoever confirmed i looked at j after x was
# placed and before j was confirmed. All that while j held y, for a nonce is used once and X's swap found y: he saw a
# provisional twin. Then he either started again, or emptied j, and X's swap failed. Neither confirmed both.
# Expiry, eviction, reset and crashes only take cells away. tests/unit/test_limits_model.py runs every interleaving.


cdef void lim_key(const LimTable* t, const uint8_t* identity, size_t n, const uint8_t* value, size_t m,
                  LimKey* out) noexcept nogil:
    # The length of the first part goes first: no two pairs of parts make the same bytes.
    cdef siphash_state s
    cdef uint64_t lo, hi
    siphash_start(&s, t.seed[0], t.seed[1])
    siphash_word(&s, n)
    siphash_padded(&s, identity, n)
    siphash_end(&s, value, m, &lo, &hi)
    out.fp = lo >> 16
    if out.fp == 0:
        out.fp = 1
    out.home = <uint32_t>hi & t.mask


cdef uint64_t lim_live(const LimTable* t, uint64_t first, uint64_t last, uint64_t now_ms) noexcept nogil:
    # Of the cells from first to last, how many count something now. Read without care for what changes meanwhile.
    cdef uint64_t n = 0
    cdef uint64_t i
    for i in range(first, last):
        n += (at_load_relaxed(&t.cells[i].state.hi) & LIM_BITS40) > now_ms
    return n


cdef LimKey lim_variant(const LimTable* t, const LimKey* k, uint64_t salt) noexcept nogil:
    # Another key made of this one and a number (SplitMix64's finaliser), for cells that mean something else.
    cdef LimKey out
    cdef uint64_t x = (k.fp << 16 | (k.home & 0xffff)) ^ (salt * <uint64_t>0x9e3779b97f4a7c15)
    x = (x ^ (x >> 30)) * <uint64_t>0xbf58476d1ce4e5b9
    x = (x ^ (x >> 27)) * <uint64_t>0x94d049bb133111eb
    x ^= x >> 31
    out.fp = x >> 16
    if out.fp == 0:
        out.fp = 1
    out.home = (k.home + <uint32_t>(x * <uint64_t>0x9e3779b97f4a7c15 >> 32)) & t.mask
    return out


cdef inline LimCell* lim_cell(const LimTable* t, const LimKey* k, int i) noexcept nogil:
    return &t.cells[(k.home + <uint32_t>i) & t.mask]


cdef inline bint lim_shows(const LimTable* t, const LimKey* k, int i, pair16* s) noexcept nogil:
    # Whether cell i is the key's, and then its state. The fingerprint is in the first half: one load tells of the others.
    cdef LimCell* cell = lim_cell(t, k, i)
    if at_load(&cell.state.lo) >> 16 != k.fp:
        return False
    s[0] = at_read16(&cell.state)
    return lim_fp(s[0]) == k.fp


cdef inline int lim_seek(const LimTable* t, const LimKey* k, pair16* s) noexcept nogil:
    # Index of the first cell of the key, with its state; -1 where there is none.
    cdef int i
    for i in range(LIM_WINDOW):
        if lim_shows(t, k, i, s):
            return i
    return -1


cdef int lim_place(LimTable* t, const LimKey* k, uint64_t now_ms, int spare, pair16* placed) noexcept nogil:
    # A provisional cell for a key that has none: the first empty or expired one; else one that another key has only placed; else
    # the one nearest to its end gives way, if the caller evicts (the documented policy of a full window): its `spare` is 0.
    # Another's is how many cells of the window must be empty or expired. What is held has no end and never gives way. -1:
    # somebody was faster. -2: nobody gives way.
    cdef int i
    cdef int free = 0
    cdef int best = -1
    cdef uint64_t best_time = LIM_COUNT_MAX + 1
    cdef uint64_t time
    cdef pair16 s
    cdef pair16 victim
    for i in range(LIM_WINDOW):
        s = at_read16(&lim_cell(t, k, i).state)
        if lim_fp(s) == k.fp:
            return -1
        time = lim_time(s)
        if time < best_time:
            best = i
            best_time = time
            victim = s
        if lim_fp(s) == 0 or 0 < time <= now_ms:
            if free == 0:
                best = i
                best_time = 0
                victim = s
            free += 1
            if free >= spare:
                break
    if best_time >= LIM_HELD_MS or (best_time > now_ms and spare) or (spare > 1 and free < spare):
        return -2
    placed[0] = lim_pack(k.fp, 0, (at_add(t.nonce, 1) + 1) & LIM_COUNT_MAX)
    if not at_cas16(&lim_cell(t, k, best).state, victim, placed[0]):
        return -1
    if best_time > now_ms:
        at_add(t.evictions, 1)
    return best


cdef bint lim_resolve(LimTable* t, const LimKey* k, int at, pair16 own) noexcept nogil:
    # Steps 1 and 2 for the provisional cell at `at`. True: it may be confirmed. False: start again.
    cdef int i
    cdef pair16 s
    cdef pair16 empty = lim_pack(0, 0, 0)
    for i in range(LIM_WINDOW):
        if i == at or not lim_shows(t, k, i, &s):
            continue
        if lim_time(s) != 0 or i < at:
            at_cas16(&lim_cell(t, k, at).state, own, empty)
            return False
        if not at_cas16(&lim_cell(t, k, i).state, s, empty):
            return False
    return True


cdef int lim_claim(
    LimTable* t, const LimKey* k, int at, uint64_t now_ms, int spare, pair16* s, LimCell** cell
) noexcept nogil:
    # From what lim_seek found to a cell that may be counted on by a swap from s. 0: a race was lost, seek again. -1: there is
    # no cell for this key.
    if at < 0:
        at = lim_place(t, k, now_ms, spare, s)
        if at < 0:
            return at + 1
    elif lim_time(s[0]) != 0:
        cell[0] = lim_cell(t, k, at)
        return 1
    cell[0] = lim_cell(t, k, at)
    return lim_resolve(t, k, at, s[0])


cdef bint lim_drop(LimTable* t, const LimKey* k, uint64_t now_ms) noexcept nogil:
    # Forgets the key; whether there was anything to forget.
    cdef pair16 s
    cdef int at
    cdef bint live
    while True:
        at = lim_seek(t, k, &s)
        if at < 0:
            return False
        live = lim_time(s) > now_ms
        if at_cas16(&lim_cell(t, k, at).state, s, lim_pack(0, 0, 0)) and live:
            return True
