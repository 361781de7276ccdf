/* atomics: what Cython cannot say about memory shared by processes.
 *
 * Owns: the instruction per machine. Nothing here calls libatomic, whose 16-byte operations may take a lock that is private
 * to one process. Must not know: what the cells mean. Sequentially consistent unless the name says relaxed. */
#ifndef FASTGW_ATOMICS_H
#define FASTGW_ATOMICS_H
#include <stdint.h>

/* Sixteen bytes that change only as a whole. lo and hi are also read alone, each atomically. */
typedef struct { uint64_t lo, hi; } __attribute__((aligned(16))) pair16;

static inline uint64_t at_load(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
static inline void at_store(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }
static inline uint64_t at_add(uint64_t *p, uint64_t v) { return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST); }
static inline uint64_t at_load_relaxed(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
static inline void at_store_relaxed(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }

static inline int at_cas(uint64_t *p, uint64_t expected, uint64_t desired) {
    return __atomic_compare_exchange_n(p, &expected, desired, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static inline void at_max(uint64_t *p, uint64_t v) {
    uint64_t seen = at_load(p);
    while (seen < v && !__atomic_compare_exchange_n(p, &seen, v, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) { }
}

/* Between two tries that lost a race: lets the other thread of the core run. */
static inline void at_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* lo, hi, lo again. The halves belong together, unless the cell went to another key and back to this very lo in between: such
 * a pair fails its compare-and-swap, so nothing is ever written upon it, and a hit refused upon it is the one harm. */
static inline pair16 at_read16(const pair16 *p) {
    pair16 v;
    uint64_t again = at_load(&p->lo);
    do {
        v.lo = again;
        v.hi = at_load(&p->hi);
        again = at_load(&p->lo);
    } while (again != v.lo);
    return v;
}

/* Spelt out on x86-64: with a builtin the whole extension would need -mcx16 (clang 14 inlines a target("cx16") function into
 * callers without it, then calls __sync_val_compare_and_swap_16, which exists nowhere). Every x86-64 since 2006 has it. */
static inline int at_cas16(pair16 *p, pair16 expected, pair16 desired) {
#if defined(__x86_64__)
    uint8_t done;
    __asm__ volatile("lock cmpxchg16b %1"
                     : "=@ccz"(done), "+m"(*p), "+a"(expected.lo), "+d"(expected.hi)
                     : "b"(desired.lo), "c"(desired.hi)
                     : "memory");
    return done;
#elif defined(__aarch64__)
    /* Armv8.0: the store half runs also where the values differ (it writes back what was read), because only a successful
     * store-exclusive proves that the two loaded words are of one moment. */
    uint64_t lo, hi;
    uint32_t failed, same;
    __asm__ volatile("1: ldaxp %0, %1, [%4]\n"
                     "   cmp %0, %5\n"
                     "   ccmp %1, %6, #0, eq\n"
                     "   cset %w3, eq\n"
                     "   csel %0, %7, %0, eq\n"
                     "   csel %1, %8, %1, eq\n"
                     "   stlxp %w2, %0, %1, [%4]\n"
                     "   cbnz %w2, 1b\n"
                     "   dmb ish\n"
                     : "=&r"(lo), "=&r"(hi), "=&r"(failed), "=&r"(same)
                     : "r"(p), "r"(expected.lo), "r"(expected.hi), "r"(desired.lo), "r"(desired.hi)
                     : "cc", "memory");
    return (int)same;
#else
#error "fastgw needs a 16-byte compare-and-swap: x86-64 or aarch64"
#endif
}
#endif
