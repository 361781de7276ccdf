# gather: a request's whole body in memory, for a step that must see it before the request may go on. It is read into x.piece,
# from where it goes upstream afterwards: whole bodies in one piece under a Content-Length of our own, whatever framing they
# came in (RFC 9112 section 6.3). What all of them hold in a worker has a bound (hardening rule 25): each alone may be long, and
# a client may send many. Must not know who asks, nor what for.

cdef enum:                      # verdicts of body_pull
    BODY_MORE = 0               # the client has not sent all of it
    BODY_HERE = 1               # x.piece is the body, or the body is longer than its reader takes
    BODY_ENDED = 2              # the exchange is over: x must not be touched


cdef inline int64_t body_announced(const Exchange* x) noexcept nogil:
    # Known before the bytes come, from Content-Length or the sizes of chunks.
    return x.head.content_length if x.body == BODY_LENGTH else x.chunks.announced


cdef inline bint body_over(const Exchange* x) noexcept nogil:
    # Whether it is longer than its reader takes.
    if x.body_done or x.body == BODY_TUNNEL:    # also that there is none, of which the decoder of chunks knows nothing
        return x.piece.len > x.gather_limit
    return body_announced(x) > x.gather_limit


cdef inline bint gather_room(const Exchange* x, int64_t size) noexcept nogil:
    # Whether this body may have so many bytes here. One that fits into what an exchange keeps of itself always may, and is not
    # counted: so those of most requests go on while long ones are refused.
    return size <= BUF_KEEP or x.loop.gathered - x.gathered + size <= x.loop.limits.gathered_bytes


cdef void gather_count(Exchange* x) noexcept nogil:
    # More of it is here. What gives a larger block back (piece_reset) takes it off again, and nothing else has to.
    if x.piece.cap > BUF_KEEP:
        x.loop.gathered += <int64_t>x.piece.len - x.gathered
        x.gathered = x.piece.len


cdef void gather_drop(Exchange* x) noexcept nogil:
    x.loop.gathered -= x.gathered
    x.gathered = 0
    buf_free(&x.piece)


cdef inline void piece_reset(Exchange* x) noexcept nogil:
    # As buf_reset: where nothing was gathered it costs the same.
    x.piece.len = x.piece.off = x.piece.failed = 0
    if x.piece.cap > BUF_KEEP or HEAP_TIGHT:
        gather_drop(x)


cdef int gather_refuse(Exchange* x) noexcept nogil:
    buf_put(&x.down_extra, b"Retry-After: 1\r\n", 16)
    request_refuse(x, 503, "body.busy")
    return BODY_ENDED


cdef void body_wanted(Exchange* x, uint32_t limit, step_fn then, void* conf) noexcept nogil:
    # From now on what the client sends is gathered; body_on_readable calls `then`.
    x.gathering = 1
    x.gather_limit = <uint32_t>min(<int64_t>limit, x.loop.limits.gathered_bytes)    # a longer one never fits
    x.gather_then = then
    x.gather_conf = conf


cdef int body_gather(Exchange* x, uint32_t limit, step_fn then, void* conf) noexcept nogil:
    # For a step, as its last word: gives what then(x, conf) gives, which is called once the body is here or known to be longer
    # than `limit` bytes (body_over tells). Where that is later STEP_WAIT, and the result goes to exchange_resume. A body that
    # is broken or does not come ends the exchange, and nobody is called: after STEP_WAIT x must not be touched.
    if x.loop.embedded and not x.body_done and x.body != BODY_TUNNEL:   # the application reads it
        reply_error(x, 500, "no step can have the body of a request to an application", "embed.body")
        return STEP_REPLY
    body_wanted(x, limit, then, conf)
    return body_gathered(x) if body_pull(x) == BODY_HERE else STEP_WAIT


cdef int body_pull(Exchange* x) noexcept nogil:
    cdef Loop* loop = x.loop
    cdef Down* d = x.down
    cdef ssize_t n, used
    cdef int rounds = 0
    while not x.body_done and x.body != BODY_TUNNEL and not body_over(x):
        if not gather_room(x, body_announced(x)):
            return gather_refuse(x)
        if x.head.expect_continue and buf_left(&d.input) == 0 and x.body_bytes == 0:
            x.head.expect_continue = 0
            conn_send(&d.c, b"HTTP/1.1 100 Continue\r\n\r\n", 25, NULL, 0)
        if buf_left(&d.input):
            if request_decode(x, &x.piece) < 0:
                return BODY_ENDED
        elif not d.c.readable:
            pace(d)
            return BODY_MORE
        elif rounds == IO_ROUNDS:
            conn_ready(&d.c)
            return BODY_MORE
        else:
            rounds += 1
            n = conn_recv(&d.c, loop.rbuf, IO_BYTES)
            if n == -EAGAIN:
                d.c.readable = 0
                continue
            if n <= 0:
                exchange_abort(x)   # the client left in the middle of its request
                return BODY_ENDED
            if n < IO_BYTES and not d.c.ended:
                d.c.readable = 0
            used = request_frame(x, loop.rbuf, n, &x.piece, NULL)
            if used < 0:
                return BODY_ENDED
            if used < n:
                buf_put(&d.input, loop.rbuf + used, n - used)   # pipelined behind the body
        if x.piece.failed:
            request_refuse(x, 413, "body.too_large")
            return BODY_ENDED
        gather_count(x)
        if not body_over(x) and not gather_room(x, x.piece.len):    # chunks whose sizes came with them
            return gather_refuse(x)
    pace_stop(d)
    return BODY_HERE


cdef int body_gathered(Exchange* x) noexcept nogil:
    x.gathering = 0
    if x.body_done and x.body == BODY_CHUNKED:
        x.body = BODY_LENGTH
        x.head.content_length = x.piece.len
    return x.gather_then(x, x.gather_conf)


cdef void body_on_readable(Exchange* x) noexcept nogil:
    # The client sent more while its body is gathered. May end the exchange.
    cdef int result
    if body_pull(x) != BODY_HERE:
        return
    result = body_gathered(x)
    if result != STEP_WAIT:
        exchange_resume(x, result)


cdef void body_reframe(Exchange* x) noexcept nogil:
    # What was gathered of a body in chunks before its reader had enough goes on as one chunk; the rest follows as it comes.
    cdef Buf* whole = &x.loop.wbuf
    buf_reset(whole)
    buf_hex(whole, x.piece.len)
    buf_put(whole, b"\r\n", 2)
    buf_put(whole, x.piece.p, x.piece.len)
    buf_put(whole, b"\r\n", 2)
    if whole.failed:
        x.piece.failed = 1
        return
    piece_reset(x)
    buf_put(&x.piece, whole.p, whole.len)
    gather_count(x)
