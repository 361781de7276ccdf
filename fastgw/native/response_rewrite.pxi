# response_rewrite: the step that gives an answer another status, another body and other headers, also one of the gateway's own.
# What is to be done with an upstream's body is only noted here; the body goes by elsewhere (reshape, collect).

cdef enum:                      # what is done with a header
    HEADER_ADD = 0
    HEADER_SET = 1
    HEADER_CUT = 2

cdef struct HeaderOp:
    uint8_t what
    const char* name
    uint32_t name_len
    const VarPart* value
    uint32_t value_n

cdef struct HeaderOps:
    HeaderOp* list
    uint32_t n

cdef struct ResponseRewriteConf:
    uint16_t status             # 0: it stays
    bint replaces               # the body, by this one
    const char* body
    uint32_t body_len
    bint searches               # the body, for what is to be replaced in it
    bint reads_br               # a body in that coding too
    bint streams                # no: its pieces become others, as they come
    HeaderOps headers
    PyObject* search            # a Python callable (body, coding); borrowed


cdef class AnswerHeaders:
    """What is done with headers of an answer: ("add" | "set", name, Template) or ("cut", name, None), in this order."""
    cdef HeaderOps c
    cdef list held

    def __cinit__(self, ops):
        cdef bytes raw
        cdef Template value
        cdef HeaderOp* op
        self.held = []
        ops = list(ops)
        self.c.list = <HeaderOp*>calloc(len(ops) or 1, sizeof(HeaderOp))
        if self.c.list == NULL:
            raise MemoryError
        for what, name, value in ops:
            if header_of_framing(name):
                raise ValueError(f"header {name!r}: the gateway sets it itself")
            raw = name.encode()
            self.held += [raw, value]
            op = &self.c.list[self.c.n]
            op.what = ("add", "set", "cut").index(what)
            op.name = raw
            op.name_len = <uint32_t>len(raw)
            if op.what != HEADER_CUT:
                op.value = value.parts
                op.value_n = value.n
            self.c.n += 1

    def __dealloc__(self):
        free(self.c.list)


cdef void answer_headers(Exchange* x, const HeaderOps* ops) noexcept nogil:
    # A value that is empty, for want of a variable say, takes the header out, or adds none; one with control bytes changes
    # nothing.
    cdef Buf* value = &x.loop.wbuf
    cdef const HeaderOp* op
    cdef uint32_t i
    for i in range(ops.n):
        op = &ops.list[i]
        if op.what != HEADER_CUT:
            buf_reset(value)
            parts_eval(op.value, op.value_n, x, value)
        if op.what == HEADER_CUT or (op.what == HEADER_SET and value.len == 0):
            answer_cut(x, op.name, op.name_len)
        elif op.what == HEADER_SET:
            answer_set(x, op.name, op.name_len, value.p, value.len)
        elif value.len:
            answer_add(x, op.name, op.name_len, value.p, value.len)


cdef void answer_forget(Exchange* x) noexcept nogil:
    # What is true of one body is not of another (RFC 9110 sections 8.4, 8.8 and 14.3, RFC 9530).
    answer_cut(x, "Content-Encoding", 16)
    answer_cut(x, "Last-Modified", 13)
    answer_cut(x, "ETag", 4)
    answer_digests(x)


cdef inline void answer_replaced(Exchange* x) noexcept nogil:
    # What lies in reply_body is the body from here on: in no coding, whatever an earlier step has seen that the old one was in.
    x.reshaped = (x.reshaped | ANSWER_WHOLE) & ~<uint16_t>(ANSWER_GZIPPED | ANSWER_BROTLIED)


cdef void answer_digests(Exchange* x) noexcept nogil:
    # What tells of a body's very bytes.
    answer_cut(x, "Accept-Ranges", 13)
    answer_cut(x, "Content-MD5", 11)
    answer_cut(x, "Digest", 6)
    answer_cut(x, "Content-Digest", 14)
    answer_cut(x, "Repr-Digest", 11)


cdef class ResponseRewriteStep(Step):
    """In `header_filter`: the answer's status (0: as it is), its body (None: as it is), its headers. `search` is what a
    CollectStep behind it, or with `streams` another step, does with the body; here it is asked for the gateway's own."""
    cdef ResponseRewriteConf conf
    cdef bytes body
    cdef AnswerHeaders headers
    cdef object search

    def __init__(self, AnswerHeaders headers not None, *, int status=0, bytes body=None, search=None,
                 bint reads_br=False, bint streams=False):
        if status and not 200 <= status <= 599:
            raise ValueError(f"status: expected 200 to 599, found {status}")
        self.headers = headers
        self.body = body
        self.search = search
        self.conf.headers = headers.c
        self.conf.status = <uint16_t>status
        if body is not None:
            self.conf.replaces = True
            self.conf.body = self.body
            self.conf.body_len = <uint32_t>len(body)
        if search is not None:
            self.conf.searches = True
            self.conf.reads_br = reads_br
            self.conf.streams = streams
            self.conf.search = <PyObject*>search
        self.bind(step_response_rewrite, &self.conf, "header_filter")


cdef int step_response_rewrite(Exchange* x, void* p) noexcept nogil:
    cdef const ResponseRewriteConf* c = <const ResponseRewriteConf*>p
    cdef bint part = False
    if x.status == 101:         # another protocol follows: there is no other status and no body
        answer_headers(x, &c.headers)
        return STEP_NEXT
    if c.searches and not c.streams:
        part = collect_part(x)  # as long as it has its own status
    if c.status:
        x.status = c.status
    if c.replaces:
        answer_forget(x)
        buf_reset(&x.reply_body)
        buf_put(&x.reply_body, c.body, c.body_len)
        answer_replaced(x)
    elif c.searches and x.up_head == NULL and x.reply_type != REPLY_STORED:
        if (x.reply_body.len or c.streams) and not part:
            collect_search(x, c.search, &x.reply_body)
    elif c.streams:
        answer_forget(x)
        if x.head.method == METHOD_HEAD:
            x.reshaped |= ANSWER_UNMEASURED
        elif x.answer_body == BODY_NONE:
            answer_replaced(x)  # by an empty one, for the other step
    elif part:
        x.reshaped |= ANSWER_PASSES
    elif c.searches:
        collect_begin(x, c.reads_br)
    answer_headers(x, &c.headers)
    return STEP_NEXT
