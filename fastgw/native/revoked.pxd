# Shapes of the table of what is revoked: see revoked.pxi.

cdef extern from "revoked.h" nogil:
    uint64_t rev_hash(const uint8_t* p, size_t n, uint64_t k0, uint64_t k1)

cdef enum:                      # RevKind: what an entry's subject is; REV_KINDS in revocations.pxi names them in this order
    REV_JTI = 0
    REV_SUB
    REV_CREDENTIAL              # <consumer>/<credential>, or <consumer> for what stands in the consumer itself
    REV_ALL                     # every token; the subject is empty
    REV_KIND_COUNT
    REV_OWNER = REV_KIND_COUNT  # no subject: the id of the revocation that an entry is of

cdef enum:                      # marks that are no hash
    REV_FREE = 0                # nothing here, and no search goes further
    REV_GONE = 1                # nothing here, but a search goes on

cdef enum:
    REV_MOST = 1 << 24          # entries; 1.2 GiB

cdef struct RevHead:            # two cache lines: one that requests read, one for writers
    uint64_t all                # entries of all kinds; never fewer than there are
    uint64_t of[REV_KIND_COUNT]  # of each
    uint64_t changes            # of places: one for each entry that came, went or moved
    uint64_t pad[2]
    uint64_t writes             # odd: a writer is at work, or was killed at it
    uint64_t revision           # of the store that the entries are those of; 0: of none
    uint64_t pad2[6]

cdef struct RevEntry:           # a cache line; never changes while its mark stands
    uint64_t fingerprint[2]     # SipHash of kind and subject
    uint64_t before             # s: revoked is what was issued before; signed, REV_EVER: whatever it is
    uint64_t expires            # s of CLOCK_REALTIME: from then on it counts no more; signed, REV_EVER: never
    uint64_t owner[2]           # SipHash of the revocation's id
    uint64_t kind               # a RevKind
    uint64_t pad

cdef struct RevName:            # what a subject is found by
    uint64_t mark
    uint64_t fingerprint[2]

cdef struct RevTable:           # a process's view of it
    RevHead* head
    uint64_t* marks             # a hash per entry, apart from it: eight to a cache line, and most searches read no more
    RevEntry* entries
    uint64_t mask               # places - 1; at most half of the places are taken
    uint64_t capacity           # entries
    uint64_t seed[2]            # of both hashes, random per region
    RevName everything          # the subject of kind REV_ALL

cdef struct RevSubjects:        # what of a token can be revoked
    uint64_t jti                # mark; REV_FREE: it has none
    uint64_t sub
    int64_t issued              # s; REV_NEVER: it does not say

cdef int64_t REV_NEVER          # earlier than anything
cdef int64_t REV_EVER           # later than anything
