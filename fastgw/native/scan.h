/* How many bytes in front are of a kind: sixteen at a time where the processor has SSE2, which every x86-64 has.
 *
 * Owns: the kinds that a head is made of, and lower case of names. Must not know what stands between the runs. No function
 * reads beyond s + n: what is left of sixteen bytes is loaded in parts that overlap, with zeros behind it, and zero is of no
 * kind. The portable form is the same function on other processors, and what the tests compare with.
 *
 * Kinds: text     field values and reasons: all but control bytes, a tab excepted (RFC 9110 section 5.5)
 *        visible  request targets: 0x21 to 0x7E
 *        open     what a JSON string shows as it stands: 0x20 to 0x7E but " and \
 *        plain    letters, digits and hyphens: nearly every field name
 *        host     these, dots and low lines: names of hosts, and IPv4 addresses */
#ifndef FASTGW_SCAN_H
#define FASTGW_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { SCAN_KEY = 24 }; /* bytes of a name that scan_plain keeps */

static inline int scan_is_text(uint8_t c) { return (c >= 0x20 && c != 0x7F) || c == '\t'; }
static inline int scan_is_visible(uint8_t c) { return c > 0x20 && c < 0x7F; }
static inline int scan_is_open(uint8_t c) { return c >= 0x20 && c < 0x7F && c != '"' && c != '\\'; }
static inline int scan_is_letter(uint8_t c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }
static inline int scan_is_plain(uint8_t c) { return scan_is_letter(c) || (c >= '0' && c <= '9') || c == '-'; }
static inline int scan_is_host(uint8_t c) { return scan_is_plain(c) || c == '.' || c == '_'; }

#define SCAN_REST(kind)                                          \
    while (i < n && scan_is_##kind((uint8_t)s[i])) {             \
        i++;                                                     \
    }                                                            \
    return i;
#define SCAN_PORTABLE(kind)                                              \
    static size_t scan_##kind##_portable(const char *s, size_t n) {      \
        size_t i = 0;                                                    \
        SCAN_REST(kind)                                                  \
    }
SCAN_PORTABLE(text)
SCAN_PORTABLE(visible)
SCAN_PORTABLE(open)

/* The run of plain bytes in front; the first SCAN_KEY of them go in lower case to key, which the caller has cleared. */
static size_t scan_plain_portable(const char *s, size_t n, char *key) {
    size_t i = 0;
    for (; i < n && scan_is_plain((uint8_t)s[i]); i++) {
        if (i < SCAN_KEY) {
            key[i] = (char)(s[i] | 0x20); /* sets nothing new in digits and hyphens */
        }
    }
    return i;
}

/* The run of host bytes in front, in lower case to out, which has room for n bytes. *empty: whether there is a label before a
 * dot that is empty. */
static size_t scan_host_portable(const char *s, size_t n, char *out, int *empty) {
    size_t i = 0;
    int dot = 1;
    *empty = 0;
    for (; i < n && scan_is_host((uint8_t)s[i]); i++) {
        *empty |= dot & (s[i] == '.');
        dot = s[i] == '.';
        out[i] = scan_is_letter((uint8_t)s[i]) ? (char)(s[i] | 0x20) : s[i];
    }
    return i;
}

#if defined(__SSE2__)
#include <emmintrin.h>

#define SCAN_ALL(c) _mm_set1_epi8((char)(c))
#define SCAN_OR(a, b) _mm_or_si128(a, b)
#define SCAN_IS(v, c) _mm_cmpeq_epi8(v, SCAN_ALL(c))
#define SCAN_ABOVE(v, c) _mm_cmpgt_epi8(v, SCAN_ALL(c)) /* signed: bytes from 0x80 on are below every c here */
#define SCAN_WITHIN(v, low, high) _mm_and_si128(SCAN_ABOVE(v, (low) - 1), _mm_cmpgt_epi8(SCAN_ALL((high) + 1), v))

/* Bits of the bytes that are not of the kind. */
static inline unsigned scan_not_text(__m128i v) {
    const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, SCAN_ALL(0x1F)), v);
    return (unsigned)_mm_movemask_epi8(SCAN_OR(_mm_andnot_si128(SCAN_IS(v, '\t'), control), SCAN_IS(v, 0x7F)));
}
static inline unsigned scan_not_visible(__m128i v) {
    return (unsigned)_mm_movemask_epi8(SCAN_WITHIN(v, 0x21, 0x7E)) ^ 0xFFFF;
}
static inline unsigned scan_not_open(__m128i v) {
    const __m128i marks = SCAN_OR(SCAN_IS(v, '"'), SCAN_IS(v, '\\'));
    return (unsigned)_mm_movemask_epi8(_mm_andnot_si128(marks, SCAN_WITHIN(v, 0x20, 0x7E))) ^ 0xFFFF;
}
static inline unsigned scan_not_plain(__m128i v, __m128i lower) {
    const __m128i name = SCAN_OR(SCAN_WITHIN(lower, 'a', 'z'), SCAN_OR(SCAN_WITHIN(v, '0', '9'), SCAN_IS(v, '-')));
    return (unsigned)_mm_movemask_epi8(name) ^ 0xFFFF;
}

