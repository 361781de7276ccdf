# up: the upstream's side of an exchange: choosing a node, connecting, sending the request, retrying, and keeping the connection
# for the next one. A retry happens only while no byte of an answer came and the request is idempotent and still whole, or
# nothing of it was sent (RFC 9110 section 9.2.2, hardening rule 23).

cdef enum:
    # Methods that may be sent twice: DELETE GET HEAD PUT OPTIONS TRACE.
    IDEMPOTENT = (1 << METHOD_DELETE) | (1 << METHOD_GET) | (1 << METHOD_HEAD) | (1 << METHOD_PUT) | (1 << METHOD_OPTIONS)


cdef void up_close(Up* u) noexcept nogil:
    if u.c.state == CONN_CLOSED:
        return
    if u.c.state == UP_IDLE:
        pool_remove(u)
    if u.all_prev != NULL:
        u.all_prev.all_next = u.all_next
    else:
        u.c.loop.ups = u.all_next
    if u.all_next != NULL:
        u.all_next.all_prev = u.all_prev
    u.pool.n_open -= 1
    u.c.loop.n_up -= 1
    conn_close(&u.c)


cdef void proxy_start(Exchange* x) noexcept nogil:
    # The chain passed. Reads what is here of the body, so that a short request goes out whole, in one piece.
    cdef UpstreamC* upstream = x.upstream
    if upstream == NULL:        # no step has chosen another
        upstream = x.upstream = x.plan.upstream
    if chain_before_proxy(x) == STEP_REPLY:
        reply_send(x)
        return
    if upstream == NULL or upstream.n == 0:
        if x.loop.embedded:
            embed_pass(x)
            return
        x.fail_status = 503
        fault_of_upstream(x, 503, "upstream.missing")
        return
    if not x.body_done:
        if x.body == BODY_TUNNEL:
            tunnel_asked(x)
        elif body_start(x) < 0:
            return
    x.replayable = x.body_done or x.body == BODY_TUNNEL
    x.fail_status = 503
    upstream.budget.asked += 1
    if upstream.retry_ms:
        x.first_try_ms = x.loop.now_ms
    proxy_try(x)


cdef int body_start(Exchange* x) noexcept nogil:
    # What is here of a body. -1: exchange ended.
    if x.piece.len and x.body == BODY_CHUNKED:
        body_reframe(x)
    if x.head.expect_continue and buf_left(&x.down.input) == 0:
        conn_send(&x.down.c, b"HTTP/1.1 100 Continue\r\n\r\n", 25, NULL, 0)
    return request_decode(x, &x.piece)


cdef void proxy_try(Exchange* x) noexcept nogil:
    cdef PoolC* pool
    cdef Up* u
    cdef bint reused, sent
    cdef const char* reason
    while True:
        if not x.fresh:
            x.node = balance_pick(x)
        if x.node == NULL:
            break
        serialise_request(x)
        pool = x.node.pool
        if pool.n_members:
            pool = pool_member(x, x.node)
        u = NULL
        if not x.fresh:
            u = pool_take(pool) if pool.tls == NULL else up_tls_take(x, pool)
        if u == NULL:
            u = up_open(x, pool, &reason)
        if u == NULL:
            if proxy_may_retry(x, 502, reason, False, False):
                continue
            break
        u.c.x = x
        x.up = u
        if u.c.state == UP_CONNECTING or up_begin(u) == 0:
            return
        x.up = NULL
        reason = up_reason(u)
        reused = u.reused
        sent = u.sent_bytes
        if not reused:
            balance_broke(x, pool, HEALTH_TCP)
        up_close(u)
        if not proxy_may_retry(x, 502, reason, reused, sent):
            break
    if x.fail_status == 503:
        x.fail_reason = "upstream.unresolved"
    fault_of_upstream(x, x.fail_status, x.fail_reason)


cdef bint proxy_may_retry(Exchange* x, uint16_t status, const char* reason, bint reused, bint sent) noexcept nogil:
    # A try failed before any byte of an answer came.
    cdef bint again = not sent or (x.replayable and x.up_method < 32 and IDEMPOTENT >> x.up_method & 1)
    if again and reused and not x.fresh:
        x.fresh = 1             # the idle race, no fault of the node: the same try again, on a new connection
        return True
    proxy_try_failed(x, status, reason)
    if not again:
        return False
    x.fresh = 0
    balance_failed(x)
    x.tries += 1
    if x.tries < balance_tries(x.upstream) and balance_affords(x, sent):
        metric_add(x.loop, M_RETRIES, 1)
        return True
    return False


