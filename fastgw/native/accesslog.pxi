# accesslog: one line per exchange, JSON or text, into the worker's buffer, from which log_sink writes it. Also the counters of
# the exchange, which live in shared memory.


cdef inline void log_ms(Buf* out, uint64_t ns) noexcept nogil:
    # Milliseconds with three decimals.
    cdef uint64_t us = ns // 1000
    buf_int(out, us // 1000)
    log_part(out, us % 1000)


cdef inline uint64_t log_clock(Loop* loop) noexcept nogil:
    # Not the batch's time: the exchange may have taken a good part of it.
    cdef timespec t
    if loop.io.clock != NULL:
        return loop.io.clock(loop)
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <uint64_t>t.tv_sec * 1000000000 + <uint64_t>t.tv_nsec


cdef void exchange_log(Exchange* x) noexcept nogil:
    cdef uint64_t now = log_clock(x.loop)
    exchange_note(x, now, now)


cdef void tunnel_log(Exchange* x) noexcept nogil:
    # Among the times of answers counts how long it took to open: hours of talk say nothing about how quick the gateway is.
    exchange_note(x, x.t_up_head, log_clock(x.loop))


cdef inline void exchange_note(Exchange* x, uint64_t answered, uint64_t now) noexcept nogil:
    cdef Loop* loop = x.loop
    if x.snapshot != NULL:
        chain_on_answer(x, PHASE_LOG)
    if x.n_holds:
        limit_conn_leave(x)
    series_count(x, metrics_exchange(x, answered), answered)
    if x.refused != NULL:
        reason_count(loop.series, x.refused)
    if loop.log_on:
        log_line(x, now)


cdef void log_line(Exchange* x, uint64_t now) noexcept nogil:
    cdef Loop* loop = x.loop
    if buf_left(&loop.log) > LOG_MOST:
        loop.log_dropped += 1
        metric_add(loop, M_LOG_DROPPED, 1)
        return
    if loop.log_parts != NULL:
        log_formatted(x, loop.log_parts, loop.log_parts_n, loop.log_json, now)
    else:
        log_object(x, now)
    if buf_left(&loop.log) >= LOG_BATCH:
        log_flush(loop)


cdef inline void log_object(Exchange* x, uint64_t now) noexcept nogil:
    cdef Loop* loop = x.loop
    cdef Buf* out = &loop.log
    cdef const Field* f
    cdef const PoolC* pool
    cdef uint32_t ms = <uint32_t>(loop.wall_ns // 1000000 % 1000)
    cdef Span parent
    cdef uint8_t i
    buf_put(out, b'{"time":"', 9)
    buf_put(out, loop.stamp, 19)
    log_part(out, ms)
    buf_put(out, b'Z","remote_addr":"', 18)
    buf_put(out, x.client.address, x.client.address_len)
    buf_put(out, b'","status":', 11)
    buf_int(out, x.status)
    if x.head.target_len:
        buf_put(out, b',"method":"', 11)
        buf_str(out, method_name(x.head.method))
        buf_byte(out, 34)
        log_member(out, b',"host":"', 9, x.host.p, x.host.len)
        log_url(out, b',"uri":"', 8, x.bytes.p + x.head.target, x.head.target_len)
    buf_put(out, b',"request_ms":', 14)
    log_ms(out, now - x.t_start)
    buf_put(out, b',"bytes_in":', 12)
    buf_int(out, x.body_bytes)
    buf_put(out, b',"bytes_out":', 13)
    buf_int(out, x.answer_bytes)
    if x.plan != NULL:
        buf_put(out, x.plan.logged, x.plan.logged_len)
    if x.credential != NULL:
        buf_put(out, x.credential.logged, x.credential.logged_len)
    if x.node != NULL and x.t_up:
        # Of a name the address that answered.
        pool = x.up.pool if x.up != NULL else x.node.pool
        buf_put(out, pool.logged, pool.logged_len)
        if x.up_status:
            buf_put(out, b',"upstream_status":', 19)
            buf_int(out, x.up_status)
            buf_put(out, b',"upstream_ms":', 15)
            log_ms(out, x.t_up_head - x.t_up)
    if x.request_id_len:
        log_member(out, b',"request_id":"', 15, x.up_extra.p + x.request_id, x.request_id_len)
    if (x.head.first[FIELD_TRACEPARENT] or x.py != NULL) and trace_told(x, &parent):
        log_member(out, b',"trace_id":"', 13, parent.p + TRACE_ID_AT, TRACE_ID)
        log_member(out, b',"span_id":"', 12, parent.p + TRACE_SPAN_AT, TRACE_SPAN)
    if x.head.first[FIELD_REFERER]:
        f = &x.head.fields[x.head.first[FIELD_REFERER] - 1]
        log_url(out, b',"referer":"', 12, x.bytes.p + f.value, f.value_len)
    if x.head.first[FIELD_USER_AGENT]:
        f = &x.head.fields[x.head.first[FIELD_USER_AGENT] - 1]
        log_member(out, b',"user_agent":"', 15, x.bytes.p + f.value, f.value_len)
    if x.refused != NULL:
        log_member(out, b',"refused":"', 12, x.refused, strlen(x.refused))
    if x.shadow != NULL:
        log_member(out, b',"shadow":"', 11, x.shadow, strlen(x.shadow))
    if x.n_member_refused:      # why each of several ways in was none
        buf_put(out, b',"members":["', 13)
        for i in range(x.n_member_refused):
            if i:
                buf_put(out, b'","', 3)
            log_text(out, x.member_refused[i], strlen(x.member_refused[i]))
        buf_put(out, b'"]', 2)
    buf_put(out, b"}\n", 2)
