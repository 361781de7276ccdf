# down: one client connection: heads in, exchanges begun, answers out, keep-alive, and the end of the line.


cdef Exchange* exchange_new(Loop* loop, Down* d) noexcept nogil:
    cdef Exchange* x = loop.free_exchanges
    if x != NULL:
        loop.free_exchanges = x.next_free
        loop.n_free -= 1
    else:
        x = <Exchange*>calloc(1, sizeof(Exchange))
        if x == NULL:
            return NULL
    x.loop = loop
    x.down = d
    x.client = &d.client
    x.t_start = loop.now_ns
    d.c.x = x
    loop.n_exchanges += 1
    head_begin(&x.parser, &x.head, False, loop.limits.head_bytes, loop.limits.target_bytes, loop.limits.headers)
    return x


cdef inline void exchange_clear(Exchange* x) noexcept nogil:
    # Ready for the next request; small buffers stay. Everything from `plan` to `py` that steps and relays read is named here.
    buf_reset(&x.bytes)
    buf_reset(&x.path)
    buf_reset(&x.host)
    buf_reset(&x.target)
    buf_reset(&x.request)
    piece_reset(x)
    buf_reset(&x.claims)
    buf_reset(&x.up_extra)
    buf_reset(&x.down_extra)
    buf_reset(&x.filtered)
    buf_reset(&x.reply_body)
    x.filtering = x.quotas = 0
    x.up = NULL
    x.snapshot = NULL
    x.plan = NULL
    x.upstream = NULL
    x.credential = NULL
    x.consumer = NULL
    x.node = NULL
    x.stage = STAGE_HEAD
    x.composite = NULL
    x.passes_over = x.n_member_refused = 0
    x.waiting = x.body_done = x.replayable = x.fresh = x.gathering = 0
    x.answering = x.answer_done = x.answer_chunked = x.up_keep = x.informational = 0
    x.at = x.at_consumer = x.n_judged = 0
    x.error_body = NULL
    x.verify_rounds = 0
    x.body = x.answer_body = BODY_NONE
    x.body_left = x.body_bytes = x.answer_left = x.answer_bytes = 0
    x.tries = 0
    x.status = x.up_status = x.reshaped = x.fail_status = 0
    x.t_up = x.t_up_head = 0
    x.authority_len = x.authority_port = x.query_len = x.raw_path_len = x.up_host_len = x.uri_path_len = 0
    x.refused = x.shadow = x.reply_type = NULL
    x.request_id_len = 0
    x.up_head = NULL


cdef void exchange_release(Exchange* x) noexcept nogil:
    # Nothing refers to x any more.
    cdef Loop* loop = x.loop
    if x.py != NULL:
        pyrequest_detach(x)
    if x.snapshot != NULL:
        x.snapshot.inflight -= 1
    loop.n_exchanges -= 1
    exchange_clear(x)
    if loop.n_free >= EXCHANGES_KEPT:
        exchange_destroy(x)
        return
    x.next_free = loop.free_exchanges
    loop.free_exchanges = x
    loop.n_free += 1


cdef void exchange_destroy(Exchange* x) noexcept nogil:
    buf_free(&x.bytes)
    buf_free(&x.path)
    buf_free(&x.host)
    buf_free(&x.target)
    buf_free(&x.request)
    buf_free(&x.piece)
    buf_free(&x.claims)
    buf_free(&x.up_extra)
    buf_free(&x.down_extra)
    buf_free(&x.filtered)
    buf_free(&x.reply_body)
    buf_free(&x.judged)
    free(x)


cdef void exchange_begin(Exchange* x) noexcept nogil:
    # A whole head is in x.bytes.
    cdef Loop* loop = x.loop
    cdef Down* d = x.down
    cdef Target target
    cdef int status
    timer_set(&d.c, 0)
    d.requests += 1
    x.t_start = loop.now_ns
    status = 500
    if buf_room(&x.host, URI_HOST_BYTES) == 0:
        target.host = x.host.p
        status = framing_request(&x.head, x.bytes.p, &target)
    if status == 0:
        x.up_method = x.head.method
        x.body_most = loop.limits.body_bytes
        x.body = x.head.body
        x.body_done = x.body == BODY_NONE
        x.body_left = x.head.content_length if x.body == BODY_LENGTH else 0
        if x.body == BODY_LENGTH and x.body_left == 0:
            x.body_done = 1
        if x.body == BODY_CHUNKED:
            chunk_begin(&x.chunks, CHUNK_EXT_MAX, loop.limits.head_bytes)
        if x.head.first[FIELD_TRACEPARENT] | x.head.first[FIELD_TRACESTATE]:
            trace_check(x)
        status = request_target(x, &target)
    if status == 0 and x.body_left > x.body_most:
        status = 413
    if status == TARGET_ENDS_HERE:
        exchange_enter(x, False)
    elif status != 0:
        d.close_after = 1
        if status == 405:
            reply_allow(x)      # RFC 9110 section 15.5.6
        fault_answer(x, <uint16_t>status, "framing.refused")
    else:
        exchange_enter(x, True)


