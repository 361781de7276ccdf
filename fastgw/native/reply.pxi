# reply: answers the gateway makes itself. Status, body and the reason for the log are set by whoever refuses; the head is
# written here.


cdef const char* reply_reason(uint16_t status) noexcept nogil:
    # RFC 9110 section 15 and the registry; the phrase is for people only.
    if status == 200: return "OK"
    if status == 100: return "Continue"
    if status == 102: return "Processing"
    if status == 103: return "Early Hints"
    if status == 201: return "Created"
    if status == 202: return "Accepted"
    if status == 203: return "Non-Authoritative Information"
    if status == 204: return "No Content"
    if status == 205: return "Reset Content"
    if status == 206: return "Partial Content"
    if status == 207: return "Multi-Status"
    if status == 300: return "Multiple Choices"
    if status == 301: return "Moved Permanently"
    if status == 302: return "Found"
    if status == 303: return "See Other"
    if status == 304: return "Not Modified"
    if status == 307: return "Temporary Redirect"
    if status == 308: return "Permanent Redirect"
    if status == 400: return "Bad Request"
    if status == 401: return "Unauthorized"
    if status == 402: return "Payment Required"
    if status == 403: return "Forbidden"
    if status == 404: return "Not Found"
    if status == 405: return "Method Not Allowed"
    if status == 406: return "Not Acceptable"
    if status == 408: return "Request Timeout"
    if status == 409: return "Conflict"
    if status == 410: return "Gone"
    if status == 411: return "Length Required"
    if status == 412: return "Precondition Failed"
    if status == 413: return "Content Too Large"
    if status == 414: return "URI Too Long"
    if status == 415: return "Unsupported Media Type"
    if status == 416: return "Range Not Satisfiable"
    if status == 417: return "Expectation Failed"
    if status == 418: return "I'm a Teapot"
    if status == 421: return "Misdirected Request"
    if status == 422: return "Unprocessable Content"
    if status == 425: return "Too Early"
    if status == 426: return "Upgrade Required"
    if status == 428: return "Precondition Required"
    if status == 429: return "Too Many Requests"
    if status == 431: return "Request Header Fields Too Large"
    if status == 451: return "Unavailable For Legal Reasons"
    if status == 500: return "Internal Server Error"
    if status == 501: return "Not Implemented"
    if status == 502: return "Bad Gateway"
    if status == 503: return "Service Unavailable"
    if status == 504: return "Gateway Timeout"
    if status == 505: return "HTTP Version Not Supported"
    if status == 511: return "Network Authentication Required"
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


cdef bint reply_skip_body(Exchange* x) noexcept nogil:
    # An answer before the body was read: if all of the body is here already it is stepped over and the connection lives on.
    cdef Buf* input = &x.down.input
    if x.body_done:
        return True
    if x.body != BODY_LENGTH or x.body_left > <int64_t>buf_left(input):
        return False
    buf_eat(input, x.body_left)
    x.body_bytes += x.body_left
    x.body_left = 0
    x.body_done = 1
    return True


cdef void reply_send(Exchange* x) noexcept nogil:
    # Sends what x.status, x.reply_body and x.down_extra say, and ends the exchange.
    cdef Down* d = x.down
    cdef Buf* out = &x.loop.wbuf
    x.stage = STAGE_REPLY
    if not x.head.keep_alive or x.loop.draining or not reply_skip_body(x):
        d.close_after = 1
    if x.snapshot != NULL:
        chain_on_answer(x, PHASE_HEADER_FILTER)
    buf_reset(out)
    put_status_line(out, x.status)
    if x.reply_body.len:
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
    if x.loop.server_tokens:
        buf_put(out, b"Server: fastgw\r\n", 16)
    buf_put(out, x.loop.date, x.loop.date_len)
    buf_put(out, x.down_extra.p, x.down_extra.len)
    put_connection(x, out)
    buf_put(out, b"\r\n", 2)
    if x.head.method != METHOD_HEAD and x.status != 204 and x.status != 304:
        buf_put(out, x.reply_body.p, x.reply_body.len)
        x.answer_bytes = x.reply_body.len
    x.answering = 1
    x.answer_done = 1
    conn_send(&d.c, out.p, out.len, NULL, 0)
    exchange_finish(x)
