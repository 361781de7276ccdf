# down_tls: what TLS adds to a client's connection: its handshake, whose certificate it is shown and what it has to show itself,
# and whether a request may come over it. Must not know: records, what certificates are made of.


cdef int tls_on_alpn(SSL* s, const unsigned char** out, unsigned char* out_n, const unsigned char* theirs, unsigned int n,
                     void* argument) noexcept nogil:
    # http/1.1, or no handshake (RFC 7301 section 3.2); a client that does not ask gets HTTP/1.1 as well.
    cdef const unsigned char* ours = <const unsigned char*>"\x08http/1.1"
    if SSL_select_next_proto(<unsigned char**>out, out_n, ours, 9, theirs, n) == OPENSSL_NPN_NEGOTIATED:
        return SSL_TLSEXT_ERR_OK
    return SSL_TLSEXT_ERR_ALERT_FATAL


cdef int tls_on_server_name(SSL* s, int* alert, void* argument) noexcept nogil:
    return SSL_TLSEXT_ERR_OK    # tls_on_hello found it: this makes the answer say so (RFC 6066 section 3)


cdef int tls_on_hello(SSL* s, int* alert, void* argument) noexcept nogil:
    # Takes the name's certificates, and asks for the client's where they say so. Before anything is negotiated, so that
    # versions too may differ by name.
    cdef Tls* t = tls_of(s)
    cdef const TlsListenerC* listener = <const TlsListenerC*>argument
    cdef const TlsServerC* found
    alert[0] = ALERT_UNRECOGNIZED_NAME
    if not tls_hello_name(t, s):
        if t.name_len or listener.fallback_len == 0:
            return SSL_CLIENT_HELLO_ERROR
        t.name_len = listener.fallback_len
        memcpy(t.name, listener.fallback, t.name_len)
    found = tls_server(t.c.loop.snapshot, t.name, t.name_len)
    if found == NULL:
        return SSL_CLIENT_HELLO_ERROR
    alert[0] = ALERT_INTERNAL_ERROR
    if SSL_set_SSL_CTX(s, found.ctx) == NULL:
        return SSL_CLIENT_HELLO_ERROR
    SSL_ctrl(s, SSL_CTRL_SET_MIN_PROTO_VERSION, found.least, NULL)
    SSL_ctrl(s, SSL_CTRL_SET_MAX_PROTO_VERSION, found.most, NULL)
    if found.authority:
        SSL_set_verify(s, SSL_VERIFY_PEER | (0 if found.optional else SSL_VERIFY_FAIL_IF_NO_PEER_CERT), NULL)
        SSL_set_verify_depth(s, found.depth)
        t.authority = found.authority       # if the handshake ends well, see down_shake
    return SSL_CLIENT_HELLO_SUCCESS


cdef bint tls_hello_name(Tls* t, SSL* s) noexcept nogil:
    # The server name of a ClientHello, in lower case: one list of one host name (RFC 6066 section 3). False where there is none;
    # with a length set where it is unlawful.
    cdef const unsigned char* p = NULL
    cdef size_t n = 0
    cdef size_t i
    t.name_len = 0
    if SSL_client_hello_get0_ext(s, TLSEXT_TYPE_SERVER_NAME, &p, &n) != 1:
        return False
    t.name_len = 1
    t.name[0] = 0
    if n < 6 or n - 5 > TLS_NAME_BYTES or <size_t>(p[0] << 8 | p[1]) != n - 2 or p[2] != TLSEXT_NAMETYPE_HOST_NAME:
        return False
    if <size_t>(p[3] << 8 | p[4]) != n - 5:
        return False
    t.name_len = <uint16_t>(n - 5)
    for i in range(n - 5):
        t.name[i] = <char>(p[5 + i] | 32 if 65 <= p[5 + i] <= 90 else p[5 + i])
    return memchr(t.name, 0, t.name_len) == NULL


