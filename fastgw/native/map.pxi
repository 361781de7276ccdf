# map: byte string -> pointer, see map.pxd. FNV-1a, because the router needs the hash of every prefix of a path in one
# pass over it. Keys are the operator's, so hash flooding is not a threat: clients only look up.

cdef enum:
    MAP_FREE_NUMERATOR = 2      # at most 1/2 full: short probes


cdef inline uint64_t map_hash_start() noexcept nogil:
    return 0xcbf29ce484222325ULL


cdef inline uint64_t map_hash_byte(uint64_t h, uint8_t c) noexcept nogil:
    return (h ^ c) * 0x100000001b3ULL


cdef inline uint64_t map_hash(const char* key, size_t n) noexcept nogil:
    cdef uint64_t h = map_hash_start()
    cdef size_t i
    for i in range(n):
        h = map_hash_byte(h, <uint8_t>key[i])
    return h


cdef int map_init(Map* m, uint32_t keys) except -1 nogil:
    cdef uint32_t size = 8
    while size < keys * MAP_FREE_NUMERATOR:
        size *= 2
    m.entries = <MapEntry*>calloc(size, sizeof(MapEntry))
    if m.entries == NULL:
        with gil:
            raise MemoryError
    m.mask = size - 1
    m.used = 0
    return 0


cdef inline uint32_t map_slot(uint64_t h) noexcept nogil:
    return <uint32_t>(h ^ (h >> 32))


cdef inline void* map_get_hashed(const Map* m, uint64_t h, const char* key, size_t n) noexcept nogil:
    cdef uint32_t i
    cdef const MapEntry* e
    if m.entries == NULL:
        return NULL
    i = map_slot(h) & m.mask
    while True:
        e = &m.entries[i]
        if e.value == NULL:
            return NULL
        if e.hash == h and e.len == n and memcmp(e.key, key, n) == 0:
            return e.value
        i = (i + 1) & m.mask


cdef inline void* map_get(const Map* m, const char* key, size_t n) noexcept nogil:
    return map_get_hashed(m, map_hash(key, n), key, n)


cdef void map_set(Map* m, const char* key, size_t n, void* value) noexcept nogil:
    # The table was sized for all keys by map_init; setting a key again replaces its value.
    cdef uint64_t h = map_hash(key, n)
    cdef uint32_t i = map_slot(h) & m.mask
    cdef MapEntry* e
    while True:
        e = &m.entries[i]
        if e.value == NULL or (e.hash == h and e.len == n and memcmp(e.key, key, n) == 0):
            break
        i = (i + 1) & m.mask
    if e.value == NULL:
        m.used += 1
    e.hash = h
    e.key = key
    e.len = <uint32_t>n
    e.value = value


cdef void map_free(Map* m) noexcept nogil:
    free(m.entries)
    m.entries = NULL
    m.used = m.mask = 0
