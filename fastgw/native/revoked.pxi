# revoked: what is revoked, in shared memory: tokens by their jti or sub, credentials, all tokens.
#
# Owns: the table of it, the search in it, how an entry gets in and out. Must not know what a token is, where revocations come
# from, who may write at a time (revocations).
#
# Open addressing with linear search; at most half of the places are taken. A place has a mark, the quick hash of its subject,
# and an entry of a cache line. A request reads the count of a kind first, which is 0 where nobody revokes anything; then the
# marks from the subject's home on. Only where one is the subject's own is the entry looked at: its 128-bit fingerprint, keyed
# by the region's seed, must be the subject's too. So clients who choose what is hashed cannot make one token pass for another.
#
# Readers take no lock. An entry is written before its mark, and its mark goes before it is written over; a reader looks at the
# mark again when it has read the entry. An entry goes out of the table in the way of Knuth 6.4, algorithm R: those behind it
# close the gap, so that no grave is left and no search grows longer by what was there once. One that moves stands at both
# places for a moment; a reader that passed the new one before, and comes to the old one after, finds neither. Therefore
# `changes` is counted between the two, and a verdict under which it changed is no verdict: the search begins anew. Whatever
# instruction a writer is killed at, every entry stands at one place at least.

REV_NEVER = <int64_t>(<uint64_t>1 << 63)
REV_EVER = <int64_t>(~(<uint64_t>1 << 63))


cdef inline uint64_t rev_mark(const uint64_t* seed, int kind, const char* p, size_t n) noexcept nogil:
    cdef uint64_t h = rev_hash(<const uint8_t*>p, n, seed[0] + <uint64_t>kind, seed[1])
    return h if h > REV_GONE else REV_GONE + 1


cdef inline void rev_fingerprint(const uint64_t* seed, int kind, const char* p, size_t n, uint64_t* out) noexcept nogil:
    cdef siphash_state s
    siphash_start(&s, seed[0], seed[1])
    siphash_word(&s, <uint64_t>kind)
    siphash_end(&s, <const uint8_t*>p, n, &out[0], &out[1])


cdef inline void rev_name(const uint64_t* seed, int kind, const char* p, size_t n, RevName* name) noexcept nogil:
    name.mark = rev_mark(seed, kind, p, n)
    rev_fingerprint(seed, kind, p, n, name.fingerprint)


cdef inline void rev_credential(const char* p, size_t n, RevName* name) noexcept nogil:
    # The names of credentials are the operator's. So they need no key, and a credential knows its own without a region.
    cdef uint64_t seed[2]
    seed[0] = seed[1] = 0
    rev_name(seed, REV_CREDENTIAL, p, n, name)


cdef inline uint64_t rev_home(const RevTable* t, uint64_t mark) noexcept nogil:
    return (mark >> 24) & t.mask


# Reading

cdef inline bint rev_any(const RevTable* t) noexcept nogil:
    """Whether anything is revoked at all."""
    return at_load_relaxed(&t.head.all) != 0


cdef inline bint rev_any_of(const RevTable* t, int kind) noexcept nogil:
    return at_load_relaxed(&t.head.of[kind]) != 0


cdef inline bint rev_marked(const RevTable* t, uint64_t mark) noexcept nogil:
    """Whether an entry may be this subject's: False is certain."""
    cdef uint64_t i, found, changes
    while True:
        changes = at_load(&t.head.changes)
        i = rev_home(t, mark)
        while True:
            found = at_load(&t.marks[i])
            if found == mark:
                return True
            if found == REV_FREE:
                break
            i = (i + 1) & t.mask
        if at_load(&t.head.changes) == changes:
            return False


