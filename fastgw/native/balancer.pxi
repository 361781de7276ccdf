# balancer: which node of an upstream takes a request, and whether a failed try may be followed by another. What is known of
# a node's load lies in its pool, which outlives snapshots, so a change of the configuration forgets nothing (known-pains 6.1).
# Must not know connections, what makes a node unwell.

cdef enum:
    EWMA_DECAY_NS = 10000000000     # after which a time weighs 1/e (APISIX)
    EWMA_FAILED_NS = 1000000000     # what a failed try is taken to have lasted at least: to fail fast must not attract requests
    SLOW_LEAST = 26             # of 256: the share that slow start begins with (Envoy: 10 %)


cdef inline bint node_usable(const NodeC* node) noexcept nogil:
    # What health checks say.
    return node.judged == NULL or judged_usable(node)


cdef inline bint node_may(const Exchange* x, const UpstreamC* u, const NodeC* node, bint unwell) noexcept nogil:
    # Not what has no weight or no address, what this request tried, or, unless told so, what is unwell.
    cdef uint32_t i
    if node.weight <= 0 or not node.pool.resolved:
        return False
    if not node_usable(node):
        node.pool.since_ms = 0  # when it comes back it starts slowly
        if not unwell:
            return False
    if x.tries == 0:
        return True
    i = <uint32_t>(node - u.nodes)
    return not x.tried[i >> 6] >> (i & 63) & 1