cdef inline void exchange_enter(Exchange* x, bint routed) noexcept nogil:
    # The request is sound. What is not routed meets the global rules and no more.
    cdef Loop* loop = x.loop
    cdef Down* d = x.down
    if loop.snapshot == NULL:
        fault_answer(x, 503, "config.missing")
        return
    if loop.snapshot.paths and not path_reform(x, loop.snapshot.paths):
        d.close_after = 1
        fault_answer(x, 400, "framing.refused")
        return
    if d.c.tls != NULL and not tls_admits(x):
        fault_answer(x, 400, "tls.client")
        return
    x.snapshot = loop.snapshot
    x.snapshot.inflight += 1
    if routed:
        if x.snapshot.posted:
            posted_route(x)
            return
        x.plan = route_find(&x.snapshot.routes, x)
    chain_stage(x, STAGE_GLOBAL_REWRITE)
    exchange_run(x)


cdef size_t down_head(Down* d, const char* p, size_t n, bint* begin) noexcept nogil:
    # Takes bytes of a head; gives how many. begin: a whole head stands in the exchange.
    cdef Loop* loop = d.c.loop
    cdef Exchange* x = d.c.x
    cdef uint32_t had
    cdef int r
    begin[0] = False
    if x == NULL:
        x = exchange_new(loop, d)
        if x == NULL:
            down_close(d)
            return n
    had = x.bytes.len
    if had == 0:
        r = head_feed(&x.parser, p, n)
    else:
        buf_put(&x.bytes, p, n)
        r = head_feed(&x.parser, x.bytes.p, x.bytes.len)
    if r == HEAD_MORE:
        if had == 0:
            buf_put(&x.bytes, p, n)
        if d.c.state == DOWN_IDLE:
            d.c.state = DOWN_HEAD
            timer_set(&d.c, loop.limits.head_ms)    # one deadline for the whole head; later bytes do not move it
        if x.bytes.failed:
            down_close(d)
        return n
    d.c.state = DOWN_EXCHANGE
    if r == HEAD_DONE:
        if had == 0:
            buf_put(&x.bytes, p, x.head.len)
        else:
            x.bytes.len = x.head.len
        begin[0] = not x.bytes.failed
        if begin[0]:
            return x.head.len - had
        r = 500
    down_refuse(x, <uint16_t>r, "framing.refused")
    return n


cdef void down_refuse(Exchange* x, uint16_t status, const char* reason) noexcept nogil:
    # Answers what is no lawful head; nothing of it is looked at again, and the connection ends.
    x.down.close_after = 1
    memset(&x.head, 0, sizeof(Head))
    x.head.method = METHOD_GET
    x.head.minor = 1
    x.body_done = 1
    fault_answer(x, status, reason)


cdef inline bint down_listens(const Down* d) noexcept nogil:
    # Whether a head may be read. Not while an answer is unsent: a client that only writes would fill the memory, and the end
    # of its input would cut the answer off. down_on_writable goes on.
    return (d.c.state == DOWN_IDLE or d.c.state == DOWN_HEAD) and not conn_unsent(&d.c)


cdef void down_process(Down* d) noexcept nogil:
    # Requests that stand in d.input, one after the other, as long as the client takes its answers.
    cdef bint begin
    cdef size_t used
    d.processing = 1
    while down_listens(d) and buf_left(&d.input):
        used = down_head(d, d.input.p + d.input.off, buf_left(&d.input), &begin)
        if d.c.state == CONN_CLOSED:
            break
        buf_eat(&d.input, used)
        if begin:
            exchange_begin(d.c.x)
    d.processing = 0


