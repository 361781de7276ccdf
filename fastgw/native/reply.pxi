# reply: answers the gateway makes itself. Status, body and the reason for the log are set by whoever refuses; the head is
# written here.


# RFC 9110 section 15 and the registry; the phrase is for people only.
_REASONS = {
    100: b"Continue", 102: b"Processing", 103: b"Early Hints", 200: b"OK", 201: b"Created", 202: b"Accepted",
    203: b"Non-Authoritative Information", 204: b"No Content", 205: b"Reset Content", 206: b"Partial Content",
    207: b"Multi-Status", 300: b"Multiple Choices", 301: b"Moved Permanently", 302: b"Found", 303: b"See Other",
    304: b"Not Modified", 307: b"Temporary Redirect", 308: b"Permanent Redirect", 400: b"Bad Request",
    401: b"Unauthorized", 402: b"Payment Required", 403: b"Forbidden", 404: b"Not Found", 405: b"Method Not Allowed",
    406: b"Not Acceptable", 408: b"Request Timeout", 409: b"Conflict", 410: b"Gone", 411: b"Length Required",
    412: b"Precondition Failed", 413: b"Content Too Large", 414: b"URI Too Long", 415: b"Unsupported Media Type",
    416: b"Range Not Satisfiable", 417: b"Expectation Failed", 418: b"I'm a Teapot", 421: b"Misdirected Request",
    422: b"Unprocessable Content", 425: b"Too Early", 426: b"Upgrade Required", 428: b"Precondition Required",
    429: b"Too Many Requests", 431: b"Request Header Fields Too Large", 451: b"Unavailable For Legal Reasons",
    500: b"Internal Server Error", 501: b"Not Implemented", 502: b"Bad Gateway", 503: b"Service Unavailable",
    504: b"Gateway Timeout", 505: b"HTTP Version Not Supported", 511: b"Network Authentication Required",
}
cdef const char* reply_reasons[600]


cdef int reply_fill_reasons() except -1:
    cdef bytes phrase
    memset(reply_reasons, 0, sizeof(reply_reasons))
    for status, phrase in _REASONS.items():
        reply_reasons[<int>status] = phrase     # kept alive by _REASONS
    return 0


reply_fill_reasons()


cdef const char* REPLY_STORED = "stored"     # x.reply_type: down_extra has Content-Type and Date, as they once came


cdef inline const char* reply_reason(uint16_t status) noexcept nogil:
    if status < 600 and reply_reasons[status] != NULL:
        return reply_reasons[status]
    return "Unknown"


cdef void reply_json(Exchange* x, uint16_t status, const char* member, const char* text) noexcept nogil:
    # {"<member>":"<text>"} and a newline, as APISIX writes it; text is ours and needs no escapes.
    x.status = status
    buf_reset(&x.reply_body)
    buf_put(&x.reply_body, b'{"', 2)
    buf_str(&x.reply_body, member)
    buf_put(&x.reply_body, b'":"', 3)
    buf_str(&x.reply_body, text)
    buf_put(&x.reply_body, b'"}\n', 3)
    x.reply_type = NULL


cdef void reply_error(Exchange* x, uint16_t status, const char* text, const char* refused) noexcept nogil:
    reply_json(x, status, "error_msg", text if text != NULL else reply_reason(status))
    x.refused = refused


cdef void reply_message(Exchange* x, uint16_t status, const char* text, const char* refused) noexcept nogil:
    reply_json(x, status, "message", text)
    x.refused = refused


cdef int reply_made(Exchange* x, uint16_t status, const char* body, uint32_t n, const char* refused) noexcept nogil:
    # A refusal of a step whose body, JSON, was made when the step was; its last word.
    x.status = status
    x.refused = refused
    x.reply_type = NULL
    buf_reset(&x.reply_body)
    buf_put(&x.reply_body, body, n)
    return STEP_REPLY


