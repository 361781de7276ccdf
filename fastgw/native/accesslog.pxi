# accesslog: one line per exchange, JSON or text, into the worker's buffer, from which log_sink writes it. Also the counters of
# the exchange, which live in shared memory.


cdef enum:
    LOG_BEFORE = 128            # bytes before the URL beside address and host, counted below: 115
    LOG_BEHIND = 192            # and behind it, beside what was made beforehand: 181


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
    cdef uint32_t before = loop.log.len
    if buf_left(&loop.log) <= LOG_MOST:
        if loop.log_parts != NULL:
            log_formatted(x, loop.log_parts, loop.log_parts_n, loop.log_json, now)
        else:
            log_object(x, now)
    else:
        loop.log.failed = 1
    if loop.log.failed:         # no room, or no memory: no part of a line stays
        loop.log.len = before
        loop.log.failed = 0
        loop.log_dropped += 1
        metric_add(loop, M_LOG_DROPPED, 1)
        return
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
    cdef char* p
    cdef uint32_t room
    if buf_room(out, LOG_BEFORE + x.client.address_len + x.host.len) != 0:
        return
    p = log_piece(out.p + out.len, b'{"time":"', 9)
    p = log_piece(p, loop.stamp, 19)
    p = log_thousandths(p, ms)
    p = log_piece(p, b'Z","remote_addr":"', 18)
    p = log_piece(p, x.client.address, x.client.address_len)
    p = log_piece(p, b'","status":', 11)
    p = int_put(p, x.status)
    if x.head.target_len:
        p = log_piece(p, b',"method":"', 11)
        p = log_piece(p, method_name(x.head.method), method_length(x.head.method))
        if x.host.len:              # of bytes that need no escape: host_split
            p = log_piece(p, b'","host":"', 10)
            p = log_piece(p, x.host.p, x.host.len)
        p = log_piece(p, b'"', 1)
        out.len = <uint32_t>(p - out.p)
        log_url(out, b',"uri":"', 8, x.bytes.p + x.head.target, x.head.target_len)
    else:
        out.len = <uint32_t>(p - out.p)
    room = LOG_BEHIND
    pool = NULL
    if x.plan != NULL:
        room += x.plan.logged_len
    if x.credential != NULL:
        room += x.credential.logged_len
    if x.node != NULL and x.t_up:
        pool = x.up.pool if x.up != NULL else x.node.pool       # of a name the address that answered
        room += pool.logged_len
    if buf_room(out, room) != 0:
        return
    p = log_piece(out.p + out.len, b',"request_ms":', 14)
    p = log_ms(p, now - x.t_start)
    p = log_piece(p, b',"bytes_in":', 12)
    p = int_put(p, x.body_bytes)
    p = log_piece(p, b',"bytes_out":', 13)
    p = int_put(p, x.answer_bytes)
    if x.plan != NULL:
        p = log_piece(p, x.plan.logged, x.plan.logged_len)
    if x.credential != NULL:
        p = log_piece(p, x.credential.logged, x.credential.logged_len)
    if pool != NULL:
        p = log_piece(p, pool.logged, pool.logged_len)
        if x.up_status:
            p = log_piece(p, b',"upstream_status":', 19)
            p = int_put(p, x.up_status)
            p = log_piece(p, b',"upstream_ms":', 15)
            p = log_ms(p, x.t_up_head - x.t_up)
    out.len = <uint32_t>(p - out.p)
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
