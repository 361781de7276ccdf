# referer_restriction: the referer-restriction plugin's step: is the host in the client's Referer one of a list. Names and
# suffixes lie in order, so that a list of ten thousand costs a few dozen comparisons. A Referer that is no http(s) URL with a
# lawful host, and no user in it, counts as none: browsers send no other.

cdef struct RefererConf:
    RestrictConf names          # whole hosts
    RestrictConf suffixes       # what stood behind a "*"
    bint admits
    bint bypass_missing
    const char* body
    uint32_t body_len


cdef class RefererRestrictionStep(Step):
    """referer-restriction of one object: `hosts`, with "*" as their first character where suffixes are meant, admitted (`admits`)
    or refused with `body`."""
    cdef RefererConf conf
    cdef list held

    def __init__(self, hosts, *, bint admits, bint bypass_missing, bytes body not None):
        lower = [host.lower() for host in hosts]
        names = {host.removesuffix(".").encode(): (1, 0) for host in lower if not host.startswith("*")}
        suffixes = {host[1:].encode(): (1, 0) for host in lower if host.startswith("*")}
        self.held = [body, restrict_lay(&self.conf.names, names), restrict_lay(&self.conf.suffixes, suffixes)]
        self.conf.admits = admits
        self.conf.bypass_missing = bypass_missing
        self.conf.body = body
        self.conf.body_len = <uint32_t>len(body)
        self.bind(step_referer_restriction, &self.conf, "access")

    def __dealloc__(self):
        free(self.conf.names.entries)
        free(self.conf.suffixes.entries)


cdef uint32_t referer_host(const char* p, uint32_t n, char* out, uint32_t cap) noexcept nogil:
    # Length of the host in lower case, 0 where there is none.
    cdef uint32_t at = 0
    cdef uint32_t end
    cdef uint32_t host_len = 0
    cdef uint32_t port
    if n >= 8 and field_same(p, b"https://", 8):
        at = 8
    elif n >= 7 and field_same(p, b"http://", 7):
        at = 7
    else:
        return 0
    end = at
    while end < n and p[end] != c"/" and p[end] != c"?" and p[end] != c"#":
        end += 1
    if host_split(p + at, end - at, out, cap, &host_len, &port) != 0:
        return 0
    return host_len


cdef bint referer_listed(const RefererConf* c, const char* host, uint32_t n) noexcept nogil:
    cdef uint32_t i
    if restrict_find(&c.names, host, n) != NULL:
        return True
    if c.suffixes.n:
        for i in range(n + 1):
            if restrict_find(&c.suffixes, host + i, n - i) != NULL:
                return True
    return False


cdef bint referer_passes(const Exchange* x, const RefererConf* c) noexcept nogil:
    # Of several Referers an upstream may believe any: one that is refused refuses the request.
    cdef char host[256]
    cdef const Field* f
    cdef uint32_t i, n
    cdef bint missing = True
    for i in range(x.head.n):
        f = &x.head.fields[i]
        if f.name_len != 7 or not same_name(x.bytes.p + f.name, b"referer", 7) or not field_told(x, f):
            continue
        n = referer_host(x.bytes.p + f.value, f.value_len, host, sizeof(host))
        if n == 0:
            continue
        missing = False
        if referer_listed(c, host, n) != c.admits:
            return False
    return not missing or c.bypass_missing


cdef int step_referer_restriction(Exchange* x, void* p) noexcept nogil:
    cdef const RefererConf* c = <const RefererConf*>p
    if referer_passes(x, c):
        return STEP_NEXT
    return reply_made(x, 403, c.body, c.body_len, "referer-restriction.refused")
