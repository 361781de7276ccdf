# reshape: answers that leave in another shape than they came in, as steps gave them another status or another body: how such an
# answer is framed, and the way of its body to the client. Must not know which steps.


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


cdef void reply_reshaped(Exchange* x) noexcept nogil:
    # The gateway's own answer, before its head is written.
    chain_on_answer(x, PHASE_HEADER_FILTER)
    if x.status == 205:         # has no content (RFC 9110 section 15.3.6)
        buf_reset(&x.reply_body)


cdef void answer_body_gone(Exchange* x, const Head* h) noexcept nogil:
    # Where a new status leaves no body, or one that none came with needs one, it is an empty one.
    if x.reshaped & ANSWER_WHOLE:
        if x.status == 205:
            buf_reset(&x.reply_body)
    elif x.status == h.status:
        return
    elif (x.status == 204 or x.status == 205 or x.status == 304 or h.status == 204 or h.status == 304
            or h.status == 205) and x.head.method != METHOD_HEAD:
        buf_reset(&x.reply_body)
        x.reshaped |= ANSWER_WHOLE


cdef void answer_whole(Exchange* x) noexcept nogil:
    # The body in reply_body goes out with the head; what the upstream sends is read and thrown away.
    if chain_has(x, PHASE_BODY_FILTER):
        reshape_filter(x)
    x.filtering = 1             # it passes by answer_emit, and its length is not the client's
    x.answer_chunked = 0
    if x.status != 204 and x.status != 304:
        buf_put(&x.down_extra, b"Content-Length: ", 16)
        buf_int(&x.down_extra, x.reply_body.len)
        buf_put(&x.down_extra, b"\r\n", 2)


cdef void answer_reshaped(Up* u, Head* h, const char* base, size_t n) noexcept nogil:
    # What answer_begin does of any other answer, from its head on.
    cdef Exchange* x = u.c.x
    cdef Buf* out = &x.loop.wbuf
    answer_body_gone(x, h)
    if x.reshaped & ANSWER_WHOLE:
        answer_whole(x)
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


cdef bint answer_filtered(Exchange* x, const char** p, size_t* n, bint last) noexcept nogil:
    # One piece through the filters. False: there is no such body, and the client has to be cut off.
    if x.reshaped & ANSWER_WHOLE:
        n[0] = 0
        return True
    filter_piece(x, p, n, last)
    return not x.reshaped & ANSWER_BROKEN
