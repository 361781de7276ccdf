/* SHA-2 compression functions (FIPS 180-4), the choice between them, and what a compiler must not undo.
 *
 * Owns: constants, portable C for both word sizes, run-time dispatch for SHA-256, constant-time comparison,
 * wiping. Must not know padding, digests or HMAC: those are sha2.pxi. */
#ifndef FASTGW_SHA2_H
#define FASTGW_SHA2_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef void (*Sha2Blocks256)(uint32_t *state, const uint8_t *data, size_t blocks);

static const uint32_t sha2_k256[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static const uint64_t sha2_k512[80] = {
    0x428a2f98d728ae22, 0x7137449123ef65cd, 0xb5c0fbcfec4d3b2f, 0xe9b5dba58189dbbc,
    0x3956c25bf348b538, 0x59f111f1b605d019, 0x923f82a4af194f9b, 0xab1c5ed5da6d8118,
    0xd807aa98a3030242, 0x12835b0145706fbe, 0x243185be4ee4b28c, 0x550c7dc3d5ffb4e2,
    0x72be5d74f27b896f, 0x80deb1fe3b1696b1, 0x9bdc06a725c71235, 0xc19bf174cf692694,
    0xe49b69c19ef14ad2, 0xefbe4786384f25e3, 0x0fc19dc68b8cd5b5, 0x240ca1cc77ac9c65,
    0x2de92c6f592b0275, 0x4a7484aa6ea6e483, 0x5cb0a9dcbd41fbd4, 0x76f988da831153b5,
    0x983e5152ee66dfab, 0xa831c66d2db43210, 0xb00327c898fb213f, 0xbf597fc7beef0ee4,
    0xc6e00bf33da88fc2, 0xd5a79147930aa725, 0x06ca6351e003826f, 0x142929670a0e6e70,
    0x27b70a8546d22ffc, 0x2e1b21385c26c926, 0x4d2c6dfc5ac42aed, 0x53380d139d95b3df,
    0x650a73548baf63de, 0x766a0abb3c77b2a8, 0x81c2c92e47edaee6, 0x92722c851482353b,
    0xa2bfe8a14cf10364, 0xa81a664bbc423001, 0xc24b8b70d0f89791, 0xc76c51a30654be30,
    0xd192e819d6ef5218, 0xd69906245565a910, 0xf40e35855771202a, 0x106aa07032bbd1b8,
    0x19a4c116b8d2d0c8, 0x1e376c085141ab53, 0x2748774cdf8eeb99, 0x34b0bcb5e19b48a8,
    0x391c0cb3c5c95a63, 0x4ed8aa4ae3418acb, 0x5b9cca4f7763e373, 0x682e6ff3d6b2b8a3,
    0x748f82ee5defb2fc, 0x78a5636f43172f60, 0x84c87814a1f0ab72, 0x8cc702081a6439ec,
    0x90befffa23631e28, 0xa4506cebde82bde9, 0xbef9a3f7b2c67915, 0xc67178f2e372532b,
    0xca273eceea26619c, 0xd186b8c721c0c207, 0xeada7dd6cde0eb1e, 0xf57d4f7fee6ed178,
    0x06f067aa72176fba, 0x0a637dc5a2c898a6, 0x113f9804bef90dae, 0x1b710b35131c471b,
    0x28db77f523047d84, 0x32caab7b40c72493, 0x3c9ebe0a15c9bebc, 0x431d67c49c100d4c,
    0x4cc5d4becb3e42b6, 0x597f299cfc657e2a, 0x5fcb6fab3ad6faec, 0x6c44198c4a475817,
};

static const uint32_t sha2_start_256[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

static const uint64_t sha2_start_384[8] = {
    0xcbbb9d5dc1059ed8, 0x629a292a367cd507, 0x9159015a3070dd17, 0x152fecd8f70e5939,
    0x67332667ffc00b31, 0x8eb44a8768581511, 0xdb0c2e0d64f98fa7, 0x47b5481dbefa4fa4,
};

static const uint64_t sha2_start_512[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

static inline uint32_t sha2_load32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_bswap32(v) : v;
}

static inline uint64_t sha2_load64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_bswap64(v) : v;
}

static inline void sha2_store32(uint8_t *p, uint32_t v) {
    v = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_bswap32(v) : v;
    memcpy(p, &v, sizeof v);
}

static inline void sha2_store64(uint8_t *p, uint64_t v) {
    v = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_bswap64(v) : v;
    memcpy(p, &v, sizeof v);
}

#define SHA2_CH(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
#define SHA2_MAJ(x, y, z) (((x) & (y)) | ((z) & ((x) | (y))))
#define SHA2_ROR(x, n) (((x) >> (n)) | ((x) << (8 * sizeof(x) - (n))))
#define SHA2_SUM(x, a, b, c) (SHA2_ROR(x, a) ^ SHA2_ROR(x, b) ^ SHA2_ROR(x, c))
#define SHA2_STIR(x, a, b, c) (SHA2_ROR(x, a) ^ SHA2_ROR(x, b) ^ ((x) >> (c)))

/* FIPS 180-4 sections 4.1.2 and 4.1.3: the rotations are all that differs but for sizes and constants. */
#define SHA2_SUM0_256(x) SHA2_SUM(x, 2, 13, 22)
#define SHA2_SUM1_256(x) SHA2_SUM(x, 6, 11, 25)
#define SHA2_STIR0_256(x) SHA2_STIR(x, 7, 18, 3)
#define SHA2_STIR1_256(x) SHA2_STIR(x, 17, 19, 10)
#define SHA2_SUM0_512(x) SHA2_SUM(x, 28, 34, 39)
#define SHA2_SUM1_512(x) SHA2_SUM(x, 14, 18, 41)
#define SHA2_STIR0_512(x) SHA2_STIR(x, 1, 8, 7)
#define SHA2_STIR1_512(x) SHA2_STIR(x, 19, 61, 6)

/* One round. The caller rotates the names of the working variables instead of moving eight values. */
#define SHA2_ROUND(size, a, b, c, d, e, f, g, h, i)                                                    \
    h += SHA2_SUM1_##size(e) + SHA2_CH(e, f, g) + sha2_k##size[t + (i)] + w[i];                        \
    d += h;                                                                                            \
    h += SHA2_SUM0_##size(a) + SHA2_MAJ(a, b, c)

#define SHA2_EIGHT_ROUNDS(size, i)                                                                     \
    SHA2_ROUND(size, a, b, c, d, e, f, g, h, i);                                                       \
    SHA2_ROUND(size, h, a, b, c, d, e, f, g, i + 1);                                                   \
    SHA2_ROUND(size, g, h, a, b, c, d, e, f, i + 2);                                                   \
    SHA2_ROUND(size, f, g, h, a, b, c, d, e, i + 3);                                                   \
    SHA2_ROUND(size, e, f, g, h, a, b, c, d, i + 4);                                                   \
    SHA2_ROUND(size, d, e, f, g, h, a, b, c, i + 5);                                                   \
    SHA2_ROUND(size, c, d, e, f, g, h, a, b, i + 6);                                                   \
    SHA2_ROUND(size, b, c, d, e, f, g, h, a, i + 7)

/* Sections 6.2.2 and 6.4.2, with the message schedule kept in a ring of 16 words. */
#define SHA2_PORTABLE(name, size, word, rounds, load)                                                  \
    static void name(word *state, const uint8_t *data, size_t blocks) {                                \
        for (; blocks > 0; blocks--, data += 16 * sizeof(word)) {                                      \
            word a = state[0], b = state[1], c = state[2], d = state[3];                               \
            word e = state[4], f = state[5], g = state[6], h = state[7];                               \
            word w[16];                                                                                \
            for (unsigned i = 0; i < 16; i++) {                                                        \
                w[i] = load(data + i * sizeof(word));                                                  \
            }                                                                                          \
            for (unsigned t = 0; t < (rounds); t += 16) {                                              \
                for (unsigned i = 0; t > 0 && i < 16; i++) {                                           \
                    w[i] += SHA2_STIR0_##size(w[(i + 1) & 15]) + w[(i + 9) & 15]                       \
                        + SHA2_STIR1_##size(w[(i + 14) & 15]);                                         \
                }                                                                                      \
                SHA2_EIGHT_ROUNDS(size, 0);                                                            \
                SHA2_EIGHT_ROUNDS(size, 8);                                                            \
            }                                                                                          \
            state[0] += a, state[1] += b, state[2] += c, state[3] += d;                                \
            state[4] += e, state[5] += f, state[6] += g, state[7] += h;                                \
        }                                                                                              \
    }

SHA2_PORTABLE(sha2_256_portable, 256, uint32_t, 64, sha2_load32)
SHA2_PORTABLE(sha2_512_portable, 512, uint64_t, 80, sha2_load64)

#if defined(__x86_64__)
#include "sha2_x86.h"
#elif defined(__AARCH64EL__) && (!defined(__clang__) || __clang_major__ >= 16 || defined(__ARM_FEATURE_SHA2))
/* Before release 16 clang's arm_neon.h hides these intrinsics unless the whole file is built for them. */
#define SHA2_HAS_ARM
#include "sha2_arm.h"
#endif

/* The fastest compression that this processor has. */
static inline Sha2Blocks256 sha2_best_256(void) {
#if defined(__x86_64__)
    if (sha2_x86_usable()) {
        return sha2_256_x86;
    }
#elif defined(SHA2_HAS_ARM)
    if (sha2_arm_usable()) {
        return sha2_256_arm;
    }
#endif
    return sha2_256_portable;
}

/* Equal or not, in time that depends on len alone. The empty asm makes the difference opaque after each
 * step, so that no compiler may leave the loop early or turn it into a call of memcmp. */
static inline int ct_equal(const void *a, const void *b, size_t len) {
    const uint8_t *x = (const uint8_t *)a, *y = (const uint8_t *)b;
    uint64_t difference = 0, v, w;
    size_t i = 0;
    for (; len - i >= sizeof v; i += sizeof v) {
        memcpy(&v, x + i, sizeof v);
        memcpy(&w, y + i, sizeof w);
        difference |= v ^ w;
        __asm__("" : "+r"(difference));
    }
    for (; i < len; i++) {
        difference |= (uint64_t)(x[i] ^ y[i]);
        __asm__("" : "+r"(difference));
    }
    return difference == 0;
}

/* A memset of key material that is never optimised away. */
static inline void sha2_wipe(void *p, size_t len) {
    memset(p, 0, len);
    __asm__ volatile("" : : "r"(p) : "memory");
}

#endif
