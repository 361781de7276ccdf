# log_sink: how the access log's lines leave the worker, and what it does where they cannot. Owns: the batch, whole lines whatever
# becomes of a write. Must not know: what a line says.
#
# Other workers write to the same place. A regular file takes a write whole, behind what is there (O_APPEND), until the disk is
# full: then the beginning of a line may stand in it, behind which anybody's next one would go on. So whoever could not write
# begins anew with an empty line, and repeats the line. What is read by somebody else (pipe, socket, terminal) never blocks: the
# descriptor is opened so, a socket is told so. A pipe takes up to PIPE_BUF bytes whole or not at all (pipe(7)).

cdef extern from "<string.h>" nogil:
    void* memrchr(const void* s, int c, size_t n)

cdef enum:
    LOG_FILE = 0                # by Loop.log_sink
    LOG_PIPE
    LOG_SOCKET
    LOG_WHOLE = 4096            # PIPE_BUF: bytes of whole lines in one write to who reads


cdef inline size_t log_lines(const char* p, size_t n, size_t most) noexcept nogil:
    # The whole lines of p..n that go into one write; a line that is longer goes by itself.
    cdef const char* end
    if n <= most:
        return n
    end = <const char*>memrchr(p, 10, most)
    if end == NULL:
        end = <const char*>memchr(p, 10, n)
    return <size_t>(end - p) + 1 if end != NULL else n


cdef inline ssize_t log_put(Loop* loop, const char* p, size_t n) noexcept nogil:
    cdef ssize_t r
    while True:
        if loop.log_sink == LOG_SOCKET:
            r = send(loop.log_fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL)
        else:
            r = write(loop.log_fd, p, n)
        if r >= 0 or errno != EINTR:
            return r


cdef void log_flush(Loop* loop) noexcept nogil:
    # What is not taken waits.
    cdef const char* p
    cdef const char* end
    cdef size_t n
    cdef ssize_t r
    while buf_left(&loop.log):
        p = loop.log.p + loop.log.off
        n = buf_left(&loop.log)
        if loop.log_sink != LOG_FILE:
            r = log_put(loop, p, log_lines(p, n, LOG_WHOLE))
            if r < 0:
                break
            buf_eat(&loop.log, r)
            continue
        if loop.log_torn:
            if log_put(loop, b"\n", 1) != 1:
                break
            loop.log_torn = 0
        r = log_put(loop, p, n)
        if r < <ssize_t>n:
            loop.log_torn = 1
            end = <const char*>memrchr(p, 10, r) if r > 0 else NULL
            if end != NULL:
                buf_eat(&loop.log, <size_t>(end - p) + 1)
            break
        buf_eat(&loop.log, n)
    if loop.log.off > LOG_MOST // 2:
        memmove(loop.log.p, loop.log.p + loop.log.off, buf_left(&loop.log))
        loop.log.len -= loop.log.off
        loop.log.off = 0
