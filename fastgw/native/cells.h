/* cells: the arithmetic of limiter cells that needs 128 bits. A cell's state is 16 bytes:
 *
 *   lo:  fingerprint 48 | count, high 16        hi:  count, low 24 | time 40 (ms of CLOCK_MONOTONIC)
 *
 * `time` is the moment from which the state equals a fresh one; 0 marks a provisional cell, whose count is a nonce. For a fixed
 * window time is its end and count what was consumed. For a token bucket time and count together are the theoretical arrival
 * time (GCRA), count being the fraction of a millisecond in units of 2^-40. */
#ifndef FASTGW_CELLS_H
#define FASTGW_CELLS_H
#include <stdint.h>
#include "atomics.h"

#define LIM_BITS40 ((UINT64_C(1) << 40) - 1)

static inline uint64_t lim_fp(pair16 s) { return s.lo >> 16; }
static inline uint64_t lim_count(pair16 s) { return (s.lo & 0xffff) << 24 | s.hi >> 40; }
static inline uint64_t lim_time(pair16 s) { return s.hi & LIM_BITS40; }

static inline pair16 lim_pack(uint64_t fp, uint64_t time, uint64_t count) {
    pair16 s;
    s.lo = fp << 16 | count >> 24;
    s.hi = (count & 0xffffff) << 40 | (time & LIM_BITS40);
    return s;
}

/* One hit on a token bucket of `burst` tokens that gains `count` per `window_ns`. Intervals are rounded up, so that no more
 * than burst + rate * T are ever admitted in T. Returns 1 and the new state when admitted; times are in ns. */
static inline int lim_gcra(pair16 old, int fresh, uint64_t fp, uint64_t now_ns, uint64_t count, uint64_t window_ns,
                           uint64_t burst, uint64_t cost, pair16 *state, uint64_t *left, uint64_t *full_ns,
                           uint64_t *retry_ns) {
    typedef unsigned __int128 u128;
    const u128 unit = 1000000;                              /* ns per ms */
    u128 now = ((u128)now_ns << 40) / unit;                 /* ms, 40 fraction bits */
    u128 each = (((u128)window_ns << 40) + unit * count - 1) / (unit * count);
    u128 tat = (u128)lim_time(old) << 40 | lim_count(old);
    u128 after, allowed = now + each * burst;
    if (fresh || tat < now)
        tat = now;
    if (tat > allowed)                                      /* the bucket was made smaller: no debt beyond one burst */
        tat = allowed;
    after = tat + each * cost;
    if (after > allowed) {
        *left = (uint64_t)((allowed - tat) / each);
        *full_ns = (uint64_t)((tat - now) * unit >> 40);
        *retry_ns = (uint64_t)(((after - allowed) * unit >> 40) + 1);
        return 0;
    }
    *left = (uint64_t)((allowed - after) / each);
    *full_ns = (uint64_t)((after - now) * unit >> 40);
    *retry_ns = 0;
    *state = lim_pack(fp, (uint64_t)(after >> 40), (uint64_t)after & LIM_BITS40);
    return 1;
}
#endif
