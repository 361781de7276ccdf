# route_hooks: the router and the snapshot's tables as tests and benches call them.


cdef int route_ask(Exchange* x, Down* d, bytes host, bytes path, str method, str address) except -1:
    # As down.pxi leaves an exchange whose head was parsed: host in lower case, path in the normal form.
    cdef Cidr own
    memset(x, 0, sizeof(Exchange))
    memset(d, 0, sizeof(Down))
    cidr_parse(address, &own)
    memcpy(d.client.bytes, own.bytes, 16)
    x.down = d
    x.client = &d.client
    x.head.method = <uint8_t>method_number(method)
    x.host.p = host
    x.host.len = <uint32_t>len(host)
    x.uri_path = path
    x.uri_path_len = <uint32_t>len(path)
    return 0


def _test_route(Snapshot snapshot not None, bytes host not None, bytes path not None, str method="GET",
                str address="192.0.2.1", int port=0) -> bytes | None:
    """The id of the plan that takes such a request."""
    cdef Exchange x
    cdef Down d
    cdef PlanC* plan
    route_ask(&x, &d, host, path, method, address)
    x.authority_port = port
    plan = route_find(&snapshot.c.routes, &x)
    return None if plan == NULL else plan.id[:plan.id_len]


def _test_credential(Snapshot snapshot not None, str kind not None, bytes key not None) -> bytes | None:
    """The identity lines of the credential that has this key."""
    cdef CredentialC* c = <CredentialC*>map_get(&snapshot.c.credentials[CREDENTIAL_KINDS.index(kind)], key, len(key))
    return None if c == NULL else c.identity[:c.identity_len]


def _test_replaced(Snapshot snapshot not None) -> int:
    """How many shards the snapshot has that those derived from it have not."""
    return len(snapshot.replaced)


def _bench_route(Snapshot snapshot not None, bytes host not None, list paths not None, size_t rounds) -> float:
    """Nanoseconds per look-up of the paths, one after the other in so many rounds over all of them."""
    cdef size_t n = len(paths)
    cdef size_t i
    cdef Exchange x
    cdef Down d
    cdef timespec a
    cdef timespec b
    cdef bytes path
    cdef size_t found = 0
    cdef const char** at = <const char**>malloc(n * sizeof(char*))
    cdef uint32_t* size = <uint32_t*>malloc(n * sizeof(uint32_t))
    if at == NULL or size == NULL:
        free(at)
        free(size)
        raise MemoryError
    route_ask(&x, &d, host, b"/", "GET", "192.0.2.1")
    for i in range(n):
        path = paths[i]
        at[i] = path
        size[i] = <uint32_t>len(path)
    clock_gettime(CLOCK_MONOTONIC, &a)
    with nogil:
        for _ in range(rounds):
            for i in range(n):
                x.uri_path = at[i]
                x.uri_path_len = size[i]
                found += route_find(&snapshot.c.routes, &x) != NULL
    clock_gettime(CLOCK_MONOTONIC, &b)
    free(at)
    free(size)
    if found != n * rounds:
        raise ValueError(f"expected a route for every request, found {found} of {n * rounds}")
    return ((b.tv_sec - a.tv_sec) * 1e9 + b.tv_nsec - a.tv_nsec) / (n * rounds)
