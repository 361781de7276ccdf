# Atomics on shared memory; see atomics.h.

cdef extern from "atomics.h" nogil:
    ctypedef struct pair16:
        uint64_t lo
        uint64_t hi
    uint64_t at_load(const uint64_t* p)
    void at_store(uint64_t* p, uint64_t v)
    uint64_t at_add(uint64_t* p, uint64_t v)
    uint64_t at_load_relaxed(const uint64_t* p)
    void at_store_relaxed(uint64_t* p, uint64_t v)
    bint at_cas(uint64_t* p, uint64_t expected, uint64_t desired)
    void at_max(uint64_t* p, uint64_t v)
    pair16 at_read16(const pair16* p)
    void at_pause()
    int at_cas16(pair16* p, pair16 expected, pair16 desired)
