/* SHA-256 compression on the ARMv8 cryptographic extension (SHA256H, SHA256H2, SHA256SU0, SHA256SU1).
 *
 * Owns: one compression function and the question to the kernel whether it may be called. Must not know
 * padding, digests or HMAC. Round constants come from sha2.h, which includes this file. */
#ifndef FASTGW_SHA2_ARM_H
#define FASTGW_SHA2_ARM_H

#include <arm_neon.h>
#include <sys/auxv.h>

#ifdef __clang__
#define SHA2_ARM_TARGET __attribute__((target("sha2")))
#else
#define SHA2_ARM_TARGET __attribute__((target("+crypto")))
#endif

static inline int sha2_arm_usable(void) {
    return (getauxval(AT_HWCAP) & (1ul << 6)) != 0; /* HWCAP_SHA2 of <asm/hwcap.h> */
}

/* Four rounds with the schedule words w and the constants of group i. */
#define SHA2_ARM_ROUNDS(i, w)                                                               \
    wk = vaddq_u32(w, vld1q_u32(&sha2_k256[4 * (i)]));                                      \
    old = abcd;                                                                             \
    abcd = vsha256hq_u32(abcd, efgh, wk);                                                   \
    efgh = vsha256h2q_u32(efgh, old, wk)

/* Turns the oldest four schedule words, a, into the next four; b, c, d are the twelve between. */
#define SHA2_ARM_SCHEDULE(a, b, c, d) a = vsha256su1q_u32(vsha256su0q_u32(a, b), c, d)

#define SHA2_ARM_SIXTEEN(i)                                                                 \
    SHA2_ARM_ROUNDS(i, w0);                                                                 \
    SHA2_ARM_SCHEDULE(w0, w1, w2, w3);                                                      \
    SHA2_ARM_ROUNDS(i + 1, w1);                                                             \
    SHA2_ARM_SCHEDULE(w1, w2, w3, w0);                                                      \
    SHA2_ARM_ROUNDS(i + 2, w2);                                                             \
    SHA2_ARM_SCHEDULE(w2, w3, w0, w1);                                                      \
    SHA2_ARM_ROUNDS(i + 3, w3);                                                             \
    SHA2_ARM_SCHEDULE(w3, w0, w1, w2)

#define SHA2_ARM_WORDS(p) vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(p)))

SHA2_ARM_TARGET
static void sha2_256_arm(uint32_t *state, const uint8_t *data, size_t blocks) {
    uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4);
    for (; blocks > 0; blocks--, data += 64) {
        const uint32x4_t abcd_before = abcd, efgh_before = efgh;
        uint32x4_t wk, old;
        uint32x4_t w0 = SHA2_ARM_WORDS(data), w1 = SHA2_ARM_WORDS(data + 16);
        uint32x4_t w2 = SHA2_ARM_WORDS(data + 32), w3 = SHA2_ARM_WORDS(data + 48);
        SHA2_ARM_SIXTEEN(0);
        SHA2_ARM_SIXTEEN(4);
        SHA2_ARM_SIXTEEN(8);
        SHA2_ARM_ROUNDS(12, w0);
        SHA2_ARM_ROUNDS(13, w1);
        SHA2_ARM_ROUNDS(14, w2);
        SHA2_ARM_ROUNDS(15, w3);
        abcd = vaddq_u32(abcd, abcd_before);
        efgh = vaddq_u32(efgh, efgh_before);
    }
    vst1q_u32(state, abcd);
    vst1q_u32(state + 4, efgh);
}

#endif
