# tls_context: what certificates, keys and trust are made into, once per change of configuration: OpenSSL's contexts, and who
# owns them. Must not know: connections; the callbacks stand with those. Errors never have a key's text.

_TLS_VERSIONS = {"TLSv1.2": TLS1_2_VERSION, "TLSv1.3": TLS1_3_VERSION}
# Forward secrecy and authenticated encryption only: Mozilla's "intermediate" list (wiki.mozilla.org/Security/Server_Side_TLS)
# without finite-field groups. The suites of TLS 1.3 are all of this kind.
cdef bytes _TLS_CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305")
cdef bytes _ALPN_HTTP1 = b"\x08http/1.1"


def tls_load() -> str:
    """The version of the OpenSSL that is used. ValueError: there is none, and so no TLS."""
    global tls_bio
    cdef const char* reason = fgw_openssl_load()
    if reason != NULL:
        raise ValueError(f"TLS: expected OpenSSL 3.0 or later, found that {reason.decode()}")
    if tls_bio == NULL:
        tls_bio = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, b"fastgw connection")
        if tls_bio == NULL:
            raise MemoryError
        BIO_meth_set_read(tls_bio, tls_bio_read)
        BIO_meth_set_write(tls_bio, tls_bio_write)
        BIO_meth_set_ctrl(tls_bio, tls_bio_ctrl)
    return OpenSSL_version(0).decode()


cdef object tls_error(str what):
    # What OpenSSL said last, as a ValueError.
    cdef const char* reason = ERR_reason_error_string(ERR_peek_last_error())
    ERR_clear_error()
    return ValueError(f"{what}: {'OpenSSL refuses it' if reason == NULL else reason.decode()}")


cdef int tls_no_passphrase(char* p, int n, int writing, void* argument) noexcept nogil:
    return -1                   # without a callback OpenSSL would ask the terminal


cdef SSL_CTX* tls_context(bint server) except NULL:
    # What all contexts have in common. No tickets, no cache: a session is never resumed by a client, so that none is under
    # another name or after its certificate was revoked (known-pains section 5.1).
    cdef SSL_CTX* ctx
    tls_load()
    ERR_clear_error()
    ctx = SSL_CTX_new(TLS_server_method() if server else TLS_client_method())
    if ctx == NULL:
        raise tls_error("TLS")
    SSL_CTX_ctrl(ctx, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, NULL)
    SSL_CTX_ctrl(ctx, SSL_CTRL_MODE, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN, NULL)
    SSL_CTX_ctrl(ctx, SSL_CTRL_SET_READ_AHEAD, 1, NULL)     # one read for a record's head and body
    SSL_CTX_ctrl(ctx, SSL_CTRL_SET_SESS_CACHE_MODE, 0, NULL)
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION)
    if SSL_CTX_set_cipher_list(ctx, _TLS_CIPHERS) != 1:
        SSL_CTX_free(ctx)
        raise tls_error("TLS: cipher list")
    if server:
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET)
        SSL_CTX_set_num_tickets(ctx, 0)
        SSL_CTX_set_session_id_context(ctx, b"fastgw", 6)
        SSL_CTX_set_alpn_select_cb(ctx, tls_on_alpn, NULL)
        SSL_CTX_callback_ctrl(ctx, SSL_CTRL_SET_TLSEXT_SERVERNAME_CB, <void (*)() noexcept nogil>tls_on_server_name)
    return ctx


def _tls_versions(protocols) -> tuple[int, int]:
    known = [_TLS_VERSIONS[name] for name in protocols if name in _TLS_VERSIONS]
    if not known:
        raise ValueError(f"protocols: expected one of {', '.join(_TLS_VERSIONS)}, found {', '.join(protocols) or 'none'}")
    return min(known), max(known)


cdef int tls_use_pair(SSL_CTX* ctx, bytes cert, bytes key, str what) except -1:
    # A certificate with the chain behind it, and its key.
    cdef BIO* b = BIO_new_mem_buf(<const char*>cert, <int>len(cert))
    cdef X509* x = NULL
    cdef EVP_PKEY* k = NULL
    cdef bint first = True
    if b == NULL:
        raise MemoryError
    try:
        while True:
            ERR_clear_error()
            x = PEM_read_bio_X509(b, NULL, tls_no_passphrase, NULL)
            if x == NULL:
                break
            if first and SSL_CTX_use_certificate(ctx, x) != 1:
                raise tls_error(f"{what}: certificate")
            if not first and SSL_CTX_ctrl(ctx, SSL_CTRL_CHAIN_CERT, 1, x) != 1:
                raise tls_error(f"{what}: chain")
            first = False
            X509_free(x)
            x = NULL
        if first:
            raise ValueError(f"{what}: expected a PEM certificate")
        BIO_free(b)
        b = BIO_new_mem_buf(<const char*>key, <int>len(key))
        if b == NULL:
            raise MemoryError
        ERR_clear_error()
        k = PEM_read_bio_PrivateKey(b, NULL, tls_no_passphrase, NULL)
        if k == NULL or SSL_CTX_use_PrivateKey(ctx, k) != 1:
            raise tls_error(f"{what}: key")
    finally:
        if b != NULL:
            BIO_free(b)
        if x != NULL:
            X509_free(x)
        if k != NULL:
            EVP_PKEY_free(k)
        ERR_clear_error()
    return 0


