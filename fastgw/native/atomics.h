/* atomics: the few atomic operations on shared memory, as GCC and clang inline them. No libatomic: the 16-byte
 * compare-and-swap is cmpxchg16b (x86-64) or a load/store-exclusive pair (aarch64) through __sync builtins. */
#ifndef FASTGW_ATOMICS_H
#define FASTGW_ATOMICS_H
#include <stdint.h>

#if defined(__x86_64__)
#define FASTGW_CX16 __attribute__((target("cx16")))
#else
#define FASTGW_CX16
#endif

/* Sixteen bytes that change only as a whole. lo and hi are also read alone, each atomically. */
typedef struct { uint64_t lo, hi; } __attribute__((aligned(16))) pair16;

static inline uint64_t at_load(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
static inline void at_store(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }
static inline uint64_t at_add(uint64_t *p, uint64_t v) { return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST); }
static inline uint64_t at_load_relaxed(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
static inline void at_store_relaxed(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }

static inline void at_max(uint64_t *p, uint64_t v) {
    uint64_t seen = at_load(p);
    while (seen < v && !__atomic_compare_exchange_n(p, &seen, v, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) { }
}

/* lo, hi, lo again: equal halves frame one moment, because a state never comes back to bits it once had while the
 * fingerprint and count in lo stay (times only grow, provisional states carry a nonce). */
static inline pair16 at_read16(const pair16 *p) {
    pair16 v;
    uint64_t again = __atomic_load_n(&p->lo, __ATOMIC_ACQUIRE);
    do {
        v.lo = again;
        v.hi = __atomic_load_n(&p->hi, __ATOMIC_ACQUIRE);
        again = __atomic_load_n(&p->lo, __ATOMIC_ACQUIRE);
    } while (again != v.lo);
    return v;
}

FASTGW_CX16 static inline int at_cas16(pair16 *p, pair16 expected, pair16 desired) {
    unsigned __int128 e = (unsigned __int128)expected.hi << 64 | expected.lo;
    unsigned __int128 d = (unsigned __int128)desired.hi << 64 | desired.lo;
    return __sync_bool_compare_and_swap((unsigned __int128 *)(void *)p, e, d);
}
#endif
