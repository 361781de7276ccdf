# up_tls: TLS towards an upstream: which server is asked for, which connection serves for that, what is resumed, and whether the
# certificate is that of the server that was meant. Must not know: records, requests' contents beyond their host.
#
# The server name is the host that the request names to the upstream, as in APISIX; a client may have chosen it (pass_host: pass).
# So a connection serves requests for its own name only, and so does a session.


cdef uint16_t name_put(char* out, const Span* authority) noexcept nogil:
    # The host of host[:port], in lower case and without brackets, with a zero byte behind it. 0: none, or of no lawful length.
    cdef const char* p = authority.p
    cdef const char* end
    cdef uint32_t n = authority.n
    cdef uint32_t i
    if n and p[0] == 91:        # [IPv6]
        end = <const char*>memchr(p, 93, n)
        p += 1
        n = <uint32_t>(end - p) if end != NULL else 0
    elif n:
        end = <const char*>memchr(p, 58, n)
        if end != NULL:
            n = <uint32_t>(end - p)
    if n > TLS_NAME_BYTES:
        n = 0
    for i in range(n):
        out[i] = <char>(p[i] | 32 if 65 <= <uint8_t>p[i] <= 90 else p[i])
    out[n] = 0
    return <uint16_t>n


cdef uint16_t node_name(const Exchange* x, char* out) noexcept nogil:
    # As the operator named the node.
    cdef Span host
    host.p = x.node.host
    host.n = x.node.host_len
    return name_put(out, &host)


cdef uint16_t up_name(const Exchange* x, char* out) noexcept nogil:
    # The server name of a request.
    cdef Span host
    cdef uint16_t n
    request_host(x, &host)
    n = name_put(out, &host)
    return n if n else node_name(x, out)


cdef inline bint name_is_address(const char* z) noexcept nogil:
    cdef uint8_t bytes[16]
    return inet_pton(AF_INET, z, bytes) == 1 or inet_pton(AF_INET6, z, bytes) == 1


cdef Up* up_tls_take(const Exchange* x, PoolC* pool) noexcept nogil:
    # An idle connection for the request's server name, most recently used first; NULL: none.
    cdef char name[TLS_NAME_BYTES + 1]
    cdef uint16_t n = up_name(x, name)
    cdef Up* u = pool.idle
    cdef Up* following
    while u != NULL:
        following = u.next
        if u.c.tls.name_len == n and memcmp(u.c.tls.name, name, n) == 0:
            if pool_use(u):
                return u
        u = following
    return NULL


cdef int up_tls_open(Up* u, const Exchange* x) noexcept nogil:
    # The connection that is being opened for this request will speak TLS. -1 without memory.
    cdef const TlsPeerC* peer = u.pool.tls
    cdef Tls* t
    if tls_open(&u.c, peer.ctx) < 0:
        return -1
    t = u.c.tls
    t.name_len = up_name(x, t.name)
    if not name_is_address(t.name):     # RFC 6066 section 3: no addresses
        SSL_ctrl(t.ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_HOST_NAME, t.name)
    if peer.session != NULL and peer.session_name_len == t.name_len and memcmp(peer.session_name, t.name, t.name_len) == 0:
        SSL_set_session(t.ssl, peer.session)
    return 0


cdef int up_shake(Up* u) noexcept nogil:
    # Goes on with the handshake, and with the request once it is done. -1 when it failed; up_reason says why.
    cdef int r = tls_shake(&u.c)
    if r == 0:
        u.c.readable = 0
        return 0
    if r < 0:
        u.c.tls.failed = verdict_text(SSL_get_verify_result(u.c.tls.ssl))
        return -1
    if u.pool.tls.verify and not up_tls_meant(u.c.tls, u.c.x):
        u.c.tls.failed = "upstream.tls.name"
        return -1
    if u.c.readable and not up_silent(u):
        u.c.tls.failed = "upstream.closed" if u.c.ended else "upstream.early"
        return -1
    u.c.state = UP_ACTIVE
    return up_send_request(u)


cdef bint up_tls_chosen(const Up* u) noexcept nogil:
    # Whether a handshake failed in which the client chose the server name: which certificate is shown, if any, hangs on that, so
    # it says nothing of the node. Else two requests for any name would have it passed over.
    cdef const Exchange* x = u.c.x
    cdef char node[TLS_NAME_BYTES + 1]
    cdef uint16_t n
    if u.c.state != UP_SHAKING or x.upstream.pass_host != HOST_PASS:
        return False
    n = node_name(x, node)
    return n != u.c.tls.name_len or memcmp(node, u.c.tls.name, n) != 0


cdef inline const char* up_reason(const Up* u) noexcept nogil:
    # Why a connection could not be used, for the log.
    if u.c.tls != NULL and u.c.tls.failed != NULL:
        return u.c.tls.failed
    return "upstream.reset"


cdef const char* verdict_text(long verdict) noexcept nogil:
    if verdict == X509_V_OK:
        return "upstream.tls.handshake"
    if verdict == X509_V_ERR_CERT_HAS_EXPIRED or verdict == X509_V_ERR_CERT_NOT_YET_VALID:
        return "upstream.tls.expired"
    if verdict == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT or verdict == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        return "upstream.tls.self_signed"
    return "upstream.tls.untrusted"


cdef bint up_tls_meant(const Tls* t, const Exchange* x) noexcept nogil:
    # Whether the certificate is of the name that was asked for, or of the node as the operator named it. Asked after every
    # handshake, a resumed one too, whose session has the certificate.
    cdef X509* shown = SSL_get0_peer_certificate(t.ssl)
    cdef char node[TLS_NAME_BYTES + 1]
    if shown == NULL or SSL_get_verify_result(t.ssl) != X509_V_OK:
        return False
    return certificate_names(shown, t.name) or (node_name(x, node) and certificate_names(shown, node))


cdef bint certificate_names(X509* shown, const char* z) noexcept nogil:
    if name_is_address(z):
        return X509_check_ip_asc(shown, z, 0) == 1
    # A subject is no name of a server (RFC 9525 section 2).
    return X509_check_host(
        shown, z, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1


cdef int tls_on_session(SSL* s, SSL_SESSION* session) noexcept nogil:
    # The upstream gave a session to be resumed: the next connection for this name tries it.
    cdef const Tls* t = tls_of(s)
    cdef TlsPeerC* peer = (<Up*>t.c).pool.tls
    if peer.session != NULL:
        SSL_SESSION_free(peer.session)
    peer.session = session      # ours, since this returns 1
    peer.session_name_len = t.name_len
    memcpy(peer.session_name, t.name, t.name_len)
    return 1
