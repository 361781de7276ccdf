# unsent: what of answers out of a cache lies in memory as their clients do not take it. Such a body comes whole: each of many
# clients who ask for a long one and do not read would have all of it here (hardening rule 25). Together they have a bound, beyond
# which answers come from the upstream, by pieces. Must not know: where answers are kept.

cdef enum:
    UNSENT_MOST = 134217728     # bytes in one process

cdef uint64_t unsent_held
cdef uint64_t unsent_most = UNSENT_MOST


cdef inline bint unsent_room(uint64_t n) noexcept nogil:
    # One body there may always be, however long.
    return unsent_held == 0 or unsent_held + n <= unsent_most


cdef void unsent_hold(Conn* c) noexcept nogil:
    # Behind the sending of one: what the socket did not take.
    global unsent_held
    unsent_release(c)
    c.unsent = buf_left(&c.out)
    unsent_held += c.unsent


cdef void unsent_release(Conn* c) noexcept nogil:
    global unsent_held
    unsent_held -= c.unsent
    c.unsent = 0


def cache_has_room(uint64_t size) -> bool:
    """Whether a body of that many bytes may be answered out of a cache, or clients have yet to take too much of others."""
    return unsent_room(size)


def _test_unsent(most=None) -> int:
    """Bytes held now; from now on there may be `most`."""
    global unsent_most
    if most is not None:
        unsent_most = most
    return unsent_held