cdef void reply_unrouted(Exchange* x) noexcept nogil:
    # No route: for lack of one, or since the gateway itself was asked, by OPTIONS * (RFC 9110 section 9.3.7) or by a Max-Forwards
    # that is used up.
    if x.uri_path_len == 1 and x.uri_path[0] == 42:
        x.status = 200
        reply_allow(x)
    else:
        reply_error(x, 404, "404 Route Not Found", NULL)


cdef void reply_allow(Exchange* x) noexcept nogil:
    buf_str(&x.down_extra, method_allowed)


cdef bint reply_skip_body(Exchange* x) noexcept nogil:
    # An answer before the body was read: if all of the body is here already it is stepped over and the connection lives on.
    cdef Buf* input = &x.down.input
    if x.body_done:
        return True
    if x.body == BODY_TUNNEL:   # where one could have come, what stands behind may be meant for it
        x.body_done = x.plan == NULL or not x.plan.upgrades
        return x.body_done
    if x.body != BODY_LENGTH or x.body_left > <int64_t>buf_left(input):
        return False
    buf_eat(input, x.body_left)
    x.body_bytes += x.body_left
    x.body_left = 0
    x.body_done = 1
    return True


cdef inline bint reply_filters(const Exchange* x) noexcept nogil:
    return x.snapshot.globals.n[PHASE_HEADER_FILTER] or (x.plan != NULL and (x.plan.chain.n[PHASE_HEADER_FILTER] or (
        x.consumer != NULL and x.consumer.chain.n[PHASE_HEADER_FILTER])))


cdef void reply_send(Exchange* x) noexcept nogil:
    # Sends what x.status, x.reply_body and x.down_extra say, and ends the exchange.
    cdef Down* d = x.down
    cdef Buf* out = &x.loop.wbuf
    cdef bint filtered = False
    cdef uint32_t apart = 0
    cdef Span own
    x.stage = STAGE_REPLY
    if x.status == 401:
        metric_add(x.loop, M_REFUSED_AUTH, 1)
    if not x.head.keep_alive or x.loop.draining or not reply_skip_body(x):
        d.close_after = 1
    if x.snapshot != NULL and reply_filters(x):
        filtered = True
        reply_reshaped(x)
    buf_reset(out)
    put_status_line(out, x.status)
    if x.reply_body.len and x.reply_type != REPLY_STORED and (x.reply_type == NULL or x.reply_type[0]):    # "": a line says it
        buf_put(out, b"Content-Type: ", 14)
        if x.reply_type != NULL:
            buf_str(out, x.reply_type)
        else:
            buf_put(out, b"application/json", 16)
        buf_put(out, b"\r\n", 2)
    if x.status >= 200 and x.status != 204 and x.status != 304:
        buf_put(out, b"Content-Length: ", 16)
        buf_int(out, x.reply_body.len)
        buf_put(out, b"\r\n", 2)
    if x.loop.server_tokens and not (filtered and extra_find(&x.down_extra, "Server", 6, &own)):
        buf_put(out, b"Server: fastgw\r\n", 16)
    if x.reply_type != REPLY_STORED and not (filtered and extra_find(&x.down_extra, "Date", 4, &own)):
        buf_put(out, x.loop.date, x.loop.date_len)
    buf_put(out, x.down_extra.p, x.down_extra.len)
    put_connection(x, out)
    buf_put(out, b"\r\n", 2)
    if x.head.method != METHOD_HEAD and x.status != 204 and x.status != 304:
        if x.reply_body.len > JOIN_BYTES:
            apart = x.reply_body.len    # two buffers cost the kernel less than another copy
        else:
            buf_put(out, x.reply_body.p, x.reply_body.len)
        x.answer_bytes = x.reply_body.len
    x.answering = 1
    x.answer_done = 1
    conn_send(&d.c, out.p, out.len, x.reply_body.p, apart)
    if apart and x.reply_type == REPLY_STORED:
        unsent_hold(&d.c)
    exchange_finish(x)
