# target: what a request asks for: host, path and query in the one form that routing, plugins, conditions and the log use. Must
# not know what any of them makes of it.

cdef enum:
    TARGET_ENDS_HERE = 1        # a sound target, which the gateway itself answers for


cdef int request_target(Exchange* x, const Target* judged) noexcept nogil:
    # 0, TARGET_ENDS_HERE or the refusing status.
    cdef const Uri* uri = &judged.uri
    cdef const char* target = x.bytes.p + x.head.target
    cdef const char* path
    cdef int n
    x.authority = judged.authority
    x.authority_len = judged.authority_len
    x.authority_port = judged.port
    x.host.len = judged.host_len
    x.raw_path = x.head.target + uri.path
    x.raw_path_len = uri.path_len + (1 + uri.query_len if uri.has_query else 0)
    x.query = x.head.target + uri.query
    x.query_len = uri.query_len
    if x.head.method == METHOD_OPTIONS and (uri.form == URI_ASTERISK or judged.ends_here):
        x.uri_path = "*"
        x.uri_path_len = x.raw_path_len = 1
        return TARGET_ENDS_HERE if judged.ends_here else 0
    if uri.path_len == 0:       # http://host: ask for "/" (RFC 9112 section 3.2.1)
        x.uri_path = "/"
        x.uri_path_len = 1
        buf_put(&x.target, b"/", 1)
        if uri.has_query:
            buf_put(&x.target, b"?", 1)
            buf_put(&x.target, target + uri.query, uri.query_len)
        return 0
    path = target + uri.path
    if uri_is_normal(path, uri.path_len):
        x.uri_path = path
        x.uri_path_len = uri.path_len
        return 0
    if buf_room(&x.path, uri.path_len * URI_GROWTH + 1) != 0:
        return 500
    n = uri_normalise(path, uri.path_len, x.path.p, x.path.cap)
    if n <= 0:
        return 400
    x.path.len = n
    x.uri_path = x.path.p
    x.uri_path_len = n
    return 0


cdef bint path_reform(Exchange* x, uint8_t how) noexcept nogil:
    # The path as the configuration wants it beyond its normal form. False: it has no such form.
    cdef int n
    if x.uri_path[0] != c"/":       # OPTIONS *
        return True
    if how & PATH_LIKE_SERVLET and memchr(x.uri_path, c";", x.uri_path_len) != NULL:
        if x.uri_path != x.path.p:
            buf_reset(&x.path)
            buf_put(&x.path, x.uri_path, x.uri_path_len)
            if x.path.failed:
                return False
        n = uri_like_servlet(x.path.p, x.uri_path_len)
        if n < 0:
            return False
        x.uri_path = x.path.p
        x.uri_path_len = x.path.len = <uint32_t>n
    if how & PATH_NO_TAIL_SLASH and x.uri_path_len > 1 and x.uri_path[x.uri_path_len - 1] == c"/":
        x.uri_path_len -= 1
    return True
