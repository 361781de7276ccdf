# route: which plan serves a request. Host first, as APISIX's radixtree_host_uri: exact host, then wildcard hosts from the
# longest suffix, then routes without a host; in each, the exact path by priority, then the longest prefix. Or path first, with
# the host among what a route looks at. All lookups are hashes; the hashes of every prefix come from one pass over the path, and
# what routes of one prefix look at besides (facets) is hashed too, so 10,000 routes cost what 10 do.


cdef inline bint plan_admits(const PlanC* p, Exchange* x) noexcept nogil:
    if p.methods != 0 and not (x.head.method < 64 and p.methods >> x.head.method & 1):
        return False
    if p.remote.n != 0 and not cidr_match(&p.remote, x.client.bytes):
        return False
    return p.condition == NULL or plan_holds(p, x)


cdef bint plan_holds(const PlanC* p, Exchange* x) noexcept nogil:
    cdef int r
    x.trying = p                # whose pattern says what parameters the path has
    r = expr_eval(p.condition, x)
    x.trying = NULL
    return r == 1


cdef inline bint facet_add(const FacetC* f, uint32_t* n, const char* p, size_t len) noexcept nogil:
    # False: longer than anything that is to be found.
    if len >= f.most - n[0]:
        return False
    memcpy(f.text + n[0], p, len)
    f.text[n[0] + len] = c"/"
    n[0] += <uint32_t>len + 1
    return True


cdef bint facet_host(const FacetC* f, const Exchange* x, uint32_t* n) noexcept nogil:
    cdef const char* host = x.host.p
    cdef size_t len = x.host.len
    cdef char text[URI_HOST_BYTES + 8]
    if f.host >= FACET_AUTHORITY:
        if x.authority_port == 0 or len > URI_HOST_BYTES:
            return False
        memcpy(text, host, len)
        len += snprintf(text + len, 8, ":%u", x.authority_port)
        host = text
    if f.host == FACET_HOST_END or f.host == FACET_AUTHORITY_END:
        if len < f.suffix:
            return False
        host += len - f.suffix
        len = f.suffix
    return facet_add(f, n, host, len)


cdef int64_t facet_text(const FacetC* f, const Exchange* x, uint32_t prefix) noexcept nogil:
    # Writes what is looked up of this request; gives its length, or -1 where it has not got it.
    cdef const char* path = x.uri_path + prefix
    cdef int64_t left = <int64_t>x.uri_path_len - prefix
    cdef int64_t at = 0
    cdef int64_t start
    cdef const char* slash
    cdef uint32_t n = 0
    cdef uint32_t i
    if f.host != FACET_ANY_HOST and not facet_host(f, x, &n):
        return -1
    for i in range(f.n_head):
        if at > left:
            return -1
        slash = <const char*>memchr(path + at, c"/", left - at) if at < left else NULL
        start = at
        at = left if slash == NULL else slash - path
        if f.head[i] == c"L" and not facet_add(f, &n, path + start, at - start):
            return -1
        at += 1
    if not f.open:
        return n if at == left + 1 or f.n_head == 0 else -1
    for i in range(f.n_tail):
        if left < at:
            return -1
        start = left
        while start > at and path[start - 1] != c"/":
            start -= 1
        if f.tail[i] == c"L" and not facet_add(f, &n, path + start, left - start):
            return -1
        left = start - 1
    return n


cdef PlanC* facets_pick(const Candidates* c, Exchange* x, uint32_t prefix, uint32_t least) noexcept nogil:
    # The first in the order of all that the facets give: each has its own sorted already.
    cdef PlanC* best = NULL
    cdef PlanC* plan
    cdef const Candidates* found
    cdef int64_t n
    cdef uint32_t i, j
    cdef Span none
    for i in range(c.n_facets):
        n = facet_text(c.facets[i], x, prefix)
        if n < 0:
            continue
        found = <const Candidates*>map_get(&c.facets[i].plans, c.facets[i].text, n)
        if found == NULL:
            continue
        for j in range(found.n):
            plan = found.plans[j]
            if best != NULL and not plan_before(plan, best, least):
                break
            if plan.pattern != NULL and plan.pattern.checks and not pattern_match(
                    plan.pattern, x.uri_path, x.uri_path_len, plan.pattern.n, &none):
                continue
            if plan_admits(plan, x):
                best = plan
                break
    return best


cdef inline PlanC* candidates_pick(const Candidates* c, Exchange* x) noexcept nogil:
    cdef uint32_t i
    for i in range(c.n):
        if plan_admits(c.plans[i], x):
            return c.plans[i]
    return NULL


cdef inline void rehash(const Exchange* x, uint64_t* hashes, const uint32_t* lengths, uint32_t k, const char* p) noexcept nogil:
    # Threads of an application share one snapshot, and a condition that the interpreter judges gives them their turn: then the
    # first k hashes may be those of another request.
    cdef uint32_t i
    if x.loop != NULL and x.loop.embedded:
        for i in range(k):
            hashes[i] = map_hash(p, lengths[i])


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
        if plan == NULL and c.n_facets:
            plan = facets_pick(c, x, n, n)
        if plan != NULL:
            return plan
        rehash(x, index.hashes, index.lengths, k, path)
    while k:
        k -= 1
        c = <Candidates*>map_get_hashed(&index.prefix, index.hashes[k], path, index.lengths[k])
        if c != NULL:
            plan = candidates_pick(c, x)
            if plan == NULL and c.n_facets:
                plan = facets_pick(c, x, index.lengths[k], index.lengths[k] + 1)
            if plan != NULL:
                return plan
            rehash(x, index.hashes, index.lengths, k, path)
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
    if k < routes.n_suffix_lengths and routes.suffix_lengths[k] == n:   # *a.com matches a.com; *.a.com has one byte more
        routes.suffix_hashes[k] = h
        k += 1
    while k:
        k -= 1
        index = <PathIndex*>map_get_hashed(&routes.suffixes, routes.suffix_hashes[k], reversed_, routes.suffix_lengths[k])
        if index != NULL:
            plan = path_find(index, x)
            if plan != NULL:
                return plan
            rehash(x, routes.suffix_hashes, routes.suffix_lengths, k, reversed_)
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
    if routes.hosts.used or routes.n_suffix_lengths:
        plan = route_find_host(routes, x)
    if plan == NULL and routes.any_host != NULL:
        plan = path_find(routes.any_host, x)
    if plan != NULL:
        plan_fetch(plan)
    return plan
