# reshape: answers that leave in another shape than they came in, as steps gave them another status or another body, or wanted it
# coded. How such an answer is framed, and the way of its body to the client. Must not know who asked for what.


cdef void reshape_filter(Exchange* x) noexcept nogil:
    # The body in reply_body is whole: one piece for the filters.
    cdef Buf whole = x.reply_body
    cdef const char* p = whole.p
    cdef size_t n = whole.len
    memset(&x.reply_body, 0, sizeof(Buf))
    filter_piece(x, &p, &n, True)
    buf_reset(&x.reply_body)
    buf_put(&x.reply_body, p, n)
    buf_free(&whole)


cdef void reshape_encode(Exchange* x, const Span* type) noexcept nogil:
    # The same at once in a coding, unless it is so long that others would wait for it.
    cdef const EncodeConf* c = encode_choose(x, type, x.reply_body.len)
    cdef Buf whole
    cdef const char* p
    cdef size_t n
    if c == NULL or x.reply_body.len == 0 or x.reply_body.len > ENCODE_WHOLE_MOST or not encode_make(x, c):
        return
    whole = x.reply_body
    p = whole.p
    n = whole.len
    memset(&x.reply_body, 0, sizeof(Buf))
    if encode_piece(x, &p, &n, ENCODE_END):
        buf_put(&x.reply_body, p, n)
        buf_free(&whole)
        encode_head(x, c)
    else:
        x.reply_body = whole


cdef void reshape_type(Exchange* x, Span* type) noexcept nogil:
    # Of an answer of the gateway's own, as reply_send has it.
    if answer_find(x, "Content-Type", 12, type):
        return
    type.p = ""                 # of a stored one that has none
    if x.reply_type != REPLY_STORED:
        type.p = x.reply_type if x.reply_type != NULL else <const char*>b"application/json"
    type.n = <uint32_t>strlen(type.p)


cdef void reply_reshaped(Exchange* x) noexcept nogil:
    # The gateway's own answer, before its head is written.
    cdef Span type
    chain_on_answer(x, PHASE_HEADER_FILTER)
    if x.status == 205:         # has no content (RFC 9110 section 15.3.6)
        buf_reset(&x.reply_body)
    if x.reply_type == REPLY_STORED and x.plan != NULL and chain_has(x, PHASE_BODY_FILTER):
        reshape_filter(x)       # it was an upstream's, whose body nobody is to see unfiltered
        if x.reshaped & ANSWER_BROKEN:
            buf_reset(&x.down_extra)
            fault_set(x, 502, x.refused)
    if x.reshaped & ANSWER_ENCODES:
        reshape_type(x, &type)
        reshape_encode(x, &type)


cdef void answer_body_gone(Exchange* x, const Head* h) noexcept nogil:
    # Where a new status leaves no body, or one that none came with needs one, it is an empty one; so is that of a 205
    # that is filtered, of which nobody knows before its end whether there is anything between what filters add (RFC 9110 section
    # 15.3.6).
    if x.reshaped & ANSWER_WHOLE or (x.status == h.status and not (x.status == 205 and x.filtering & FILTER_CHANGES)):
        return
    if (x.status == 204 or x.status == 205 or x.status == 304 or h.status == 204 or h.status == 304
            or h.status == 205) and x.head.method != METHOD_HEAD:
        buf_reset(&x.reply_body)
        answer_replaced(x)


cdef void answer_whole(Exchange* x) noexcept nogil:
    # The body in reply_body goes out with the head; what the upstream sends is read and thrown away.
    cdef bint filters = chain_has(x, PHASE_BODY_FILTER)
    cdef Span type
    if filters:
        reshape_filter(x)
    if x.status == 205:         # has no content (RFC 9110 section 15.3.6), whatever filters say
        buf_reset(&x.reply_body)
    if x.reshaped & ANSWER_ENCODES:
        if not answer_find(x, "Content-Type", 12, &type):
            type.p = ""
            type.n = 0
        reshape_encode(x, &type)
    x.filtering |= FILTER_CHANGES   # it passes by answer_emit, and its length is not the client's
    x.answer_chunked = 0
    if x.status != 204 and x.status != 304:
        buf_put(&x.down_extra, b"Content-Length: ", 16)
        buf_int(&x.down_extra, x.reply_body.len)
        buf_put(&x.down_extra, b"\r\n", 2)


cdef void answer_coded(Exchange* x, const Head* h) noexcept nogil:
    # A body that streams, if a coding is to be had for it.
    cdef const EncodeConf* c
    cdef Span type
    if not answer_find(x, "Content-Type", 12, &type):
        type.p = ""
        type.n = 0
    c = encode_choose(x, &type, h.content_length if not x.filtering & FILTER_CHANGES else -1)
    if c == NULL or x.answer_body == BODY_NONE or not encode_make(x, c):
        return
    encode_head(x, c)
    x.reshaped |= ANSWER_CODED
    x.encode_bytes = c.piece
    x.filtering |= FILTER_CHANGES
    x.answer_chunked = x.head.minor == 1
    if not x.answer_chunked:
        x.down.close_after = 1


cdef void answer_reshaped(Up* u, Head* h, const char* base, size_t n) noexcept nogil:
    # What answer_begin does of any other answer, from its head on.
    cdef Exchange* x = u.c.x
    cdef Down* d = x.down
    cdef Buf* out = &x.loop.wbuf
    cdef uint32_t turn = d.requests
    answer_body_gone(x, h)
    if x.reshaped & ANSWER_WHOLE:
        answer_whole(x)
    elif x.reshaped & ANSWER_ENCODES:
        answer_coded(x, h)
    if x.reshaped & ANSWER_UNMEASURED:
        h.content_length = -1
    x.up_head = NULL
    buf_reset(out)
    serialise_answer(x, h, base, out)
    x.answering = 1
    if x.reshaped & ANSWER_WHOLE and x.head.method != METHOD_HEAD and x.status != 204 and x.status != 304:
        buf_put(out, x.reply_body.p, x.reply_body.len)
        x.answer_bytes = x.reply_body.len
    answer_body(u, base + h.len, n - h.len)
    # What is left of a body that nobody gets may never end: its connection is given up, and the client's is free. (The
    # exchange may be over by now, and its memory another's: then the connection has counted it.)
    if d.requests == turn and u.c.x == x and x.reshaped & ANSWER_WHOLE and not x.answer_done and not x.filtering & FILTER_COPIES:
        x.up_keep = 0
        x.answer_done = 1
        exchange_finish(x)


cdef bint answer_filtered(Exchange* x, const char** p, size_t* n, bint last) noexcept nogil:
    # One piece through filters and coding. False: there is no such body, and the client has to be cut off. A copy is of what
    # the upstream sent, whatever becomes of it.
    if x.filtering & FILTER_COPIES:
        copies_answer(x, p[0], n[0], last)
    if x.reshaped & ANSWER_WHOLE:
        n[0] = 0
        return True
    if x.filtering & FILTER_CHANGES == 0:
        return True
    filter_piece(x, p, n, last)
    if x.reshaped & ANSWER_BROKEN:
        return False
    if not x.reshaped & ANSWER_CODED or (n[0] == 0 and not last):
        return True
    return encode_piece(x, p, n, ENCODE_END if last else ENCODE_MORE)


cdef void answer_flush(Exchange* x, Buf* out) noexcept nogil:
    # The upstream has no more for now: what its bytes became so far is not to wait for others.
    cdef const char* p = NULL
    cdef size_t n = 0
    if not encode_piece(x, &p, &n, ENCODE_FLUSH):
        out.failed = 1
    answer_frame(x, out, p, n)
