# collect: a body_filter step that keeps an answer's body until all of it is here, and then has Python make another of it. One
# that is longer than the step takes goes on as it came. Must not know what is made of it.
#
# Several such steps of one exchange share the room, x.reply_body: the earlier one gives nothing on before it has everything.

cdef struct CollectConf:
    uint32_t most
    PyObject* make              # a Python callable (body, coding) -> bytes; borrowed


cdef class CollectStep(Step):
    """The body of an upstream's answer, up to `most` bytes, is what `make(body, coding)` gives; coding: "", "gzip" or "br"."""
    cdef CollectConf conf
    cdef object make

    def __init__(self, make not None, unsigned int most):
        self.make = make
        self.conf.make = <PyObject*>make
        self.conf.most = min(most, <unsigned int>BODY_MOST)
        self.bind(step_collect, &self.conf, "body_filter")


cdef bint collect_part(const Exchange* x) noexcept nogil:
    # Whether the answer, as its maker gave it, has a part of a body (RFC 9110 section 14.4), of which nothing can be made.
    cdef Span told
    if x.status == 206 or (x.up_head != NULL and x.up_status == 206):
        return True
    # An earlier step may have given it another status. What 416 says, "bytes */9", is of no part; "bytes 0-1/*" is.
    return answer_find(x, "Content-Range", 13, &told) and told.n > 0 and memchr(told.p, c"*", told.n - 1) == NULL


cdef void collect_begin(Exchange* x, bint reads_br) noexcept nogil:
    # The head of an answer whose body a CollectStep will take: it stands for another body from now on. One in a coding that
    # nobody here reads stays as it is, and so does its head.
    cdef Span coding
    cdef uint16_t known = 0
    cdef bint stored = x.reply_type == REPLY_STORED     # in a cache, where its body lies whole
    if x.answer_body == BODY_NONE and not stored and not x.reshaped & ANSWER_WHOLE and x.head.method != METHOD_HEAD:
        x.reshaped |= ANSWER_PASSES
        return
    if answer_find(x, "Content-Encoding", 16, &coding) and coding.n:
        if coding.n == 4 and field_same(coding.p, "gzip", 4):
            known = ANSWER_GZIPPED
        elif coding.n == 2 and field_same(coding.p, "br", 2) and reads_br:
            known = ANSWER_BROTLIED
        else:
            x.reshaped |= ANSWER_PASSES
            return
    if x.head.method == METHOD_HEAD:
        known = ANSWER_UNMEASURED
    x.reshaped |= known
    answer_forget(x)


cdef bint collect_search(Exchange* x, PyObject* make, Buf* body) noexcept nogil:
    # The body as `make` gives it. False: it failed, and the body is as it was.
    cdef bint made = False
    with gil:
        try:
            made = collect_made(x, <object>make, body)
        except BaseException as error:
            try:
                (<Reactor>x.loop.reactor).on_error("response-rewrite", PHASES[PHASE_BODY_FILTER], error)
            except BaseException:
                made = False
    return made


cdef bint collect_made(Exchange* x, make, Buf* body) except -1:
    cdef bytes fresh
    coding = "gzip" if x.reshaped & ANSWER_GZIPPED else "br" if x.reshaped & ANSWER_BROTLIED else ""
    fresh = make(body.p[:body.len] if body.len else b"", coding)
    buf_reset(body)
    buf_put(body, <const char*>fresh, len(fresh))
    return not body.failed


cdef void collect_break(Exchange* x, const char* reason) noexcept nogil:
    # The head went out for a body that there will not be.
    x.reshaped |= ANSWER_BROKEN
    x.refused = reason


cdef int step_collect(Exchange* x, void* p) noexcept nogil:
    cdef const CollectConf* c = <const CollectConf*>p
    cdef Buf* held = &x.reply_body
    if x.reshaped & ANSWER_PASSES or (x.piece_n == 0 and not x.piece_last):    # what lies there may be an earlier step's
        return STEP_NEXT
    buf_put(held, x.piece_p, x.piece_n)
    if held.len > c.most or held.failed:
        if held.failed or x.reshaped & (ANSWER_GZIPPED | ANSWER_BROTLIED):
            collect_break(x, "response-rewrite.too_large")     # what came of it is not readable without its coding
            return STEP_NEXT
        x.reshaped |= ANSWER_PASSES
    elif not x.piece_last:
        x.piece_n = 0
        return STEP_NEXT
    elif not collect_search(x, c.make, held) and x.reshaped & (ANSWER_GZIPPED | ANSWER_BROTLIED):
        collect_break(x, "response-rewrite.failed")
        return STEP_NEXT
    x.reshaped &= ~(ANSWER_GZIPPED | ANSWER_BROTLIED)
    buf_free(&x.filtered)
    x.filtered = held[0]
    memset(held, 0, sizeof(Buf))
    x.piece_p = x.filtered.p
    x.piece_n = x.filtered.len
    return STEP_NEXT
