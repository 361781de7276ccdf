# conn: what the three kinds of connection share: sending with a remainder, the ready list, the timer wheel, and deferred
# freeing. An event of the current batch may still name a closed connection, so its memory lives until the batch is over.


cdef inline void* conn_new(Loop* loop, size_t size, uint8_t kind) noexcept nogil:
    cdef Conn* c = <Conn*>calloc(1, size)
    if c != NULL:
        c.loop = loop
        c.kind = kind
        c.fd = -1
    return c


cdef void conn_close(Conn* c) noexcept nogil:
    cdef Loop* loop = c.loop
    if c.state == CONN_CLOSED:
        return
    if c.tls != NULL:
        tls_close(c)
    c.state = CONN_CLOSED
    timer_unlink(c)
    loop.io.close(c)
    c.x = NULL
    unsent_release(c)
    buf_free(&c.out)
    if c.pipe != NULL:
        pipe_give(loop, c.pipe)
        c.pipe = NULL
    c.dead_next = loop.dead
    loop.dead = c


cdef void conn_bury(Loop* loop) noexcept nogil:
    # Frees what was closed during the batch, but for those that the ready list still names.
    cdef Conn* c
    cdef Conn* kept = NULL
    cdef Conn* following = loop.dead
    while following != NULL:
        c = following
        following = c.dead_next
        if c.queued:
            c.dead_next = kept
            kept = c
            continue
        if c.kind == CONN_DOWN:
            buf_free(&(<Down*>c).input)
        elif c.kind == CONN_UP:
            buf_free(&(<Up*>c).input)
            free((<Up*>c).head)
        free(c)
    loop.dead = kept


cdef void conn_bury_all(Loop* loop) noexcept nogil:
    # At the end: the ready list is gone.
    cdef Conn* c = loop.dead
    while c != NULL:
        c.queued = 0
        c = c.dead_next
    conn_bury(loop)


cdef inline void conn_ready(Conn* c) noexcept nogil:
    # Queues c for another turn in this drain or the next.
    cdef Loop* loop = c.loop
    if c.queued:
        return
    c.queued = 1
    c.ready_next = NULL
    if loop.ready_tail != NULL:
        loop.ready_tail.ready_next = c
    else:
        loop.ready = c
    loop.ready_tail = c


cdef inline bint conn_unsent(const Conn* c) noexcept nogil:
    # Whether bytes wait for room in the socket. The source of more is not read until they have gone.
    return c.out.len != c.out.off or c.pipe != NULL


cdef inline ssize_t conn_recv(Conn* c, void* buf, size_t n) noexcept nogil:
    # As Io.recv.
    if c.tls != NULL:
        return tls_recv(c, buf, n)
    return c.loop.io.recv(c, buf, n)


cdef inline int conn_send(Conn* c, const void* head, size_t m, const void* body, size_t n) noexcept nogil:
    # Takes all bytes. -1 when the line is broken.
    if c.tls != NULL:
        if tls_seal(c, head, m, body, n) < 0:
            c.broken = 1
            return -1
        return conn_put(c, c.loop.sealed.p, c.loop.sealed.len, NULL, 0)
    return conn_put(c, head, m, body, n)


cdef int conn_put(Conn* c, const void* head, size_t m, const void* body, size_t n) noexcept nogil:
    # Onto the line as they are: sends what the socket accepts, keeps the rest in c.out. -1 when the line is broken.
    cdef ssize_t done = 0
    if c.broken or c.state == CONN_CLOSED:
        return -1
    if not conn_unsent(c):
        done = c.loop.io.send(c, head, m, body, n)
        if done < 0:
            if done != -EAGAIN:
                c.broken = 1
                return -1
            done = 0
        if <size_t>done == m + n:
            return 0
    if <size_t>done < m:
        buf_put(&c.out, <const char*>head + done, m - done)
        done = 0
    else:
        done -= m
    buf_put(&c.out, <const char*>body + done, n - done)
    if c.out.failed:
        c.broken = 1
        return -1
    return 0


cdef int conn_flush(Conn* c) noexcept nogil:
    # Sends what waits. 1 when all has gone, 0 when the socket is full, -1 when the line is broken.
    cdef ssize_t done
    cdef int r
    if c.pipe != NULL:
        r = splice_flush(c)
        if r != 1:
            return r
    while buf_left(&c.out):
        done = c.loop.io.send(c, c.out.p + c.out.off, buf_left(&c.out), NULL, 0)
        if done < 0:
            if done == -EAGAIN:
                return 0
            c.broken = 1
            return -1
        buf_eat(&c.out, done)
    buf_reset(&c.out)
    unsent_release(c)
    return 1


# -- timers: one wheel per worker, ticked by the event loop. Moving a deadline later is one store: the wheel looks again when
# the old bucket comes round. Only moving it earlier relinks.

cdef inline void timer_unlink(Conn* c) noexcept nogil:
    cdef Loop* loop = c.loop
    if not c.timed:
        return
    if c.timer_prev != NULL:
        c.timer_prev.timer_next = c.timer_next
    else:
        loop.buckets[TIMER_BUCKETS if c.due == 0 else c.due % TIMER_BUCKETS] = c.timer_next
    if c.timer_next != NULL:
        c.timer_next.timer_prev = c.timer_prev
    c.timed = 0


cdef inline void timer_link(Conn* c, uint64_t due) noexcept nogil:
    # due 0: the list of those being looked at.
    cdef Conn** bucket = &c.loop.buckets[TIMER_BUCKETS if due == 0 else due % TIMER_BUCKETS]
    c.due = due
    c.timed = 1
    c.timer_prev = NULL
    c.timer_next = bucket[0]
    if c.timer_next != NULL:
        c.timer_next.timer_prev = c
    bucket[0] = c


cdef inline void timer_set(Conn* c, uint32_t ms) noexcept nogil:
    cdef uint64_t due
    if ms == 0:
        c.deadline = 0
        return
    c.deadline = c.loop.now_ms + ms
    due = c.deadline // TIMER_TICK_MS + 1
    if c.timed:
        if c.due <= due:
            return
        timer_unlink(c)
    timer_link(c, due)


cdef void timer_advance(Loop* loop) noexcept nogil:
    cdef uint64_t target = loop.now_ms // TIMER_TICK_MS
    cdef Conn* c
    if target - loop.tick > TIMER_BUCKETS:
        loop.tick = target - TIMER_BUCKETS
    while loop.tick < target:
        loop.tick += 1
        while loop.buckets[loop.tick % TIMER_BUCKETS] != NULL:
            c = loop.buckets[loop.tick % TIMER_BUCKETS]
            timer_unlink(c)
            timer_link(c, 0)
        while loop.buckets[TIMER_BUCKETS] != NULL:
            c = loop.buckets[TIMER_BUCKETS]
            timer_unlink(c)
            if c.deadline == 0:
                continue
            if c.deadline > loop.now_ms:
                timer_link(c, c.deadline // TIMER_TICK_MS + 1)
            else:
                c.deadline = 0
                conn_on_timeout(c)


cdef void conn_on_timeout(Conn* c) noexcept nogil:
    if c.kind == CONN_DOWN:
        down_on_timeout(<Down*>c)
    elif c.kind == CONN_UP:
        up_on_timeout(<Up*>c)
    elif c.kind == CONN_TUNNEL:
        tunnel_on_timeout(c)
