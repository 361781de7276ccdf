# serialise: heads as they leave the gateway, written anew from the parsed message (hardening rule 16). Framing, Host and
# forwarding fields are ours; what crosses is copied in the longest runs that need no change. The last wall against header
# injection is here: names and values were checked by head and framing, and step-made lines pass extra_line.

cdef enum:
    EXTRA_NAMES_MAX = 64        # step-made header lines looked at for overwriting

cdef struct Names:              # names of step-made lines: they replace fields of the same name
    uint32_t n
    const char* at[EXTRA_NAMES_MAX]
    uint16_t len[EXTRA_NAMES_MAX]


cdef inline bint same_name(const char* a, const char* b, size_t n) noexcept nogil:
    # Field names in all spellings that upstreams may fold together, as head_drop has it.
    cdef size_t i
    for i in range(n):
        if (FIELD_TCHAR[<uint8_t>a[i]] ^ FIELD_TCHAR[<uint8_t>b[i]]) & 0x7F:
            return False
    return True


cdef void names_collect(Names* names, const Buf* lines) noexcept nogil:
    cdef const char* p = lines.p
    cdef const char* end
    cdef const char* colon
    names.n = 0
    if lines.len == 0:          # p may be NULL, to which C lets nobody add even 0
        return
    end = p + lines.len
    while p < end and names.n < EXTRA_NAMES_MAX:
        colon = <const char*>memchr(p, 58, end - p)
        if colon == NULL:
            return
        # A further line of one name, in whatever spelling: what a client sent of a field that a step adds to must not use up
        # the room.
        if names.n == 0 or names.len[names.n - 1] != colon - p or not same_name(names.at[names.n - 1], p, colon - p):
            names.at[names.n] = p
            names.len[names.n] = <uint16_t>(colon - p)
            names.n += 1
        p = <const char*>memchr(colon, 10, end - colon)
        if p == NULL:
            return
        p += 1


cdef inline bint names_have(const Names* names, const char* name, uint16_t n) noexcept nogil:
    cdef uint32_t i
    for i in range(names.n):
        if names.len[i] == n and same_name(names.at[i], name, n):
            return True
    return False


cdef void copy_fields(Buf* out, const Head* h, const char* base, const Names* names) noexcept nogil:
    # Fields that cross, in their order. A field that stands as "name: value CRLF" joins the run before it.
    cdef uint32_t i
    cdef uint32_t run = 0
    cdef uint32_t run_end = 0
    cdef const Field* f
    for i in range(h.n):
        f = &h.fields[i]
        if f.flags & FIELD_DROP or (names.n and names_have(names, base + f.name, f.name_len)):
            continue
        if (f.value == f.name + f.name_len + 2 and base[f.value - 1] == 32
                and base[f.value + f.value_len] == 13 and base[f.value + f.value_len + 1] == 10):
            if run_end != f.name:
                buf_put(out, base + run, run_end - run)
                run = f.name
            run_end = f.value + f.value_len + 2
            continue
        buf_put(out, base + run, run_end - run)
        run = run_end = 0
        buf_put(out, base + f.name, f.name_len)
        buf_put(out, b": ", 2)
        buf_put(out, base + f.value, f.value_len)
        buf_put(out, b"\r\n", 2)
    buf_put(out, base + run, run_end - run)


cdef int extra_line(Buf* lines, const char* name, size_t n, const char* value, size_t m) noexcept nogil:
    # One step-made header line; -1 (and nothing written) where a byte could end the line or is no field content.
    cdef size_t i
    for i in range(n):
        if <uint8_t>name[i] <= 32 or name[i] == 58 or <uint8_t>name[i] >= 127:
            return -1
    for i in range(m):
        if (<uint8_t>value[i] < 32 and value[i] != 9) or value[i] == 127:
            return -1
    if n == 0:
        return -1
    buf_put(lines, name, n)
    buf_put(lines, b": ", 2)
    buf_put(lines, value, m)
    buf_put(lines, b"\r\n", 2)
    return 0


cdef inline bint extra_find(const Buf* lines, const char* name, uint32_t n, Span* value) noexcept nogil:
    # The value of the first step-made line of that name.
    return lines_find(lines.p, lines.len, name, n, value)


cdef bint lines_find(const char* p, uint32_t len, const char* name, uint32_t n, Span* value) noexcept nogil:
    cdef const char* end
    cdef const char* stop
    if len == 0:                # p may be NULL
        return False
    end = p + len
    while p < end:
        stop = <const char*>memchr(p, 13, end - p)
        if stop == NULL:
            return False
        if <size_t>(stop - p) >= n + 2 and p[n] == 58 and same_name(p, name, n):
            value.p = p + n + 2
            value.n = <uint32_t>(stop - value.p)
            return True
        p = stop + 2
    return False


