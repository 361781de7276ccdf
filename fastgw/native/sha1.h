/* SHA-1's compression function (FIPS 180-4 section 6.1.2), for HMAC-SHA-1 only: as a hash it is broken, in HMAC (RFC 2104) it is
 * not. Must not know padding, digests or HMAC: those are sha2.pxi. */
#ifndef FASTGW_SHA1_H
#define FASTGW_SHA1_H

#include "sha2.h"

static const uint32_t sha1_start[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};

#define SHA1_ROL(x, n) (((x) << (n)) | ((x) >> (32 - (n))))
#define SHA1_ROUND(function, constant)                                                                 \
    do {                                                                                               \
        uint32_t next = SHA1_ROL(a, 5) + (function) + e + (constant) + w[t & 15];                      \
        e = d, d = c, c = SHA1_ROL(b, 30), b = a, a = next;                                            \
    } while (0)

/* The message schedule is kept in a ring of 16 words. */
static void sha1_portable(uint32_t *state, const uint8_t *data, size_t blocks) {
    for (; blocks > 0; blocks--, data += 64) {
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
        uint32_t w[16];
        for (unsigned t = 0; t < 80; t++) {
            if (t < 16) {
                w[t] = sha2_load32(data + 4 * t);
            } else {
                w[t & 15] = SHA1_ROL(w[(t + 13) & 15] ^ w[(t + 8) & 15] ^ w[(t + 2) & 15] ^ w[t & 15], 1);
            }
            if (t < 20) {
                SHA1_ROUND(SHA2_CH(b, c, d), 0x5a827999);
            } else if (t < 40) {
                SHA1_ROUND(b ^ c ^ d, 0x6ed9eba1);
            } else if (t < 60) {
                SHA1_ROUND(SHA2_MAJ(b, c, d), 0x8f1bbcdc);
            } else {
                SHA1_ROUND(b ^ c ^ d, 0xca62c1d6);
            }
        }
        state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
    }
}

#endif
