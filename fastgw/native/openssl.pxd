# What is called of OpenSSL 3: see openssl.h. Numbers are those of its public headers (ssl.h, tls1.h, bio.h, x509_vfy.h), which
# its ABI fixes like the functions.

cdef extern from "openssl.h" nogil:
    ctypedef struct SSL:
        pass
    ctypedef struct SSL_CTX:
        pass
    ctypedef struct SSL_METHOD:
        pass
    ctypedef struct SSL_SESSION:
        pass
    ctypedef struct BIO:
        pass
    ctypedef struct BIO_METHOD:
        pass
    ctypedef struct X509:
        pass
    ctypedef struct X509_STORE:
        pass
    ctypedef struct EVP_PKEY:
        pass
    const char* fgw_openssl_load()
    const char* OpenSSL_version(int what)
    void ERR_clear_error()
    unsigned long ERR_peek_last_error()
    const char* ERR_reason_error_string(unsigned long code)
    int BIO_get_new_index()
    BIO_METHOD* BIO_meth_new(int kind, const char* name)
    int BIO_meth_set_read(BIO_METHOD* m, int (*read)(BIO*, char*, int) noexcept nogil)
    int BIO_meth_set_write(BIO_METHOD* m, int (*write)(BIO*, const char*, int) noexcept nogil)
    int BIO_meth_set_ctrl(BIO_METHOD* m, long (*ctrl)(BIO*, int, long, void*) noexcept nogil)
    BIO* BIO_new(const BIO_METHOD* m)
    BIO* BIO_new_mem_buf(const void* p, int n)
    int BIO_free(BIO* b)
    void BIO_set_data(BIO* b, void* data)
    void* BIO_get_data(BIO* b)
    void BIO_set_init(BIO* b, int init)
    void BIO_set_flags(BIO* b, int flags)
    void BIO_clear_flags(BIO* b, int flags)
    X509* PEM_read_bio_X509(BIO* b, X509** into, int (*passphrase)(char*, int, int, void*) noexcept nogil, void* argument)
    EVP_PKEY* PEM_read_bio_PrivateKey(BIO* b, EVP_PKEY** into, int (*passphrase)(char*, int, int, void*) noexcept nogil,
                                      void* argument)
    void X509_free(X509* x)
    void EVP_PKEY_free(EVP_PKEY* k)
    X509_STORE* X509_STORE_new()
    void X509_STORE_free(X509_STORE* s)
    int X509_STORE_up_ref(X509_STORE* s)
    int X509_STORE_add_cert(X509_STORE* s, X509* x)
    int X509_STORE_set_default_paths(X509_STORE* s)
    int X509_STORE_load_file(X509_STORE* s, const char* path)
    int X509_check_host(X509* x, const char* name, size_t n, unsigned int flags, char** peer)
    int X509_check_ip_asc(X509* x, const char* address, unsigned int flags)
    const SSL_METHOD* TLS_server_method()
    const SSL_METHOD* TLS_client_method()
    SSL_CTX* SSL_CTX_new(const SSL_METHOD* m)
    void SSL_CTX_free(SSL_CTX* ctx)
    long SSL_CTX_ctrl(SSL_CTX* ctx, int command, long n, void* p)
    long SSL_CTX_callback_ctrl(SSL_CTX* ctx, int command, void (*callback)() noexcept nogil)
    uint64_t SSL_CTX_set_options(SSL_CTX* ctx, uint64_t options)
    int SSL_CTX_set_cipher_list(SSL_CTX* ctx, const char* list)
    int SSL_CTX_set_num_tickets(SSL_CTX* ctx, size_t n)
    int SSL_CTX_set_session_id_context(SSL_CTX* ctx, const unsigned char* p, unsigned int n)
    int SSL_CTX_use_certificate(SSL_CTX* ctx, X509* x)
    int SSL_CTX_use_PrivateKey(SSL_CTX* ctx, EVP_PKEY* k)
    void SSL_CTX_set_cert_store(SSL_CTX* ctx, X509_STORE* s)
    int SSL_CTX_add_client_CA(SSL_CTX* ctx, X509* x)
    void SSL_CTX_set_verify(SSL_CTX* ctx, int mode, void* callback)
    void SSL_CTX_set_client_hello_cb(SSL_CTX* ctx, int (*callback)(SSL*, int*, void*) noexcept nogil, void* argument)
    void SSL_CTX_set_alpn_select_cb(
        SSL_CTX* ctx,
        int (*callback)(SSL*, const unsigned char**, unsigned char*, const unsigned char*, unsigned int, void*) noexcept nogil,
        void* argument)
    int SSL_CTX_set_alpn_protos(SSL_CTX* ctx, const unsigned char* p, unsigned int n)
    void SSL_CTX_sess_set_new_cb(SSL_CTX* ctx, int (*callback)(SSL*, SSL_SESSION*) noexcept nogil)
    int SSL_client_hello_get0_ext(SSL* s, unsigned int kind, const unsigned char** p, size_t* n)
    int SSL_select_next_proto(unsigned char** out, unsigned char* out_n, const unsigned char* ours, unsigned int ours_n,
                              const unsigned char* theirs, unsigned int theirs_n)
    SSL* SSL_new(SSL_CTX* ctx)
    void SSL_free(SSL* s)
    void SSL_set_bio(SSL* s, BIO* r, BIO* w)
    BIO* SSL_get_rbio(const SSL* s)
    void SSL_set_accept_state(SSL* s)
    void SSL_set_connect_state(SSL* s)
    long SSL_ctrl(SSL* s, int command, long n, void* p)
    SSL_CTX* SSL_set_SSL_CTX(SSL* s, SSL_CTX* ctx)
    void SSL_set_verify(SSL* s, int mode, void* callback)
    void SSL_set_verify_depth(SSL* s, int depth)
    long SSL_get_verify_result(const SSL* s)
    X509* SSL_get0_peer_certificate(const SSL* s)
    int SSL_set_session(SSL* s, SSL_SESSION* session)
    void SSL_SESSION_free(SSL_SESSION* session)
    int SSL_do_handshake(SSL* s)
    int SSL_read(SSL* s, void* p, int n)
    int SSL_write(SSL* s, const void* p, int n)
    int SSL_get_error(const SSL* s, int r)
    int SSL_shutdown(SSL* s)

