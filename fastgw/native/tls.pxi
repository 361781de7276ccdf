# tls: TLS as a layer between a connection and the bytes of its line. What is read is decrypted on its way in; what is sent is
# sealed first and then goes the way of all bytes, so that what the socket does not take waits in `out` as records. OpenSSL never
# sees a socket: it reads and writes through this room (a BIO), a write never fails for want of room, and so there is no retry of
# a write, nor a read that has to wait for one. Owns: handshakes, records, close_notify. Must not know: HTTP, sockets, who closes
# when.
#
# An input that ends without close_notify is told apart (RFC 8446 section 6.1): it ends no body.

cdef BIO_METHOD* tls_bio = NULL     # this room, as OpenSSL sees it; made by tls_load


cdef int tls_bio_read(BIO* b, char* p, int n) noexcept nogil:
    cdef Tls* t = <Tls*>BIO_get_data(b)
    cdef ssize_t r
    BIO_clear_flags(b, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY)
    if t.dry:
        BIO_set_flags(b, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY)
        return -1
    if t.fed >= <uint32_t>(TLS_IDLE_BYTES if t.established else TLS_HANDSHAKE_BYTES):
        t.cut = 1               # key updates without end, or the like
        return -1
    r = t.c.loop.io.recv(t.c, p, n)
    if r == -EAGAIN:
        t.dry = 1
        BIO_set_flags(b, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY)
        return -1
    if r <= 0:
        t.cut = 1
        return <int>(0 if r == 0 else -1)
    t.fed += <uint32_t>r
    if r < n and not t.c.ended:
        t.dry = 1               # a short read emptied the socket
    return <int>r


cdef int tls_bio_write(BIO* b, const char* p, int n) noexcept nogil:
    cdef Tls* t = <Tls*>BIO_get_data(b)
    cdef Buf* out = &t.c.loop.sealed
    buf_put(out, p, n)
    return -1 if out.failed else n


cdef long tls_bio_ctrl(BIO* b, int command, long n, void* p) noexcept nogil:
    if command == BIO_CTRL_EOF:
        return (<Tls*>BIO_get_data(b)).cut
    return command == BIO_CTRL_FLUSH


cdef inline Tls* tls_of(SSL* s) noexcept nogil:
    return <Tls*>BIO_get_data(SSL_get_rbio(s))


cdef int tls_open(Conn* c, SSL_CTX* ctx) noexcept nogil:
    # The connection speaks TLS from now on. -1 without memory.
    cdef Tls* t = <Tls*>calloc(1, sizeof(Tls))
    cdef BIO* b = BIO_new(tls_bio)
    if t != NULL and b != NULL:
        t.ssl = SSL_new(ctx)
    if t == NULL or b == NULL or t.ssl == NULL:
        if b != NULL:
            BIO_free(b)
        free(t)
        ERR_clear_error()
        return -1
    t.c = c
    BIO_set_data(b, t)
    BIO_set_init(b, 1)
    SSL_set_bio(t.ssl, b, b)    # which owns it now
    if c.kind == CONN_DOWN:
        SSL_set_accept_state(t.ssl)
    else:
        SSL_set_connect_state(t.ssl)
    c.tls = t
    return 0


cdef void tls_drop(Conn* c) noexcept nogil:
    # From now on the line's bytes are what they are.
    SSL_free(c.tls.ssl)
    free(c.tls)
    c.tls = NULL


cdef inline void tls_begin(Conn* c) noexcept nogil:
    # Before any call that may write. The block stays, however large: there is one per worker, and bodies need it at every send.
    cdef Buf* out = &c.loop.sealed
    out.len = out.off = out.failed = 0


cdef int tls_flush(Conn* c) noexcept nogil:
    # Sends what OpenSSL wrote of itself: parts of a handshake, alerts, key updates. -1 when the line is broken.
    cdef Buf* out = &c.loop.sealed
    if out.len == 0:
        return 0
    if not conn_unsent(c):
        c.tls.untaken = 0
    c.tls.untaken += out.len
    if c.tls.untaken > TLS_UNTAKEN_BYTES:
        c.broken = 1            # a peer that asks for new keys with each byte of its body, and reads nothing
    if out.failed or conn_put(c, out.p, out.len, NULL, 0) < 0:
        return -1
    return 0