cdef const TlsServerC* tls_server(const SnapshotC* snapshot, const char* name, size_t n) noexcept nogil:
    # By the exact name, then by "*." for its first label, as APISIX has it, then by "*". NULL: nobody knows it.
    cdef const TlsServerC* found
    cdef char wild[TLS_NAME_BYTES + 1]
    cdef const char* dot
    cdef size_t rest
    if snapshot == NULL or snapshot.server_names.used == 0 or n > TLS_NAME_BYTES:
        return NULL
    found = <const TlsServerC*>map_get(&snapshot.server_names, name, n)
    if found != NULL:
        return found
    dot = <const char*>memchr(name, 46, n)
    if dot != NULL and dot > name:
        rest = n - (dot - name)
        wild[0] = 42
        memcpy(wild + 1, dot, rest)
        found = <const TlsServerC*>map_get(&snapshot.server_names, wild, rest + 1)
    return found if found != NULL else <const TlsServerC*>map_get(&snapshot.server_names, b"*", 1)


cdef const TlsServerC* tls_judge(const SnapshotC* snapshot, const char* name, size_t n) noexcept nogil:
    # Whose word counts for requests of this host: as tls_server, but a wildcard counts for names of any depth below it, as where
    # a route names it. No certificate is shown by that; what its authority demands cannot be got around by a deeper name.
    cdef const TlsServerC* found
    cdef char wild[TLS_NAME_BYTES + 1]
    cdef const char* dot
    cdef const char* end = name + n
    if snapshot.server_names.used == 0 or n > TLS_NAME_BYTES:
        return NULL
    found = <const TlsServerC*>map_get(&snapshot.server_names, name, n)
    wild[0] = 42
    dot = <const char*>memchr(name, 46, n)
    while found == NULL and dot != NULL:
        memcpy(wild + 1, dot, end - dot)
        found = <const TlsServerC*>map_get(&snapshot.server_names, wild, end - dot + 1)
        dot = <const char*>memchr(dot + 1, 46, end - dot - 1)
    return found if found != NULL else <const TlsServerC*>map_get(&snapshot.server_names, b"*", 1)


cdef inline bint client_shown(const Tls* t) noexcept nogil:
    # Whether the client has shown a certificate. OpenSSL has judged it; an optional one may be absent.
    return SSL_get0_peer_certificate(t.ssl) != NULL and SSL_get_verify_result(t.ssl) == X509_V_OK


cdef bint down_shake(Down* d) noexcept nogil:
    # Goes on with the handshake. True when it is done: requests may follow at once. One that fails, plain HTTP among it, is told
    # by an alert, behind which the line lingers.
    cdef int r = tls_shake(&d.c)
    if r == 0:
        d.c.readable = 0
        return False
    if r < 0:
        metric_add(d.c.loop, M_TLS_FAILURES, 1)
        tls_drop(&d.c)
        d.c.state = DOWN_LINGER
        timer_set(&d.c, LINGER_MS)
        if d.c.broken or d.c.ended:
            down_close(d)
        elif not conn_unsent(&d.c):
            down_linger_start(d)
        return False
    metric_add(d.c.loop, M_TLS_HANDSHAKES, 1)
    if d.c.tls.authority and not client_shown(d.c.tls):
        d.c.tls.authority = 0
    d.c.state = DOWN_IDLE
    timer_set(&d.c, d.c.loop.limits.idle_ms)
    return True


cdef bint tls_admits(const Exchange* x) noexcept nogil:
    # APISIX's rule where clients of the request's host have to show a certificate: the host is that of the handshake, unless the
    # path needs no certificate. And the client has shown one that was judged by those who judge now: the configuration may have
    # changed since.
    cdef const Tls* t = x.down.c.tls
    cdef const TlsServerC* server
    if x.host.len:
        server = tls_judge(x.loop.snapshot, x.host.p, x.host.len)
    else:
        server = tls_judge(x.loop.snapshot, t.name, t.name_len)    # HTTP/1.0 without Host: that of the handshake is meant
    if server == NULL or server.authority == 0:
        return True
    if server.skip != NULL and expr_eval(server.skip, x) == 1:
        return True
    if x.host.len and (x.host.len != t.name_len or memcmp(x.host.p, t.name, t.name_len) != 0):
        return False
    return t.authority == server.authority
