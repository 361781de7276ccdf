# hot: which keys limits are asked of most. A cell knows a key by its hash alone; so of many hits one is written down, with the
# names, in a ring of the process's slot. Who reads all rings has a sample of the last hits. Must not know: who reads, what is
# limited.
#
# An entry is written between two changes of its turn, and who finds it odd or changed leaves it out; a writer that was killed
# in between leaves it odd until the slot's next process comes round. Nothing is counted by what stands here.


cdef void hot_ring_open(HotRing* r, HotEntry* entries, uint64_t seed) noexcept nogil:
    r.entries = entries
    r.at = 0
    r.left = 1
    r.gap = 1
    r.random = <uint32_t>((seed * 2 + 1) * <uint64_t>2654435761)    # never 0
    r.who = NULL


cdef inline uint32_t hot_every(const HotRing* r, uint64_t now_ms) noexcept nogil:
    # The mean gap: so many hits as there were lately in the time that samples are to be apart.
    cdef uint64_t hits = 0
    cdef int i
    for i in range(HOT_LOOK_BACK):
        hits += r.entries[(r.at + HOT_ENTRIES - <uint32_t>i) % HOT_ENTRIES].hits
    now_ms -= r.entries[(r.at + HOT_ENTRIES - HOT_LOOK_BACK) % HOT_ENTRIES].time_ms
    return <uint32_t>max(min(hits * HOT_SPACING_MS // max(now_ms, <uint64_t>1), <uint64_t>HOT_EVERY), <uint64_t>1)


cdef inline uint32_t hot_random(HotRing* r) noexcept nogil:
    # xorshift. Gaps that do not vary would show only one of two limits that each request meets.
    r.random ^= r.random << 13
    r.random ^= r.random >> 17
    r.random ^= r.random << 5
    return r.random


cdef void hot_sample(HotRing* r, const void* who, uint64_t now_ns, const LimKey* k, const char* identity, size_t n,
                     const char* key, size_t m) noexcept nogil:
    cdef HotEntry* e = &r.entries[r.at]
    cdef uint64_t turn = at_load_relaxed(&e.turn) | 1
    cdef uint64_t now_ms = now_ns // LIM_MS
    at_store(&e.turn, turn)
    e.time_ms = now_ms
    e.fp = k.fp
    e.refused = 0
    e.hits = r.gap
    e.cut = n > HOT_IDENTITY or m > HOT_KEY
    e.identity_len = <uint8_t>min(n, <size_t>HOT_IDENTITY)
    e.key_len = <uint8_t>min(m, <size_t>HOT_KEY)
    memcpy(e.identity, identity, e.identity_len)
    if e.key_len:
        memcpy(e.key, key, e.key_len)
    at_store(&e.turn, turn + 1)
    r.gap = 1 + hot_random(r) % (2 * hot_every(r, now_ms) - 1)
    r.left = r.gap
    r.at = (r.at + 1) % HOT_ENTRIES
    r.who = who


cdef inline void hot_hit(HotRing* r, const void* who, uint64_t now_ns, const LimKey* k, const char* identity, size_t n,
                         const char* key, size_t m) noexcept nogil:
    # At every hit on a limit.
    r.left -= 1
    if r.left == 0:
        hot_sample(r, who, now_ns, k, identity, n, key, m)


cdef inline void hot_refused(HotRing* r, const void* who) noexcept nogil:
    # The hit before was refused; if it is a sample, that is noted. One whose verdict comes after other hits is not told.
    if r.left == r.gap and r.who == who:
        at_store_relaxed(&r.entries[(r.at + HOT_ENTRIES - 1) % HOT_ENTRIES].refused, 1)


class Sample(_NamedTuple):
    """One hit that was written down, and how many it stands for.

    slot: of the process that saw it
    time: in ms of CLOCK_MONOTONIC
    fp: tells keys apart that are longer than what is here
    cut: whether the identity or the key is
    """

    slot: int
    time: int
    hits: int
    refused: bool
    identity: bytes
    key: bytes
    fp: int
    cut: bool


cdef hot_read(const HotEntry* shared, int slot, uint64_t since_ms):
    # None: of no use, or being written.
    cdef HotEntry e
    cdef uint64_t turn = at_load(&shared.turn)
    memcpy(&e, shared, sizeof(HotEntry))
    if turn & 1 or at_load(&shared.turn) != turn or e.time_ms == 0 or e.time_ms < since_ms:
        return None
    if e.identity_len > HOT_IDENTITY or e.key_len > HOT_KEY:
        return None             # nobody of this region wrote that
    return Sample(slot, e.time_ms, e.hits, bool(e.refused), e.identity[:e.identity_len], e.key[:e.key_len], e.fp, bool(e.cut))


cdef hot_samples(Region region, uint64_t since_ms):
    cdef int slot, i
    found = []
    for slot in range(region.slot_count):
        if at_load(&region.slots[slot].generation) == 0:
            continue            # never used: to look would give its pages memory
        for i in range(HOT_ENTRIES):
            sample = hot_read(&region.hot_first[slot * HOT_ENTRIES + i], slot, since_ms)
            if sample is not None:
                found.append(sample)
    return found
