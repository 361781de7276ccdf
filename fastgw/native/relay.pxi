# relay: bodies on their way, in both directions, with backpressure: a side is read only when the other side has taken all it
# was given, so that one direction never holds more than one read. Framing is rewritten: nothing of the sender's chunking, its
# extensions or trailers crosses.


cdef int request_decode(Exchange* x, Buf* out) noexcept nogil:
    # Moves body bytes that were read with the head from d.input to out, framed for the upstream. -1: exchange ended.
    cdef Buf* input = &x.down.input
    cdef uint32_t n = buf_left(input)
    cdef ssize_t used
    if n == 0:
        return 0
    used = request_frame(x, input.p + input.off, n, out, NULL)
    if used < 0:
        return -1
    buf_eat(input, used)
    return 0


cdef inline void request_count(Exchange* x, size_t n) noexcept nogil:
    x.body_left -= n
    x.body_bytes += n
    x.body_done = x.body_left == 0


cdef ssize_t request_frame(Exchange* x, const char* p, size_t n, Buf* out, size_t* direct) noexcept nogil:
    # Decodes body bytes p[0:n]; what goes upstream is appended to out, but for a Content-Length body with `direct`, where the
    # first direct[0] bytes of p go as they are. For who gathers a body its chunks are left unframed. Gives the bytes used, or -1
    # when the exchange was ended.
    cdef size_t done = 0
    cdef size_t used, k
    cdef const char* data
    cdef size_t data_len
    cdef int r
    if x.body == BODY_LENGTH:
        k = n if <int64_t>n < x.body_left else <size_t>x.body_left
        request_count(x, k)
        if x.copying:
            copies_body(x, p, k)
        if direct != NULL:
            direct[0] = k
        else:
            buf_put(out, p, k)
        return k
    while done < n:
        r = chunk_next(&x.chunks, p + done, n - done, &used, &data, &data_len)
        done += used
        if x.chunks.announced > x.body_most:
            request_refuse(x, 413, "body.too_large")
            return -1
        if r == CHUNK_DATA:
            x.body_bytes += data_len
            if x.copying:
                copies_body(x, data, data_len)
            if x.gathering:
                buf_put(out, data, data_len)
                continue
            buf_hex(out, data_len)
            buf_put(out, b"\r\n", 2)
            buf_put(out, data, data_len)
            buf_put(out, b"\r\n", 2)
        elif r == CHUNK_END:
            if not x.gathering:
                buf_put(out, b"0\r\n\r\n", 5)
            x.body_done = 1
            if x.copying:
                copies_body(x, NULL, 0)
            break
        elif r == CHUNK_MORE:
            break
        else:
            request_refuse(x, 400, "framing.chunk")
            return -1
    return done


cdef void request_refuse(Exchange* x, uint16_t status, const char* reason) noexcept nogil:
    # The body turned out bad. The upstream's half request is cut; the client gets the status if it has no answer yet.
    if x.up != NULL:
        x.up.c.x = NULL
        up_close(x.up)
        x.up = NULL
    x.down.close_after = 1
    if x.answering:
        x.refused = reason
        exchange_abort(x)
        return
    fault_answer(x, status, reason)


cdef void request_relay(Exchange* x) noexcept nogil:
    # Reads the client's body while the upstream takes it.
    cdef Loop* loop = x.loop
    cdef Down* d = x.down
    cdef Up* u = x.up
    cdef Buf* out = &loop.wbuf
    cdef const char* p
    cdef ssize_t n
    cdef ssize_t used
    cdef size_t direct
    cdef bint spliced
    cdef int rounds = 0
    if x.body == BODY_TUNNEL:   # what follows waits for the answer
        return
    while not x.body_done and not conn_unsent(&u.c):
        spliced = False
        if buf_left(&d.input):
            p = d.input.p + d.input.off
            n = buf_left(&d.input)
        else:
            if not d.c.readable:
                break
            if rounds == IO_ROUNDS:
                conn_ready(&d.c)
                return
            rounds += 1
            p = loop.rbuf
            n = -ENOSYS
            if (x.body == BODY_LENGTH and x.body_left >= loop.splice_least and d.c.tls == NULL and u.c.tls == NULL
                    and not x.copying):
                n = splice_move(&d.c, &u.c, x.body_left)
                spliced = n > 0
            if n == -ENOSYS:
                n = conn_recv(&d.c, loop.rbuf, IO_BYTES)
                if 0 < n < IO_BYTES and not d.c.ended:
                    d.c.readable = 0
            if n <= 0:
                if n == -EAGAIN:
                    d.c.readable = 0
                    break
                exchange_abort(x)   # the client left in the middle of its request
                return
        if spliced:
            request_count(x, n)
        else:
            buf_reset(out)
            direct = 0
            used = request_frame(x, p, n, out, &direct)
            if used < 0:
                return
            # The input is settled before the send, which may end the exchange: what is left of it is the next request's.
            if p != loop.rbuf:
                buf_eat(&d.input, used)
            elif used < n:
                buf_put(&d.input, p + used, n - used)       # pipelined behind the body
            conn_send(&u.c, out.p, out.len, p, direct)
        if u.c.broken:
            if u.c.readable:
                d.close_after = 1   # answered early and closed: the answer is still to be read
                return
            proxy_failed(u, 502, "upstream.reset")
            return
        u.sent_bytes = 1
        x.replayable = 0
    up_arm(u)
    pace(d)


