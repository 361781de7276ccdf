# random: unpredictable bytes from the kernel, straight for keys and through a pool for what a request needs. A pool belongs to
# one Loop, which is made after the fork: processes that shared one would give the same bytes. Must not know what they are for.


cdef void random_fill(void* p, size_t n) noexcept nogil:
    # getrandom(2) without flags fails for a caller like this one only by being interrupted, and beyond 256 bytes may give less.
    cdef uint8_t* at = <uint8_t*>p
    cdef ssize_t got
    while n:
        got = getrandom(at, n, 0)
        if got > 0:
            at += got
            n -= <size_t>got
        elif errno != EINTR:
            abort()             # a kernel without it, or a filter that forbids it: nothing predictable may stand in


cdef inline const uint8_t* random_take(RandomPool* pool, uint32_t n) noexcept nogil:
    # n bytes, at most RANDOM_BYTES, that nobody else gets; good until the next call.
    if pool.left < n:
        random_fill(pool.bytes, RANDOM_BYTES)
        pool.left = RANDOM_BYTES
    pool.left -= n
    return pool.bytes + pool.left


cdef inline uint8_t random_byte(RandomPool* pool) noexcept nogil:
    return random_take(pool, 1)[0]
