# proxy_rewrite: the proxy-rewrite plugin's step: what the upstream is asked instead of what the client has asked. All that does
# not depend on the request is made ready when the step is.
#
# The path that goes upstream is in the normal form that routing uses (uri), and nothing of a request climbs in it: a "." or ".."
# as a segment, which only a capture or a variable can have brought, is refused, as is a NUL; %2F stays no slash (known-pains 4.1,
# 4.4, 4.12). The query goes on as it was. With `raw` the target that the client wrote is rewritten or sent on instead.

cdef struct RewriteField:       # one line for the upstream's head
    uint8_t how                 # RewriteHow
    const char* name
    uint32_t name_len
    const char* line            # the whole line, where it does not vary
    uint32_t line_len
    ComposePart* parts          # of the value, where it does
    uint32_t n

cdef enum RewriteHow:
    REWRITE_ADD = 0             # beside what is there
    REWRITE_SET                 # in its place
    REWRITE_MORE                # a further value of the one before
    REWRITE_REMOVE

cdef struct RewritePair:
    const RegexC* pattern
    const ComposeC* into

cdef struct RewriteConf:
    const ComposeC* uri         # NULL: what the pairs say
    const char* target          # path, and query if it has one, where `uri` does not vary
    uint32_t target_len
    RewritePair* pairs
    uint32_t n_pairs
    bint raw
    int method                  # Method; -1: the client's
    const char* host
    uint32_t host_len
    RewriteField* fields
    uint32_t n_fields


cdef class ProxyRewriteStep(Step):
    """proxy-rewrite of one object.

    `uri`: a Composed, or None; `pairs`: of (Regex, Composed), looked at where there is no uri; `raw`: they are about the target
    as it came; `method`, `host`: empty: the client's. `fields`: ("add", name, value), ("set", …), ("more", …) of a further value
    of the same name, or ("remove", name, ""), in the order in which they are done.
    """
    cdef RewriteConf conf
    cdef list held
    cdef Composed uri
    cdef bytes host

    def __init__(self, Composed uri=None, pairs=(), *, bint raw=False, str method="", bytes host=b"", fields=()):
        cdef RewritePair* pair
        self.held = []
        self.uri = uri
        self.host = host
        self.conf.raw = raw
        self.conf.method = method_number(method) if method else -1
        self.conf.host = self.host
        self.conf.host_len = <uint32_t>len(host)
        if uri is not None:
            self.conf.uri = &uri.c
            rewrite_try(&uri.c)
            if uri.text is not None:
                path, mark, query = uri.text.partition(b"?")
                target = normalise_path(path) + mark + query
                self.held.append(target)
                self.conf.target = <bytes>target
                self.conf.target_len = <uint32_t>len(target)
        pairs = list(pairs)
        self.conf.pairs = <RewritePair*>calloc(len(pairs) or 1, sizeof(RewritePair))
        self.conf.fields = <RewriteField*>calloc(len(fields) or 1, sizeof(RewriteField))
        if self.conf.pairs == NULL or self.conf.fields == NULL:
            raise MemoryError
        for pattern, into in pairs:
            self.held.append((pattern, into))
            pair = &self.conf.pairs[self.conf.n_pairs]
            pair.pattern = &(<Regex?>pattern).c
            pair.into = &(<Composed?>into).c
            self.conf.n_pairs += 1
        for how, name, value in fields:
            self.lay(&self.conf.fields[self.conf.n_fields], how, name.encode(), value)
            self.conf.n_fields += 1
        self.bind(step_proxy_rewrite, &self.conf, "rewrite")

    cdef int lay(self, RewriteField* field, str how, bytes name, str value) except -1:
        cdef bytes line
        cdef Composed composed
        field.how = ("add", "set", "more", "remove").index(how)
        self.held.append(name)
        field.name = name
        field.name_len = <uint32_t>len(name)
        if field.how == REWRITE_REMOVE:
            return 0
        composed = Composed(value, CAPTURES_MAX, field=True)
        self.held.append(composed)
        if composed.text is None:
            field.parts = composed.c.parts
            field.n = composed.c.n
            return 0
        line = name + b": " + composed.text + b"\r\n"
        self.held.append(line)
        field.line = line
        field.line_len = <uint32_t>len(line)
        return 0

    def __dealloc__(self):
        free(self.conf.pairs)
        free(self.conf.fields)