cdef inline bint answer_splices(const Up* u) noexcept nogil:
    # Whether what comes next is so much of a body that goes on as it is.
    cdef const Exchange* x = u.c.x
    return (u.parser.done and x.answer_body == BODY_LENGTH and x.answer_left >= u.c.loop.splice_least
            and not x.filtering and u.c.tls == NULL and x.down.c.tls == NULL)


cdef inline ssize_t answer_room(const Exchange* x) noexcept nogil:
    # What is read of a body at once: as much as one turn may work on.
    return x.encode_bytes if x.reshaped & ANSWER_CODED else IO_BYTES


cdef void answer_spliced(Exchange* x, size_t n) noexcept nogil:
    # n bytes of the body have moved on.
    x.answer_left -= n
    x.answer_bytes += n
    x.answer_done = x.answer_left == 0
    if x.down.c.broken:
        exchange_abort(x)
    elif x.answer_done:
        exchange_finish(x)
    elif conn_unsent(&x.down.c):
        pace(x.down)


cdef void answer_on_readable(Up* u) noexcept nogil:
    cdef Loop* loop = u.c.loop
    cdef Exchange* x = u.c.x
    cdef ssize_t n
    cdef ssize_t room = 0
    cdef bint spliced
    cdef int rounds = 0
    while u.c.readable and u.c.x == x and x != NULL:
        if conn_unsent(&x.down.c):
            return              # down_on_writable takes up from here
        if rounds == IO_ROUNDS:
            conn_ready(&u.c)
            return
        rounds += 1
        spliced = answer_splices(u)
        if spliced:
            n = splice_move(&u.c, &x.down.c, x.answer_left)
            if n == -ENOSYS:
                spliced = False
        if not spliced:
            room = answer_room(x) if u.parser.done else FIRST_BYTES
            n = conn_recv(&u.c, loop.rbuf, room)
        if n == -EAGAIN:
            u.c.readable = 0
            if x.reshaped & ANSWER_UNSENT:
                buf_reset(&loop.wbuf)
                answer_body(u, NULL, 0)
            return
        if n <= 0:
            u.c.ended = 1
            if n < 0:
                proxy_failed(u, 502, "upstream.reset")  # ends no body, not even a close-delimited one
            else:
                answer_on_end(u)
            return
        if not spliced and n < room and not u.c.ended:
            u.c.readable = 0    # a short read emptied the socket; the next bytes make a new edge (epoll(7))
        u.got_bytes = 1
        if spliced:
            answer_spliced(x, n)
        elif u.parser.done:
            buf_reset(&loop.wbuf)
            if x.reshaped & ANSWER_CODED:
                rounds = IO_ROUNDS      # others first
            answer_body(u, loop.rbuf, n)
        else:
            answer_head(u, loop.rbuf, n)
        if u.c.state == UP_ACTIVE and u.c.x == x and (u.parser.done or u.input.len == 0):
            up_arm(u)           # a head has one deadline, which its bytes do not move


