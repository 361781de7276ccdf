# io: sockets as the place where bytes come from and go to, and the drain of the worker's own epoll set. The set is
# edge-triggered and each connection is added once, never modified; its descriptor is itself watched by the event loop
# (docs/native.md).


cdef ssize_t sock_recv(Conn* c, void* buf, size_t n) noexcept nogil:
    cdef ssize_t r
    while True:
        r = recv(c.fd, buf, n, 0)
        if r >= 0:
            return r
        if errno != EINTR:
            return -errno


cdef ssize_t sock_send(Conn* c, const void* head, size_t m, const void* body, size_t n) noexcept nogil:
    cdef ssize_t r
    cdef iovec iov[2]
    cdef msghdr msg
    while True:
        if n == 0:
            r = send(c.fd, head, m, MSG_NOSIGNAL)
        elif m == 0:
            r = send(c.fd, body, n, MSG_NOSIGNAL)
        else:
            memset(&msg, 0, sizeof(msg))
            iov[0].iov_base = <void*>head
            iov[0].iov_len = m
            iov[1].iov_base = <void*>body
            iov[1].iov_len = n
            msg.msg_iov = iov
            msg.msg_iovlen = 2
            r = sendmsg(c.fd, &msg, MSG_NOSIGNAL)
        if r >= 0:
            return r
        if errno != EINTR:
            return -errno


cdef int sock_watch(Conn* c) noexcept nogil:
    cdef epoll_event e
    e.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET
    e.data.ptr = c
    return epoll_ctl(c.loop.epfd, EPOLL_CTL_ADD, c.fd, &e)


