# posted: variables out of a request's body: `post_arg_<name>` of forms, `post_arg.<path>` of JSON, forms and multipart,
# `graphql_…`. Owns: which bodies are read for them, and up to what size; the step and the second look for a route that wait for a
# body. Forms are read natively; what has to be parsed first is by Python, and so is bound tighter. A value is there from when the
# body has been gathered until the request goes upstream. Must not know conditions, nor how bodies come.

cdef enum:
    POSTED_FORM_MOST = 67108864     # bytes: as APISIX
    POSTED_PARSED_MOST = 1048576    # APISIX: 64 MiB of JSON, which would hold up a worker for a second
    POSTED_ARGS_MOST = 10000        # of a form: 64 MiB of `a&a&…` would hold it up as long, once more for each condition

cdef enum PostedKind:
    POSTED_NONE = 0
    POSTED_FORM
    POSTED_PARSED

cdef object posted_reader       # of what has to be parsed: (variable, Content-Type, body) -> None, bytes, or a list of bytes
cdef uint64_t posted_variables  # how many were made, in templates and expressions


def read_posted_by(reader) -> None:
    """Sets who parses bodies: called with a variable's name, the Content-Type and the body; gives None, bytes, or a list of
    bytes."""
    global posted_reader
    posted_reader = reader


def posted_count() -> int:
    """How many variables of bodies were made so far. Who sees it grow has made something that reads bodies."""
    return posted_variables


cdef class PostedStep(Step):
    """Gathers the body for what comes behind it, where its variables may be read out of it. The `expression` of a filter is
    judged right then, for steps that run when the body is gone."""
    cdef Expression expression

    def __init__(self, str phase not None="access", Expression expression=None):
        self.expression = expression
        self.bind(step_posted, NULL if expression is None else <void*>&expression.c, phase)


cdef bint type_is(const Field* f, const Exchange* x, const char* type, uint32_t n) noexcept nogil:
    # The media type alone, whatever its parameters (RFC 9110 section 8.3.1).
    cdef const char* p = x.bytes.p + f.value
    if f.value_len < n or not field_same(p, type, n):
        return False
    return f.value_len == n or p[n] == c";" or p[n] == c" " or p[n] == c"\t"


cdef PostedKind posted_kind(const Exchange* x, const Field** type) noexcept nogil:
    cdef uint32_t count = 0
    cdef const Field* f = header_find(x, b"content-type", 12, &count)
    type[0] = f
    if f == NULL or count != 1:     # of two the upstream might believe the other
        return POSTED_NONE
    if type_is(f, x, b"application/x-www-form-urlencoded", 33):
        return POSTED_FORM
    if type_is(f, x, b"application/json", 16) or type_is(f, x, b"application/graphql", 19) \
            or type_is(f, x, b"multipart/form-data", 19):
        return POSTED_PARSED
    return POSTED_NONE


cdef inline uint32_t posted_most(PostedKind kind) noexcept nogil:
    return POSTED_FORM_MOST if kind == POSTED_FORM else POSTED_PARSED_MOST if kind == POSTED_PARSED else 0


cdef bint posted_few(const char* p, uint32_t n) noexcept nogil:
    # Whether a form has no more arguments than are looked at.
    cdef const char* end = p + n
    cdef int i
    for i in range(POSTED_ARGS_MOST):
        p = <const char*>memchr(p, c"&", end - p)
        if p == NULL:
            return True
        p += 1
    return False


cdef int posted_text(const Exchange* x, const VarPart* part, Buf* scratch, Span* out) noexcept nogil:
    # As var_text: VALUE_LIST of texts, each behind its length in 4 bytes.
    cdef const Field* type = NULL
    cdef PostedKind kind = posted_kind(x, &type)
    cdef const char* body = x.piece.p
    cdef uint32_t n = x.piece.len
    cdef bint graphql = part.id == VAR_GRAPHQL
    cdef Span query
    if graphql and x.head.method == METHOD_GET:
        if arg_text(x, b"query", 5, scratch, &query) != VALUE_TEXT or query.n > POSTED_PARSED_MOST:
            return VALUE_NONE
        return posted_parsed(part, NULL, 0, query.p, query.n, scratch, out)
    if kind == POSTED_NONE or x.stage >= STAGE_UPSTREAM:
        return VALUE_NONE
    if not x.body_done:
        (<Exchange*>x).body_asked = 1
        return VALUE_NONE
    if n == 0 or n > posted_most(kind):
        return VALUE_NONE
    if part.id == VAR_POST_ARG:
        if kind != POSTED_FORM or not posted_few(body, n) or args_find(body, n, part.text, part.len, out) == 0:
            return VALUE_NONE
        return arg_value(scratch, out)
    if n > POSTED_PARSED_MOST:
        return VALUE_NONE
    return posted_parsed(part, x.bytes.p + type.value, type.value_len, body, n, scratch, out)


cdef int posted_parsed(const VarPart* part, const char* type, uint32_t type_len, const char* body, uint32_t n, Buf* scratch,
                       Span* out) noexcept nogil:
    cdef int found = VALUE_NONE
    cdef uint32_t size
    with gil:
        try:
            name = part.text[:part.len].decode()
            if part.id == VAR_POST_PATH:
                name = "post_arg." + name
            value = None if posted_reader is None else posted_reader(name, type[:type_len] if type_len else b"", body[:n])
            buf_reset(scratch)
            if isinstance(value, list):
                found = VALUE_LIST
                for each in value:
                    size = <uint32_t>len(each)
                    buf_put(scratch, &size, 4)
                    buf_put(scratch, <const char*><bytes>each, size)
            elif value is not None:
                found = VALUE_TEXT
                buf_put(scratch, <const char*><bytes>value, len(<bytes>value))
        except BaseException:
            return -1
    out.n = scratch.len
    if scratch.len:
        out.p = scratch.p
    return found


cdef bint list_has(const Span* list_, const char* text, uint32_t n) noexcept nogil:
    cdef const char* p = list_.p
    cdef const char* end = p + list_.n
    cdef uint32_t size
    while p < end:
        memcpy(&size, p, 4)
        p += 4
        if size == n and memcmp(p, text, n) == 0:
            return True
        p += size
    return False


cdef int step_posted(Exchange* x, void* p) noexcept nogil:
    cdef const Field* type = NULL
    cdef uint32_t most = posted_most(posted_kind(x, &type))
    if x.body_done or most == 0:
        return posted_ready(x, p)
    return body_gather(x, most, posted_ready, p)


cdef int posted_ready(Exchange* x, void* p) noexcept nogil:
    if p != NULL:
        meta_runs(x, <const ExprC*>p)
    return STEP_NEXT


cdef void posted_route(Exchange* x) noexcept nogil:
    # Where routes have conditions on bodies: one that was looked at in vain has the body gathered, and all are looked at again.
    # The exchange goes on by itself, and must not be touched.
    cdef const Field* type = NULL
    cdef int r = STEP_NEXT
    x.body_asked = 0
    posted_look(x, NULL)
    if x.body_asked:
        x.plan = NULL           # until it is known
        x.stage = STAGE_HEAD
        r = body_gather(x, posted_most(posted_kind(x, &type)), posted_look, NULL)
    if r == STEP_REPLY:         # nobody here has the body
        reply_send(x)
    elif r == STEP_NEXT:
        exchange_run(x)


cdef int posted_look(Exchange* x, void* p) noexcept nogil:
    x.plan = route_find(&x.snapshot.routes, x)
    chain_stage(x, STAGE_GLOBAL_REWRITE)
    return STEP_NEXT
