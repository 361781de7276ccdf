# cache_zone: what many processes remember in one piece of memory: pairs of a head and a body under keys of 16 bytes, the oldest
# give way to new ones. Nobody takes a lock and nobody waits: room is taken by moving one number on, what is written becomes known
# by one store, and who reads believes only what proves to be whole. A process killed in the middle of writing leaves room that
# nobody knows of, until its turn comes again. Must not know: HTTP, what is remembered, where else it lies.
#
#   head | turns | index: buckets of 8 slots | ring
#
# A place is a number that only grows, its remainder by the ring's size is where it lies. What lies at a place is good until the
# ring's end has moved on by the ring's size. A turn is a count of what is to be forgotten, one for many keys: who fetches
# something looks at its turn before, and what is put in after that moved on is not kept.

cdef enum:
    ZONE_TURNS = 8192
    ZONE_SLOTS = 8              # of a bucket: two cache lines
    ZONE_PER_SLOT = 1024        # bytes of the ring
    ZONE_LEAST = 65536
    ZONE_ALIGN = 64
    ZONE_SHARE = 8              # one thing takes at most this part of the ring

cdef struct ZoneHead:
    uint64_t end                # of the ring: the next place
    uint64_t apart[7]
    uint64_t disk               # bytes that files take, for who keeps them
    uint64_t apart_too[7]

cdef struct ZoneSlot:
    uint64_t tag                # half of the key
    uint64_t at                 # place; 0: free

cdef struct ZoneThing:          # one cache line in front of what was put in
    uint64_t at
    uint64_t lo
    uint64_t hi
    uint64_t head_sum
    uint64_t body_sum
    uint32_t head_len
    uint32_t body_len
    uint64_t apart[2]

cdef struct ZoneC:
    ZoneHead* head
    uint64_t* turns
    ZoneSlot* slots
    uint64_t mask               # of buckets
    char* ring
    uint64_t size

cdef struct ZoneKey:
    uint64_t lo
    uint64_t hi


cdef uint64_t zone_sum(const char* p, size_t n) noexcept nogil:
    # Tells bytes of two writers apart; it defends against nobody, for all who can write here are this gateway. Four lanes, as one
    # would wait for its own multiplications.
    cdef uint64_t lanes[4]
    cdef uint64_t words[4]
    cdef uint64_t rest = 0
    cdef int i
    cdef size_t left = n
    for i in range(4):
        lanes[i] = 0x9E3779B97F4A7C15ULL + i
    while left >= 32:
        memcpy(words, p, 32)
        for i in range(4):
            lanes[i] = (lanes[i] ^ words[i]) * 0x2127599BF4325C37ULL
            lanes[i] ^= lanes[i] >> 29
        p += 32
        left -= 32
    while left:
        rest = n if left > 8 else n ^ 1
        words[0] = 0
        memcpy(words, p, min(left, <size_t>8))
        lanes[0] = (lanes[0] ^ words[0] ^ rest) * 0x2127599BF4325C37ULL
        lanes[0] ^= lanes[0] >> 29
        p += min(left, <size_t>8)
        left -= min(left, <size_t>8)
    rest = n
    for i in range(4):
        rest = (rest ^ lanes[i]) * 0x880355F21E6D1965ULL
        rest ^= rest >> 32
    return rest


cdef uint64_t* zone_turn(const ZoneC* z, const ZoneKey* k) noexcept nogil:
    return &z.turns[k.hi & (ZONE_TURNS - 1)]


cdef bint zone_whole(const ZoneC* z, uint64_t at) noexcept nogil:
    # Whether what was put there is still there.
    return at_load(&z.head.end) <= at + z.size