cdef void proxy_try_failed(Exchange* x, uint16_t status, const char* reason) noexcept nogil:
    # Noted for who has to be told, should no other try succeed.
    metric_add(x.loop, M_UP_FAILURES, 1)
    if x.fail_status == 503:
        x.n_failed = 0
    x.n_failed += 1
    x.timed_out = x.timed_out << 1 | (status == 504)
    x.fail_status = status
    x.fail_reason = reason


cdef void proxy_failed(Up* u, uint16_t status, const char* reason) noexcept nogil:
    # The upstream connection failed while it served an exchange.
    cdef Exchange* x = u.c.x
    cdef bint reused = u.reused
    cdef bint sent = u.sent_bytes
    cdef bint got = u.got_bytes
    if status == 504:
        balance_broke(x, u.pool, HEALTH_TIMEOUT)
    elif (got or not reused) and not up_tls_chosen(u):      # else it may be the idle race
        balance_broke(x, u.pool, HEALTH_TCP)
    x.up = NULL
    up_close(u)
    if x.answering:
        x.fail_status = status
        x.refused = reason
        exchange_abort(x)
        return
    if got:
        proxy_try_failed(x, status, reason)
    elif proxy_may_retry(x, status, reason, reused, sent):
        proxy_try(x)
        return
    fault_of_upstream(x, x.fail_status, reason)


cdef inline const char* connect_reason(int error) noexcept nogil:
    if error == ECONNREFUSED:
        return "upstream.refused"
    return "upstream.reset" if error == ECONNRESET or error == EPIPE else "upstream.unreachable"


cdef Up* up_open(Exchange* x, PoolC* pool, const char** reason) noexcept nogil:
    # A new connection to an address of x.node, connecting or connected; NULL, and why, when that failed at once.
    cdef Loop* loop = x.loop
    cdef Up* u = <Up*>conn_new(loop, sizeof(Up), CONN_UP)
    cdef int r
    reason[0] = "upstream.unreachable"
    if u == NULL:
        return NULL
    u.pool = pool
    pool.n_open += 1
    loop.n_up += 1
    u.all_next = loop.ups
    if u.all_next != NULL:
        u.all_next.all_prev = u
    loop.ups = u
    u.c.state = UP_CONNECTING
    if pool.tls != NULL and up_tls_open(u, x) < 0:
        up_close(u)
        return NULL
    r = loop.io.connect(&u.c, <const sockaddr*>&pool.address, pool.address_len)
    if r == 0:
        u.c.state = UP_ACTIVE
    elif r != -EINPROGRESS:
        reason[0] = connect_reason(-r)
        if r == -ECONNREFUSED or r == -EHOSTUNREACH or r == -ENETUNREACH or r == -ENOENT:   # else it is we who lack something
            balance_broke(x, pool, HEALTH_TCP)
        up_close(u)
        return NULL
    metric_add(loop, M_UP_CONNECTS, 1)
    if r != 0 or u.c.tls != NULL:   # connecting, or shaking hands, which is part of it
        timer_set(&u.c, x.plan.connect_ms if x.plan.connect_ms else x.upstream.connect_ms)
    return u


cdef int up_begin(Up* u) noexcept nogil:
    # Connected: what comes first is sent. -1 when the line is broken, see up_reason.
    if u.c.tls != NULL and not u.c.tls.established:
        u.c.state = UP_SHAKING
        return up_shake(u)
    u.c.state = UP_ACTIVE
    return up_send_request(u)


cdef int up_send_request(Up* u) noexcept nogil:
    # Head and first piece in one send. -1 when the line is broken.
    cdef Exchange* x = u.c.x
    cdef uint32_t left
    u.got_bytes = u.sent_bytes = 0
    u.requests += 1
    buf_reset(&u.input)
    u.parser.done = 0
    x.t_up = x.loop.now_ns
    if x.request.failed or x.piece.failed:
        return -1
    if conn_send(&u.c, x.request.p, x.request.len, x.piece.p, x.piece.len) < 0:
        return -1
    left = buf_left(&u.c.out)
    u.sent_bytes = left < (x.request.len + x.piece.len if u.c.tls == NULL else x.loop.sealed.len)
    up_arm(u)
    if not x.body_done:
        request_relay(x)
    return 0


