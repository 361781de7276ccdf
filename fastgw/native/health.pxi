# health: how each address of an upstream's node stands: counters of what was seen of it, by checks and by requests, and the state
# that follows, as lua-resty-healthcheck has them. Must not know: upstreams, who reports, what a report rests on.
#
# All that is known of an address is one word, which changes, together with whose it is, by one 16-byte compare-and-swap: so a
# killed process leaves a whole state behind, and a report about an address that is not checked any more changes nothing.
#
# One process gives and takes places, the admin process; all others only look. An address without a place counts as well: it is
# new and gets one soon, or the table is full.


cdef inline bint health_unwell(uint64_t word) noexcept nogil:
    return word >> 33 & 1


cdef uint64_t health_after(uint64_t word, int report, uint32_t limit) noexcept nogil:
    # The word after a report, of which `limit` in a row decide; 0: none of its kind ever does.
    cdef bint well = report == HEALTH_SUCCESS
    cdef uint64_t state = word >> 32 & 3
    cdef uint64_t n = word >> (8 * report) & 0xff
    if limit == 0 or state == <uint64_t>(HEALTH_WELL if well else HEALTH_UNWELL):
        return word             # beyond doubt already
    n = min(n + 1, <uint64_t>0xff)
    word = (word & ~(<uint64_t>0xff << (8 * report))) | n << (8 * report)
    word &= <uint64_t>0xff if well else <uint64_t>0xffffff00    # a success clears failures of all kinds, a failure the successes
    if n >= limit:
        state = HEALTH_WELL if well else HEALTH_UNWELL
    elif state == HEALTH_WELL:
        state = HEALTH_MOSTLY_WELL
    elif state == HEALTH_UNWELL:
        state = HEALTH_MOSTLY_UNWELL
    return word | state << 32


cdef inline HealthPlace* health_place(const HealthTable* t, uint64_t who, int i) noexcept nogil:
    return &t.places[(<uint32_t>who + <uint32_t>i) & (HEALTH_PLACES - 1)]


cdef HealthPlace* health_find(const HealthTable* t, uint64_t who) noexcept nogil:
    # NULL: it has no place.
    cdef int i
    for i in range(HEALTH_WINDOW):
        if at_load_relaxed(&health_place(t, who, i).v.lo) == who:
            return health_place(t, who, i)
    return NULL


cdef uint64_t health_report(HealthPlace* p, uint64_t who, int report, uint32_t limit) noexcept nogil:
    # The word as it stands then.
    cdef pair16 before, after
    cdef int attempt
    for attempt in range(HEALTH_TRIES):
        before = at_read16(&p.v)
        if before.lo != who:
            return 0
        after.lo = who
        after.hi = health_after(before.hi, report, limit)
        if after.hi == before.hi or at_cas16(&p.v, before, after):
            return after.hi
        at_pause()
    return at_load_relaxed(&p.v.hi)


cdef bint health_add(const HealthTable* t, uint64_t who) noexcept nogil:
    # Gives it a place, as well, if it has none. False: all it could have are taken.
    cdef pair16 mine, nobodys
    cdef int i
    mine.lo, mine.hi = who, 0
    nobodys.lo = nobodys.hi = 0
    if health_find(t, who) != NULL:
        return True
    for i in range(HEALTH_WINDOW):
        if at_cas16(&health_place(t, who, i).v, nobodys, mine):
            # After the place: who reads the new number finds it. Before any report of this process on it: who learns from it how
            # the address stands then meets no worker that does not know of the place yet.
            at_add(t.given, 1)
            return True
    return False


cdef void health_drop(const HealthTable* t, uint64_t who) noexcept nogil:
    # Also a second place, which two admin processes could give it, one that ends and one that begins.
    cdef pair16 mine, nobodys
    cdef int i
    nobodys.lo = nobodys.hi = 0
    for i in range(HEALTH_WINDOW):
        mine = at_read16(&health_place(t, who, i).v)
        while mine.lo == who and not at_cas16(&health_place(t, who, i).v, mine, nobodys):
            mine = at_read16(&health_place(t, who, i).v)


