# log_format: the access log's line as text with variables, as nginx's log_format has it. Must not know: when a line is due, where
# it goes. Values are escaped, so that no client can forge a line; credentials are not written, whatever the text asks for.

cdef enum LogVar:               # variables beside those of vars.pxd, which only a finished exchange has
    LOG_REMOTE_USER = 128
    LOG_TIME_LOCAL
    LOG_TIME_ISO
    LOG_MSEC
    LOG_REQUEST
    LOG_TARGET
    LOG_ARGS
    LOG_BODY_BYTES
    LOG_REQUEST_BODY_BYTES
    LOG_REQUEST_TIME
    LOG_UPSTREAM_ADDR
    LOG_UPSTREAM_TIME
    LOG_UPSTREAM_HEAD_TIME
    LOG_UPSTREAM_SCHEME
    LOG_UPSTREAM_HOST
    LOG_UPSTREAM_URI
    LOG_REQUEST_ID
    LOG_REFUSED
    LOG_CREDENTIAL
    LOG_MATCHED_URI
    LOG_MATCHED_HOST
    LOG_TRACE_ID
    LOG_SPAN_ID

cdef const char* MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"

_LOG_VARS = {
    "remote_user": LOG_REMOTE_USER, "time_local": LOG_TIME_LOCAL, "time_iso8601": LOG_TIME_ISO, "msec": LOG_MSEC,
    "request": LOG_REQUEST, "request_uri": LOG_TARGET, "real_request_uri": LOG_TARGET, "args": LOG_ARGS,
    "query_string": LOG_ARGS, "body_bytes_sent": LOG_BODY_BYTES, "request_body_bytes": LOG_REQUEST_BODY_BYTES,
    "request_time": LOG_REQUEST_TIME, "upstream_addr": LOG_UPSTREAM_ADDR, "upstream_response_time": LOG_UPSTREAM_TIME,
    "upstream_header_time": LOG_UPSTREAM_HEAD_TIME, "upstream_scheme": LOG_UPSTREAM_SCHEME,
    "upstream_host": LOG_UPSTREAM_HOST, "upstream_uri": LOG_UPSTREAM_URI, "apisix_request_id": LOG_REQUEST_ID,
    "request_id": LOG_REQUEST_ID, "refused": LOG_REFUSED, "credential_id": LOG_CREDENTIAL, "matched_uri": LOG_MATCHED_URI,
    "matched_host": LOG_MATCHED_HOST, "trace_id": LOG_TRACE_ID, "span_id": LOG_SPAN_ID,
}
# What bears a credential by its nature is refused; what plugins take one from, they say themselves (log_hide_arg).
_LOG_SECRETS = {"http_authorization", "http_proxy_authorization", "http_cookie", "http_x_api_key", "http_apikey",
                "http_x_auth_token", "http_x_amz_security_token"}


def log_variable_fault(str name) -> str:
    """Why a variable (without $) cannot stand in a line of the access log; empty: it can."""
    folded = name.lower().replace("-", "_")
    if folded in _LOG_SECRETS or name.startswith("cookie_"):
        return f"${name} bears credentials, which are never logged"
    if name.startswith(("post_arg_", "post_arg.", "graphql_")):
        return f"${name} is of the body, which is gone when a line is written"
    if name in _LOG_VARS or variable_known(name):
        return ""
    return f"${name} is unknown"


cdef class LogFormat:
    """The parts of a line: `text` with `$name` or `${name}`. `json`: values are escaped as in JSON, and are empty where there is
    none; else as nginx does by default, with `\\xHH`, and `-` where there is none.
    """
    cdef VarPart* parts
    cdef uint32_t n
    cdef bint json
    cdef Template template

    def __cinit__(self, str text not None, bint json=False):
        cdef uint32_t i
        for found in _VARIABLE.finditer(text):
            fault = "" if found[1] else log_variable_fault(found[2] or found[4])
            if fault:
                raise ValueError(fault)
        self.template = Template(text, "var_combination")
        self.json = json
        self.n = self.template.n
        self.parts = <VarPart*>calloc(self.n or 1, sizeof(VarPart))
        if self.parts == NULL:
            raise MemoryError
        for i in range(self.n):
            self.parts[i] = self.template.parts[i]
            id, value, _ = self.template.held[i]
            if id == VAR_UNKNOWN:
                self.parts[i].id = _LOG_VARS[value.decode()]
            elif id == VAR_QUERY_STRING:
                self.parts[i].id = LOG_ARGS
            elif id == VAR_REAL_REQUEST_URI or id == VAR_REQUEST_URI:
                self.parts[i].id = LOG_TARGET

    def __dealloc__(self):
        free(self.parts)


