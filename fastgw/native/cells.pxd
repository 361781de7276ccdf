# The table of limiter cells in shared memory. See cells.h for a cell's bits and cells.pxi for the protocol.

cdef extern from "cells.h" nogil:
    uint64_t LIM_BITS40
    uint64_t LIM_COUNT_MAX "LIM_BITS40"     # what a cell can count to
    uint64_t LIM_NEVER
    uint64_t LIM_HORIZON_MS
    uint64_t LIM_HELD_MS
    uint64_t LIM_MS
    ctypedef struct lim_bucket_hit:
        uint64_t now_ns, count, window_ns, burst, cost, left, full_ns, retry_ns
        pair16 state
        bint changed
    uint64_t lim_fp(pair16 s)
    uint64_t lim_count(pair16 s)
    uint64_t lim_time(pair16 s)
    pair16 lim_pack(uint64_t fp, uint64_t time, uint64_t count)
    bint lim_gcra(lim_bucket_hit* h, pair16 old, bint live)
    bint lim_slides_over(uint64_t before, uint64_t used, uint64_t cost, uint64_t most, uint64_t left_ms, uint64_t window_ms)
    uint64_t lim_slides_left(uint64_t before, uint64_t used, uint64_t most, uint64_t left_ms, uint64_t window_ms)
    uint64_t lim_slides_wait(uint64_t before, uint64_t used, uint64_t cost, uint64_t most, uint64_t left_ms, uint64_t window_ms)

cdef extern from "siphash.h" nogil:
    ctypedef struct siphash_state:
        uint64_t total
    void siphash_start(siphash_state* s, uint64_t k0, uint64_t k1)
    void siphash_word(siphash_state* s, uint64_t w)
    void siphash_padded(siphash_state* s, const uint8_t* p, size_t n)
    void siphash_end(siphash_state* s, const uint8_t* p, size_t n, uint64_t* lo, uint64_t* hi)

cdef enum:
    LIM_WINDOW = 16             # cells looked at for one key; of 131,072 keys in twice the cells, 40 found them all taken
    LIM_TRIES = 10000           # lost races in a row before a hit is refused: each was another hit's success

cdef enum:                      # how a key that is new finds a cell, see lim_place
    LIM_EVICTS = 0              # another key gives way where none is empty or expired
    LIM_YIELDS = 1              # nobody does
    LIM_SPARES = 8              # and half of the window is to be so

cdef struct LimCell:            # one cache line, so that keys do not share one
    pair16 state
    uint64_t reserved[6]

cdef struct LimTable:           # one process's view
    LimCell* cells
    uint32_t mask               # cells - 1
    uint64_t* nonce             # in shared memory, as all that follows a pointer here
    uint64_t* evictions
    uint64_t seed[2]

cdef struct LimKey:
    uint64_t fp                 # 48 bits, never 0
    uint32_t home               # first cell of its window
