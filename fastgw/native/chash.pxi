# chash: rings of consistent hashing, point for point those of lua-resty-balancer's resty.chash, so that a key finds the node
# that APISIX would give it. Must not know upstreams, requests, what a key is made of.

from math import gcd as _gcd

cdef uint32_t CRC32_ONES = <uint32_t>0xFFFFFFFF
cdef uint32_t[256] CRC32_TABLE


cdef void crc32_fill() noexcept:
    # The reflected polynomial of ISO 3309, which zlib and ngx.crc32_short use.
    cdef uint32_t i, c
    cdef int bit
    for i in range(256):
        c = i
        for bit in range(8):
            c = c >> 1 ^ (<uint32_t>0xEDB88320 if c & 1 else 0)
        CRC32_TABLE[i] = c


crc32_fill()


cdef inline uint32_t crc32_run(uint32_t c, const char* p, size_t n) noexcept nogil:
    # The bare register, without the inversions before and after.
    cdef size_t i
    for i in range(n):
        c = CRC32_TABLE[(c ^ <uint8_t>p[i]) & 0xFF] ^ c >> 8
    return c


cdef inline uint32_t crc32_of(const char* p, size_t n) noexcept nogil:
    return crc32_run(CRC32_ONES, p, n) ^ CRC32_ONES


cdef void chash_add(ChashPoint* points, uint32_t n, uint32_t base, uint32_t node) noexcept nogil:
    # n points of a node whose id has the CRC `base`: each is the CRC of the one before, from a register that starts at `base`.
    cdef uint32_t hash = 0
    cdef uint32_t i, c
    cdef int k
    for i in range(n):
        c = base
        for k in range(4):
            c = CRC32_TABLE[(c ^ hash >> 8 * k) & 0xFF] ^ c >> 8
        hash = c ^ CRC32_ONES
        points[i].hash = hash
        points[i].node = node


cdef void chash_sort(ChashPoint* points, ChashPoint* scratch, uint32_t n) noexcept nogil:
    # By radix, a byte at a time: a ring of many points is made while a worker serves.
    cdef uint32_t[257] starts
    cdef uint32_t i, at
    cdef int byte
    for byte in range(0, 32, 8):
        memset(starts, 0, sizeof(starts))
        for i in range(n):
            starts[(points[i].hash >> byte & 0xFF) + 1] += 1
        for i in range(256):
            starts[i + 1] += starts[i]
        for i in range(n):
            at = points[i].hash >> byte & 0xFF
            scratch[starts[at]] = points[i]
            starts[at] += 1
        points, scratch = scratch, points


cdef int chash_make(Chash* ring, nodes) except -1:
    # A ring of (index, id, weight), the weights divided by their greatest common divisor. No points without a weight.
    cdef ChashPoint* scratch
    cdef uint32_t at = 0
    cdef uint32_t n
    cdef bytes id
    divisor = _gcd(*[weight for _, _, weight in nodes]) or 1
    units = [weight // divisor for _, _, weight in nodes]
    total = sum(units)
    if total > CHASH_UNITS_MOST:
        units = [min(unit, max(1, unit * CHASH_UNITS_MOST // total)) for unit in units]
    ring.n = sum(units) * CHASH_POINTS
    if ring.n == 0:
        return 0
    ring.points = <ChashPoint*>malloc(ring.n * sizeof(ChashPoint))
    scratch = <ChashPoint*>malloc(ring.n * sizeof(ChashPoint))
    if ring.points == NULL or scratch == NULL:
        free(scratch)
        raise MemoryError
    for (index, id, _), unit in zip(nodes, units):
        n = unit * CHASH_POINTS
        chash_add(ring.points + at, n, crc32_of(id, len(id)), index)
        at += n
    chash_sort(ring.points, scratch, ring.n)
    free(scratch)
    return 0


cdef uint32_t chash_find(const Chash* ring, uint32_t hash) noexcept nogil:
    # The greatest point that is not above the hash; below the first one, that one. The ring has points.
    cdef uint32_t low = 0
    cdef uint32_t high = ring.n
    cdef uint32_t middle
    while low < high:
        middle = low + (high - low) // 2
        if ring.points[middle].hash <= hash:
            low = middle + 1
        else:
            high = middle
    return low - 1 if low else 0


def _test_chash(nodes, keys) -> list:
    """Of each key the index of its node, on a ring of (id, weight)."""
    cdef Chash ring
    cdef bytes key
    memset(&ring, 0, sizeof(ring))
    try:
        chash_make(&ring, [(i, id, weight) for i, (id, weight) in enumerate(nodes)])
        return [ring.points[chash_find(&ring, crc32_of(key, len(key)))].node if ring.n else -1 for key in keys]
    finally:
        free(ring.points)
