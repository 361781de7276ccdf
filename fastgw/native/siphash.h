/* siphash: SipHash-1-3 with a 128-bit result (Aumasson and Bernstein, "SipHash: a fast short-input PRF"), fed in parts. A
 * keyed hash, because clients choose the keys of limits and must not be able to aim at another key's cell. */
#ifndef FASTGW_SIPHASH_H
#define FASTGW_SIPHASH_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct { uint64_t v0, v1, v2, v3, tail; unsigned held; uint64_t total; } siphash_state;

#define SIP_ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
static inline void sip_round(siphash_state *s) {
    s->v0 += s->v1; s->v1 = SIP_ROTL(s->v1, 13); s->v1 ^= s->v0; s->v0 = SIP_ROTL(s->v0, 32);
    s->v2 += s->v3; s->v3 = SIP_ROTL(s->v3, 16); s->v3 ^= s->v2;
    s->v0 += s->v3; s->v3 = SIP_ROTL(s->v3, 21); s->v3 ^= s->v0;
    s->v2 += s->v1; s->v1 = SIP_ROTL(s->v1, 17); s->v1 ^= s->v2; s->v2 = SIP_ROTL(s->v2, 32);
}
static inline void sip_word(siphash_state *s, uint64_t w) { s->v3 ^= w; sip_round(s); s->v0 ^= w; }

static inline void siphash_start(siphash_state *s, uint64_t k0, uint64_t k1) {
    s->v0 = k0 ^ 0x736f6d6570736575ULL;
    s->v1 = k1 ^ 0x646f72616e646f6dULL ^ 0xee;
    s->v2 = k0 ^ 0x6c7967656e657261ULL;
    s->v3 = k1 ^ 0x7465646279746573ULL;
    s->tail = 0; s->held = 0; s->total = 0;
}

static inline void siphash_feed(siphash_state *s, const void *data, size_t n) {
    const uint8_t *p = (const uint8_t *)data;
    uint64_t w;
    s->total += n;
    while (n && s->held) {
        s->tail |= (uint64_t)*p++ << (8 * s->held); n--;
        if (++s->held == 8) { sip_word(s, s->tail); s->tail = 0; s->held = 0; }
    }
    for (; n >= 8; n -= 8, p += 8) { memcpy(&w, p, 8); sip_word(s, w); }
    for (; n; n--) { s->tail |= (uint64_t)*p++ << (8 * s->held); s->held++; }
}

static inline void siphash_end(siphash_state *s, uint64_t *lo, uint64_t *hi) {
    sip_word(s, s->tail | s->total << 56);
    s->v2 ^= 0xee;
    sip_round(s); sip_round(s); sip_round(s);
    *lo = s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
    s->v1 ^= 0xdd;
    sip_round(s); sip_round(s); sip_round(s);
    *hi = s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}
#endif
