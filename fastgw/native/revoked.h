/* revoked: the quick hash by which a subject of revocations is looked for: folded 64 x 64 multiplications (as wyhash has them),
 * some 3 ns for a uuid. Clients choose what is hashed and may find texts of one hash; they win a longer look and nothing else,
 * because what decides is the fingerprint (siphash.h). Must not know: what a subject is. */
#ifndef FASTGW_REVOKED_H
#define FASTGW_REVOKED_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t rev_fold(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t rev_load64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline uint64_t rev_load32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }

static inline uint64_t rev_hash(const uint8_t *p, size_t n, uint64_t k0, uint64_t k1) {
    uint64_t a = 0, b = 0, h = k0 ^ 0xa0761d6478bd642fULL, size = n;
    for (; n > 16; n -= 16, p += 16)
        h = rev_fold(rev_load64(p) ^ k1, rev_load64(p + 8) ^ h);
    if (n >= 8) {                               /* the two halves overlap where there are fewer than 16 */
        a = rev_load64(p);
        b = rev_load64(p + n - 8);
    } else if (n >= 4) {
        a = rev_load32(p);
        b = rev_load32(p + n - 4);
    } else if (n) {
        a = (uint64_t)p[0] << 16 | (uint64_t)p[n >> 1] << 8 | p[n - 1];
    }
    h = rev_fold(a ^ k1, b ^ h);
    return rev_fold(h ^ 0xe7037ed1a0b428dbULL, size ^ k1 ^ 0x8ebc6af09c88c6e3ULL);
}
#endif