cdef bint zone_find(const ZoneC* z, const ZoneKey* k, ZoneThing* thing, Buf* head) noexcept nogil:
    # Appends the head; the body is what zone_body gives, of the thing found here.
    cdef ZoneSlot* slot = &z.slots[(k.lo & z.mask) * ZONE_SLOTS]
    cdef uint32_t before = head.len
    cdef uint64_t at, off
    cdef int i
    for i in range(ZONE_SLOTS):
        if at_load_relaxed(&slot[i].tag) != k.hi:
            continue
        at = at_load(&slot[i].at)
        if at == 0 or not zone_whole(z, at):
            continue
        off = at % z.size
        memcpy(thing, z.ring + off, sizeof(ZoneThing))
        if (thing.at != at or thing.lo != k.lo or thing.hi != k.hi
                or off + sizeof(ZoneThing) + <uint64_t>thing.head_len + thing.body_len > z.size):
            continue
        buf_put(head, z.ring + off + sizeof(ZoneThing), thing.head_len)
        if head.failed:
            return False
        if zone_sum(head.p + before, thing.head_len) == thing.head_sum and zone_whole(z, at):
            return True
        head.len = before
    return False


cdef bint zone_body(const ZoneC* z, const ZoneThing* thing, Buf* body) noexcept nogil:
    cdef uint32_t before = body.len
    buf_put(body, z.ring + thing.at % z.size + sizeof(ZoneThing) + thing.head_len, thing.body_len)
    if body.failed:
        return False
    if zone_sum(body.p + before, thing.body_len) == thing.body_sum and zone_whole(z, thing.at):
        return True
    body.len = before
    return False


cdef bint zone_put(ZoneC* z, const ZoneKey* k, const char* head, size_t head_len, const char* body,
                   size_t body_len) noexcept nogil:
    cdef uint64_t need = (sizeof(ZoneThing) + head_len + body_len + ZONE_ALIGN - 1) & ~(<uint64_t>ZONE_ALIGN - 1)
    cdef uint64_t seen, at
    cdef char* to
    cdef ZoneThing thing
    if need > z.size // ZONE_SHARE:
        return False
    while True:
        seen = at = at_load(&z.head.end)
        if at % z.size + need > z.size:
            at += z.size - at % z.size
        if at_cas(&z.head.end, seen, at + need):
            break
    to = z.ring + at % z.size
    memset(&thing, 0, sizeof(thing))
    thing.at = at
    thing.lo = k.lo
    thing.hi = k.hi
    thing.head_len = <uint32_t>head_len
    thing.body_len = <uint32_t>body_len
    thing.head_sum = zone_sum(head, head_len)
    thing.body_sum = zone_sum(body, body_len)
    memcpy(to, &thing, sizeof(thing))
    if head_len:
        memcpy(to + sizeof(thing), head, head_len)
    if body_len:
        memcpy(to + sizeof(thing) + head_len, body, body_len)
    zone_tell(z, k, at)
    return True


cdef void zone_tell(ZoneC* z, const ZoneKey* k, uint64_t at) noexcept nogil:
    # Two that take one slot at a time: one of them is not known, or each is looked for under the other's tag and not believed.
    cdef ZoneSlot* slot = &z.slots[(k.lo & z.mask) * ZONE_SLOTS]
    cdef int i
    cdef int oldest = 0
    cdef uint64_t seen
    cdef uint64_t least = <uint64_t>-1
    for i in range(ZONE_SLOTS):
        seen = at_load(&slot[i].at)
        if at_load_relaxed(&slot[i].tag) == k.hi:
            oldest = i
            break
        if seen < least:        # a free one comes first
            least = seen
            oldest = i
    at_store(&slot[oldest].at, 0)
    at_store(&slot[oldest].tag, k.hi)
    at_store(&slot[oldest].at, at)


cdef int zone_drop(ZoneC* z, const ZoneKey* k) noexcept nogil:
    # How many there were.
    cdef ZoneSlot* slot = &z.slots[(k.lo & z.mask) * ZONE_SLOTS]
    cdef uint64_t at
    cdef int i
    cdef int found = 0
    for i in range(ZONE_SLOTS):
        at = at_load(&slot[i].at)
        if at and at_load(&slot[i].tag) == k.hi and at_cas(&slot[i].at, at, 0):
            found += zone_whole(z, at)
    return found