cdef bint rev_holds(const RevTable* t, const RevName* name, int64_t issued, int64_t now) noexcept nogil:
    """Whether what this subject was given at `issued` is revoked now."""
    cdef uint64_t i, found, changes
    cdef bint held
    while True:
        changes = at_load(&t.head.changes)
        i = rev_home(t, name.mark)
        held = False
        while True:
            found = at_load(&t.marks[i])
            if found == name.mark and rev_applies(&t.entries[i], name, issued, now) and at_load(&t.marks[i]) == found:
                held = True
                break
            if found == REV_FREE:
                break
            i = (i + 1) & t.mask
        if at_load(&t.head.changes) == changes:
            return held


cdef inline bint rev_applies(const RevEntry* e, const RevName* name, int64_t issued, int64_t now) noexcept nogil:
    return (at_load(&e.fingerprint[0]) == name.fingerprint[0] and at_load(&e.fingerprint[1]) == name.fingerprint[1]
            and issued < <int64_t>at_load(&e.before) and now < <int64_t>at_load(&e.expires))


# Writing: one process at a time

cdef uint64_t rev_insert(RevTable* t, uint64_t mark, const RevEntry* content) noexcept nogil:
    """Puts an entry in, whether or not another of its subject is there; the place. There must be room."""
    cdef uint64_t i = rev_home(t, mark)
    while at_load(&t.marks[i]) > REV_GONE:
        i = (i + 1) & t.mask
    at_add(&t.head.of[content.kind], 1)     # before it can be found: who reads 0 must be right
    at_add(&t.head.all, 1)
    at_add(&t.head.changes, 1)
    rev_fill(&t.entries[i], content)
    at_store(&t.marks[i], mark)
    return i


cdef void rev_fill(RevEntry* e, const RevEntry* content) noexcept nogil:
    # Of a place whose mark is gone. A reader that found it before may still be reading.
    at_store(&e.fingerprint[0], content.fingerprint[0])
    at_store(&e.fingerprint[1], content.fingerprint[1])
    at_store(&e.before, content.before)
    at_store(&e.expires, content.expires)
    at_store(&e.owner[0], content.owner[0])
    at_store(&e.owner[1], content.owner[1])
    at_store(&e.kind, content.kind)


cdef void rev_remove(RevTable* t, uint64_t i) noexcept nogil:
    """Takes the entry at a place out."""
    cdef uint64_t kind = t.entries[i].kind
    at_add(&t.head.changes, 1)              # after another entry of its subject came, before this one goes
    at_store(&t.marks[i], REV_GONE)
    at_add(&t.head.changes, 1)              # before its place is written over
    rev_close(t, i)
    at_add(&t.head.of[kind], <uint64_t>-1)
    at_add(&t.head.all, <uint64_t>-1)


cdef void rev_close(RevTable* t, uint64_t i) noexcept nogil:
    """Makes a place that is gone free: whatever is found by a search past it moves up."""
    cdef uint64_t j = i
    cdef uint64_t mark
    while True:
        j = (j + 1) & t.mask
        mark = at_load(&t.marks[j])
        if mark == REV_FREE:
            break
        if mark != REV_GONE and ((j - rev_home(t, mark)) & t.mask) >= ((j - i) & t.mask):
            rev_fill(&t.entries[i], &t.entries[j])
            at_store(&t.marks[i], mark)
            at_add(&t.head.changes, 1)      # between the two: see above
            at_store(&t.marks[j], REV_GONE)
            i = j
    at_store(&t.marks[i], REV_FREE)


cdef uint64_t rev_place(const RevTable* t, uint64_t mark, const uint64_t* owner, uint64_t but) noexcept nogil:
    """Where the owner's entry with this mark is, other than at place `but`; all ones: nowhere."""
    cdef uint64_t i = rev_home(t, mark)
    cdef uint64_t found
    while True:
        found = at_load(&t.marks[i])
        if (found == mark and i != but and t.entries[i].owner[0] == owner[0] and t.entries[i].owner[1] == owner[1]):
            return i
        if found == REV_FREE:
            return ~<uint64_t>0
        i = (i + 1) & t.mask