cdef void answer_on_end(Up* u) noexcept nogil:
    cdef Exchange* x = u.c.x
    if x.answering and x.answer_body == BODY_UNTIL_CLOSE:
        x.answer_done = 1
        x.up_keep = 0
        buf_reset(&x.loop.wbuf)
        answer_emit_end(x, &x.loop.wbuf)
        if x.loop.wbuf.failed:
            exchange_abort(x)
            return
        conn_send(&x.down.c, x.loop.wbuf.p, x.loop.wbuf.len, NULL, 0)
        exchange_finish(x)
        return
    proxy_failed(u, 502, "upstream.closed")


cdef void answer_head(Up* u, const char* p, size_t n) noexcept nogil:
    # Bytes of the answer's head; 1xx answers come before the final one. A head in one piece is parsed where it lies, into the
    # loop's scratch; of a partial one the bytes, the parser and the table go with the connection, so each byte is parsed once.
    cdef Exchange* x = u.c.x
    cdef Loop* loop = x.loop
    cdef Head* h = &loop.answer_head
    cdef const char* base = p
    cdef Buf whole
    cdef int r
    memset(&whole, 0, sizeof(Buf))
    if u.input.len:
        h = u.head
        buf_put(&u.input, p, n)
        whole = u.input         # taken over: u.input starts anew
        memset(&u.input, 0, sizeof(Buf))
        base = whole.p
        n = whole.len
    else:
        answer_head_begin(u, h)     # now, not when the request went: others used the scratch meanwhile
    while True:
        r = head_feed(&u.parser, base, n) if not whole.failed else 502
        if r == HEAD_MORE:
            if answer_head_keep(u, h, base, n, &whole) < 0:
                proxy_failed(u, 502, "upstream.bad_answer")
            break
        if r != HEAD_DONE or framing_response(h, base, x.up_method) != 0:
            proxy_failed(u, 502, "upstream.bad_answer")
            break
        if h.status >= 200:
            u.parser.done = 1
            answer_begin(u, h, base, n)
            break
        x.informational += 1
        up_arm(u)
        if h.status == 101 or x.informational > 16:
            if h.status == 101 and tunnel_granted(u, h, base):
                tunnel_open(u, h, base, n)
            else:
                proxy_failed(u, 502, "upstream.bad_answer")
            break
        if h.status != 100 and x.head.minor == 1:
            answer_informational(x, h, base)
        base += h.len
        n -= h.len
        u.parser.done = 0       # of the final head, which is still to come
        if n == 0:
            break
        answer_head_begin(u, h)
    buf_free(&whole)


cdef inline void answer_head_begin(Up* u, Head* h) noexcept nogil:
    head_begin(&u.parser, h, True, u.c.loop.limits.head_bytes, 0, u.c.loop.limits.headers)


cdef int answer_head_keep(Up* u, Head* h, const char* base, size_t n, Buf* whole) noexcept nogil:
    # The head goes on in another read: bytes and table leave the scratch. -1 without memory.
    if u.head == NULL:
        u.head = <Head*>malloc(sizeof(Head))
        if u.head == NULL:
            return -1
    if h != u.head:
        memcpy(u.head, h, sizeof(Head))
        u.parser.head = u.head
    if whole.p != NULL and base == whole.p:
        u.input = whole[0]
        memset(whole, 0, sizeof(Buf))
    else:
        buf_put(&u.input, base, n)
    return -1 if u.input.failed else 0


cdef void answer_informational(Exchange* x, Head* h, const char* base) noexcept nogil:
    cdef Buf* out = &x.loop.wbuf
    cdef Names none
    none.n = 0
    buf_reset(out)
    put_status_line(out, h.status)
    copy_fields(out, h, base, &none)
    buf_put(out, b"\r\n", 2)
    conn_send(&x.down.c, out.p, out.len, NULL, 0)


cdef inline void answer_came(Exchange* x, const Head* h) noexcept nogil:
    # The last head that the upstream sends for the request.
    x.t_up_head = x.loop.now_ns
    if x.upstream.learns:
        balance_answered(x, x.up.pool, h.status)
    x.status = x.up_status = h.status


cdef void answer_as_asked(Head* h, uint8_t method) noexcept nogil:
    # The upstream was asked by another method than the client has used, whose rules the answer obeys (RFC 9110 section 9.3.2).
    if method == METHOD_HEAD and h.body != BODY_NONE:
        h.body, h.keep_alive = BODY_NONE, 0         # its body is not read, and its connection not used again
    elif method != METHOD_HEAD and h.body == BODY_NONE and h.status != 204 and h.status != 304:
        h.content_length = 0


