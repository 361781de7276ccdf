/* siphash: SipHash-1-3 with a 128-bit result (Aumasson and Bernstein, "SipHash: a fast short-input PRF"). A keyed hash, because
 * clients choose the keys of limits and must not be able to aim at another key's cell. Must not know: what is hashed. */
#ifndef FASTGW_SIPHASH_H
#define FASTGW_SIPHASH_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "siphash.h loads words as little-endian");

typedef struct { uint64_t v0, v1, v2, v3, total; } siphash_state;

#define SIP_ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
static inline void sip_round(siphash_state *s) {
    s->v0 += s->v1; s->v1 = SIP_ROTL(s->v1, 13); s->v1 ^= s->v0; s->v0 = SIP_ROTL(s->v0, 32);
    s->v2 += s->v3; s->v3 = SIP_ROTL(s->v3, 16); s->v3 ^= s->v2;
    s->v0 += s->v3; s->v3 = SIP_ROTL(s->v3, 21); s->v3 ^= s->v0;
    s->v2 += s->v1; s->v1 = SIP_ROTL(s->v1, 17); s->v1 ^= s->v2; s->v2 = SIP_ROTL(s->v2, 32);
}

static inline void siphash_word(siphash_state *s, uint64_t w) {
    s->v3 ^= w; sip_round(s); s->v0 ^= w;
    s->total += 8;
}

static inline void siphash_start(siphash_state *s, uint64_t k0, uint64_t k1) {
    s->v0 = k0 ^ 0x736f6d6570736575ULL;
    s->v1 = k1 ^ 0x646f72616e646f6dULL ^ 0xee;
    s->v2 = k0 ^ 0x6c7967656e657261ULL;
    s->v3 = k1 ^ 0x7465646279746573ULL;
    s->total = 0;
}

/* The whole words of a part; the rest, fewer than 8 bytes, as a word with zeros above. */
static inline uint64_t sip_words(siphash_state *s, const uint8_t *p, size_t n) {
    uint64_t w, rest = 0;
    uint32_t four = 0;
    uint16_t two = 0;
    size_t done = 0;
    for (; n >= 8; n -= 8, p += 8) {
        memcpy(&w, p, 8);
        siphash_word(s, w);
    }
    if (n & 4) { memcpy(&four, p, 4); rest = four; done = 4; }
    if (n & 2) { memcpy(&two, p + done, 2); rest |= (uint64_t)two << (8 * done); done += 2; }
    if (n & 1) rest |= (uint64_t)p[done] << (8 * done);
    return rest;
}

/* A part that others follow: zeros fill its last word, so its length must be known from elsewhere. */
static inline void siphash_padded(siphash_state *s, const uint8_t *p, size_t n) {
    uint64_t rest = sip_words(s, p, n);
    if (n & 7)
        siphash_word(s, rest);
}

/* The last part. */
static inline void siphash_end(siphash_state *s, const uint8_t *p, size_t n, uint64_t *lo, uint64_t *hi) {
    uint64_t rest = sip_words(s, p, n);
    siphash_word(s, rest | (s->total + (n & 7)) << 56);
    s->v2 ^= 0xee;
    sip_round(s); sip_round(s); sip_round(s);
    *lo = s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
    s->v1 ^= 0xdd;
    sip_round(s); sip_round(s); sip_round(s);
    *hi = s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}
#endif
