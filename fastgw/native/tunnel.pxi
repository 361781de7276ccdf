# tunnel: connections on which another protocol than HTTP is spoken, after a 101 (RFC 9110 section 7.8, RFC 6455). Owns: when one
# opens, the bytes both ways, how it ends. Must not know what is said in it: nothing behind the 101 is parsed here or anywhere.
#
# Both ends bear the kind CONN_TUNNEL, so that no event and no timer leads back to HTTP; neither connection serves another
# request. A side is read only when the other has taken everything. FIN of a side goes on to the other behind the last byte,
# and the way back stays open. The exchange lives as long as its tunnel, and with it whatever counts it.

cdef enum:                      # Exchange.tunnel
    TUNNEL_DOWN_OVER = 1        # the client sends no more
    TUNNEL_UP_OVER = 2          # the upstream sends no more
    TUNNEL_DOWN_TOLD = 4        # and the upstream was told
    TUNNEL_UP_TOLD = 8          # and the client
    TUNNEL_OVER = 15
    TUNNEL_SENDING = 16         # the upstream's timer watches it take bytes


cdef void tunnel_asked(Exchange* x) noexcept nogil:
    # Before the request goes out. On a route that lets none through it is one as any other.
    if not x.plan.upgrades:
        x.body = BODY_NONE
        x.body_done = 1


cdef bint tunnel_granted(Up* u, const Head* h, const char* base) noexcept nogil:
    # Whether a 101 is the answer to what was asked (hardening rule 18), after all of it was sent (rule 20). Nothing may frame
    # what follows (RFC 9112 section 6.1).
    cdef Exchange* x = u.c.x
    cdef const Field* asked
    cdef const Field* given
    if x.body != BODY_TUNNEL or conn_unsent(&u.c) or h.first[FIELD_TRANSFER_ENCODING]:
        return False
    asked = &x.head.fields[x.head.first[FIELD_UPGRADE] - 1]
    given = &h.fields[h.first[FIELD_UPGRADE] - 1]
    return given.value_len == asked.value_len and field_same(base + given.value, x.bytes.p + asked.value, asked.value_len)


cdef void tunnel_open(Up* u, Head* h, const char* base, size_t n) noexcept nogil:
    # h is the 101; behind it there may be bytes of the upstream already, and of the client behind its request.
    cdef Exchange* x = u.c.x
    cdef Down* d = x.down
    cdef Buf* out = &x.loop.wbuf
    answer_came(x, h)
    x.up_head = h
    x.up_base = base
    chain_on_answer(x, PHASE_HEADER_FILTER)
    x.up_head = NULL
    x.status = 101
    buf_reset(out)
    tunnel_head(x, h, base, out)
    x.answering = 1
    x.tunnel = 0
    x.answer_bytes = n - h.len
    x.body_bytes = buf_left(&d.input)
    if out.failed or conn_send(&d.c, out.p, out.len, base + h.len, n - h.len) < 0:
        tunnel_end(x, "client.left")
        return
    if x.body_bytes and conn_send(&u.c, d.input.p + d.input.off, x.body_bytes, NULL, 0) < 0:
        tunnel_end(x, "upstream.reset")
        return
    buf_free(&d.input)
    buf_free(&u.input)
    free(u.head)
    u.head = NULL
    d.c.kind = u.c.kind = CONN_TUNNEL
    u.c.readable = 0            # whoever reads answers on it stops
    conn_ready(&d.c)
    conn_ready(&u.c)


cdef void tunnel_head(Exchange* x, Head* h, const char* base, Buf* out) noexcept nogil:
    cdef Names names
    if h.first[FIELD_SERVER] and x.loop.server_tokens:
        h.fields[h.first[FIELD_SERVER] - 1].flags |= FIELD_DROP
    buf_put(out, b"HTTP/1.1 101 Switching Protocols\r\n", 34)
    names_collect(&names, &x.down_extra)
    copy_fields(out, h, base, &names)
    if x.loop.server_tokens:
        buf_put(out, b"Server: fastgw\r\n", 16)
    if not h.first[FIELD_DATE]:
        buf_put(out, x.loop.date, x.loop.date_len)
    buf_put(out, x.down_extra.p, x.down_extra.len)
    put_upgrade(out, h, base)
    buf_put(out, b"\r\n", 2)


cdef bint tunnel_pump(Exchange* x, Conn* source, Conn* sink, uint8_t side) noexcept nogil:
    # Moves what has come. False: the tunnel was ended. Much is moved inside the kernel, which for little costs more calls.
    cdef Loop* loop = x.loop
    cdef bint spliced
    cdef bint much = False
    cdef bint may_splice = source.tls == NULL and sink.tls == NULL and loop.splice_least <= IO_BYTES
    cdef ssize_t n
    cdef int rounds = 0
    while source.readable and not x.tunnel & side and not conn_unsent(sink):
        if rounds == IO_ROUNDS:
            conn_ready(source)
            break
        rounds += 1
        n = -ENOSYS
        spliced = False
        if much and may_splice:
            n = splice_move(source, sink, INT64_MAX)
            spliced = n > 0
        if n == -ENOSYS:
            n = conn_recv(source, loop.rbuf, IO_BYTES)
            if 0 < n < IO_BYTES and not source.ended:
                source.readable = 0
        if n == -EAGAIN:
            source.readable = 0
            break
        if n < 0:
            tunnel_end(x, tunnel_broke(side))
            return False
        if n == 0:
            source.readable = 0
            x.tunnel |= side
            break
        much = n >= IO_BYTES
        if side == TUNNEL_DOWN_OVER:
            x.body_bytes += n
        else:
            x.answer_bytes += n
        if not spliced:
            conn_send(sink, loop.rbuf, n, NULL, 0)
        if sink.broken:
            tunnel_end(x, tunnel_broke(TUNNEL_OVER ^ side))
            return False
    return True