cdef void down_on_readable(Down* d) noexcept nogil:
    cdef Loop* loop = d.c.loop
    cdef ssize_t n
    cdef size_t used
    cdef bint begin
    cdef int rounds = 0
    if d.c.state == DOWN_SHAKING and not down_shake(d):
        return
    down_process(d)
    while d.c.readable and down_listens(d):
        if rounds == IO_ROUNDS:
            conn_ready(&d.c)
            return
        rounds += 1
        n = conn_recv(&d.c, loop.rbuf, IO_BYTES)
        if n <= 0:
            if n == -EAGAIN:
                d.c.readable = 0
                return
            down_close(d)
            return
        if n < IO_BYTES and not d.c.ended:
            d.c.readable = 0
        d.processing = 1
        used = down_head(d, loop.rbuf, n, &begin)
        if d.c.state != CONN_CLOSED:
            if used < <size_t>n:
                buf_put(&d.input, loop.rbuf + used, n - used)
            if begin:
                exchange_begin(d.c.x)
            down_process(d)
    if d.c.state == DOWN_LINGER:
        down_linger_read(d)
    elif d.c.state == DOWN_EXCHANGE:
        if d.c.x.gathering:
            body_on_readable(d.c.x)
        elif (d.c.x.up != NULL and d.c.x.up.c.state == UP_ACTIVE and not d.c.x.body_done
                and d.c.x.body != BODY_TUNNEL):
            request_relay(d.c.x)
        elif d.c.ended and d.c.deadline == 0:
            down_ended(d.c.x)


cdef void down_on_writable(Down* d) noexcept nogil:
    cdef Exchange* x = d.c.x
    cdef int r = conn_flush(&d.c)
    if r < 0:
        down_broken(d)
    elif d.c.state == DOWN_SHAKING:
        return                  # one deadline for the whole handshake
    elif r == 0:
        pace(d)
    elif d.c.state == DOWN_LINGER:
        down_linger_start(d)
    elif x != NULL:
        pace(d)
        if d.c.ended and d.c.deadline == 0:
            down_ended(x)
        if x.up != NULL and x.up.c.readable:
            answer_on_readable(x.up)
    elif d.c.state == DOWN_IDLE:
        pace(d)
        timer_set(&d.c, d.c.loop.limits.idle_ms)
        if buf_left(&d.input) or d.c.readable:
            conn_ready(&d.c)


cdef void down_on_event(Down* d, uint32_t events) noexcept nogil:
    if events & EPOLLOUT and conn_unsent(&d.c):
        down_on_writable(d)
        if d.c.state == CONN_CLOSED:
            return
    if events & (EPOLLERR | EPOLLHUP):
        down_broken(d)
        return
    if events & EPOLLRDHUP:
        d.c.ended = 1
        d.c.readable = 1
    if events & EPOLLIN:
        d.c.readable = 1
    if d.c.readable:
        down_on_readable(d)


cdef void down_broken(Down* d) noexcept nogil:
    d.c.broken = 1
    if d.c.x != NULL and d.c.state == DOWN_EXCHANGE:
        exchange_abort(d.c.x)
    else:
        down_close(d)


cdef void exchange_finish(Exchange* x) noexcept nogil:
    # The answer was sent whole (or lies in down.out).
    cdef Down* d = x.down
    cdef Up* u = x.up
    cdef bint body_done = x.body_done
    exchange_log(x)
    if u != NULL:
        x.up = NULL
        up_release(u, x)
    d.c.x = NULL
    exchange_release(x)
    if d.c.broken:
        down_close(d)
        return
    # Who was not told of the end, and has sent its next request already, is served once more.
    if d.close_after or (d.c.loop.draining and buf_left(&d.input) == 0 and not d.c.readable):
        d.c.state = DOWN_LINGER
        d.lingered = 0
        if conn_unsent(&d.c):
            pace(d)
        else:
            timer_set(&d.c, LINGER_MS)
            if body_done and not d.c.readable and buf_left(&d.input) == 0:
                down_close(d)   # nothing unread that could turn into a reset
            else:
                down_linger_start(d)
        return
    d.c.state = DOWN_IDLE
    if conn_unsent(&d.c):
        pace(d)
    else:
        timer_set(&d.c, d.c.loop.limits.idle_ms)
    if not d.processing and (buf_left(&d.input) or d.c.readable):
        conn_ready(&d.c)


cdef void exchange_abort(Exchange* x) noexcept nogil:
    # Either side broke after the answer began, or the client left: its connection is cut, never padded (hardening rule 22).
    cdef Down* d = x.down
    cdef Up* u = x.up
    if not x.answering:
        x.status = 499
    if x.refused == NULL:
        x.refused = "client.left"
    if strcmp(x.refused, "client.left") == 0:
        metric_add(x.loop, M_CLIENT_LEFT, 1)
    exchange_log(x)
    if x.gathering and x.py != NULL:
        pyrequest_no_body(x)
    x.gathering = 0
    if u != NULL:
        x.up = NULL
        up_close(u)
    d.c.x = NULL
    x.down = NULL
    if x.answering:
        d.c.broken = 1          # a cut answer must not look whole: no close_notify
    down_close(d)
    if x.delayed:
        delay_end(x)
    if not x.waiting:
        exchange_release(x)     # else exchange_resume finds that the client has gone


