/* SHA-256 compression on x86's SHA extensions (Intel SDM, SHA256RNDS2, SHA256MSG1, SHA256MSG2).
 *
 * Owns: one compression function and the cpuid question whether it may be called. Must not know padding,
 * digests or HMAC. Round constants come from sha2.h, which includes this file. */
#ifndef FASTGW_SHA2_X86_H
#define FASTGW_SHA2_X86_H

#include <cpuid.h>
#include <immintrin.h>

static inline int sha2_x86_usable(void) {
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_SSSE3) || !(ecx & bit_SSE4_1)) {
        return 0;
    }
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx & (1u << 29));
}

/* Four rounds with the schedule words w and the constants of group i. */
#define SHA2_X86_ROUNDS(i, w)                                                               \
    wk = _mm_add_epi32(w, _mm_loadu_si128((const __m128i *)&sha2_k256[4 * (i)]));           \
    cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);                                           \
    abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(wk, 0x0E))

/* Turns the oldest four schedule words, a, into the next four; b, c, d are the twelve between. */
#define SHA2_X86_SCHEDULE(a, b, c, d)                                                       \
    a = _mm_sha256msg2_epu32(                                                               \
        _mm_add_epi32(_mm_sha256msg1_epu32(a, b), _mm_alignr_epi8(d, c, 4)), d)

#define SHA2_X86_SIXTEEN(i)                                                                 \
    SHA2_X86_ROUNDS(i, w0);                                                                 \
    SHA2_X86_SCHEDULE(w0, w1, w2, w3);                                                      \
    SHA2_X86_ROUNDS(i + 1, w1);                                                             \
    SHA2_X86_SCHEDULE(w1, w2, w3, w0);                                                      \
    SHA2_X86_ROUNDS(i + 2, w2);                                                             \
    SHA2_X86_SCHEDULE(w2, w3, w0, w1);                                                      \
    SHA2_X86_ROUNDS(i + 3, w3);                                                             \
    SHA2_X86_SCHEDULE(w3, w0, w1, w2)

__attribute__((target("sha,sse4.1,ssse3")))
static void sha2_256_x86(uint32_t *state, const uint8_t *data, size_t blocks) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    const __m128i dcba = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xB1);
    const __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1B);
    __m128i abef = _mm_alignr_epi8(dcba, hgfe, 8);
    __m128i cdgh = _mm_blend_epi16(hgfe, dcba, 0xF0);
    for (; blocks > 0; blocks--, data += 64) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i wk;
        __m128i w0 = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)data), swap);
        __m128i w1 = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16)), swap);
        __m128i w2 = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 32)), swap);
        __m128i w3 = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 48)), swap);
        SHA2_X86_SIXTEEN(0);
        SHA2_X86_SIXTEEN(4);
        SHA2_X86_SIXTEEN(8);
        SHA2_X86_ROUNDS(12, w0);
        SHA2_X86_ROUNDS(13, w1);
        SHA2_X86_ROUNDS(14, w2);
        SHA2_X86_ROUNDS(15, w3);
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    const __m128i feba = _mm_shuffle_epi32(abef, 0x1B);
    const __m128i dchg = _mm_shuffle_epi32(cdgh, 0xB1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

#endif
