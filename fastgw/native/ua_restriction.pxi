# ua_restriction: the ua-restriction plugin's step: does a regular expression (RE2) find something in the client's User-Agent.
# Every field of that name is judged, as an upstream may believe any of them. Must not know of how many patterns the expression
# is made.

cdef struct UaRestrictionConf:
    PyObject* search            # a Python callable, borrowed
    bint admits                 # an allowlist: where it finds something the request passes
    bint bypass_missing
    const char* body
    uint32_t body_len


cdef class UaRestrictionStep(Step):
    """ua-restriction of one object: what `search` finds is admitted (`admits`) or refused with `body`."""
    cdef UaRestrictionConf conf
    cdef object search
    cdef bytes body

    def __init__(self, search not None, *, bint admits, bint bypass_missing, bytes body not None):
        self.search = search
        self.body = body
        self.conf.search = <PyObject*>self.search
        self.conf.admits = admits
        self.conf.bypass_missing = bypass_missing
        self.conf.body = self.body
        self.conf.body_len = <uint32_t>len(body)
        self.bind(step_ua_restriction, &self.conf, "access")


cdef bint ua_passes(const Exchange* x, const UaRestrictionConf* c) noexcept nogil:
    cdef const Field* f
    cdef Span value
    cdef uint32_t i
    cdef bint missing = True
    for i in range(x.head.n):
        f = &x.head.fields[i]
        if f.name_len != 10 or not same_name(x.bytes.p + f.name, b"user-agent", 10) or not field_told(x, f):
            continue
        missing = False
        value.p = x.bytes.p + f.value
        value.n = f.value_len
        if expr_search(c.search, &value) != <int>c.admits:      # -1, no memory to judge it, passes neither list
            return False
    return not missing or c.bypass_missing


cdef int step_ua_restriction(Exchange* x, void* p) noexcept nogil:
    cdef const UaRestrictionConf* c = <const UaRestrictionConf*>p
    if ua_passes(x, c):
        return STEP_NEXT
    return reply_made(x, 403, c.body, c.body_len, "ua-restriction.refused")