cdef int rewrite_try(const ComposeC* c) except -1:
    # No request could pass a template with ".." or the like of its own.
    cdef Buf made
    cdef Buf path
    cdef uint32_t i
    cdef int n
    memset(&made, 0, sizeof(Buf))
    memset(&path, 0, sizeof(Buf))
    for i in range(c.n):
        if c.parts[i].mode == COMPOSE_LITERAL:
            buf_put(&made, c.parts[i].var.text, c.parts[i].var.len)
        else:
            buf_put(&made, b"x", 1)
    n = rewrite_path(made.p, made.len, &path)
    buf_free(&made)
    buf_free(&path)
    if n < 0 and c.varies:
        raise ValueError("expected a path without segments '.' and '..'")
    return 0


cdef int rewrite_path(const char* composed, uint32_t len, Buf* out) noexcept nogil:
    # Appends the normal form of the path in front of a "?", and the rest as it is. -1: it has none, or dots that would climb.
    cdef const char* mark = <const char*>memchr(composed, c"?", len) if len else NULL
    cdef uint32_t end = <uint32_t>(mark - composed) if mark != NULL else len
    cdef uint32_t at = 0
    cdef int size
    if end == 0 or composed[0] != c"/":
        buf_put(out, b"/", 1)
    elif uri_is_normal(composed, end):
        buf_put(out, composed, len)
        return 0
    if buf_room(out, end * URI_GROWTH + 1) != 0:
        return -1
    while at < end:
        if composed[at] == c"/":
            at += 1
            if out.len == 0 or out.p[out.len - 1] != c"/":
                buf_put(out, b"/", 1)
            continue
        size = uri_segment(composed, &at, end, out.p + out.len, out.cap - out.len, False)
        if size < 0 or uri_dots(out.p + out.len, <uint32_t>size):
            return -1
        out.len += <uint32_t>size
    if end < len:               # else it may be NULL
        buf_put(out, composed + end, len - end)
    return 0


cdef inline bint rewrite_as_it_is(const Exchange* x) noexcept nogil:
    # Whether what the client wrote is the normal form. (OPTIONS * has no path.)
    cdef const char* raw = x.bytes.p + x.raw_path
    if x.uri_path[0] != c"/":
        return True
    return x.uri_path == raw and (x.raw_path_len == x.uri_path_len or raw[x.uri_path_len] == c"?")


cdef void rewrite_subject(const Exchange* x, bint raw, Span* out) noexcept nogil:
    # What the pairs are about.
    out.p = x.uri_path
    out.n = x.uri_path_len
    if raw and x.target.len:
        out.p = x.target.p
        out.n = x.target.len
    elif raw:
        out.p = x.bytes.p + x.raw_path
        out.n = x.raw_path_len


cdef int rewrite_pairs(const Exchange* x, const RewriteConf* c, Captures* captures, Buf* out) noexcept nogil:
    # 1 and what the first pair that matches makes of the path, 0 where none does, -1 without memory.
    cdef Span subject
    cdef const ComposeC* into
    cdef uint32_t i
    cdef int matches
    rewrite_subject(x, c.raw, &subject)
    for i in range(c.n_pairs):
        matches = regex_match(c.pairs[i].pattern, subject.p, subject.n, captures)
        if matches < 0:
            return -1
        if matches:
            into = c.pairs[i].into
            buf_put(out, subject.p, captures.start[0])
            compose(x, into, captures, out)
            compose_put(out, subject.p + captures.end[0], subject.n - captures.end[0], into.tail)
            return 1
    return 0


cdef int rewrite_refuse(Exchange* x, uint16_t status, const char* text, const char* reason) noexcept nogil:
    reply_error(x, status, text, reason)
    return STEP_REPLY