cdef int tls_use_authorities(SSL_CTX* ctx, bytes pem) except -1:
    # Those whose certificates clients may show: trusted, and named to clients.
    cdef BIO* b = BIO_new_mem_buf(<const char*>pem, <int>len(pem))
    cdef X509_STORE* store = X509_STORE_new()
    cdef X509* x
    cdef int n = 0
    if b == NULL or store == NULL:
        raise MemoryError
    SSL_CTX_set_cert_store(ctx, store)      # which owns it now
    ERR_clear_error()
    while True:
        x = PEM_read_bio_X509(b, NULL, tls_no_passphrase, NULL)
        if x == NULL:
            break
        n += 1
        X509_STORE_add_cert(store, x)
        SSL_CTX_add_client_CA(ctx, x)
        X509_free(x)
    BIO_free(b)
    ERR_clear_error()
    if n == 0:
        raise ValueError("client.ca: expected PEM certificates")
    return 0


cdef class TlsListener:
    """What a listener begins its handshakes with: certificates are found by name, in the snapshot of that moment.

    `fallback` is the name of clients that send none.
    """

    def __cinit__(self, bytes fallback not None=b""):
        if len(fallback) > TLS_NAME_BYTES:
            raise ValueError(f"fallback_sni: expected at most {TLS_NAME_BYTES} bytes, found {len(fallback)}")
        self.fallback = fallback.lower()
        self.c.fallback = self.fallback
        self.c.fallback_len = <uint16_t>len(fallback)
        self.c.ctx = tls_context(True)
        SSL_CTX_set_client_hello_cb(self.c.ctx, tls_on_hello, &self.c)

    def __dealloc__(self):
        if self.c.ctx != NULL:
            SSL_CTX_free(self.c.ctx)


cdef class TlsServer:
    """The certificates of some server names. `pairs`: (certificate with its chain, key), PEM, of which a client gets the one that
    it can judge. `ca`: PEM of those whose certificates clients must show, with `depth` more between; `skip`: an Expression that
    holds of requests that need none. `authority`: a number that stands for `ca` and `depth`.
    """

    def __cinit__(self, pairs, *, protocols=("TLSv1.2", "TLSv1.3"), bytes ca=None, int depth=1, uint64_t authority=0, skip=None):
        self.c.least, self.c.most = _tls_versions(protocols)
        self.c.ctx = tls_context(True)
        for i, (cert, key) in enumerate(pairs):
            tls_use_pair(self.c.ctx, cert, key, f"pair {i}")
        if ca is not None:
            if authority == 0:
                raise ValueError("authority: expected a number other than 0 beside ca")
            tls_use_authorities(self.c.ctx, ca)
            self.c.authority = authority
            self.c.depth = depth
        if skip is not None:
            self.skip = <Expression?>skip
            self.c.skip = &(<Expression>skip).c
            self.c.optional = True

    def __dealloc__(self):
        if self.c.ctx != NULL:
            SSL_CTX_free(self.c.ctx)


cdef class TlsTrust:
    """Whose certificates upstreams may show: those of the PEM file `path`, or those that the system trusts."""

    def __cinit__(self, str path=None):
        tls_load()
        self.store = X509_STORE_new()
        if self.store == NULL:
            raise MemoryError
        ERR_clear_error()
        if path is None:
            X509_STORE_set_default_paths(self.store)
        elif X509_STORE_load_file(self.store, path.encode()) != 1:
            raise tls_error(f"{path}: expected PEM certificates")
        ERR_clear_error()

    def __dealloc__(self):
        if self.store != NULL:
            X509_STORE_free(self.store)


cdef class TlsClient:
    """How upstreams are spoken to: whom to trust (`trust` None: anybody), and what to prove oneself by (PEM)."""

    def __cinit__(self, TlsTrust trust=None, bytes cert=None, bytes key=None):
        self.ctx = tls_context(False)
        self.verify = trust is not None
        if trust is not None:
            X509_STORE_up_ref(trust.store)
            SSL_CTX_set_cert_store(self.ctx, trust.store)
            SSL_CTX_set_verify(self.ctx, SSL_VERIFY_PEER, NULL)
        if cert is not None and key is not None:
            tls_use_pair(self.ctx, cert, key, "client certificate")
        SSL_CTX_ctrl(self.ctx, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL, NULL)
        SSL_CTX_sess_set_new_cb(self.ctx, tls_on_session)
        SSL_CTX_set_alpn_protos(self.ctx, <const unsigned char*>_ALPN_HTTP1, <unsigned int>len(_ALPN_HTTP1))

    def __dealloc__(self):
        if self.ctx != NULL:
            SSL_CTX_free(self.ctx)