cdef uint64_t health_node(const HealthTable* t, const uint8_t* owner, size_t n, const uint8_t* node, size_t m) noexcept nogil:
    # A node of an object, whatever its addresses are. The length of the first part goes first: no two pairs make the same bytes.
    cdef siphash_state s
    cdef uint64_t lo, hi
    siphash_start(&s, t.seed[0], t.seed[1])
    siphash_word(&s, n)
    siphash_padded(&s, owner, n)
    siphash_end(&s, node, m, &lo, &hi)
    return lo


cdef uint64_t health_who(const HealthTable* t, uint64_t node, const sockaddr_storage* address) noexcept nogil:
    # One address of a node. The port is the node's, and a unix socket's path is its name: both are in that already.
    cdef siphash_state s
    cdef uint64_t lo, hi
    siphash_start(&s, t.seed[0], t.seed[1])
    siphash_word(&s, node)
    if address.ss_family == AF_INET:
        siphash_end(&s, <const uint8_t*>&(<const sockaddr_in*>address).sin_addr, 4, &lo, &hi)
    elif address.ss_family == AF_INET6:
        siphash_end(&s, <const uint8_t*>&(<const sockaddr_in6*>address).sin6_addr, 16, &lo, &hi)
    else:
        siphash_end(&s, NULL, 0, &lo, &hi)
    return lo if lo else 1


HEALTH_STATES = ("healthy", "mostly_healthy", "unhealthy", "mostly_unhealthy")
HEALTH_REPORTS = ("success", "http_failure", "tcp_failure", "timeout_failure")


class NodeHealth(_NamedTuple):
    """How an address stands, and what was counted of it; the counters are those of HEALTH_REPORTS."""

    state: str
    counters: tuple[int, int, int, int]

    @property
    def well(self) -> bool:
        """Whether it takes requests."""
        return self.state in HEALTH_STATES[:2]


cdef health_view(uint64_t word):
    return NodeHealth(HEALTH_STATES[word >> 32 & 3], tuple([word >> (8 * i) & 0xff for i in range(4)]))


cdef class Health:
    """The table of a region. Addresses are known by a number, see `who`."""
    cdef Region region
    cdef const HealthTable* table

    def __cinit__(self, Region region not None):
        self.region = region
        self.table = &region.health

    def who(self, str owner not None, str node not None, str address not None) -> int:
        """The number of one address of a node of an object: "upstreams/1", "a.test:80", "192.0.2.1". Of a unix socket the address
        is empty."""
        cdef sockaddr_storage a
        cdef bytes raw_owner = owner.encode(), raw_node = node.encode()
        memset(&a, 0, sizeof(a))
        if address:
            sockaddr_set(&a, address, 0, node)
        return health_who(self.table, health_node(self.table, raw_owner, len(raw_owner), raw_node, len(raw_node)), &a)

    def begin(self) -> None:
        """For the admin process alone, once: a place that its predecessor gave just before it was killed may not be counted."""
        at_add(self.table.given, 1)

    def add(self, uint64_t who) -> bool:
        """From now on it is judged, as well at first if it is new; False: there is no room. For the admin process alone."""
        return health_add(self.table, who)

    def drop(self, uint64_t who) -> None:
        """It is forgotten. For the admin process alone."""
        health_drop(self.table, who)

    def known(self) -> list[int]:
        """All that have a place."""
        return [at_load(&self.table.places[i].v.lo) for i in range(HEALTH_PLACES) if at_load(&self.table.places[i].v.lo)]

    def look(self, uint64_t who) -> NodeHealth | None:
        """How it stands; None: it is not judged."""
        cdef HealthPlace* p = health_find(self.table, who)
        cdef pair16 v
        if p == NULL:
            return None
        v = at_read16(&p.v)
        return health_view(v.hi) if v.lo == who else None

    def report(self, uint64_t who, str report not None, uint32_t limit) -> NodeHealth | None:
        """What was seen of it, one of HEALTH_REPORTS, of which `limit` in a row decide; how it stands then."""
        cdef HealthPlace* p = health_find(self.table, who)
        cdef int number = HEALTH_REPORTS.index(report)
        if p == NULL:
            return None
        return health_view(health_report(p, who, number, limit))


def _test_health(uint64_t word, str report not None, uint32_t limit) -> int:
    """The word after a report."""
    return health_after(word, HEALTH_REPORTS.index(report), limit)
