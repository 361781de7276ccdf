# route: which plan serves a request. Host first, as APISIX's radixtree_host_uri: exact host, then wildcard hosts from the
# longest suffix, then routes without a host; in each, the exact path by priority, then the longest prefix. All lookups are
# hashes; the hashes of every prefix come from one pass over the path, so 10,000 routes cost what 10 do.

cdef inline bint plan_admits(const PlanC* p, const Exchange* x) noexcept nogil:
    if p.methods != 0 and not (x.head.method < 64 and p.methods >> x.head.method & 1):
        return False
    if p.remote.n != 0 and not cidr_match(&p.remote, x.down.bytes):
        return False
    return p.condition == NULL or expr_eval(p.condition, x) == 1


cdef inline PlanC* candidates_pick(const Candidates* c, Exchange* x) noexcept nogil:
    cdef uint32_t i
    for i in range(c.n):
        if plan_admits(c.plans[i], x):
            return c.plans[i]
    return NULL


cdef PlanC* path_find(PathIndex* index, Exchange* x) noexcept nogil:
    cdef const char* path = x.uri_path
    cdef uint32_t n = x.uri_path_len
    cdef uint64_t h = map_hash_start()
    cdef uint32_t i
    cdef uint32_t k = 0
    cdef Candidates* c
    cdef PlanC* plan
    for i in range(n):
        while k < index.n_lengths and index.lengths[k] == i:
            index.hashes[k] = h
            k += 1
        h = map_hash_byte(h, <uint8_t>path[i])
    if k < index.n_lengths and index.lengths[k] == n:
        index.hashes[k] = h
        k += 1
    c = <Candidates*>map_get_hashed(&index.exact, h, path, n)
    if c != NULL:
        plan = candidates_pick(c, x)
        if plan != NULL:
            return plan
    while k:
        k -= 1
        c = <Candidates*>map_get_hashed(&index.prefix, index.hashes[k], path, index.lengths[k])
        if c != NULL:
            plan = candidates_pick(c, x)
            if plan != NULL:
                return plan
    return NULL


cdef PlanC* route_find_host(RouteIndex* routes, Exchange* x) noexcept nogil:
    # Suffixes are kept reversed, so that one pass from the end of the host hashes them all.
    cdef const char* host = x.host.p
    cdef uint32_t n = x.host.len
    cdef uint64_t h = map_hash_start()
    cdef uint32_t i
    cdef uint32_t k = 0
    cdef PathIndex* index
    cdef PlanC* plan
    cdef char reversed_[256]
    index = <PathIndex*>map_get(&routes.hosts, host, n)
    if index != NULL:
        plan = path_find(index, x)
        if plan != NULL:
            return plan
    if routes.n_suffix_lengths == 0 or n > sizeof(reversed_):
        return NULL
    for i in range(n):
        while k < routes.n_suffix_lengths and routes.suffix_lengths[k] == i:
            routes.suffix_hashes[k] = h
            k += 1
        reversed_[i] = host[n - 1 - i]
        h = map_hash_byte(h, <uint8_t>reversed_[i])
    while k:                    # a suffix is shorter than the host: *.a.com does not match a.com
        k -= 1
        index = <PathIndex*>map_get_hashed(&routes.suffixes, routes.suffix_hashes[k], reversed_, routes.suffix_lengths[k])
        if index != NULL:
            plan = path_find(index, x)
            if plan != NULL:
                return plan
    return NULL


cdef inline void plan_fetch(const PlanC* p) noexcept nogil:
    # Of 10,000 plans the one asked for is seldom in a cache. What the chain reads next is asked for at once, not one miss after
    # the other.
    prefetch(p.chain.steps[PHASE_REWRITE])
    prefetch(p.chain.steps[PHASE_ACCESS])
    prefetch(p.logged)
    if p.upstream != NULL:
        prefetch(p.upstream)
        prefetch(<const char*>p.upstream + 64)


cdef PlanC* route_find(RouteIndex* routes, Exchange* x) noexcept nogil:
    cdef PlanC* plan = NULL
    if x.host.len and (routes.hosts.used or routes.n_suffix_lengths):
        plan = route_find_host(routes, x)
    if plan == NULL and routes.any_host != NULL:
        plan = path_find(routes.any_host, x)
    if plan != NULL:
        plan_fetch(plan)
    return plan