cdef int sock_connect(Conn* c, const sockaddr* address, socklen_t size) noexcept nogil:
    cdef int one = 1
    cdef int r = 0
    c.fd = socket(address.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    if c.fd < 0 and errno == EMFILE and c.loop.pipes != NULL:
        pipe_drop_all(c.loop)   # held for speed only
        c.fd = socket(address.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    if c.fd < 0:
        return -errno
    if address.sa_family != AF_UNIX:
        setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
    if connect(c.fd, address, size) != 0:
        r = -errno
        if r != -EINPROGRESS:
            return r
    if sock_watch(c) != 0:
        return -errno
    return r


cdef int sock_error(Conn* c) noexcept nogil:
    cdef int error = 0
    cdef socklen_t size = sizeof(error)
    return error if getsockopt(c.fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 else errno


cdef void sock_close(Conn* c) noexcept nogil:
    if c.fd >= 0:
        close(c.fd)
        c.fd = -1


cdef void sock_finish(Conn* c) noexcept nogil:
    shutdown(c.fd, SHUT_WR)


cdef int sock_pipe(Pipe* p) noexcept nogil:
    if pipe2(p.ends, O_NONBLOCK | O_CLOEXEC) != 0:
        return -errno
    # Users have a quota, beyond which a pipe stays as small as it was made: 64 KiB, or two pages (pipe(7)), and then to copy
    # is cheaper.
    if fcntl(p.ends[1], F_SETPIPE_SZ, SPLICE_BYTES) < 0 and fcntl(p.ends[1], F_GETPIPE_SZ) < IO_BYTES:
        sock_unpipe(p)
        return -EPERM
    return 0


cdef void sock_unpipe(Pipe* p) noexcept nogil:
    close(p.ends[0])
    close(p.ends[1])


cdef ssize_t sock_fill(Conn* c, Pipe* p, size_t n) noexcept nogil:
    cdef ssize_t r
    while True:
        r = splice(c.fd, NULL, p.ends[1], NULL, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
        if r >= 0:
            return r
        if errno != EINTR:
            return -errno


cdef ssize_t sock_spill(Conn* c, Pipe* p) noexcept nogil:
    # To a broken line this raises SIGPIPE, which Python has set to be ignored.
    cdef ssize_t r
    while True:
        r = splice(p.ends[0], NULL, c.fd, NULL, p.n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
        if r >= 0:
            return r
        if errno != EINTR:
            return -errno


cdef void sock_wake(Loop* loop, uint64_t due_ns) noexcept nogil:
    # One timer per worker, in the worker's own set, so that the end of a delay enters no interpreter beyond the wake-up.
    # Edge-triggered: each expiry is an edge, so it needs no read. Without a descriptor delays end at the next tick.
    cdef Conn* c = &loop.delays.timer
    cdef itimerspec when
    cdef epoll_event e
    if c.fd < 0:
        c.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)
        if c.fd < 0:
            return
        e.events = EPOLLIN | EPOLLET
        e.data.ptr = c
        if epoll_ctl(loop.epfd, EPOLL_CTL_ADD, c.fd, &e) != 0:
            close(c.fd)
            c.fd = -1
            return
    memset(&when, 0, sizeof(when))
    when.it_value.tv_sec = <time_t>(due_ns // 1000000000)
    when.it_value.tv_nsec = <long>(due_ns % 1000000000)
    timerfd_settime(c.fd, TFD_TIMER_ABSTIME, &when, NULL)


cdef int beat_start(Loop* loop) noexcept nogil:
    # Periodic, in the worker's own set: a worker that does nothing else enters no interpreter for it beyond the wake-up.
    cdef itimerspec when
    cdef epoll_event e
    loop.beat.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)
    if loop.beat.fd < 0:
        return -1
    memset(&when, 0, sizeof(when))
    when.it_value.tv_nsec = when.it_interval.tv_nsec = TIMER_TICK_MS * 1000000
    e.events = EPOLLIN
    e.data.ptr = &loop.beat
    if timerfd_settime(loop.beat.fd, 0, &when, NULL) != 0:
        return -1
    return epoll_ctl(loop.epfd, EPOLL_CTL_ADD, loop.beat.fd, &e)


cdef void beat_stop(Loop* loop) noexcept nogil:
    if loop.beat.fd >= 0:
        close(loop.beat.fd)
        loop.beat.fd = -1


cdef void loop_beat(Loop* loop) noexcept nogil:
    # What has its time, ten times a second.
    loop.beaten = 1
    timer_advance(loop)
    delay_run(loop)
    listeners_resume(loop)
    metrics_gauge(loop)
    if loop.log_on:
        log_flush(loop)


cdef void beat_on_event(Loop* loop) noexcept nogil:
    # A timer of this kind is not set again before it is read.
    cdef uint64_t times
    if read(loop.beat.fd, &times, sizeof(times)) == sizeof(times):
        loop_beat(loop)


cdef void loop_clock(Loop* loop) noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    loop.now_ns = <uint64_t>t.tv_sec * 1000000000 + <uint64_t>t.tv_nsec
    loop.now_ms = loop.now_ns // 1000000
    clock_gettime(CLOCK_REALTIME, &t)
    loop.wall = t.tv_sec
    loop.wall_ns = <uint64_t>t.tv_sec * 1000000000 + <uint64_t>t.tv_nsec
    if loop.wall != loop.date_at:
        loop_date(loop)


cdef void loop_date(Loop* loop) noexcept nogil:
    # Once a second: the Date line (RFC 9110 section 5.6.7) and the log's time stamp.
    cdef const char* days = "SunMonTueWedThuFriSat"
    cdef const char* months = "JanFebMarAprMayJunJulAugSepOctNovDec"
    cdef time_t t = loop.wall
    cdef tm g
    gmtime_r(&t, &g)
    loop.date_at = loop.wall
    loop.date_len = snprintf(
        loop.date, sizeof(loop.date), "Date: %.3s, %02d %.3s %04d %02d:%02d:%02d GMT\r\n",
        days + 3 * g.tm_wday, g.tm_mday, months + 3 * g.tm_mon, (g.tm_year + 1900) % 10000, g.tm_hour, g.tm_min, g.tm_sec)
    snprintf(loop.stamp, sizeof(loop.stamp), "%04d-%02d-%02dT%02d:%02d:%02d",
             (g.tm_year + 1900) % 10000, (g.tm_mon + 1) % 100, g.tm_mday % 100, g.tm_hour % 100, g.tm_min % 100,
             g.tm_sec % 100)


cdef void conn_on_event(Conn* c, uint32_t events) noexcept nogil:
    if c.state == CONN_CLOSED:
        return                  # closed by an earlier event of this batch
    if c.kind == CONN_DOWN:
        down_on_event(<Down*>c, events)
    elif c.kind == CONN_UP:
        up_on_event(<Up*>c, events)
    elif c.kind == CONN_LISTENER:
        listener_on_event(<Listener*>c)
    elif c.kind == CONN_TIMER:
        delay_run(c.loop)
    elif c.kind == CONN_CALLER:
        c.loop.called = 1
    elif c.kind == CONN_BEAT:
        beat_on_event(c.loop)
    elif c.kind == CONN_VERIFIED:
        verify_run(c.loop)
    elif c.kind == CONN_TUNNEL:
        tunnel_on_event(c, events)


cdef void loop_ready(Loop* loop) noexcept nogil:
    # One turn for each connection with work left over; what they queue anew waits for the next turn.
    cdef Conn* c = loop.ready
    cdef Conn* following
    loop.ready = loop.ready_tail = NULL
    while c != NULL:
        following = c.ready_next
        c.queued = 0
        if c.state != CONN_CLOSED:
            if c.kind == CONN_DOWN:
                down_on_readable(<Down*>c)
            elif c.kind == CONN_UP and c.state == UP_ACTIVE:
                answer_on_readable(<Up*>c)
            elif c.kind == CONN_TUNNEL:
                tunnel_on_ready(c)
        c = following


cdef void loop_batch(Loop* loop, const epoll_event* events, int n) noexcept nogil:
    # What a batch says of idle upstream connections came before whatever its other events send over them: they are marked
    # first, so that none is used whose input is no answer to anything (hardening rule 20, see pool_use). So are those of clients:
    # one that has sent more must not be closed as idle by an event before its own, nor with bytes unread (rule 12).
    cdef Conn* c
    cdef int i
    if n > 1:
        for i in range(n):
            c = <Conn*>events[i].data.ptr
            if c.state == UP_IDLE and events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR):
                c.readable = 1
            elif c.kind == CONN_DOWN and events[i].events & (EPOLLIN | EPOLLRDHUP):
                c.readable = 1
    for i in range(n):
        conn_on_event(<Conn*>events[i].data.ptr, events[i].events)


cdef bint loop_drain(Loop* loop) noexcept nogil:
    # Serves what is there and what comes soon after: while traffic flows this waits in its own set, since a way back through
    # the event loop costs two more waits and the interpreter at each wake-up. True when the event loop's turn came while
    # work was left (timers and signals wait no longer than DRAIN_NS under load, a caller not at all); False when nothing
    # came for wait_ms, or nothing but the beat.
    cdef epoll_event events[EVENTS_MAX]
    cdef uint64_t end = 0
    cdef int n
    while True:
        n = epoll_wait(loop.epfd, events, EVENTS_MAX, loop.wait_ms if loop.ready == NULL else 0)
        if n <= 0 and loop.ready == NULL:
            loop.unheard = 1
            return False
        loop.unheard = n == EVENTS_MAX
        loop_clock(loop)
        if end == 0:
            end = loop.now_ns + DRAIN_NS
        loop_batch(loop, events, n)
        if loop.ready != NULL:
            loop_ready(loop)
        conn_bury(loop)
        if n == 1 and loop.ready == NULL and (<Conn*>events[0].data.ptr).kind == CONN_BEAT:
            loop.unheard = 1
            return False
        if loop.now_ns >= end or loop.called:
            loop.called = 0
            loop.unheard = 1
            return True
