/* holds: the bits of a cell that counts what is held at once, and of the word that says who holds it. Must not know: tables,
 * processes, requests.
 *
 *   cell   time: 0xff 8 | number 32       count: held now 18 | slot 8 | word 14
 *   word   number 32 | cell 26 | state 3
 *
 * `slot`, `word` and `number` name the one take or give that made this state of the cell. The mark lies above every time that
 * windows and buckets reach (17 years of uptime and LIM_HORIZON_MS), so a held cell is never expired. */
#ifndef FASTGW_HOLDS_H
#define FASTGW_HOLDS_H
#include "cells.h"

#define HOLD_MOST ((UINT64_C(1) << 18) - 1)      /* held at once under one key */
#define HOLD_WORDS_LEAST UINT64_C(64)            /* per process */
#define HOLD_WORDS_MAX (UINT64_C(1) << 14)

static inline int hold_is(pair16 s) { return lim_time(s) >= LIM_HELD_MS; }
static inline uint64_t hold_n(pair16 s) { return lim_count(s) >> 22; }
static inline uint32_t hold_slot(pair16 s) { return (uint32_t)(lim_count(s) >> 14) & 0xff; }
static inline uint32_t hold_word(pair16 s) { return (uint32_t)lim_count(s) & 0x3fff; }
static inline uint32_t hold_number(pair16 s) { return (uint32_t)lim_time(s); }

static inline pair16 hold_pack(uint64_t fp, uint64_t n, uint32_t slot, uint32_t word, uint32_t number) {
    return lim_pack(fp, LIM_HELD_MS | number, n << 22 | (uint64_t)slot << 14 | word);
}

static inline uint64_t word_pack(uint32_t number, uint32_t cell, uint32_t state) {
    return (uint64_t)number << 32 | (uint64_t)(cell & 0x3ffffff) << 3 | state;
}
static inline uint32_t word_number(uint64_t w) { return (uint32_t)(w >> 32); }
static inline uint32_t word_cell(uint64_t w) { return (uint32_t)w >> 3 & 0x3ffffff; }
static inline uint32_t word_state(uint64_t w) { return (uint32_t)w & 7; }
static inline uint64_t word_in(uint64_t w, uint32_t state) { return (w & ~UINT64_C(7)) | state; }
#endif
