# What is held at once: counts over all processes that a dead process gives back. Bits in holds.h, protocol in holds.pxi.

cdef extern from "holds.h" nogil:
    uint64_t HOLD_MOST
    uint64_t HOLD_WORDS_LEAST
    uint64_t HOLD_WORDS_MAX
    bint hold_is(pair16 s)
    uint64_t hold_n(pair16 s)
    uint32_t hold_slot(pair16 s)
    uint32_t hold_word(pair16 s)
    uint32_t hold_number(pair16 s)
    pair16 hold_pack(uint64_t fp, uint64_t n, uint32_t slot, uint32_t word, uint32_t number)
    uint64_t word_pack(uint32_t number, uint32_t cell, uint32_t state)
    uint32_t word_number(uint64_t w)
    uint32_t word_cell(uint64_t w)
    uint32_t word_state(uint64_t w)
    uint64_t word_in(uint64_t w, uint32_t state)

cdef enum WordState:            # of a ledger's word, see holds.pxi
    WORD_FREE = 0
    WORD_TAKING = 1
    WORD_HELD = 2
    WORD_GIVING = 3
    WORD_GAVE = 4

cdef enum:
    HOLDS_MAX = 8               # limit-conn steps that one request may pass
    HOLD_LINE = 8               # words per cache line, the entries of the section

cdef struct HoldLine:
    uint64_t words[HOLD_LINE]

cdef struct HoldLedgers:        # the words of all slots, in shared memory
    LimTable* table
    uint64_t* words
    uint32_t per_slot
    uint32_t slots

cdef struct HoldLedger:         # one process's own
    HoldLedgers* all
    uint32_t slot
    uint16_t* free              # words that are, the next to use last; private to the process
    uint32_t n_free

cdef struct Hold:               # one slot that a request holds
    uint64_t word               # as it stood when the slot was taken
    uint16_t at                 # which word of the ledger
    uint64_t delay_ns           # for which the request was held back
    void* conf                  # of the step that took it
    void* shared                # where other nodes count it too: what they are to be told; NULL: nothing
