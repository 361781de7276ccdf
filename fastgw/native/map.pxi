# map: byte string -> pointer, see map.pxd. FNV-1a, because the router needs the hash of every prefix of a path in one
# pass over it. Keys are the operator's, so hash flooding is not a threat: clients only look up.

cdef enum:
    MAP_FREE_NUMERATOR = 2      # a shard is at most 1/2 full: short probes
    MAP_LEAST = 4               # entries of the smallest shard


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


cdef inline uint32_t map_slot(uint64_t h) noexcept nogil:
    return <uint32_t>(h ^ (h >> 32))


cdef inline uint32_t map_shard(const Map* m, uint64_t h) noexcept nogil:
    # The last bytes of a key reach the upper bits of FNV-1a hardly at all, and keys differ there: one multiplication by
    # 2**64 / golden ratio (Knuth 6.4) spreads them, and its top bits are other ones than the slot's.
    return <uint32_t>((h * 0x9e3779b97f4a7c15ULL) >> 48) & m.shard_mask


cdef inline void* shard_get(const MapShard* s, uint64_t h, const char* key, size_t n) noexcept nogil:
    cdef uint32_t i
    cdef const MapEntry* e
    if s.entries == NULL:
        return NULL
    i = map_slot(h) & s.mask
    while True:
        e = &s.entries[i]
        if e.value == NULL:
            return NULL
        if e.hash == h and e.len == n and memcmp(e.key, key, n) == 0:
            return e.value
        i = (i + 1) & s.mask


cdef inline void* map_get_hashed(const Map* m, uint64_t h, const char* key, size_t n) noexcept nogil:
    if m.shards == NULL:
        return NULL
    return shard_get(&m.shards[map_shard(m, h)], h, key, n)


cdef inline void* map_get(const Map* m, const char* key, size_t n) noexcept nogil:
    return map_get_hashed(m, map_hash(key, n), key, n)


cdef int shard_room(MapShard* s, uint32_t keys) except -1:
    # Makes the table large enough for so many keys.
    cdef MapEntry* old = s.entries
    cdef uint32_t had = s.mask + 1 if old != NULL else 0
    cdef uint32_t size = MAP_LEAST
    cdef uint32_t i
    while size < keys * MAP_FREE_NUMERATOR:
        size *= 2
    if size <= had:
        return 0
    s.entries = <MapEntry*>calloc(size, sizeof(MapEntry))
    if s.entries == NULL:
        s.entries = old
        raise MemoryError
    s.mask = size - 1
    s.used = 0
    for i in range(had):
        if old[i].value != NULL:
            shard_set(s, old[i].hash, old[i].key, old[i].len, old[i].value)
    free(old)
    return 0


cdef void shard_set(MapShard* s, uint64_t h, const char* key, size_t n, void* value) noexcept:
    # There is room (shard_room). A key that is there keeps its bytes, which somebody holds, and gets the new value.
    cdef uint32_t i = map_slot(h) & s.mask
    cdef MapEntry* e
    while True:
        e = &s.entries[i]
        if e.value == NULL:
            break
        if e.hash == h and e.len == n and memcmp(e.key, key, n) == 0:
            e.value = value
            return
        i = (i + 1) & s.mask
    s.used += 1
    e.hash = h
    e.key = key
    e.len = <uint32_t>n
    e.value = value


cdef void shard_drop(MapShard* s, uint64_t h, const char* key, size_t n) noexcept:
    # Entries behind the hole move into it while that brings them nearer to their slot (Knuth 6.4, algorithm R).
    cdef uint32_t i = map_slot(h) & s.mask
    cdef uint32_t j
    while True:
        if s.entries[i].value == NULL:
            return
        if s.entries[i].hash == h and s.entries[i].len == n and memcmp(s.entries[i].key, key, n) == 0:
            break
        i = (i + 1) & s.mask
    j = i
    while True:
        j = (j + 1) & s.mask
        if s.entries[j].value == NULL:
            break
        if ((j - map_slot(s.entries[j].hash)) & s.mask) >= ((j - i) & s.mask):
            s.entries[i] = s.entries[j]
            i = j
    memset(&s.entries[i], 0, sizeof(MapEntry))
    s.used -= 1


cdef int shard_copy(MapShard* out, const MapShard* s) except -1:
    out[0] = s[0]
    if s.entries == NULL:
        return 0
    out.entries = <MapEntry*>malloc((s.mask + 1) * sizeof(MapEntry))
    if out.entries == NULL:
        raise MemoryError
    memcpy(out.entries, s.entries, (s.mask + 1) * sizeof(MapEntry))
    return 0