/* The n bytes at s, less than sixteen, and zeros. */
static inline __m128i scan_short(const char *s, size_t n) {
    uint64_t low = 0, high = 0;
    if (n >= 8) {
        memcpy(&low, s, 8);
        memcpy(&high, s + n - 8, 8);
        high = high >> 1 >> (127 - 8 * n); /* by 128 - 8 n, which is 64 for n = 8 and must not be done at once (C11 6.5.7) */
    } else if (n >= 4) {
        uint32_t first, last;
        memcpy(&first, s, 4);
        memcpy(&last, s + n - 4, 4);
        low = first | (uint64_t)last << (8 * (n - 4));
    } else if (n) {
        low = (uint64_t)(uint8_t)s[0] | (uint64_t)(uint8_t)s[n / 2] << (8 * (n / 2)) |
              (uint64_t)(uint8_t)s[n - 1] << (8 * (n - 1));
    }
    return _mm_set_epi64x((int64_t)high, (int64_t)low);
}

/* The first n bytes of v, less than sixteen, to out, and nothing behind them. */
static inline void scan_short_out(char *out, __m128i v, size_t n) {
    char all[16];
    _mm_storeu_si128((__m128i *)all, v);
    if (n >= 8) {
        memcpy(out, all, 8);
        memcpy(out + n - 8, all + n - 8, 8);
    } else if (n >= 4) {
        memcpy(out, all, 4);
        memcpy(out + n - 4, all + n - 4, 4);
    } else if (n) {
        out[0] = all[0];
        out[n / 2] = all[n / 2];
        out[n - 1] = all[n - 1];
    }
}

#define SCAN(kind)                                                                  \
    static inline size_t scan_##kind(const char *s, size_t n) {                     \
        size_t i = 0;                                                               \
        for (; i + 16 <= n; i += 16) {                                              \
            const unsigned odd = scan_not_##kind(_mm_loadu_si128((const __m128i *)(s + i))); \
            if (odd) {                                                              \
                return i + (size_t)__builtin_ctz(odd);                              \
            }                                                                       \
        }                                                                           \
        return i + (size_t)__builtin_ctz(scan_not_##kind(scan_short(s + i, n - i))); \
    }
SCAN(text)
SCAN(visible)
SCAN(open)

static inline size_t scan_plain(const char *s, size_t n, char *key) {
    /* A mask of k bytes starts 16 - k into this. */
    static const uint8_t masks[32] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    const __m128i v = n >= 16 ? _mm_loadu_si128((const __m128i *)s) : scan_short(s, n);
    const __m128i lower = SCAN_OR(v, SCAN_ALL(0x20));
    const unsigned odd = scan_not_plain(v, lower);
    if (odd) {
        const size_t k = (size_t)__builtin_ctz(odd);
        const __m128i mask = _mm_loadu_si128((const __m128i *)(masks + 16 - k));
        _mm_storeu_si128((__m128i *)key, _mm_and_si128(lower, mask));
        return k;
    }
    return scan_plain_portable(s, n, key);
}

static inline size_t scan_host(const char *s, size_t n, char *out, int *empty) {
    unsigned dot = 1; /* the byte before was one, or there is none */
    *empty = 0;
    for (size_t i = 0;; i += 16) {
        const size_t left = n - i;
        const __m128i v = left >= 16 ? _mm_loadu_si128((const __m128i *)(s + i)) : scan_short(s + i, left);
        const __m128i folded = SCAN_OR(v, SCAN_ALL(0x20));
        const __m128i letter = SCAN_WITHIN(folded, 'a', 'z');
        const __m128i lower = SCAN_OR(v, _mm_and_si128(letter, SCAN_ALL(0x20)));
        const unsigned odd = scan_not_plain(v, folded) &
                             ~(unsigned)_mm_movemask_epi8(SCAN_OR(SCAN_IS(v, '.'), SCAN_IS(v, '_')));
        const unsigned k = odd ? (unsigned)__builtin_ctz(odd) : 16;
        const unsigned dots = (unsigned)_mm_movemask_epi8(SCAN_IS(v, '.')) & ((1u << k) - 1);
        *empty |= (dots & (dots << 1 | dot)) != 0;
        if (odd) {
            scan_short_out(out + i, lower, k);
            return i + k;
        }
        _mm_storeu_si128((__m128i *)(out + i), lower);
        dot = dots >> 15;
    }
}
#else
#define scan_text scan_text_portable
#define scan_visible scan_visible_portable
#define scan_open scan_open_portable
#define scan_plain scan_plain_portable
#define scan_host scan_host_portable
#endif

#endif
