# limits_hooks: the limits rooms as tests and benches call them.


def _test_cells(Table table not None) -> list[tuple[int, int, int, int]]:
    """(index, fingerprint, time, count) of every cell that is not empty."""
    cdef uint64_t i
    cdef pair16 s
    found = []
    for i in range(<uint64_t>table.region.table.mask + 1):
        s = at_read16(&table.region.table.cells[i].state)
        if lim_fp(s):
            found.append((i, lim_fp(s), lim_time(s), lim_count(s)))
    return found


def _test_once(Table table not None, bytes key not None, uint64_t now_ns, uint64_t span_ns) -> int:
    """lim_once of a key."""
    cdef LimKey k
    lim_key(&table.region.table, <const uint8_t*>b"once", 4, <const uint8_t*><const char*>key, len(key), &k)
    return lim_once(&table.region.table, &k, now_ns, span_ns)


def _test_siphash(bytes key not None, bytes first not None, bytes last not None) -> bytes:
    """SipHash-1-3-128 of two parts, as lim_key takes them."""
    cdef siphash_state s
    cdef uint64_t k[2]
    cdef uint64_t out[2]
    memcpy(k, <const char*>key, 16)
    siphash_start(&s, k[0], k[1])
    siphash_word(&s, <uint64_t>len(first))
    siphash_padded(&s, <const uint8_t*><const char*>first, len(first))
    siphash_end(&s, <const uint8_t*><const char*>last, len(last), &out[0], &out[1])
    return (<char*>out)[:16]


cdef class _TestHolder:
    """One process slot's view of what is held, for tests."""
    cdef Region region
    cdef HoldLedger ledger
    cdef list held

    def __cinit__(self, Region region not None, int slot):
        self.region = region
        self.held = []
        region.open_ledger(slot, &self.ledger)

    def take(self, bytes key not None, unsigned long long most) -> int:
        """As hold_take; what was taken is kept for give."""
        cdef LimKey k
        cdef Hold hold
        cdef int64_t n
        lim_key(&self.region.table, NULL, 0, <const uint8_t*><const char*>key, len(key), &k)
        n = hold_take(&self.ledger, &k, _now(None) // LIM_MS, most, &hold)
        if n > 0:
            self.held.append((hold.word, hold.at))
        return n

    def give(self, int which=-1) -> None:
        """Gives back one of those taken."""
        cdef Hold hold
        hold.word, hold.at = self.held.pop(which)
        hold_give(&self.ledger, &hold)

    def __dealloc__(self):
        hold_ledger_close(&self.ledger)


def _test_held(Region region not None) -> dict[int, int]:
    """How many are held, by fingerprint, in cells that are marked as such."""
    cdef uint64_t i
    cdef pair16 s
    found = {}
    for i in range(<uint64_t>region.table.mask + 1):
        s = at_read16(&region.table.cells[i].state)
        if hold_is(s):
            found[lim_fp(s)] = hold_n(s)
    return found


def _test_words(Region region not None) -> list[tuple[int, int, int]]:
    """(slot, word, state) of every word that is not free."""
    cdef uint32_t slot, at
    cdef uint64_t w
    found = []
    for slot in range(region.ledgers.slots):
        for at in range(region.ledgers.per_slot):
            w = at_load(hold_word_at(&region.ledgers, slot, at))
            if word_state(w):
                found.append((slot, at, word_state(w)))
    return found


def _bench_hold(_TestHolder holder not None, bytes key not None, int rounds) -> float:
    """Nanoseconds to take and give one, hashing included."""
    cdef timespec a
    cdef timespec b
    cdef LimKey k
    cdef Hold hold
    cdef int i
    cdef uint64_t now = _now(None) // LIM_MS
    cdef const uint8_t* raw = <const uint8_t*><const char*>key
    cdef size_t n = len(key)
    clock_gettime(CLOCK_MONOTONIC, &a)
    with nogil:
        for i in range(rounds):
            lim_key(&holder.region.table, NULL, 0, raw, n, &k)
            if hold_take(&holder.ledger, &k, now, HOLD_MOST, &hold) > 0:
                hold_give(&holder.ledger, &hold)
    clock_gettime(CLOCK_MONOTONIC, &b)
    return ((b.tv_sec - a.tv_sec) * 1e9 + b.tv_nsec - a.tv_nsec) / rounds


def _bench_limit(Limiter limiter not None, bytes key not None, int rounds, int distinct=1, uint64_t first=0) -> float:
    """Nanoseconds per hit, hashing included, on `distinct` keys in turn that begin with a number from `first`."""
    cdef timespec a
    cdef timespec b
    cdef LimKey k
    cdef LimResult r
    cdef int i
    cdef uint64_t now = _now(None)
    cdef uint64_t number = first
    cdef const uint8_t* identity = <const uint8_t*><const char*>limiter.identity
    cdef size_t n = len(limiter.identity)
    cdef uint8_t raw[64]
    cdef size_t m = min(max(len(key), 8), 64)
    memcpy(raw, <const char*>key, min(len(key), 64))
    clock_gettime(CLOCK_MONOTONIC, &a)
    with nogil:
        for i in range(rounds):
            memcpy(raw, &number, 8)
            number = number + 1 if number + 1 < first + <uint64_t>distinct else first
            lim_key(limiter.c.table, identity, n, raw, m, &k)
            limiter_count(&limiter.c, &k, now, 1, &r)
    clock_gettime(CLOCK_MONOTONIC, &b)
    return ((b.tv_sec - a.tv_sec) * 1e9 + b.tv_nsec - a.tv_nsec) / rounds
