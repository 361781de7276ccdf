# uri_blocker: the uri-blocker plugin's step: does a regular expression (RE2) find something in the request's URI. Judged is the
# normal form that routing uses, so that no spelling of a path goes round a rule (CVE-2021-43557), and, where escapes are left in
# that, also what they stand for. Must not know of how many rules the expression is made.

cdef struct UriBlockerConf:
    PyObject* search            # a Python callable, borrowed
    uint16_t status
    const char* body
    uint32_t body_len


cdef class UriBlockerStep(Step):
    """uri-blocker of one object: a URI in which `search` finds something is refused."""
    cdef UriBlockerConf conf
    cdef object search
    cdef bytes body

    def __init__(self, search not None, *, int status=403, bytes body not None):
        self.search = search
        self.body = body
        self.conf.search = <PyObject*>self.search
        self.conf.status = <uint16_t>status
        self.conf.body = self.body
        self.conf.body_len = <uint32_t>len(body)
        self.bind(step_uri_blocker, &self.conf, "rewrite")


cdef bint uri_blocked(const Exchange* x, const UriBlockerConf* c, Buf* scratch) noexcept nogil:
    # A URI that there is no memory to judge is blocked.
    cdef Span uri
    cdef uint32_t n
    put_request_uri(x, scratch)
    n = scratch.len
    if scratch.failed or n == 0:
        return True
    uri.p = scratch.p
    uri.n = n
    if expr_search(c.search, &uri) != 0:
        return True
    if memchr(uri.p, c"%", n) == NULL and memchr(uri.p, c"+", n) == NULL:
        return False
    if buf_room(scratch, n) != 0:
        return True
    uri.p = scratch.p               # it may have moved
    arg_decode(&uri, scratch)
    uri.p = scratch.p + n
    uri.n = scratch.len - n
    return expr_search(c.search, &uri) != 0


cdef int step_uri_blocker(Exchange* x, void* p) noexcept nogil:
    cdef const UriBlockerConf* c = <const UriBlockerConf*>p
    cdef Buf scratch
    cdef bint blocked
    memset(&scratch, 0, sizeof(Buf))
    blocked = uri_blocked(x, c, &scratch)
    buf_free(&scratch)
    if not blocked:
        return STEP_NEXT
    return reply_made(x, c.status, c.body, c.body_len, "uri-blocker.refused")