cdef inline void up_arm(Up* u) noexcept nogil:
    cdef PlanC* plan = u.c.x.plan
    if conn_unsent(&u.c):
        timer_set(&u.c, plan.send_ms if plan.send_ms else u.c.x.upstream.send_ms)
    else:
        timer_set(&u.c, plan.read_ms if plan.read_ms else u.c.x.upstream.read_ms)


cdef void up_release(Up* u, Exchange* x) noexcept nogil:
    # The exchange is over. The connection is kept only if nothing about it is in doubt.
    cdef UpstreamC* upstream = x.upstream
    u.c.x = NULL
    if (x.up_keep and x.answer_done and x.body_done and not u.c.ended and not u.c.broken
            and not conn_unsent(&u.c) and u.requests < upstream.keep_requests and not u.c.loop.draining
            and (u.pool.n_idle < upstream.keep_size or pool_gives_way(u, upstream))):
        if u.c.readable and not up_silent(u):
            up_close(u)         # bytes after the answer, or its end
            return
        pool_put(u)
        timer_set(&u.c, upstream.keep_ms)
    else:
        up_close(u)


cdef bint up_silent(Up* u) noexcept nogil:
    # Whether an upstream that was asked nothing says nothing. Over TLS it may send tickets and the like, which is no input.
    if u.c.ended or u.c.broken or conn_recv(&u.c, u.c.loop.rbuf, 1) != -EAGAIN:
        return False
    u.c.readable = 0
    return True


cdef void up_on_event(Up* u, uint32_t events) noexcept nogil:
    if events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR):
        u.c.ended = 1
        u.c.readable = 1
    if events & EPOLLIN:
        u.c.readable = 1
    if u.c.state == UP_CONNECTING:
        if events & (EPOLLERR | EPOLLHUP):
            proxy_failed(u, 502, connect_reason(u.c.loop.io.error(&u.c)))
            return
        if not events & EPOLLOUT:
            return
        if u.c.readable and u.c.tls == NULL and not up_silent(u):
            proxy_failed(u, 502, "upstream.closed" if u.c.ended else "upstream.early")
            return
        if up_begin(u) < 0:
            proxy_failed(u, 502, up_reason(u))
            return
    elif u.c.state == UP_SHAKING:
        if (events & EPOLLOUT and conn_flush(&u.c) < 0) or (u.c.readable and up_shake(u) < 0):
            proxy_failed(u, 502, up_reason(u))
            return
    elif conn_unsent(&u.c):
        if u.c.readable and not u.sent_bytes and conn_recv(&u.c, u.c.loop.rbuf, 1) > 0:
            proxy_failed(u, 502, "upstream.early")      # a full line took nothing of the request: this is no answer to it
            return
        if events & EPOLLOUT:
            up_on_writable(u)
    if u.c.state == UP_IDLE:
        if u.c.readable and not up_silent(u):
            up_close(u)
    elif u.c.state == UP_ACTIVE and u.c.readable:
        answer_on_readable(u)


cdef void up_on_writable(Up* u) noexcept nogil:
    cdef Exchange* x = u.c.x
    cdef int r = conn_flush(&u.c)
    if x == NULL:
        return
    if r < 0:
        if not u.c.readable:    # an early answer may still be there to read
            proxy_failed(u, 502, "upstream.reset")
        return
    u.sent_bytes = 1
    up_arm(u)
    if r == 1 and not x.body_done:
        request_relay(x)


cdef void up_on_timeout(Up* u) noexcept nogil:
    if u.c.state == UP_IDLE:
        up_close(u)
    elif u.c.state == UP_CONNECTING or u.c.state == UP_SHAKING:
        proxy_failed(u, 504, "upstream.connect_timeout")
    elif u.c.x != NULL:
        if conn_unsent(&u.c):
            proxy_failed(u, 504, "upstream.send_timeout")
        elif conn_unsent(&u.c.x.down.c) or not (u.c.x.body_done or u.c.x.body == BODY_TUNNEL):
            up_arm(u)           # it is the client that is slow; the client's own timer watches it
        else:
            proxy_failed(u, 504, "upstream.timeout")