cdef void answer_begin(Up* u, Head* h, const char* base, size_t n) noexcept nogil:
    cdef Exchange* x = u.c.x
    cdef Down* d = x.down
    answer_came(x, h)
    if x.up_method != x.head.method:
        answer_as_asked(h, x.head.method)
    x.up_keep = h.keep_alive
    x.answer_body = h.body
    x.answer_left = h.content_length if h.body == BODY_LENGTH else 0
    if h.body == BODY_CHUNKED:
        chunk_begin(&x.answer_chunks, CHUNK_EXT_MAX, x.loop.limits.head_bytes)
    x.filtering = FILTER_CHANGES if h.body != BODY_NONE and chain_has(x, PHASE_BODY_FILTER) else 0
    if h.body == BODY_CHUNKED or h.body == BODY_UNTIL_CLOSE or x.filtering:
        x.answer_chunked = x.head.minor == 1
        if not x.answer_chunked:
            d.close_after = 1   # an HTTP/1.0 client reads to the end of the connection
    if not x.head.keep_alive or not x.body_done or x.loop.draining:
        d.close_after = 1
    if chain_has(x, PHASE_HEADER_FILTER):
        buf_reset(&x.reply_body)    # where a step that gave no answer after all may have left something
        x.up_head = h
        x.up_base = base
        chain_on_answer(x, PHASE_HEADER_FILTER)
        if x.reshaped or x.status != h.status or (x.filtering and x.status == 205):
            answer_reshaped(u, h, base, n)
            return
        x.up_head = NULL
    elif x.filtering and h.status == 205:
        x.up_head = h
        x.up_base = base
        answer_reshaped(u, h, base, n)
        return
    buf_reset(&x.loop.wbuf)
    serialise_answer(x, h, base, &x.loop.wbuf)
    x.answering = 1
    answer_body(u, base + h.len, n - h.len)


cdef void answer_body(Up* u, const char* p, size_t n) noexcept nogil:
    # Body bytes p[0:n] of the answer; the loop's wbuf may already hold its head. One send for all.
    cdef Exchange* x = u.c.x
    cdef Down* d = x.down
    cdef Buf* out = &x.loop.wbuf
    cdef size_t k = 0
    if x.answer_body == BODY_CHUNKED:
        if answer_chunks_in(x, p, n, out) < 0:
            conn_send(&d.c, out.p, out.len, NULL, 0)    # what was good of it: that must not depend on how the bytes came
            x.refused = "upstream.bad_chunk"
            exchange_abort(x)
            return
    else:
        k = n
        if x.answer_body != BODY_UNTIL_CLOSE:
            if <int64_t>k > x.answer_left:
                k = <size_t>x.answer_left
                x.up_keep = 0   # more than announced: never relayed, never reused
            x.answer_left -= k
            x.answer_done = x.answer_left == 0
        if x.answer_chunked or x.filtering:
            answer_emit(x, out, p, k)
            k = 0
        else:
            x.answer_bytes += k
            if 0 < k <= JOIN_BYTES and out.len:
                buf_put(out, p, k)  # one plain buffer: to gather two costs the kernel more than so short a copy
                k = 0
    if x.answer_done:
        answer_emit_end(x, out)
    elif x.reshaped & ANSWER_UNSENT and not u.c.readable:
        answer_flush(x, out)
    if out.failed or conn_send(&d.c, out.p, out.len, p, k) < 0:
        exchange_abort(x)
        return
    if x.answer_done:
        exchange_finish(x)
    elif conn_unsent(&d.c):
        pace(d)


cdef int answer_chunks_in(Exchange* x, const char* p, size_t n, Buf* out) noexcept nogil:
    cdef size_t done = 0
    cdef size_t used
    cdef const char* data
    cdef size_t data_len
    cdef int r
    while done < n:
        r = chunk_next(&x.answer_chunks, p + done, n - done, &used, &data, &data_len)
        done += used
        if r == CHUNK_DATA:
            answer_emit(x, out, data, data_len)
        elif r == CHUNK_END:
            x.answer_done = 1
            if done < n:
                x.up_keep = 0
            return 0
        elif r == CHUNK_MORE:
            return 0
        else:
            return -1
    return 0
