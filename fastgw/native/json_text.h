/* Eight bytes of a JSON string at a time.
 *
 * Owns: finding the first byte that needs a look, by arithmetic on a whole word instead of a branch per byte:
 * most names and values are so short that leaving a loop costs more than reading them. Must not know what the
 * byte means: that is json_text.pxi. */
#ifndef FASTGW_JSON_TEXT_H
#define FASTGW_JSON_TEXT_H

#include <stdint.h>
#include <string.h>

#define JSON_EVERY(byte) (0x0101010101010101u * (uint64_t)(byte))
/* High bit of each zero byte; exact up to and including the lowest one, which is the only one used. */
#define JSON_ZEROES(word) (((word) - JSON_EVERY(0x01)) & ~(word) & JSON_EVERY(0x80))

/* How many of the eight bytes at p lie before the first quote, backslash, control or non-ASCII byte. */
static inline unsigned json_plain_run(const uint8_t *p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    const uint64_t quote = word ^ JSON_EVERY('"'), backslash = word ^ JSON_EVERY('\\');
    const uint64_t control = (word - JSON_EVERY(0x20)) & ~word & JSON_EVERY(0x80);
    const uint64_t found = JSON_ZEROES(quote) | JSON_ZEROES(backslash) | control | (word & JSON_EVERY(0x80));
    return found == 0 ? 8 : (unsigned)__builtin_ctzll(found) >> 3;
}

#endif