cdef inline void put_field(Buf* out, const Head* h, const char* base, uint8_t id) noexcept nogil:
    cdef const Field* f = &h.fields[h.first[id] - 1]
    buf_put(out, base + f.value, f.value_len)
    buf_put(out, b"\r\n", 2)


cdef bint put_word(Buf* out, const Head* h, const char* base, uint8_t id, const char* name) noexcept nogil:
    # What a trusted proxy says under a name. Only where it says it once: of two, one hop believes the first and another the last.
    cdef const Field* f = NULL
    cdef uint32_t i
    for i in range(h.n):
        if h.fields[i].id == id:
            if f != NULL:
                return False
            f = &h.fields[i]
    if f == NULL or f.value_len == 0 or f.flags & FIELD_HIDDEN:
        return False
    buf_str(out, name)
    buf_put(out, base + f.value, f.value_len)
    buf_put(out, b"\r\n", 2)
    return True


cdef void put_believed(Exchange* x, Buf* out) noexcept nogil:
    # What a trusted proxy says of its client, behind the name of X-Forwarded-For. Lines of that are one list (RFC 9110 section
    # 5.3), as HAProxy adds one of its own behind what its client sent. Forwarded and the like cross as they are.
    cdef Down* d = x.down
    cdef const Head* h = &x.head
    cdef const char* base = x.bytes.p
    cdef const Field* f
    cdef uint32_t i
    for i in range(h.n):
        f = &h.fields[i]
        if f.id == FIELD_X_FORWARDED_FOR and f.value_len and not f.flags & FIELD_HIDDEN:
            buf_put(out, base + f.value, f.value_len)
            buf_put(out, b", ", 2)
    buf_put(out, d.client.address, d.client.address_len)
    buf_put(out, b"\r\n", 2)
    if not put_word(out, h, base, FIELD_X_FORWARDED_PROTO, "X-Forwarded-Proto: "):
        buf_str(out, "X-Forwarded-Proto: https\r\n" if d.c.tls != NULL else "X-Forwarded-Proto: http\r\n")
    if not put_word(out, h, base, FIELD_X_FORWARDED_HOST, "X-Forwarded-Host: ") and x.authority_len:
        put_asked_host(x, out)
    if not put_word(out, h, base, FIELD_X_FORWARDED_PORT, "X-Forwarded-Port: "):
        put_asked_port(x, out)
    for i in range(h.n):
        f = &h.fields[i]
        if (f.id == FIELD_FORWARDED or f.id == FIELD_X_FORWARDED_OTHER) and not f.flags & FIELD_HIDDEN:
            buf_put(out, base + f.name, f.name_len)
            buf_put(out, b": ", 2)
            buf_put(out, base + f.value, f.value_len)
            buf_put(out, b"\r\n", 2)


cdef inline void put_asked_host(Exchange* x, Buf* out) noexcept nogil:
    buf_put(out, b"X-Forwarded-Host: ", 18)
    buf_put(out, x.bytes.p + x.authority, x.authority_len)
    buf_put(out, b"\r\n", 2)


cdef inline void put_asked_port(Exchange* x, Buf* out) noexcept nogil:
    buf_put(out, b"X-Forwarded-Port: ", 18)
    buf_int(out, x.authority_port if x.authority_port else x.down.port)
    buf_put(out, b"\r\n", 2)


cdef void put_forwarded(Exchange* x, Buf* out) noexcept nogil:
    # What the client says of itself is discarded unless it is a trusted proxy (DESIGN section 5).
    cdef Down* d = x.down
    buf_put(out, b"X-Real-IP: ", 11)
    buf_put(out, x.client.address, x.client.address_len)
    buf_put(out, b"\r\nX-Forwarded-For: ", 19)
    if d.trusted:
        put_believed(x, out)
        return
    buf_put(out, x.client.address, x.client.address_len)
    if d.c.tls != NULL:
        buf_put(out, b"\r\nX-Forwarded-Proto: https\r\n", 28)
    else:
        buf_put(out, b"\r\nX-Forwarded-Proto: http\r\n", 27)
    if x.authority_len:
        put_asked_host(x, out)
    put_asked_port(x, out)


cdef inline void request_host(const Exchange* x, Span* out) noexcept nogil:
    # The Host that the upstream gets.
    cdef const UpstreamC* u = x.upstream
    if u.pass_host == HOST_REWRITE:
        out.p = u.host
        out.n = u.host_len
    elif x.up_host_len and u.pass_host == HOST_PASS:
        out.p = x.up_host
        out.n = x.up_host_len
    elif u.pass_host == HOST_NODE or x.authority_len == 0:
        out.p = x.node.host
        out.n = x.node.host_len
    else:
        out.p = x.bytes.p + x.authority
        out.n = x.authority_len