cdef uint32_t slow_share(const Exchange* x, const UpstreamC* u, PoolC* pool) noexcept nogil:
    # Of 256, what a node has of its weight by now. All nodes of a worker that has just started are equally new.
    cdef uint64_t now = x.loop.now_ms
    if pool.since_ms == 0:
        pool.since_ms = now
    if now - pool.since_ms >= u.slow_ms:    # also where it is 0
        return 256
    return max(<uint32_t>SLOW_LEAST, <uint32_t>((now - pool.since_ms) * 256 // u.slow_ms))


cdef inline int64_t node_weight(const Exchange* x, const UpstreamC* u, const NodeC* node) noexcept nogil:
    # Comparable among the nodes of one upstream only.
    return <int64_t>node.weight * slow_share(x, u, node.pool) if u.slow_ms else node.weight


cdef NodeC* wrr_first(const UpstreamC* u) noexcept nogil:
    # What wrr_pick gives a request's first try where nothing starts slowly, among the nodes of the highest priority: nearly
    # all that is asked of the balancer.
    cdef NodeC* best = NULL
    cdef NodeC* node = u.nodes
    cdef const NodeC* end = u.nodes + u.groups.end
    cdef int64_t total = 0
    while node < end:
        if node.weight > 0 and node.pool.resolved and node_usable(node):
            node.current += node.weight
            total += node.weight
            if best == NULL or node.current > best.current:
                best = node
        node += 1
    if best != NULL:
        best.current -= total
    return best


cdef NodeC* wrr_pick(Exchange* x, const UpstreamC* u, const GroupC* group, bint unwell) noexcept nogil:
    # Smooth weighted round robin (the algorithm nginx describes): each node gains its weight, the richest serves and pays
    # the total.
    cdef NodeC* best = NULL
    cdef NodeC* node
    cdef int64_t total = 0
    cdef int64_t weight
    cdef uint32_t i
    for i in range(group.first, group.end):
        node = &u.nodes[i]
        if not node_may(x, u, node, unwell):
            continue
        weight = node_weight(x, u, node)
        node.current += weight
        total += weight
        if best == NULL or node.current > best.current:
            best = node
    if best != NULL:
        best.current -= total
    return best


cdef NodeC* chash_pick(Exchange* x, const UpstreamC* u, const GroupC* group, bint unwell) noexcept nogil:
    # The key's point, or the next one of a node that may serve. The ring is the same whatever the nodes' state, so only the
    # keys of a node that is out go elsewhere (known-pains 6.2), and a retry finds the same successor in all workers.
    cdef const Chash* ring = &group.ring
    cdef Buf* key = &x.request      # not written yet
    cdef NodeC* node
    cdef uint32_t i, at
    for i in range(group.first, group.end):
        if node_may(x, u, &u.nodes[i], unwell):
            break
    else:
        return NULL             # known without a walk round the ring, of perhaps 655,360 points
    if ring.n == 0:
        return NULL
    buf_reset(key)
    parts_eval(u.key, u.key_n, x, key)
    if key.len:
        at = chash_find(ring, crc32_of(key.p, key.len))
    else:
        at = chash_find(ring, crc32_of(x.client.address, x.client.address_len))
    for i in range(ring.n):
        node = &u.nodes[ring.points[at].node]
        if node_may(x, u, node, unwell):
            return node
        at = at + 1 if at + 1 < ring.n else 0
    return NULL


cdef NodeC* least_conn_pick(Exchange* x, const UpstreamC* u, GroupC* group, bint unwell) noexcept nogil:
    # The lowest (busy + 1) / weight; equals take turns.
    cdef NodeC* best = NULL
    cdef NodeC* node
    cdef int64_t best_busy = 0
    cdef int64_t best_weight = 1
    cdef int64_t busy, weight
    cdef uint32_t n = group.end - group.first
    cdef uint32_t at = group.turn
    cdef uint32_t i
    for i in range(n):
        at = at + 1 if at + 1 < n else 0
        node = &u.nodes[group.first + at]
        if not node_may(x, u, node, unwell):
            continue
        busy = <int64_t>pool_busy(node.pool) + 1
        weight = node_weight(x, u, node)
        if best == NULL or busy * best_weight < best_busy * weight:
            best = node
            best_busy = busy
            best_weight = weight
            group.turn = at
    return best


cdef inline double ewma_now(const PoolC* p, uint64_t now_ns) noexcept nogil:
    return p.mean_ns * exp(-<double>(now_ns - p.seen_ns) / EWMA_DECAY_NS)


cdef void ewma_learn(PoolC* p, uint64_t now_ns, uint64_t took_ns) noexcept nogil:
    # A time enters with the weight that the mean has lost since.
    cdef double kept = exp(-<double>(now_ns - p.seen_ns) / EWMA_DECAY_NS) if p.seen_ns else 0
    p.mean_ns = p.mean_ns * kept + <double>took_ns * (1 - kept)
    p.seen_ns = now_ns


cdef NodeC* ewma_pick(Exchange* x, const UpstreamC* u, const GroupC* group, bint unwell) noexcept nogil:
    # Of two by chance the quicker one (Mitzenmacher's two choices): not all requests of a moment go to the same node.
    cdef const uint8_t* dice = random_take(&x.loop.random, 5)
    cdef NodeC* one = NULL
    cdef NodeC* other = NULL
    cdef NodeC* node
    cdef uint32_t n = 0
    cdef uint32_t i, first, second
    for i in range(group.first, group.end):
        n += node_may(x, u, &u.nodes[i], unwell)
    if n == 0:
        return NULL
    first = (<uint32_t>dice[0] << 8 | dice[1]) % n
    second = (first + 1 + (<uint32_t>dice[2] << 8 | dice[3]) % (n - 1)) % n if n > 1 else first
    n = 0
    for i in range(group.first, group.end):
        node = &u.nodes[i]
        if not node_may(x, u, node, unwell):
            continue
        if n == first:
            one = node
        if n == second:
            other = node
        n += 1
    if ewma_now(other.pool, x.loop.now_ns) < ewma_now(one.pool, x.loop.now_ns):
        one, other = other, one
    if u.slow_ms and dice[4] >= slow_share(x, u, one.pool):
        return other
    return one


cdef NodeC* balance_among(Exchange* x, UpstreamC* u, bint unwell) noexcept nogil:
    # The highest priority that has a node left.
    cdef GroupC* group = u.groups
    cdef NodeC* node = NULL
    while group < u.groups + u.n_groups and node == NULL:
        if u.balance == BALANCE_ROUNDROBIN:
            node = wrr_pick(x, u, group, unwell)
        elif u.balance == BALANCE_CHASH:
            node = chash_pick(x, u, group, unwell)
        elif u.balance == BALANCE_LEAST_CONN:
            node = least_conn_pick(x, u, group, unwell)
        else:
            node = ewma_pick(x, u, group, unwell)
        group += 1
    return node


cdef bint balance_all_unwell(const UpstreamC* u) noexcept nogil:
    # Of the nodes that could serve: one without a weight or an address is no reason to use none.
    cdef uint32_t i
    for i in range(u.n):
        if u.nodes[i].weight > 0 and u.nodes[i].pool.resolved and node_usable(&u.nodes[i]):
            return False
    return True


cdef NodeC* balance_pick(Exchange* x) noexcept nogil:
    # NULL when no node is left. Where all are unwell, all count as well (APISIX); a single node is never judged.
    cdef UpstreamC* u = x.upstream
    cdef NodeC* node
    if u.n == 1:
        node = u.nodes if u.nodes.pool.resolved else NULL
    else:
        node = wrr_first(u) if u.balance == BALANCE_ROUNDROBIN and x.tries == 0 and u.slow_ms == 0 else NULL
        if node == NULL:
            node = balance_among(x, u, False)
        if node == NULL and balance_all_unwell(u):
            node = balance_among(x, u, True)
    if u.notes and node != NULL:
        x.try_ns = x.loop.now_ns
        slow_share(x, u, node.pool)     # a node that is alone has started when others join it
    return node


cdef void balance_answered(Exchange* x, const PoolC* pool, uint16_t status) noexcept nogil:
    # The head of an answer is here, where the upstream learns from that.
    cdef UpstreamC* u = x.upstream
    if u.balance == BALANCE_EWMA:
        ewma_learn(x.node.pool, x.loop.now_ns, x.loop.now_ns - x.try_ns)
    if u.passive != NULL:
        judged_answered(u.passive, x.node, x.member_at, pool, status)


cdef void balance_broke(Exchange* x, const PoolC* pool, int report) noexcept nogil:
    # The address itself is to blame for a try that failed: a report to health, whatever becomes of the request.
    cdef UpstreamC* u = x.upstream
    if u.passive != NULL:
        judged_report(u.passive, x.node, x.member_at, pool, report)


cdef void balance_failed(Exchange* x) noexcept nogil:
    # A try failed; before it is counted.
    cdef UpstreamC* u = x.upstream
    cdef uint32_t i = <uint32_t>(x.node - u.nodes)
    if x.node.pool.n_members:
        x.members_tried |= <uint64_t>1 << x.member_at
    if u.balance == BALANCE_EWMA:
        ewma_learn(x.node.pool, x.loop.now_ns, max(x.loop.now_ns - x.try_ns, <uint64_t>EWMA_FAILED_NS))
    if x.tries == 0:
        memset(x.tried, 0, sizeof(x.tried))
    x.tried[i >> 6] |= <uint64_t>1 << (i & 63)


cdef uint32_t balance_tries(const UpstreamC* u) noexcept nogil:
    # 1 + retries; by default every other node once, or every address of the only one.
    if u.retries >= 0:
        return <uint32_t>(1 + u.retries)
    return u.n if u.n > 1 else max(u.nodes.pool.n_members, <uint32_t>1)


cdef bint balance_affords(Exchange* x, bint sent) noexcept nogil:
    # Whether there is time for another try, and the nodes bear it. A try that reached no node cost none of them anything and
    # is free; the others draw on the budget, so that an upstream which fails because it is overloaded is not asked twice as much.
    cdef UpstreamC* u = x.upstream
    cdef RetryBudget* b = &u.budget
    cdef uint64_t now = x.loop.now_ms
    if u.retry_ms and now - x.first_try_ms > u.retry_ms:
        x.fail_status = 502
        return False
    if not sent:
        return True
    b.left += <int64_t>b.asked * b.per_request
    if b.at_ms:
        b.left += <int64_t>min(now - b.at_ms, <uint64_t>BUDGET_MS) * b.per_ms
    b.left = min(b.left, b.most)
    b.asked = 0
    b.at_ms = now
    if b.left < 1000:
        return False
    b.left -= 1000
    return True
