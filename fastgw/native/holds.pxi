# holds: how many hold something at once under a key, exactly, over processes that may be killed at any instruction. Must not
# know: requests, limits, who runs in a slot.
#
# The count is a cell of the limiter's table. Beside it each process slot has a ledger, one word per hold; with it a dead
# process's holds are given back. The two change one after the other, so each change of a cell is signed: the cell's new state
# names the slot, the word and a number that this word never had before, and the word says beforehand what will be done:
#
#   take   word FREE -> TAKING number+1   cell n -> n+1, signed   word -> HELD
#   give   word HELD -> GIVING number+1   cell n -> n-1, signed   word -> GAVE   cell signed 0 -> empty   word -> FREE
#
# Whoever is about to write over a signature first moves the signer's word on (TAKING to HELD, GIVING to GAVE). Claim: for a
# word in TAKING or GIVING its change was made if and only if the cell bears its signature. Proof: it is signed when made; who
# writes over the signature has moved the word on before; and the state of a cell never comes back, because a signature is used
# once, so a swap upon an old state fails. Therefore hold_settle can finish, for a process that died, what it had begun, and
# begin what it had not: it is the same code by which a living one gives back. Two that do it at once do no harm: every step is
# a swap from what was seen. tests/unit/test_holds_model.py runs every interleaving, with a crash at each.
#
# A cell at 0 that nobody had time to empty is emptied by its giver's ledger, or taken by the next hold of the key.


cdef inline uint64_t* hold_word_at(const HoldLedgers* all, uint32_t slot, uint32_t at) noexcept nogil:
    return &all.words[<uint64_t>slot * all.per_slot + at]


cdef inline void hold_acknowledge(const HoldLedgers* all, pair16 s) noexcept nogil:
    # Moves the word of the one who signed s on, before s is written over.
    cdef uint64_t* word
    cdef uint64_t w
    if hold_slot(s) >= all.slots or hold_word(s) >= all.per_slot:
        return                  # nobody of this region wrote that
    word = hold_word_at(all, hold_slot(s), hold_word(s))
    w = at_load(word)
    if word_number(w) == hold_number(s):
        if word_state(w) == WORD_TAKING:
            at_cas(word, w, word_in(w, WORD_HELD))
        elif word_state(w) == WORD_GIVING:
            at_cas(word, w, word_in(w, WORD_GAVE))


cdef void hold_settle(const HoldLedgers* all, uint32_t slot, uint32_t at) noexcept nogil:
    # Brings a word to FREE from wherever it stands, with what that means for its cell.
    cdef uint64_t* word = hold_word_at(all, slot, at)
    cdef uint64_t w
    cdef uint32_t state
    cdef LimCell* cell
    cdef pair16 s
    cdef bint signed_
    while True:
        w = at_load(word)
        state = word_state(w)
        if state == WORD_FREE:
            return
        cell = &all.table.cells[word_cell(w) & all.table.mask]
        s = at_read16(&cell.state)
        signed_ = hold_is(s) and hold_slot(s) == slot and hold_word(s) == at and hold_number(s) == word_number(w)
        if state == WORD_TAKING:
            at_cas(word, w, word_in(w, WORD_HELD if signed_ else WORD_FREE))
        elif state == WORD_HELD:
            at_cas(word, w, word_pack(word_number(w) + 1, word_cell(w), WORD_GIVING))
        elif state == WORD_GIVING and signed_:
            at_cas(word, w, word_in(w, WORD_GAVE))
        elif state == WORD_GIVING and hold_is(s) and hold_n(s):
            hold_acknowledge(all, s)
            if at_load(word) == w:
                at_cas16(&cell.state, s, hold_pack(lim_fp(s), hold_n(s) - 1, slot, at, word_number(w)))
        else:
            # Given. (Or of a cell that counts nothing: not written by this protocol, and nothing to give back to.)
            if signed_ and hold_n(s) == 0:
                at_cas16(&cell.state, s, lim_pack(0, 0, 0))
            at_cas(word, w, word_in(w, WORD_FREE))


cdef int64_t hold_take(HoldLedger* l, const LimKey* k, uint64_t now_ms, uint64_t most, Hold* out) noexcept nogil:
    # One more under the key, if fewer than `most` are held: how many are held now. 0: `most` are. -1: no word or no cell is
    # left, or LIM_TRIES races were lost.
    cdef LimTable* t = l.all.table
    cdef uint64_t* word
    cdef uint64_t w, taking
    cdef uint64_t n = 0
    cdef int64_t result = -1
    cdef LimCell* cell
    cdef pair16 s
    cdef int at, claimed, attempt
    cdef uint32_t own
    while True:
        if l.n_free == 0:
            return -1
        own = l.free[l.n_free - 1]
        word = hold_word_at(l.all, l.slot, own)
        w = at_load(word)
        if word_state(w) == WORD_FREE:
            break
        l.n_free -= 1           # another process uses our slot: it keeps the word
    for attempt in range(LIM_TRIES):
        at = lim_seek(t, k, &s)
        n = hold_n(s) if at >= 0 and hold_is(s) else 0
        if n >= min(most, HOLD_MOST):
            result = 0
            break
        claimed = lim_claim(t, k, at, now_ms, LIM_EVICTS, &s, &cell)
        if claimed < 0:
            break
        if claimed:
            if hold_is(s):
                hold_acknowledge(l.all, s)
            taking = word_pack(word_number(w) + (word_state(w) == WORD_FREE), <uint32_t>(cell - t.cells), WORD_TAKING)
            if taking != w and not at_cas(word, w, taking):
                l.n_free -= 1
                return -1
            w = taking
            if at_cas16(&cell.state, s, hold_pack(k.fp, n + 1, l.slot, own, word_number(w))):
                at_cas(word, w, word_in(w, WORD_HELD))
                l.n_free -= 1
                out.word = word_in(w, WORD_HELD)
                out.at = <uint16_t>own
                return <int64_t>n + 1
        at_pause()
    if word_state(w) == WORD_TAKING:
        at_cas(word, w, word_in(w, WORD_FREE))
    return result


cdef void hold_give(HoldLedger* l, const Hold* hold) noexcept nogil:
    # Once per hold. A hold that somebody gave back for us (the slot changed hands under a living process) is left alone.
    cdef uint64_t* word = hold_word_at(l.all, l.slot, hold.at)
    if not at_cas(word, hold.word, word_pack(word_number(hold.word) + 1, word_cell(hold.word), WORD_GIVING)):
        return
    hold_settle(l.all, l.slot, hold.at)
    l.free[l.n_free] = hold.at
    l.n_free += 1


cdef void hold_give_all(const HoldLedgers* all, uint32_t slot) noexcept nogil:
    # What a process that is no more held in this slot.
    cdef uint32_t at
    for at in range(all.per_slot):
        hold_settle(all, slot, at)


cdef int hold_ledger_open(HoldLedger* l, HoldLedgers* all, uint32_t slot) except -1:
    cdef uint32_t at
    l.all = all
    l.slot = slot
    l.n_free = 0
    l.free = <uint16_t*>malloc(all.per_slot * sizeof(uint16_t))
    if l.free == NULL:
        raise MemoryError
    for at in range(all.per_slot, 0, -1):
        if word_state(at_load(hold_word_at(all, slot, at - 1))) == WORD_FREE:
            l.free[l.n_free] = <uint16_t>(at - 1)
            l.n_free += 1
    return 0


cdef void hold_ledger_close(HoldLedger* l) noexcept nogil:
    free(l.free)
    l.free = NULL
    l.n_free = 0
