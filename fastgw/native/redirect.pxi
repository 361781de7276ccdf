# redirect: the redirect plugin's step: sends the client to another URL. What of a request goes into a Location stays what it is
# there: no request chooses the host it sends its client to, but where the configuration's text has a variable in that very place.

cdef struct RedirectConf:
    const ComposeC* uri         # NULL: what the pattern makes of the path
    const RegexC* pattern
    const ComposeC* into
    bint to_https               # instead of both
    bint absolute               # the text begins with a scheme
    bint slashes                # with two slashes, which are a host's
    bint text                   # with anything else of the configuration's
    bint append                 # the query
    uint16_t status
    uint32_t port               # of https; 0: where the gateway listens


cdef class RedirectStep(Step):
    """redirect of one object. `uri`: a Composed; or `pair`, a Regex over the path and a Composed; or neither: to https, on `port`
    (0: where the gateway itself listens for it)."""
    cdef RedirectConf conf
    cdef Composed made
    cdef Regex pattern

    def __init__(self, Composed uri=None, pair=None, *, int status=302, bint append=False, unsigned int port=0):
        self.conf.status = <uint16_t>status
        self.conf.append = append
        self.conf.port = port
        self.conf.to_https = uri is None and pair is None
        if pair is not None:
            self.pattern, self.made = pair
            self.conf.pattern = &self.pattern.c
            self.conf.into = &self.made.c
        elif uri is not None:
            self.made = uri
            self.conf.uri = &self.made.c
        self.conf.absolute = self.conf.to_https
        if self.made is not None:
            self.conf.absolute = self.made.absolute
            self.conf.slashes = self.made.start.startswith(b"//")
            self.conf.text = len(self.made.start) > 0
        self.bind(step_redirect, &self.conf, "rewrite")


cdef bint redirect_secure(const Exchange* x) noexcept nogil:
    # Whether the client asked by https, as far as the gateway believes what it is told: what goes upstream as X-Forwarded-Proto.
    cdef const Field* f = NULL
    cdef uint32_t i
    cdef uint32_t n = 0
    if x.down.trusted and x.head.first[FIELD_X_FORWARDED_PROTO]:
        for i in range(x.head.n):
            if x.head.fields[i].id == FIELD_X_FORWARDED_PROTO and not x.head.fields[i].flags & FIELD_HIDDEN:
                f = &x.head.fields[i]
                n += 1
        if n == 1 and f.value_len:
            return f.value_len == 5 and field_same(x.bytes.p + f.value, b"https", 5)
    return x.down.c.tls != NULL


cdef uint32_t redirect_port(const Loop* loop) noexcept nogil:
    # The gateway's own port for https: 443 if it has that, else its lowest.
    cdef const Listener* each = loop.listeners
    cdef uint32_t port = 0
    while each != NULL:
        if each.tls != NULL and each.port and (port == 0 or each.port == 443 or (port != 443 and each.port < port)):
            port = each.port
        each = each.next
    return port if port else 443


cdef void redirect_to_https(const Exchange* x, const RedirectConf* c, Buf* out) noexcept nogil:
    cdef uint32_t port = c.port if c.port else redirect_port(x.loop)
    buf_put(out, b"https://", 8)
    buf_put(out, x.host.p, x.host.len)
    if port != 443:
        buf_byte(out, c":")
        buf_int(out, port)
    if x.uri_path[0] == c"/":
        buf_put(out, x.uri_path, x.uri_path_len)
    redirect_query(x, out)


cdef void redirect_query(const Exchange* x, Buf* out) noexcept nogil:
    # In front of a fragment of the configuration's.
    cdef const char* mark
    cdef Buf rest
    if x.query_len == 0:
        return
    memset(&rest, 0, sizeof(Buf))
    mark = <const char*>memchr(out.p, c"#", out.len) if out.len else NULL
    if mark != NULL:
        buf_put(&rest, mark, out.p + out.len - mark)
        out.len = <uint32_t>(mark - out.p)
    buf_byte(out, c"&" if out.len and memchr(out.p, c"?", out.len) != NULL else c"?")
    compose_put(out, x.bytes.p + x.query, x.query_len, STANDS_AS_QUERY)
    buf_put(out, rest.p, rest.len)
    buf_free(&rest)


cdef int redirect_made(const Exchange* x, const RedirectConf* c, Buf* out) noexcept nogil:
    # 1 and the URL, 0 where the pattern does not match, -1 without memory.
    cdef Captures captures
    cdef int matches
    if c.uri != NULL:
        compose(x, c.uri, NULL, out)
    else:
        matches = regex_match(c.pattern, x.uri_path, x.uri_path_len, &captures)
        if matches <= 0:
            return matches
        buf_put(out, x.uri_path, captures.start[0])
        compose(x, c.into, &captures, out)
        compose_put(out, x.uri_path + captures.end[0], x.uri_path_len - captures.end[0], c.into.tail)
    if c.append:
        redirect_query(x, out)
    return 1


cdef void redirect_put(const RedirectConf* c, const Buf* url, Buf* out) noexcept nogil:
    # "//" in front would be a host (RFC 3986 section 4.2), and a text of the request's alone might be a scheme.
    cdef uint32_t at = 0
    if not c.absolute and not c.slashes:
        while at + 1 < url.len and url.p[at] == c"/" and url.p[at + 1] == c"/":
            at += 1
        if url.len == 0 or (not c.text and url.p[0] != c"/"):
            buf_byte(out, c"/")
    if url.len:                 # else it may be NULL
        buf_put(out, url.p + at, url.len - at)


cdef int step_redirect(Exchange* x, void* p) noexcept nogil:
    cdef const RedirectConf* c = <const RedirectConf*>p
    cdef Buf* url = &x.loop.wbuf
    cdef int made = 1
    cdef uint16_t status = c.status
    buf_reset(url)
    if c.to_https:
        if redirect_secure(x):
            return STEP_NEXT
        if x.host.len == 0:
            reply_error(x, 400, "no host to be asked by https", "redirect.no_host")
            return STEP_REPLY
        redirect_to_https(x, c, url)
        status = 301 if x.head.method == METHOD_GET or x.head.method == METHOD_HEAD else 308
    else:
        made = redirect_made(x, c, url)
    if made == 0:
        return STEP_NEXT
    if made < 0 or url.failed:
        reply_error(x, 414 if made > 0 else 500, NULL, "redirect.too_long" if made > 0 else "redirect.failed")
        return STEP_REPLY
    x.status = status
    x.refused = NULL
    x.reply_type = NULL
    buf_reset(&x.reply_body)
    buf_put(&x.down_extra, b"Location: ", 10)
    redirect_put(c, url, &x.down_extra)
    buf_put(&x.down_extra, b"\r\n", 2)
    return STEP_REPLY
