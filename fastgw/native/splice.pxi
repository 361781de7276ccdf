# splice: long bodies move from socket to socket inside the kernel, through a pipe (splice(2)), so that no byte of them is
# copied to this process. Owns: pipes and their reuse. Must not know HTTP: how much may move is the relay's to say.
#
# A pipe is used by one connection at a time. It belongs to the loop, is filled from a source and emptied into a sink at once;
# only when the sink is full does it stay with the sink (Conn.pipe), until the sink has taken everything. A pipe with bytes in
# it is never used for anything else: its connection closed, it is closed.


cdef Pipe* pipe_take(Loop* loop) noexcept nogil:
    # An empty pipe, or NULL.
    cdef Pipe* p = loop.pipes
    if p != NULL:
        loop.pipes = p.next
        loop.n_pipes -= 1
        return p
    if loop.now_ms < loop.pipes_from_ms:
        return NULL
    p = <Pipe*>calloc(1, sizeof(Pipe))
    if p != NULL and loop.io.pipe(p) != 0:
        free(p)
        loop.pipes_from_ms = loop.now_ms + TIMER_TICK_MS    # out of descriptors or over the quota: not tried at every read
        return NULL
    return p


cdef void pipe_give(Loop* loop, Pipe* p) noexcept nogil:
    if p.n or loop.n_pipes >= PIPES_KEPT:
        loop.io.unpipe(p)
        free(p)
        return
    p.next = loop.pipes
    loop.pipes = p
    loop.n_pipes += 1


cdef void pipe_drop_all(Loop* loop) noexcept nogil:
    cdef Pipe* p
    while loop.pipes != NULL:
        p = loop.pipes
        loop.pipes = p.next
        loop.io.unpipe(p)
        free(p)
    loop.n_pipes = 0


cdef int splice_flush(Conn* c) noexcept nogil:
    # Empties c's pipe. 1 when it is empty (and gone), 0 when the socket is full, -1 when the line is broken.
    cdef ssize_t done
    while c.pipe.n:
        done = c.loop.io.spill(c, c.pipe)
        if done < 0:
            if done == -EAGAIN:
                return 0
            c.broken = 1
            return -1
        c.pipe.n -= <uint32_t>done
    pipe_give(c.loop, c.pipe)
    c.pipe = NULL
    return 1


cdef ssize_t splice_move(Conn* source, Conn* sink, int64_t most) noexcept nogil:
    # Moves up to `most` bytes of input to a sink with nothing unsent. Gives how many left the source, 0 at its end, -errno;
    # -ENOSYS when they must be copied instead. What the sink does not take waits with it; a sink that breaks is marked so.
    cdef Loop* loop = source.loop
    cdef Pipe* p = pipe_take(loop)
    cdef ssize_t n
    if p == NULL:
        return -ENOSYS
    n = loop.io.fill(source, p, SPLICE_BYTES if most > SPLICE_BYTES else <size_t>most)
    if n <= 0:
        pipe_give(loop, p)
        if n == -EINVAL or n == -ENOSYS or n == -EPERM:     # a kind of socket, or a sandbox, that knows no splice
            loop.splice_least = INT64_MAX
            return -ENOSYS
        return n
    p.n = <uint32_t>n
    sink.pipe = p
    splice_flush(sink)
    return n
