# pool: idle upstream connections per address, and the choice of a node (balancer).


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
        pool_remove(u)
        if u.c.ended or u.c.broken or u.c.readable:
            up_close(u)         # input on an idle connection is never a lawful answer
            continue
        u.c.state = UP_ACTIVE
        u.reused = 1
        return u
    return NULL


cdef void pool_close_idle(PoolC* p) noexcept nogil:
    while p.idle != NULL:
        up_close(p.idle)


cdef NodeC* balance_pick(Exchange* x) noexcept nogil:
    # Smooth weighted round robin (the algorithm nginx describes): each usable node gains its weight, the richest serves and
    # pays the total. Nodes already tried by this request and unresolved ones are passed over; NULL when none is left.
    cdef UpstreamC* u = x.plan.upstream
    cdef NodeC* best = NULL
    cdef NodeC* node
    cdef int64_t total = 0
    cdef uint32_t i
    if u.n == 1:
        node = &u.nodes[0]
        return node if node.pool.resolved else NULL
    for i in range(u.n):
        node = &u.nodes[i]
        if node.weight <= 0 or not node.pool.resolved or (x.tries and x.tried[i >> 6] >> (i & 63) & 1):
            continue
        node.current += node.weight
        total += node.weight
        if best == NULL or node.current > best.current:
            best = node
    if best != NULL:
        best.current -= <int32_t>total
    return best


cdef inline void balance_mark_tried(Exchange* x) noexcept nogil:
    # Before the try is counted.
    cdef uint32_t i = <uint32_t>(x.node - x.plan.upstream.nodes)
    if x.tries == 0:
        memset(x.tried, 0, sizeof(x.tried))
    x.tried[i >> 6] |= <uint64_t>1 << (i & 63)


cdef inline uint32_t balance_tries(const UpstreamC* u) noexcept nogil:
    # 1 + retries; by default every other node once.
    return <uint32_t>(1 + u.retries) if u.retries >= 0 else u.n