cdef inline const char* tunnel_broke(uint8_t side) noexcept nogil:
    return "client.left" if side & TUNNEL_DOWN_OVER else "upstream.reset"


cdef void tunnel_tell(Exchange* x, Conn* sink, uint8_t side) noexcept nogil:
    # Passes on that a side sends no more, once its bytes have gone.
    if not x.tunnel & side or x.tunnel & side << 2 or conn_unsent(sink):
        return
    if sink.tls != NULL:
        tls_finish(sink)
        if conn_unsent(sink):
            return
    x.loop.io.finish(sink)
    x.tunnel |= <uint8_t>(side << 2)


cdef void tunnel_run(Exchange* x, const Conn* took) noexcept nogil:
    # All that can be done now. took: the connection that has room again, if it is one.
    cdef Down* d = x.down
    cdef Up* u = x.up
    if not tunnel_pump(x, &d.c, &u.c, TUNNEL_DOWN_OVER) or not tunnel_pump(x, &u.c, &d.c, TUNNEL_UP_OVER):
        return
    tunnel_tell(x, &u.c, TUNNEL_DOWN_OVER)
    tunnel_tell(x, &d.c, TUNNEL_UP_OVER)
    if x.tunnel & TUNNEL_OVER == TUNNEL_OVER:
        tunnel_end(x, NULL)
        return
    pace(d)
    if not conn_unsent(&u.c):
        x.tunnel &= TUNNEL_OVER
        timer_set(&u.c, x.plan.read_ms if x.plan.read_ms else x.upstream.read_ms)
    elif took == &u.c or not x.tunnel & TUNNEL_SENDING:
        x.tunnel |= TUNNEL_SENDING
        timer_set(&u.c, x.plan.send_ms if x.plan.send_ms else x.upstream.send_ms)


cdef void tunnel_on_event(Conn* c, uint32_t events) noexcept nogil:
    cdef Exchange* x = c.x
    cdef uint8_t side = TUNNEL_DOWN_OVER if c == &x.down.c else TUNNEL_UP_OVER
    cdef bint took = events & EPOLLOUT and conn_unsent(c)
    if events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR):
        c.ended = 1
    if events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR):
        c.readable = 1          # a broken line too may have bytes to be read, and tells when they have been
    # Of one that has nothing more to read, a full hang-up is news only where it was not this side that completed it.
    if ((events & EPOLLERR or (events & EPOLLHUP and not x.tunnel & (3 ^ side) << 2)) and x.tunnel & side
            or (took and conn_flush(c) < 0)):
        tunnel_end(x, tunnel_broke(side))
        return
    tunnel_run(x, c if took else NULL)


cdef void tunnel_on_ready(Conn* c) noexcept nogil:
    c.readable = 1
    tunnel_run(c.x, NULL)


cdef void tunnel_on_timeout(Conn* c) noexcept nogil:
    cdef Exchange* x = c.x
    if c == &x.down.c:
        tunnel_on_pace(x)
    elif conn_unsent(c):
        tunnel_end(x, "upstream.send_timeout")
    elif conn_unsent(&x.down.c):    # it is the client that is slow; its own timer watches it
        timer_set(c, x.plan.read_ms if x.plan.read_ms else x.upstream.read_ms)
    else:
        tunnel_end(x, "tunnel.idle")


cdef void tunnel_on_pace(Exchange* x) noexcept nogil:
    # The client has had its time to take what waits for it; as pace_lost.
    cdef Down* d = x.down
    cdef int r = conn_flush(&d.c)
    pace(d)
    if r == 1:
        tunnel_run(x, &d.c)
    elif r < 0:
        tunnel_end(x, "client.left")
    elif d.pace.left[PACE_ANSWER] <= 0:
        tunnel_end(x, "timeout.send")


cdef void tunnel_end(Exchange* x, const char* reason) noexcept nogil:
    # reason: why it was cut; NULL: both sides have said all they had to say.
    cdef Down* d = x.down
    cdef Up* u = x.up
    x.refused = reason
    tunnel_log(x)
    if reason != NULL and strcmp(reason, "client.left") == 0:
        metric_add(x.loop, M_CLIENT_LEFT, 1)
    if reason != NULL:
        d.c.broken = u.c.broken = 1     # what was cut must look cut: no close_notify
    x.up = NULL
    up_close(u)
    d.c.x = NULL
    down_close(d)
    exchange_release(x)
