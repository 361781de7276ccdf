# TLS: what a connection, a listener, a server name and an upstream address have of it.

cdef enum:
    TLS_NAME_BYTES = 255        # of a server name (RFC 1035 section 2.3.4)
    TLS_RECORD_BYTES = 16384    # plaintext of one record (RFC 8446 section 5.1)
    TLS_IDLE_BYTES = 65536      # read since the last application data: what tickets and key updates never need
    TLS_UNTAKEN_BYTES = 262144  # of answers to a peer that takes none: what it asks for beside its data has no other bound
    TLS_HANDSHAKE_BYTES = 262144    # read in a handshake: a chain of certificates is 100 KiB at most in OpenSSL

cdef struct Tls:                # of one connection
    Conn* c
    SSL* ssl
    uint8_t established
    uint8_t dry                 # the last read emptied the socket
    uint8_t cut                 # the input ended, or failed, without a close_notify: what came may be cut short
    uint8_t over                # the input has ended
    uint8_t finished            # our close_notify has gone, or must not
    const char* failed          # why the handshake failed, for the log; static text
    uint32_t fed                # bytes read since the last application data
    uint32_t untaken            # bytes that OpenSSL wrote of itself since the peer last took all
    uint64_t authority          # of TlsServerC: whose certificate the client has shown; 0: none
    uint16_t name_len
    char name[TLS_NAME_BYTES + 1]   # server name: that the client asked for, or that the upstream was asked for

cdef struct TlsListenerC:       # of a listener
    SSL_CTX* ctx
    const char* fallback        # the name of clients that send none; empty: they are refused
    uint16_t fallback_len

cdef struct TlsServerC:         # the certificates of some server names
    SSL_CTX* ctx
    int least, most             # versions
    int depth
    bint optional               # a client may come without a certificate, for the sake of `skip`
    uint64_t authority          # stands for what clients' certificates are judged by; 0: they are not asked for one
    const ExprC* skip           # requests that need none

cdef struct TlsPeerC:           # of an upstream address
    SSL_CTX* ctx
    bint verify
    SSL_SESSION* session        # to be resumed, with this name
    uint16_t session_name_len
    char session_name[TLS_NAME_BYTES + 1]


cdef class TlsListener:
    cdef TlsListenerC c
    cdef bytes fallback

cdef class TlsServer:
    cdef TlsServerC c
    cdef object skip

cdef class TlsTrust:
    cdef X509_STORE* store

cdef class TlsClient:
    cdef SSL_CTX* ctx
    cdef readonly bint verify
    cdef object __weakref__
