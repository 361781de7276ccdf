# Rate-limit cells in shared memory. See cells.h for a cell's bits and limits.pxi for the protocol.

cdef extern from "cells.h" nogil:
    uint64_t LIM_COUNT_MAX "LIM_BITS40"     # 40 bits
    uint64_t lim_fp(pair16 s)
    uint64_t lim_count(pair16 s)
    uint64_t lim_time(pair16 s)
    pair16 lim_pack(uint64_t fp, uint64_t time, uint64_t count)
    int lim_gcra(pair16 old, int fresh, uint64_t fp, uint64_t now_ns, uint64_t count, uint64_t window_ns, uint64_t burst,
                 uint64_t cost, pair16* state, uint64_t* left, uint64_t* full_ns, uint64_t* retry_ns)

cdef extern from "siphash.h" nogil:
    ctypedef struct siphash_state:
        uint64_t total
    void siphash_start(siphash_state* s, uint64_t k0, uint64_t k1)
    void siphash_feed(siphash_state* s, const void* data, size_t n)
    void siphash_end(siphash_state* s, uint64_t* lo, uint64_t* hi)

cdef enum:
    LIM_WINDOW = 16             # cells looked at for one key; at half load one key in 65,000 finds them all taken
    LIM_TRIES = 100000          # lost races in a row before a hit is refused: each was another hit's success

cdef struct LimCell:            # one cache line, so that keys do not share one
    pair16 state
    uint64_t reserved[6]

cdef struct LimTable:
    LimCell* cells
    uint32_t mask               # cells - 1
    uint64_t* nonce
    uint64_t seed[2]
    uint64_t evictions          # by this process

cdef struct LimKey:
    uint64_t fp                 # 48 bits, never 0
    uint32_t home               # first cell of its window

cdef struct LimResult:
    bint allowed
    int64_t limit
    int64_t remaining
    uint64_t reset_ns           # until the state is fresh again
    uint64_t retry_after_ns     # 0 when allowed
