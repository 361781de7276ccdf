# accept: which connections of clients are taken, and what is done where no more can be. Owns: listeners (level-triggered in the
# worker's epoll set). Must not know: what is asked on a connection.
#
# A listener pauses where a bound is reached or the kernel has no more to give, and is tried again at the next tick (100 ms):
# being level-triggered it would make the loop spin. What nobody takes waits in the kernel's queue. While one is paused by a
# bound of ours, idle connections give way, those that waited longest first, so that who only holds connections shuts nobody out.

cdef enum:
    GIVE_WAY_MS = 1000          # a connection that asked within this is busy, not idle
    GIVE_WAY_MOST = 256         # closed in one tick
    GIVE_WAY_LOOKS = 8192       # connections looked at for it: a fraction of a millisecond


cdef void address_text(Down* d, const sockaddr_storage* a, Loop* loop) noexcept nogil:
    # The peer as text; an IPv4 address that came through an IPv6 socket is written as IPv4.
    cdef const uint8_t* six
    if a.ss_family == AF_INET:
        inet_ntop(AF_INET, &(<const sockaddr_in*>a).sin_addr, d.client.address, sizeof(d.client.address))
        d.client.port = ntohs((<const sockaddr_in*>a).sin_port)
    elif a.ss_family == AF_INET6:
        six = <const uint8_t*>&(<const sockaddr_in6*>a).sin6_addr
        d.client.port = ntohs((<const sockaddr_in6*>a).sin6_port)
        if memcmp(six, b"\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0:
            inet_ntop(AF_INET, six + 12, d.client.address, sizeof(d.client.address))
        else:
            inet_ntop(AF_INET6, six, d.client.address, sizeof(d.client.address))
    else:
        memcpy(d.client.address, b"unix:\0", 6)
    d.client.address_len = <uint8_t>strlen(d.client.address)
    cidr_bytes(a, d.client.bytes)
    d.trusted = cidr_match(&loop.trusted, d.client.bytes)


cdef bint address_admits(Loop* loop, const uint8_t* address, uint64_t* held) noexcept nogil:
    # Whether its address may hold one more connection. Peers in trusted_addresses speak for many clients: any number.
    held[0] = 0
    if loop.limits.per_address == 0 or cidr_match(&loop.trusted, address):
        return True
    if address_enter(&loop.addresses, address, loop.limits.per_address, held):
        return True
    metric_add(loop, M_CONNECTIONS_REFUSED, 1)
    loop.refused.n += 1
    memcpy(loop.refused.last, address, 16)
    return False


cdef inline int accept_bound(const Loop* loop) noexcept nogil:
    # Which bound is reached: 0 none. A connection may need a second descriptor, towards its upstream: both kinds count.
    if loop.n_down >= loop.limits.connections:
        return PAUSED_CONNECTIONS
    if loop.n_down + loop.n_up >= loop.limits.descriptors:
        return PAUSED_DESCRIPTORS
    return 0


cdef int listener_on_event(Listener* listener) noexcept nogil:
    # Takes up to ACCEPTS_MAX connections, then others have their turn. Gives how many it took out of the queue.
    cdef Loop* loop = listener.c.loop
    cdef sockaddr_storage a
    cdef uint8_t bytes[16]
    cdef socklen_t size
    cdef uint64_t held
    cdef Down* d
    cdef int fd
    cdef int one = 1
    cdef int i
    for i in range(ACCEPTS_MAX):
        if accept_bound(loop) != 0:
            listener_pause(listener, accept_bound(loop))
            return i
        size = sizeof(a)
        a.ss_family = AF_UNIX
        fd = accept4(listener.c.fd, <sockaddr*>&a, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)
        if fd < 0:
            if errno == ECONNABORTED or errno == EINTR:
                continue
            if errno != EAGAIN:     # EMFILE, ENFILE, ENOMEM, ENOBUFS, or nothing that goes away by asking at once again
                pipe_drop_all(loop)
                listener_pause(listener, PAUSED_KERNEL)
            return i
        held = 0
        if not listener.unix_socket:
            cidr_bytes(&a, bytes)
            if not address_admits(loop, bytes, &held):
                close(fd)       # an answer would be written to who has too many already, and would have to wait for a request
                continue
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
        d = down_open(loop, fd, listener)
        if d == NULL:
            close(fd)
            if held:
                address_leave(&loop.addresses, held)
            listener_pause(listener, PAUSED_KERNEL)
            return i
        d.held = held
        if sock_watch(&d.c) != 0:
            down_close(d)
            listener_pause(listener, PAUSED_KERNEL)
            return i
        metric_add(loop, M_ACCEPTED, 1)
        address_text(d, &a, loop)
        d.c.readable = 1            # a request usually follows the handshake: try before waiting
        down_on_readable(d)
    return ACCEPTS_MAX


cdef int listener_watch(Listener* listener) noexcept nogil:
    cdef epoll_event e
    e.events = EPOLLIN
    e.data.ptr = listener
    listener.paused = 0
    return epoll_ctl(listener.c.loop.epfd, EPOLL_CTL_ADD, listener.c.fd, &e)


cdef void listener_pause(Listener* listener, int why) noexcept nogil:
    cdef Loop* loop = listener.c.loop
    if not listener.paused:
        listener.paused = <uint8_t>why
        loop.pauses.n += 1
        loop.pauses.why = <uint8_t>why
        metric_add(loop, M_ACCEPT_PAUSES, 1)
        epoll_ctl(loop.epfd, EPOLL_CTL_DEL, listener.c.fd, NULL)


cdef void listeners_resume(Loop* loop) noexcept nogil:
    # At each tick.
    cdef Listener* listener = loop.listeners
    cdef bint full = False
    while listener != NULL:
        full |= listener.paused == PAUSED_CONNECTIONS or listener.paused == PAUSED_DESCRIPTORS
        listener = listener.next
    if full and accept_bound(loop) != 0:
        idle_give_way(loop)
    if accept_bound(loop) != 0:
        return
    listener = loop.listeners
    while listener != NULL:
        if listener.paused:
            listener_watch(listener)
        listener = listener.next


cdef void idle_give_way(Loop* loop) noexcept nogil:
    # Closes connections between two requests, or before their first: RFC 9112 section 9.5 lets a server do so at any time. The
    # wheel has those in front whose idle_timeout ends first.
    cdef uint32_t idle = loop.limits.idle_ms
    cdef uint64_t last = loop.tick + idle // TIMER_TICK_MS
    cdef uint64_t tick = loop.tick + 1
    cdef Conn* c
    cdef Conn* following
    cdef Down* d
    cdef int looks = 0
    cdef int gone = 0
    if last > loop.tick + TIMER_BUCKETS:
        last = loop.tick + TIMER_BUCKETS
    while tick <= last and looks < GIVE_WAY_LOOKS and gone < GIVE_WAY_MOST:
        c = loop.buckets[tick % TIMER_BUCKETS]
        while c != NULL and looks < GIVE_WAY_LOOKS and gone < GIVE_WAY_MOST:
            following = c.timer_next
            looks += 1
            d = <Down*>c
            if (c.kind == CONN_DOWN and c.state == DOWN_IDLE and not c.readable and buf_left(&d.input) == 0
                    and not conn_unsent(c) and c.deadline + GIVE_WAY_MS <= loop.now_ms + idle):
                down_close(d)
                gone += 1
            c = following
        tick += 1
