# trace: W3C trace context (https://www.w3.org/TR/trace-context/) as clients send it. What breaks its rules is not passed on: an
# upstream would begin a trace of its own by it, or join one that nobody else is in. Must not know: who traces.

cdef enum:
    TRACE_PARENT = 55           # bytes of a traceparent of version 00; later versions may go on behind a "-"
    TRACE_ID_AT = 3
    TRACE_ID = 32
    TRACE_SPAN_AT = 36
    TRACE_SPAN = 16
    TRACE_MEMBERS = 32          # of a tracestate (section 3.3.1.1)


cdef inline bint trace_hex(const char* p, int n) noexcept nogil:
    # Lower-case digits (section 3.2.2).
    cdef int i
    for i in range(n):
        if not (c"0" <= p[i] <= c"9" or c"a" <= p[i] <= c"f"):
            return False
    return True


cdef inline bint trace_zero(const char* p, int n) noexcept nogil:
    cdef int i
    for i in range(n):
        if p[i] != c"0":
            return False
    return True


cdef bint trace_parent_lawful(const char* p, uint32_t n) noexcept nogil:
    if n < TRACE_PARENT or p[2] != c"-" or p[35] != c"-" or p[52] != c"-":
        return False
    if not trace_hex(p, 2) or (p[0] == c"f" and p[1] == c"f"):
        return False
    if n > TRACE_PARENT and (p[TRACE_PARENT] != c"-" or (p[0] == c"0" and p[1] == c"0")):
        return False
    if not trace_hex(p + TRACE_ID_AT, TRACE_ID) or trace_zero(p + TRACE_ID_AT, TRACE_ID):
        return False
    return trace_hex(p + TRACE_SPAN_AT, TRACE_SPAN) and not trace_zero(p + TRACE_SPAN_AT, TRACE_SPAN) and trace_hex(p + 53, 2)


cdef uint32_t trace_state_members(const char* p, uint32_t n) noexcept nogil:
    # How many there are, empty ones aside; more than there may be where one is no key=value of printable ASCII.
    cdef uint32_t members = 0
    cdef uint32_t begin = 0
    cdef uint32_t equals = 0
    cdef uint32_t i
    for i in range(n + 1):
        if i < n and p[i] != c",":
            if not (32 <= <uint8_t>p[i] <= 126 or p[i] == c"\t"):
                return TRACE_MEMBERS + 1
            if p[i] == c"=" and not equals:
                equals = i + 1
            continue
        while begin < i and (p[begin] == c" " or p[begin] == c"\t"):
            begin += 1
        if begin < i:
            if equals <= begin + 1:
                return TRACE_MEMBERS + 1
            members += 1
        begin = i + 1
        equals = 0
    return members


cdef void trace_drop(Exchange* x, uint8_t id) noexcept nogil:
    cdef uint16_t i
    for i in range(x.head.n):
        if x.head.fields[i].id == id:
            x.head.fields[i].flags |= FIELD_DROP | FIELD_HIDDEN


cdef void trace_check(Exchange* x) noexcept nogil:
    # Where there is a field of either name. A tracestate means nothing without its parent (section 3.3.1).
    cdef const Field* f
    cdef uint32_t parents = 0
    cdef uint32_t members = 0
    cdef bint lawful = True
    cdef uint16_t i
    for i in range(x.head.n):
        f = &x.head.fields[i]
        if f.id == FIELD_TRACEPARENT:
            parents += 1
            if f.flags & FIELD_DROP or not trace_parent_lawful(x.bytes.p + f.value, f.value_len):
                lawful = False
        elif f.id == FIELD_TRACESTATE:
            members += trace_state_members(x.bytes.p + f.value, f.value_len)
    if parents != 1 or not lawful:
        trace_drop(x, FIELD_TRACEPARENT)
        trace_drop(x, FIELD_TRACESTATE)
    elif members > TRACE_MEMBERS:
        trace_drop(x, FIELD_TRACESTATE)


cdef bint trace_told(const Exchange* x, Span* parent) noexcept nogil:
    # The traceparent that goes upstream: the client's, or what a step has put in its place. Only steps in Python do.
    return header_now(x, b"traceparent", 11, parent) and trace_parent_lawful(parent.p, parent.n)


def trace_context_lawful(bytes parent not None, bytes state=b"") -> tuple[bool, bool]:
    """Whether a traceparent is one, and whether a tracestate beside it is."""
    return (trace_parent_lawful(parent, <uint32_t>len(parent)),
            trace_state_members(state, <uint32_t>len(state)) <= TRACE_MEMBERS)