cdef int rewrite_target(Exchange* x, const RewriteConf* c, Captures* captures, Buf* former) noexcept nogil:
    # Makes x.target; STEP_REPLY where what would go upstream must not. former: what captures may still be of, to be freed.
    cdef Buf* out = &x.loop.wbuf
    cdef Span query
    cdef int found = 1
    if c.uri == NULL and c.n_pairs == 0 and (c.raw or rewrite_as_it_is(x)):
        return STEP_NEXT
    buf_reset(out)
    if c.target_len:
        buf_put(out, c.target, c.target_len)
    elif c.uri != NULL:
        compose(x, c.uri, NULL, out)
    else:
        found = rewrite_pairs(x, c, captures, out)
        if found == 0 and (c.raw or rewrite_as_it_is(x)):
            return STEP_NEXT
        if found == 0:
            buf_put(out, x.uri_path, x.uri_path_len)
    if found < 0:
        return rewrite_refuse(x, 500, NULL, "proxy-rewrite.failed")
    if c.uri != NULL or not c.raw:
        target_query(x, &query)
        if query.n:
            buf_byte(out, c"&" if out.len and memchr(out.p, c"?", out.len) != NULL else c"?")
            buf_put(out, query.p, query.n)
    if out.failed or out.len > COMPOSED_MOST:
        return rewrite_refuse(x, 414, NULL, "proxy-rewrite.too_long")
    if captures.n and captures.text == x.target.p:
        former[0] = x.target
        memset(&x.target, 0, sizeof(Buf))
    buf_reset(&x.target)
    if c.target_len:
        buf_put(&x.target, out.p, out.len)
    elif c.raw and c.uri == NULL:
        if out.len == 0 or out.p[0] != c"/":
            buf_put(&x.target, b"/", 1)
        buf_put(&x.target, out.p, out.len)
    elif rewrite_path(out.p, out.len, &x.target) < 0:
        return rewrite_refuse(x, 400, "the rewritten path has no lawful form", "proxy-rewrite.unsafe")
    return STEP_NEXT


cdef void rewrite_keep(Exchange* x, const RewriteField* field) noexcept nogil:
    # The client's fields of that name become lines of ours, which another one may stand beside.
    cdef Field* f
    cdef uint32_t i
    cdef Span found
    if extra_find(&x.up_extra, field.name, field.name_len, &found):
        return
    for i in range(x.head.n):
        f = &x.head.fields[i]
        if f.name_len == field.name_len and not f.flags & FIELD_DROP and same_name(x.bytes.p + f.name, field.name, f.name_len):
            f.flags |= FIELD_DROP
            buf_put(&x.up_extra, x.bytes.p + f.name, f.name_len)
            buf_put(&x.up_extra, b": ", 2)
            buf_put(&x.up_extra, x.bytes.p + f.value, f.value_len)
            buf_put(&x.up_extra, b"\r\n", 2)


cdef void rewrite_field(Exchange* x, const RewriteField* field, const Captures* captures) noexcept nogil:
    cdef Buf* value = &x.loop.wbuf
    cdef ComposeC parts
    if field.n:                 # before anything is dropped: it may be of what was there
        memset(&parts, 0, sizeof(parts))
        parts.parts = field.parts
        parts.n = field.n
        buf_reset(value)
        compose(x, &parts, captures, value)
    if field.how == REWRITE_ADD:
        rewrite_keep(x, field)
    elif field.how != REWRITE_MORE:
        head_drop(&x.head, x.bytes.p, field.name, field.name_len)
        while x.up_extra.len and extra_drop(x, field.name, field.name_len):
            pass
    if field.line_len:
        buf_put(&x.up_extra, field.line, field.line_len)
    elif field.how != REWRITE_REMOVE:
        buf_put(&x.up_extra, field.name, field.name_len)
        buf_put(&x.up_extra, b": ", 2)
        buf_put(&x.up_extra, value.p, value.len)
        buf_put(&x.up_extra, b"\r\n", 2)


cdef void rewrite_method(Exchange* x, uint8_t method) noexcept nogil:
    x.up_method = method
    # An upstream may want to be told that nothing follows (RFC 9110 section 8.6).
    if x.body == BODY_NONE and (method == METHOD_POST or method == METHOD_PUT or method == METHOD_PATCH):
        x.body = BODY_LENGTH
        x.head.content_length = 0


cdef int step_proxy_rewrite(Exchange* x, void* p) noexcept nogil:
    cdef const RewriteConf* c = <const RewriteConf*>p
    cdef Captures captures
    cdef Buf former
    cdef uint32_t i
    cdef int verdict
    captures.n = 0
    former.p = NULL
    verdict = rewrite_target(x, c, &captures, &former)
    if verdict == STEP_NEXT:
        for i in range(c.n_fields):
            rewrite_field(x, &c.fields[i], &captures)
    if former.p != NULL:
        buf_free(&former)
    if verdict != STEP_NEXT:
        return verdict
    if c.host_len:
        x.up_host = c.host
        x.up_host_len = c.host_len
    if c.method >= 0:
        rewrite_method(x, <uint8_t>c.method)
    return STEP_NEXT