cdef void log_escaped(Buf* out, const char* p, size_t n, bint json) noexcept nogil:
    cdef size_t i
    cdef uint8_t c
    if json:
        log_text(out, p, n)
        return
    for i in range(n):
        c = <uint8_t>p[i]
        if c < 32 or c > 126 or c == 34 or c == 92:
            buf_put(out, b"\\x", 2)
            buf_byte(out, HEX_UPPER[c >> 4])
            buf_byte(out, HEX_UPPER[c & 15])
        else:
            buf_byte(out, c)


cdef void log_seconds(Buf* out, uint64_t ns) noexcept nogil:
    cdef uint64_t ms = ns // 1000000
    if buf_room(out, LOG_MS) == 0:
        out.len = <uint32_t>(log_thousandths(int_put(out.p + out.len, ms // 1000), <uint32_t>(ms % 1000)) - out.p)


cdef void log_target(Buf* out, const char* p, size_t n, bint json) noexcept nogil:
    # A path with a query, without the values of arguments that carry credentials.
    cdef const char* query = <const char*>memchr(p, c"?", n) if n else NULL
    if query == NULL:
        log_escaped(out, p, n, json)
        return
    log_escaped(out, p, query + 1 - p, json)
    log_query(out, query + 1, p + n, json)


cdef void log_time_local(Buf* out, Loop* loop) noexcept nogil:
    # Of "2026-01-31T12:34:56" nginx's "31/Jan/2026:12:34:56 +0000".
    cdef const char* s = loop.stamp
    cdef int month = (s[5] - 48) * 10 + s[6] - 48
    buf_put(out, s + 8, 2)
    buf_byte(out, 47)
    buf_put(out, &MONTHS[3 * (month - 1)], 3)
    buf_byte(out, 47)
    buf_put(out, s, 4)
    buf_byte(out, 58)
    buf_put(out, s + 11, 8)
    buf_put(out, b" +0000", 6)


cdef bint log_request_sent(const Exchange* x, bint host, Span* out) noexcept nogil:
    # Of the head as it went upstream the target, or the Host.
    cdef const char* p = x.request.p
    cdef const char* end
    cdef const char* line
    if x.node == NULL or not x.t_up or x.request.len == 0:
        return False
    end = p + x.request.len
    line = <const char*>memchr(p, c"\r", end - p)
    if line == NULL:
        return False
    if not host:
        p = <const char*>memchr(p, c" ", line - p)
        if p == NULL:
            return False
        out.p = p + 1
        p = <const char*>memchr(p + 1, c" ", line - p - 1)
        out.n = <uint32_t>(p - out.p) if p != NULL else 0
        return out.n > 0
    while line != NULL and end - line > 8:
        p = line + 2
        line = <const char*>memchr(p, c"\r", end - p)
        if line != NULL and line - p > 6 and same_name(p, b"host", 4) and p[4] == c":":
            out.p = p + 6
            out.n = <uint32_t>(line - out.p)
            return True
    return False


cdef bint log_made(Exchange* x, const VarPart* part, uint64_t now, Buf* out, bint json) noexcept nogil:
    # Appends a value that needs no escaping, or has it already. False where there is none.
    cdef Loop* loop = x.loop
    cdef const PoolC* pool = NULL
    cdef Span s
    if x.node != NULL and x.t_up:
        pool = x.up.pool if x.up != NULL else x.node.pool
    if part.id == LOG_TIME_LOCAL:
        log_time_local(out, loop)
    elif part.id == LOG_TIME_ISO:
        buf_put(out, loop.stamp, 19)
        buf_put(out, b"+00:00", 6)
    elif part.id == LOG_MSEC:
        log_seconds(out, loop.wall_ns)
    elif part.id == LOG_REQUEST:
        if not x.head.target_len:
            return False
        buf_str(out, method_name(x.head.method))
        buf_byte(out, 32)
        log_target(out, x.bytes.p + x.head.target, x.head.target_len, json)
        buf_put(out, b" HTTP/1.1" if x.head.minor else b" HTTP/1.0", 9)
    elif part.id == LOG_TARGET:
        if not x.head.target_len:
            return False
        log_target(out, x.bytes.p + x.head.target, x.head.target_len, json)
    elif part.id == LOG_ARGS:
        if not x.query_len:
            return False
        log_query(out, x.bytes.p + x.query, x.bytes.p + x.query + x.query_len, json)
    elif part.id == LOG_BODY_BYTES:
        buf_int(out, x.answer_bytes)
    elif part.id == LOG_REQUEST_BODY_BYTES:
        buf_int(out, x.body_bytes)
    elif part.id == LOG_REQUEST_TIME:
        log_seconds(out, now - x.t_start)
    elif part.id == LOG_UPSTREAM_TIME and pool != NULL:
        log_seconds(out, now - x.t_up if now > x.t_up else 0)
    elif part.id == LOG_UPSTREAM_HEAD_TIME and pool != NULL and x.up_status:
        log_seconds(out, x.t_up_head - x.t_up)
    elif part.id == LOG_UPSTREAM_SCHEME and pool != NULL:
        buf_str(out, "http" if pool.tls == NULL else "https")
    elif part.id == LOG_UPSTREAM_URI and log_request_sent(x, False, &s):
        log_target(out, s.p, s.n, json)
    else:
        return False
    return True


cdef bint log_value(Exchange* x, const VarPart* part, Span* out) noexcept nogil:
    # A value that lies somewhere.
    cdef const PoolC* pool
    cdef Span s
    out.n = 0
    if part.id == LOG_REMOTE_USER and x.consumer != NULL:
        out.p, out.n = x.consumer.name, x.consumer.name_len
    elif part.id == LOG_UPSTREAM_ADDR and x.node != NULL and x.t_up:
        pool = x.up.pool if x.up != NULL else x.node.pool
        out.p, out.n = pool.name, pool.name_len
    elif part.id == LOG_UPSTREAM_HOST:
        return log_request_sent(x, True, out)
    elif part.id == LOG_REQUEST_ID:
        out.p, out.n = x.up_extra.p + x.request_id, x.request_id_len
    elif part.id == LOG_REFUSED and x.refused != NULL:
        out.p, out.n = x.refused, <uint32_t>strlen(x.refused)
    elif part.id == LOG_CREDENTIAL and x.credential != NULL:
        return lines_find(x.credential.identity, x.credential.identity_len, b"X-Credential-Identifier", 23, out)
    elif part.id == LOG_MATCHED_URI and x.plan != NULL:
        out.p, out.n = x.plan.matched_uri, x.plan.matched_uri_len
    elif part.id == LOG_MATCHED_HOST and x.plan != NULL:
        out.p, out.n = x.plan.matched_host, x.plan.matched_host_len
    elif part.id == LOG_TRACE_ID and trace_told(x, &s):
        out.p, out.n = s.p + TRACE_ID_AT, TRACE_ID
    elif part.id == LOG_SPAN_ID and trace_told(x, &s):
        out.p, out.n = s.p + TRACE_SPAN_AT, TRACE_SPAN
    elif part.id < VAR_MADE and part.id != VAR_UNKNOWN:
        return var_value(x, part, out)
    return out.n > 0


cdef bint log_bears_secret(const VarPart* part) noexcept nogil:
    # Of arguments and headers those that a step takes a credential from.
    if part.id == VAR_ARG:
        return log_is_secret_arg(part.text, part.len)
    return part.id == VAR_HTTP and log_is_secret_header(part.text, part.len)


cdef void log_formatted(Exchange* x, const VarPart* parts, uint32_t n, bint json, uint64_t now) noexcept nogil:
    cdef Loop* loop = x.loop
    cdef Buf* out = &loop.log
    cdef Span s
    cdef uint32_t i
    for i in range(n):
        if parts[i].id == VAR_LITERAL:
            buf_put(out, parts[i].text, parts[i].len)
        elif log_bears_secret(&parts[i]):
            buf_put(out, b"***", 3)
        elif log_made(x, &parts[i], now, out, json):
            pass
        elif parts[i].id >= VAR_MADE and parts[i].id < LOG_REMOTE_USER and var_made(x, &parts[i], out):
            pass                # numbers and addresses
        elif log_value(x, &parts[i], &s):
            if parts[i].id == VAR_HTTP:
                log_target(out, s.p, s.n, json)     # maybe a URL, as Referer: often of this host, with its query
            else:
                log_escaped(out, s.p, s.n, json)
        elif parts[i].other != NULL:
            log_escaped(out, parts[i].other, parts[i].other_len, json)
        elif not json:
            buf_byte(out, 45)
    buf_byte(out, 10)
