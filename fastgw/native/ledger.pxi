# ledger: what loggers are told of an exchange that is over, and what is masked in it before they, and the access log, are told.
# Must not know who logs, nor what an entry looks like.


def ledger_account(Request request not None) -> dict:
    """Sizes in bytes, times in ns of CLOCK_MONOTONIC (0: there was none), and whom the request went to."""
    cdef Exchange* x = request.alive()
    cdef const PoolC* pool = NULL
    if x.node != NULL and x.t_up:
        pool = x.up.pool if x.up != NULL else x.node.pool
    return {
        "start": x.t_start,
        "asked": x.t_up,
        "answered": x.t_up_head,
        "now": log_clock(x.loop),
        "head": x.head.len,
        "received": x.body_bytes,
        "sent": x.answer_bytes,
        "upstream": None if pool == NULL else pool.name[:pool.name_len].decode(),
        "upstream_status": x.up_status,
        "service": None if x.plan == NULL or x.plan.service_len == 0 else x.plan.service[:x.plan.service_len].decode(),
        "refused": None if x.refused == NULL else x.refused.decode(),
    }


cdef str ledger_text(const char* p, size_t n):
    cdef Buf out
    memset(&out, 0, sizeof(Buf))
    log_url(&out, b'"', 1, p, n)
    text = out.p[:out.len] if out.len else b'""'
    buf_free(&out)
    return _json_loads(text)


def ledger_target(Request request not None) -> str:
    """The request's target as the access log has it: without the values of arguments that carry credentials."""
    cdef Exchange* x = request.alive()
    return ledger_text(x.bytes.p + x.head.target, x.head.target_len)


def ledger_url(str text not None) -> str:
    """A header's value that may be a URL, as Referer and Location are, without the values of arguments that carry credentials."""
    cdef bytes raw = text.encode("latin-1", "replace")
    return ledger_text(raw, len(raw)) if "?" in text else text


def ledger_answer(Request request not None) -> list:
    """The header fields of the answer, as far as they are known in `header_filter`."""
    cdef Exchange* x = request.alive()
    cdef const Head* h = x.up_head
    cdef const Field* f
    cdef Names names
    cdef uint32_t i
    cdef int64_t length = x.reply_body.len if h == NULL else h.content_length
    names_collect(&names, &x.down_extra)
    found = []
    if h != NULL:
        for i in range(h.n):
            f = &h.fields[i]
            if not f.flags & FIELD_DROP and not names_have(&names, x.up_base + f.name, f.name_len):
                found.append(((x.up_base + f.name)[:f.name_len].decode("latin-1"),
                              (x.up_base + f.value)[:f.value_len].decode("latin-1")))
    elif x.reply_body.len and x.reply_type != REPLY_STORED and (x.reply_type == NULL or x.reply_type[0]):    # "": a line says it
        found.append(("Content-Type", "application/json" if x.reply_type == NULL else x.reply_type.decode("latin-1")))
    for line in (x.down_extra.p[:x.down_extra.len] if x.down_extra.len else b"").split(b"\r\n"):
        if not line:
            break
        name, _, value = line.partition(b": ")
        found.append((name.decode("latin-1"), value.decode("latin-1")))
    if length >= 0 and x.filtering & FILTER_CHANGES == 0:
        found.append(("Content-Length", str(length)))
    return found


cdef int ledger_append(Exchange* x, bytes text, uint32_t* at) except -1:
    # Behind the head's bytes, to which all that is known of it are offsets, but for a path that lies in them.
    cdef const char* before = x.bytes.p
    cdef bint inside = before != NULL and before <= x.uri_path < before + x.bytes.len
    cdef Py_ssize_t offset = x.uri_path - before if inside else 0
    at[0] = x.bytes.len
    buf_put(&x.bytes, <const char*>text, len(text))
    if x.bytes.failed:
        raise MemoryError
    if inside:
        x.uri_path = x.bytes.p + offset
    return 0


def ledger_query(Request request not None, bytes query not None) -> None:
    """In the log phase: what is logged as the request's query, instead of it; empty for none."""
    cdef Exchange* x = request.alive()
    cdef const char* target = x.bytes.p + x.head.target
    cdef const char* mark
    cdef uint32_t path, at
    cdef bytes text
    cdef Span asked
    mark = <const char*>memchr(target, c"?", x.head.target_len)
    path = <uint32_t>(mark - target) if mark != NULL else x.head.target_len
    text = target[:path]
    if query:
        text += b"?" + query
    ledger_append(x, text, &at)
    x.raw_path = at + x.raw_path - x.head.target
    x.raw_path_len = at + <uint32_t>len(text) - x.raw_path
    x.head.target = at
    x.head.target_len = <uint32_t>len(text)
    x.query = at + min(path + 1, x.head.target_len)
    x.query_len = x.head.target_len - (x.query - at)
    mark = <const char*>memchr(x.target.p, c"?", x.target.len) if x.target.len else NULL
    if mark != NULL:                # what the upstream was asked instead: its path, with the same query
        x.target.len = <uint32_t>(mark - x.target.p)
        if query:
            buf_put(&x.target, b"?", 1)
            buf_put(&x.target, <const char*>query, len(query))
    if log_request_sent(x, False, &asked):      # the head that went upstream, of which a text format may tell the target
        mark = <const char*>memchr(asked.p, c"?", asked.n)
        if mark != NULL:
            text = x.request.p[:mark - x.request.p] + (b"?" + query if query else b"")
            text += asked.p[asked.n:x.request.p + x.request.len - asked.p]
            buf_reset(&x.request)
            buf_put(&x.request, <const char*>text, len(text))


def ledger_field(Request request not None, str name not None, values) -> None:
    """In the log phase: what is logged as the values of the request's headers of this name, one each; None: there were none."""
    cdef Exchange* x = request.alive()
    cdef bytes raw = name.encode("latin-1")
    cdef bytes value
    cdef Field* f
    cdef uint32_t i, at
    cdef Span s
    while extra_find(&x.up_extra, raw, <uint32_t>len(raw), &s):     # a step's copy is logged in place of the client's
        if x.request_id_len and s.p == x.up_extra.p + x.request_id:
            x.request_id_len = 0
        buf_reset(&x.loop.wbuf)
        extra_cut(x, raw, <uint32_t>len(raw), &x.loop.wbuf)
    waiting = None if values is None else list(values)
    for i in range(x.head.n):
        f = &x.head.fields[i]
        if f.name_len != len(raw) or not same_name(x.bytes.p + f.name, raw, len(raw)):
            continue
        if not waiting:
            f.flags |= FIELD_DROP | FIELD_HIDDEN
            if x.head.first[f.id] == i + 1:
                x.head.first[f.id] = 0
            continue
        value = waiting.pop(0).encode("latin-1", "replace")
        ledger_append(x, value, &at)
        f.value = at
        f.value_len = <uint32_t>len(value)