cdef inline int tls_failure(Tls* t, int r) noexcept nogil:
    # Why a call failed. What OpenSSL noted of it must not be found by the next caller on this thread, Python's ssl among them.
    cdef int error = SSL_get_error(t.ssl, r)
    if error != SSL_ERROR_WANT_READ:
        ERR_clear_error()
    return error


cdef int tls_shake(Conn* c) noexcept nogil:
    # Goes on with the handshake: 1 when it is done, 0 when more has to come, -1 when it failed.
    cdef Tls* t = c.tls
    cdef int r, error
    t.dry = 0
    tls_begin(c)
    ERR_clear_error()
    r = SSL_do_handshake(t.ssl)
    error = 0 if r == 1 else tls_failure(t, r)
    if r == 1:
        t.established = 1
        t.fed = 0
    if tls_flush(c) < 0:
        return -1
    if r == 1:
        return 1
    return 0 if error == SSL_ERROR_WANT_READ else -1


cdef ssize_t tls_recv(Conn* c, void* buf, size_t n) noexcept nogil:
    # As Io.recv. Fewer bytes than asked for: the socket is empty, or the input has ended, which is told at the next read.
    cdef Tls* t = c.tls
    cdef size_t got = 0
    cdef int r
    cdef int error = 0
    if t.over:
        return -ECONNRESET if t.cut else 0
    t.dry = 0
    tls_begin(c)
    while got < n:
        ERR_clear_error()
        r = SSL_read(t.ssl, <char*>buf + got, <int>(n - got))
        if r <= 0:
            error = tls_failure(t, r)
            break
        got += r
        t.fed = 0
    if not t.cut:               # else it would be an alert to somebody who is not there
        tls_flush(c)            # a broken line shows at the next send
    if got == n:
        return got
    if error != SSL_ERROR_WANT_READ:
        t.over = 1
        t.cut = error != SSL_ERROR_ZERO_RETURN
        c.ended = 1
        if got == 0:
            return -ECONNRESET if t.cut else 0
    return <ssize_t>got if got else -EAGAIN


cdef inline int tls_write(Tls* t, const void* p, size_t n) noexcept nogil:
    cdef int r
    ERR_clear_error()
    r = SSL_write(t.ssl, p, <int>n)
    if r == <int>n:
        return 0
    tls_failure(t, r)
    return -1


cdef int tls_seal(Conn* c, const void* head, size_t m, const void* body, size_t n) noexcept nogil:
    # Head and body as records, into loop.sealed. A short body shares its head's record. -1: nothing can be sent any more.
    cdef Tls* t = c.tls
    cdef Buf* joined = &c.loop.joined
    cdef size_t k
    tls_begin(c)
    if m and n and m < TLS_RECORD_BYTES:
        k = n if n < TLS_RECORD_BYTES - m else TLS_RECORD_BYTES - m
        buf_reset(joined)
        buf_put(joined, head, m)
        buf_put(joined, body, k)
        if joined.failed or tls_write(t, joined.p, m + k) < 0:
            return -1
        body = <const char*>body + k
        n -= k
        m = 0
    if m and tls_write(t, head, m) < 0:
        return -1
    if n and tls_write(t, body, n) < 0:
        return -1
    return -1 if c.loop.sealed.failed else 0


cdef void tls_finish(Conn* c) noexcept nogil:
    # Says that no more comes from us. Once, and only behind what was said before: an answer that was cut must look cut.
    cdef Tls* t = c.tls
    if t.finished or not t.established:
        return
    t.finished = 1
    if c.broken or (t.over and t.cut):
        return
    tls_begin(c)
    ERR_clear_error()
    SSL_shutdown(t.ssl)
    ERR_clear_error()
    tls_flush(c)


cdef void tls_close(Conn* c) noexcept nogil:
    if not conn_unsent(c):
        tls_finish(c)
    tls_drop(c)