cdef void serialise_request(Exchange* x) noexcept nogil:
    # The head for the upstream, into x.request.
    cdef Buf* out = &x.request
    cdef const Head* h = &x.head
    cdef const char* base = x.bytes.p
    cdef Span host
    cdef Names names
    cdef const char* method = method_name(x.up_method)
    buf_reset(out)
    buf_str(out, method)
    buf_put(out, b" ", 1)
    if x.target.len:
        buf_put(out, x.target.p, x.target.len)
    else:
        buf_put(out, base + x.raw_path, x.raw_path_len)
    buf_put(out, b" HTTP/1.1\r\nHost: ", 17)
    request_host(x, &host)
    buf_put(out, host.p, host.n)
    buf_put(out, b"\r\n", 2)
    names_collect(&names, &x.up_extra)
    copy_fields(out, h, base, &names)
    put_forwarded(x, out)
    if x.credential != NULL:
        buf_put(out, x.credential.identity, x.credential.identity_len)
    buf_put(out, x.up_extra.p, x.up_extra.len)
    if x.body != BODY_NONE:
        put_body(x, out)
    buf_put(out, b"\r\n", 2)


cdef void put_body(const Exchange* x, Buf* out) noexcept nogil:
    # What follows the request's head.
    if x.body == BODY_LENGTH:
        buf_put(out, b"Content-Length: ", 16)
        buf_int(out, x.head.content_length)
        buf_put(out, b"\r\n", 2)
    elif x.body == BODY_CHUNKED:
        buf_put(out, b"Transfer-Encoding: chunked\r\n", 28)
    else:
        put_upgrade(out, &x.head, x.bytes.p)


cdef void put_upgrade(Buf* out, const Head* h, const char* base) noexcept nogil:
    buf_put(out, b"Connection: upgrade\r\nUpgrade: ", 30)
    put_field(out, h, base, FIELD_UPGRADE)


cdef inline void put_status_line(Buf* out, uint16_t status) noexcept nogil:
    if status == 200:           # nearly all, and then the line is known
        buf_put(out, b"HTTP/1.1 200 OK\r\n", 17)
        return
    buf_put(out, b"HTTP/1.1 ", 9)
    buf_int(out, status)
    buf_put(out, b" ", 1)
    buf_str(out, reply_reason(status))
    buf_put(out, b"\r\n", 2)


cdef inline void put_connection(Exchange* x, Buf* out) noexcept nogil:
    if x.down.close_after:
        buf_put(out, b"Connection: close\r\n", 19)
    elif x.head.minor == 0:
        buf_put(out, b"Connection: keep-alive\r\n", 24)


cdef void put_upstream_status(const Exchange* x, Buf* out) noexcept nogil:
    # One status for each of the last 65 tries. One without an answer has what nginx says of it ($upstream_status).
    cdef uint32_t i = min(x.n_failed, <uint32_t>64) if x.fail_status != 503 else 0
    buf_put(out, b"X-APISIX-Upstream-Status: ", 26)
    while i:
        i -= 1
        buf_put(out, b"504" if x.timed_out >> i & 1 else b"502", 3)
        if i or x.up_status:
            buf_put(out, b", ", 2)
    if x.up_status:
        buf_int(out, x.up_status)
    buf_put(out, b"\r\n", 2)


cdef void serialise_answer(Exchange* x, Head* h, const char* base, Buf* out) noexcept nogil:
    # The upstream's head for the client, appended to out.
    cdef Names names
    if h.first[FIELD_SERVER] and x.loop.server_tokens:
        h.fields[h.first[FIELD_SERVER] - 1].flags |= FIELD_DROP
    put_status_line(out, x.status)
    names_collect(&names, &x.down_extra)
    copy_fields(out, h, base, &names)
    if x.loop.server_tokens and not (names.n and names_have(&names, "Server", 6)):
        buf_put(out, b"Server: fastgw\r\n", 16)
    if not h.first[FIELD_DATE] and not (names.n and names_have(&names, "Date", 4)):
        buf_put(out, x.loop.date, x.loop.date_len)
    buf_put(out, x.down_extra.p, x.down_extra.len)
    if x.up_status >= x.loop.status_shown_from:
        put_upstream_status(x, out)
    if x.answer_chunked:
        buf_put(out, b"Transfer-Encoding: chunked\r\n", 28)
    elif h.content_length >= 0 and x.status != 204 and x.filtering & FILTER_CHANGES == 0:
        buf_put(out, b"Content-Length: ", 16)
        buf_int(out, h.content_length)
        buf_put(out, b"\r\n", 2)
    put_connection(x, out)
    buf_put(out, b"\r\n", 2)
