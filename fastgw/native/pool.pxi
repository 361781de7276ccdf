# pool: idle upstream connections per address, and the addresses of a name by turns.


cdef inline void pool_put(Up* u) noexcept nogil:
    cdef PoolC* p = u.pool
    u.c.state = UP_IDLE
    u.prev = NULL
    u.next = p.idle
    if p.idle != NULL:
        p.idle.prev = u
    p.idle = u
    p.n_idle += 1


cdef inline void pool_remove(Up* u) noexcept nogil:
    cdef PoolC* p = u.pool
    if u.prev != NULL:
        u.prev.next = u.next
    else:
        p.idle = u.next
    if u.next != NULL:
        u.next.prev = u.prev
    u.prev = u.next = NULL
    p.n_idle -= 1


cdef inline Up* pool_take(PoolC* p) noexcept nogil:
    # Most recently used first: it is the least likely to have been closed by the other side.
    cdef Up* u
    while p.idle != NULL:
        u = p.idle
        if pool_use(u):
            return u
    return NULL


cdef inline bint pool_use(Up* u) noexcept nogil:
    # Takes an idle connection; False: it turned out to be of no use, and is closed.
    # One branch: nothing of it is so for nearly all.
    if (u.c.ended | u.c.broken | u.c.readable | u.c.loop.unheard) and not up_silent(u):
        up_close(u)
        return False
    pool_remove(u)
    u.c.state = UP_ACTIVE
    u.reused = 1
    return True


cdef bint pool_gives_way(Up* u, const UpstreamC* upstream) noexcept nogil:
    # Of a full pool, whether its oldest connection is closed in favour of this one. Those that speak TLS serve for one server
    # name each, which clients may choose: what they chose once must not keep out what is asked for all the time.
    cdef Up* oldest = u.pool.idle
    if u.c.tls == NULL or oldest == NULL or u.pool.n_idle > upstream.keep_size:
        return False
    while oldest.next != NULL:
        oldest = oldest.next
    up_close(oldest)
    return True


cdef void pool_close_idle(PoolC* p) noexcept nogil:
    while p.idle != NULL:
        up_close(p.idle)


cdef PoolC* pool_member(Exchange* x, const NodeC* node) noexcept nogil:
    # The next address of a name: a well one if there is, and one that failed this request only where all did.
    cdef PoolC* p = node.pool
    cdef uint32_t at = p.turn
    cdef uint32_t best = p.n_members
    cdef uint32_t i
    if x.tries == 0:
        x.members_tried = 0
    for i in range(p.n_members):
        at = at + 1 if at + 1 < p.n_members else 0
        if x.members_tried >> at & 1:
            continue
        if node.judged == NULL or judged_well(node.judged, at, p.members[at]):
            best = at
            break
        if best == p.n_members:
            best = at           # unwell, if there is no better one
    p.turn = best if best < p.n_members else at
    x.member_at = p.turn
    return p.members[p.turn]


cdef uint32_t pool_busy(const PoolC* p) noexcept nogil:
    # Requests under way to it from this worker, of whatever upstream. Each has a connection of its own, so they need no
    # count that somebody could forget to give back.
    cdef uint32_t busy = p.n_open - p.n_idle
    cdef uint32_t i
    for i in range(p.n_members):
        busy += p.members[i].n_open - p.members[i].n_idle
    return busy