cdef class CacheZone:
    """A zone in `memory`, a writable buffer that starts as zeros and that all processes share; `secret`, 16 bytes, is what keys
    are made with (native/proxy_cache)."""
    cdef ZoneC c
    cdef Py_buffer view
    cdef uint64_t seed[2]

    def __cinit__(self, memory not None, bytes secret not None):
        cdef uint64_t fixed = sizeof(ZoneHead) + ZONE_TURNS * sizeof(uint64_t)
        cdef uint64_t buckets = 1
        cdef char* base
        if len(secret) != 16:
            raise ValueError(f"secret: expected 16 bytes, found {len(secret)}")
        memcpy(self.seed, <const char*>secret, 16)
        PyObject_GetBuffer(memory, &self.view, PyBUF_WRITABLE)
        if <uint64_t>self.view.len < fixed + 2 * ZONE_LEAST:
            raise ValueError(f"memory: expected at least {fixed + 2 * ZONE_LEAST} bytes, found {self.view.len}")
        while buckets * 2 * ZONE_SLOTS * ZONE_PER_SLOT <= <uint64_t>self.view.len:
            buckets *= 2
        base = <char*>self.view.buf
        self.c.head = <ZoneHead*>base
        self.c.turns = <uint64_t*>(base + sizeof(ZoneHead))
        self.c.slots = <ZoneSlot*>(base + fixed)
        self.c.mask = buckets - 1
        self.c.ring = base + fixed + buckets * ZONE_SLOTS * sizeof(ZoneSlot)
        self.c.size = (<uint64_t>(base + self.view.len - self.c.ring)) & ~(<uint64_t>ZONE_ALIGN - 1)
        at_cas(&self.c.head.end, 0, ZONE_ALIGN)     # no place is 0

    def __dealloc__(self):
        if self.c.head != NULL:
            PyBuffer_Release(&self.view)

    @property
    def most(self) -> int:
        """Bytes of the longest thing, head and body together."""
        return (self.c.size // ZONE_SHARE & ~(<uint64_t>ZONE_ALIGN - 1)) - sizeof(ZoneThing)

    def get(self, bytes key not None) -> tuple[bytes, bytes] | None:
        """The head and the body under a key of 16 bytes."""
        cdef ZoneKey k = zone_key(key)
        cdef ZoneThing thing
        cdef Buf head, body
        memset(&head, 0, sizeof(Buf))
        memset(&body, 0, sizeof(Buf))
        try:
            if zone_find(&self.c, &k, &thing, &head) and zone_body(&self.c, &thing, &body):
                return (head.p[:head.len] if head.len else b""), (body.p[:body.len] if body.len else b"")
            return None
        finally:
            buf_free(&head)
            buf_free(&body)

    def put(self, bytes key not None, bytes head not None, bytes body not None) -> bool:
        """Remembers it in place of what was there; False where it is too long."""
        cdef ZoneKey k = zone_key(key)
        return zone_put(&self.c, &k, head, len(head), body, len(body))

    def drop(self, bytes key not None) -> bool:
        """Forgets it; whether there was anything."""
        cdef ZoneKey k = zone_key(key)
        return zone_drop(&self.c, &k) > 0

    def turn(self, bytes key not None) -> int:
        """To be looked at before something is fetched that is to be put in under the key, and again after it was."""
        cdef ZoneKey k = zone_key(key)
        return at_load(zone_turn(&self.c, &k))

    def move_on(self, bytes key not None) -> None:
        """What is being fetched for the key is not to be kept."""
        cdef ZoneKey k = zone_key(key)
        at_add(zone_turn(&self.c, &k), 1)

    def disk(self, long long change=0) -> int:
        """Bytes that files take, after that change."""
        return <int64_t>(at_add(&self.c.head.disk, <uint64_t>change) + <uint64_t>change)


cdef ZoneKey zone_key(bytes key):
    cdef ZoneKey k
    if len(key) != 16:
        raise ValueError(f"key: expected 16 bytes, found {len(key)}")
    memcpy(&k, <const char*>key, 16)
    return k