cdef void down_linger_start(Down* d) noexcept nogil:
    # RFC 9112 section 9.6: FIN after the answer, then read on for a while, or unread input would reset the line and destroy it.
    if d.c.tls != NULL:
        tls_finish(&d.c)
        if conn_unsent(&d.c):
            return              # down_on_writable comes here again
    d.c.loop.io.finish(&d.c)
    buf_free(&d.input)
    timer_set(&d.c, LINGER_MS)
    d.c.readable = 1
    down_linger_read(d)


cdef void down_linger_read(Down* d) noexcept nogil:
    cdef Loop* loop = d.c.loop
    cdef ssize_t n
    if conn_unsent(&d.c):
        return
    while True:
        n = loop.io.recv(&d.c, loop.rbuf, IO_BYTES)
        if n == -EAGAIN:
            d.c.readable = 0
            return
        if n <= 0:
            down_close(d)
            return
        d.lingered += <uint32_t>n
        if d.lingered > LINGER_BYTES:
            down_close(d)
            return


cdef void down_close(Down* d) noexcept nogil:
    cdef Loop* loop = d.c.loop
    cdef Exchange* x = d.c.x
    if d.c.state == CONN_CLOSED:
        return
    if x != NULL:
        d.c.x = NULL            # a head never finished
        exchange_release(x)
    if d.prev != NULL:
        d.prev.next = d.next
    else:
        loop.downs = d.next
    if d.next != NULL:
        d.next.prev = d.prev
    loop.n_down -= 1
    if d.held:
        address_leave(&loop.addresses, d.held)
    conn_close(&d.c)


cdef void down_on_timeout(Down* d) noexcept nogil:
    cdef Exchange* x = d.c.x
    if d.c.state != DOWN_SHAKING and conn_unsent(&d.c) and not pace_lost(d):
        return
    if d.c.state == DOWN_HEAD and x.bytes.len > 2:
        d.c.state = DOWN_EXCHANGE
        down_refuse(x, 408, "timeout.head")
    elif d.c.state == DOWN_EXCHANGE:
        if not x.answering and not x.body_done and x.body != BODY_TUNNEL and (x.up != NULL or x.gathering):
            request_refuse(x, 408, "timeout.body")
        elif x.answering and d.c.ended and not conn_unsent(&d.c):
            down_departs(x)
        else:
            x.refused = "timeout.body" if d.pace.side == PACE_BODY else "timeout.send"
            if d.c.ended or d.c.broken:
                x.refused = "client.left"
            exchange_abort(x)
    else:
        down_close(d)


cdef inline void down_ended(Exchange* x) noexcept nogil:
    # Its client has sent FIN, and may have gone.
    x.departed = -1
    timer_set(&x.down.c, DEPART_MS)


cdef void down_departs(Exchange* x) noexcept nogil:
    # A client that sent FIN gets its answer. But one without an end, such as a stream of events, may be for nobody any more,
    # which only shows when something is sent: where nothing comes for a while, it is given up.
    if x.answer_body == BODY_LENGTH:
        return
    if x.departed == x.answer_bytes:
        x.refused = "client.left"
        exchange_abort(x)
        return
    x.departed = x.answer_bytes
    timer_set(&x.down.c, DEPART_MS)


cdef Down* down_open(Loop* loop, int fd, Listener* listener) noexcept nogil:
    # A connection was accepted; fd is non-blocking.
    cdef Down* d = <Down*>conn_new(loop, sizeof(Down), CONN_DOWN)
    if d == NULL:
        return NULL
    d.c.fd = fd
    d.c.state = DOWN_IDLE
    d.port = listener.port if listener != NULL else 0
    if listener != NULL and listener.tls != NULL:
        if tls_open(&d.c, listener.tls.ctx) < 0:
            free(d)
            return NULL
        d.c.state = DOWN_SHAKING
    d.next = loop.downs
    if d.next != NULL:
        d.next.prev = d
    loop.downs = d
    loop.n_down += 1
    timer_set(&d.c, loop.limits.idle_ms if d.c.tls == NULL else loop.limits.head_ms)
    return d