cdef enum:
    BIO_TYPE_SOURCE_SINK = 0x0400
    BIO_CTRL_EOF = 2
    BIO_CTRL_FLUSH = 11
    BIO_FLAGS_READ = 1
    BIO_FLAGS_RWS = 7
    BIO_FLAGS_SHOULD_RETRY = 8
    SSL_ERROR_WANT_READ = 2
    SSL_ERROR_ZERO_RETURN = 6
    SSL_CTRL_MODE = 33
    SSL_CTRL_SET_SESS_CACHE_MODE = 44
    SSL_CTRL_SET_READ_AHEAD = 41
    SSL_CTRL_SET_TLSEXT_SERVERNAME_CB = 53
    SSL_CTRL_SET_TLSEXT_HOSTNAME = 55
    SSL_CTRL_CHAIN_CERT = 89
    SSL_CTRL_SET_MIN_PROTO_VERSION = 123
    SSL_CTRL_SET_MAX_PROTO_VERSION = 124
    SSL_MODE_NO_AUTO_CHAIN = 0x08
    SSL_MODE_RELEASE_BUFFERS = 0x10
    SSL_OP_NO_TICKET = 1 << 14
    SSL_OP_NO_COMPRESSION = 1 << 17
    SSL_OP_NO_RENEGOTIATION = 1 << 30
    SSL_SESS_CACHE_CLIENT = 1
    SSL_SESS_CACHE_NO_INTERNAL = 0x300
    SSL_VERIFY_NONE = 0
    SSL_VERIFY_PEER = 1
    SSL_VERIFY_FAIL_IF_NO_PEER_CERT = 2
    SSL_CLIENT_HELLO_SUCCESS = 1
    SSL_CLIENT_HELLO_ERROR = 0
    SSL_TLSEXT_ERR_OK = 0
    SSL_TLSEXT_ERR_ALERT_FATAL = 2
    TLSEXT_TYPE_SERVER_NAME = 0
    TLSEXT_NAMETYPE_HOST_NAME = 0
    OPENSSL_NPN_NEGOTIATED = 1
    TLS1_2_VERSION = 0x0303
    TLS1_3_VERSION = 0x0304
    ALERT_INTERNAL_ERROR = 80
    ALERT_UNRECOGNIZED_NAME = 112
    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS = 4
    X509_CHECK_FLAG_NEVER_CHECK_SUBJECT = 0x20
    X509_V_OK = 0
    X509_V_ERR_CERT_NOT_YET_VALID = 9
    X509_V_ERR_CERT_HAS_EXPIRED = 10
    X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT = 18
    X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN = 19
