/* cells: the bits of a limiter cell and the arithmetic on them that needs 128 bits. Must not know: tables, keys, processes.
 *
 *   lo:  fingerprint 48 | count, high 16        hi:  count, low 24 | time 40 (ms of CLOCK_MONOTONIC, 34 years)
 *
 * From `time` on the state equals a fresh one, whatever the algorithm. A time of 0 marks a provisional cell; its count is a
 * nonce. Windows: time is the end, count what was consumed. Token bucket: time - 1 and count are the theoretical arrival time
 * (GCRA), the moment at which the bucket is full again; count is its part below a millisecond, in units of 1/tokens ns. */
#ifndef FASTGW_CELLS_H
#define FASTGW_CELLS_H
#include <stdint.h>
#include "atomics.h"

#define LIM_BITS40 ((UINT64_C(1) << 40) - 1)
#define LIM_NEVER UINT64_MAX
#define LIM_HORIZON_MS (UINT64_C(1) << 39)       /* 17 years: now and any time ahead of it fit 40 bits together */
#define LIM_SKEW_NS UINT64_C(10000000000)        /* no process hits with a clock reading older than this: 10 s */
#define LIM_HELD_MS (UINT64_C(0xff) << 32)       /* times from here on mark cells that count what is held, see holds.h */
#define LIM_MS UINT64_C(1000000)                 /* ns */

typedef unsigned __int128 lim_u128;

static inline uint64_t lim_fp(pair16 s) { return s.lo >> 16; }
static inline uint64_t lim_count(pair16 s) { return (s.lo & 0xffff) << 24 | s.hi >> 40; }
static inline uint64_t lim_time(pair16 s) { return s.hi & LIM_BITS40; }

static inline pair16 lim_pack(uint64_t fp, uint64_t time, uint64_t count) {
    pair16 s;
    s.lo = fp << 16 | count >> 24;
    s.hi = (count & 0xffffff) << 40 | (time & LIM_BITS40);
    return s;
}

static inline uint64_t lim_div_up(lim_u128 a, lim_u128 b) {
    lim_u128 q;
    if ((uint64_t)a == a && (uint64_t)b == b)    /* the usual case, ten times faster */
        return (uint64_t)a / (uint64_t)b + ((uint64_t)a % (uint64_t)b != 0);
    q = a / b + (a % b != 0);
    return q > LIM_NEVER ? LIM_NEVER : (uint64_t)q;
}

/* Of a quotient that fits; nearly always the dividend does too, and a division of 64 bits takes a third of the time. */
static inline uint64_t lim_div(lim_u128 a, uint64_t b) {
    return (uint64_t)a == a ? (uint64_t)a / b : (uint64_t)(a / b);
}

/* A bucket's hit. In: the clock, the limit, the cost. Out: what to tell, and the state to write. */
typedef struct {
    uint64_t now_ns, count, window_ns, burst, cost;
    uint64_t left;              /* whole tokens after an admitted hit */
    uint64_t full_ns;           /* until the bucket is full */
    uint64_t retry_ns;          /* until such a hit would be admitted; 0 when it was */
    pair16 state;
    int changed;                /* state differs from what was read */
} lim_bucket_hit;

/* All in units of 1/count ns, in which one token is window_ns units and a clock reading is whole: nothing is rounded, so exactly
 * burst + count * T / window_ns are admitted in any T. A millisecond must fit 40 bits: above 1,099,511 tokens per window the
 * rate is cut into equal parts first, rounded down by less than one in a million. Returns whether the hit is admitted. */
static inline int lim_gcra(lim_bucket_hit *h, pair16 old, int live) {
    const uint64_t parts = h->count * (lim_u128)LIM_MS <= LIM_BITS40 ? 1 : h->count / (LIM_BITS40 / LIM_MS) + 1;
    const uint64_t count = h->count / parts, token = (h->window_ns + parts - 1) / parts;
    const uint64_t ms = LIM_MS * count, now_ms = h->now_ns / LIM_MS, now_part = h->now_ns % LIM_MS * count;
    const lim_u128 horizon = (lim_u128)LIM_HORIZON_MS * ms;
    const lim_u128 need = (lim_u128)token * h->cost;
    lim_u128 full = (lim_u128)token * h->burst, debt = 0, arrival;
    uint64_t whole;
    int admitted;
    if (full > horizon)
        full = horizon;
    if (live && lim_time(old) > now_ms) {
        uint64_t part = lim_count(old) < ms ? lim_count(old) : ms - 1;     /* an edit of count changes the unit */
        arrival = (lim_u128)(lim_time(old) - 1 - now_ms) * ms + part;
        debt = arrival > now_part ? arrival - now_part : 0;
    }
    h->changed = 0;
    if (debt > full + (lim_u128)LIM_SKEW_NS * count) {
        /* Only an edit can leave more debt than an empty bucket has; another worker's clock cannot be so far ahead. Without
         * this a key would stay shut out for as long as the old limit said. */
        debt = full;
        h->changed = 1;
    }
    admitted = need <= full && debt <= full - need;
    h->retry_ns = admitted ? 0 : need > full ? LIM_NEVER : lim_div_up(debt + need - full, count);
    if (admitted) {
        debt += need;
        h->changed = need != 0;
    }
    h->left = admitted ? lim_div(full - debt, token) : 0;
    h->full_ns = lim_div_up(debt, count);
    arrival = debt + now_part;
    whole = lim_div(arrival, ms);
    h->state = lim_pack(lim_fp(old), now_ms + 1 + whole, (uint64_t)(arrival - (lim_u128)whole * ms));
    return admitted;
}

/* Sliding window: the share of the window before that still counts, in hits times window. */
static inline int lim_slides_over(uint64_t before, uint64_t used, uint64_t cost, uint64_t most, uint64_t left_ms,
                                  uint64_t window_ms) {
    if (cost > most || used > most - cost)
        return 1;
    return (lim_u128)before * left_ms + (lim_u128)(used + cost - 1) * window_ms >= (lim_u128)most * window_ms;
}

/* Hits that remain, rounded down as APISIX does: one more may pass. */
static inline uint64_t lim_slides_left(uint64_t before, uint64_t used, uint64_t most, uint64_t left_ms, uint64_t window_ms) {
    uint64_t share = lim_div_up((lim_u128)before * left_ms, window_ms);
    return used + share < most ? most - used - share : 0;
}

/* ms from a moment with left_ms of the window to the first at which `cost` hits pass, if nobody else hits. */
static inline uint64_t lim_slides_wait(uint64_t before, uint64_t used, uint64_t cost, uint64_t most, uint64_t left_ms,
                                       uint64_t window_ms) {
    uint64_t then;
    if (before && used <= most - cost) {         /* within this window, once the share of the one before has shrunk */
        then = lim_div_up((lim_u128)(most - used - cost + 1) * window_ms, before) - 1;
        return then < left_ms ? left_ms - then : 0;
    }
    /* in the next one, of which this is then the one before */
    then = lim_div_up((lim_u128)(most - cost + 1) * window_ms, used) - 1;
    return left_ms + (then < window_ms ? window_ms - then : 0);
}
#endif
