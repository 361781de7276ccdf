# copies: what passes through, copied for who looks on: a request's head as the upstream gets it, its body, the body of an answer.
# Nothing waits for a copy, and nothing that becomes of one changes what it is of: where a body is longer than its copy may be, or
# copies take more memory than they may, the copy is given up. Must not know who asks, nor what for.

cdef enum:
    COPIES_MOST = 134217728     # bytes that copies under way may take in one process

cdef uint64_t copies_held       # bytes


cdef void copy_end(CopyC* c) noexcept nogil:
    global copies_held
    copies_held -= c.bytes.cap
    buf_free(&c.bytes)


cdef void copy_put(CopyC* c, const char* p, size_t n) noexcept nogil:
    global copies_held
    cdef uint64_t before = c.bytes.cap
    if c.over:
        return
    if <size_t>c.bytes.len + n <= c.most and copies_held + n <= COPIES_MOST:
        buf_put(&c.bytes, p, n)
        copies_held += c.bytes.cap - before
        if not c.bytes.failed:
            return
    c.over = 1
    copy_end(c)


cdef int copy_told(CopyC* c, done) except -1:
    cdef object body = None
    if not c.over:
        body = c.bytes.p[:c.bytes.len] if c.bytes.len else b""
    copy_end(c)
    done(body)
    return 0


cdef void copies_body(Exchange* x, const char* p, size_t n) noexcept nogil:
    # The next bytes of a request's body, of which nothing but the body is kept.
    copy_put(x.body_copy, p, n)
    if not x.body_done and not x.body_copy.over:
        return
    x.copying = 0
    x.loop.wait_ms = 0          # who has it may have asked something of the event loop
    with gil:
        try:
            copy_told(x.body_copy, (<Request>x.py).body_taken_by)
        except BaseException as error:
            (<Reactor>x.loop.reactor).on_error("copy", PHASES[PHASE_BEFORE_PROXY], error)


cdef void copies_answer(Exchange* x, const char* p, size_t n, bint last) noexcept nogil:
    # The next piece of an answer's body.
    copy_put(x.answer_copy, p, n)
    if not last and not x.answer_copy.over:
        return
    x.filtering &= ~FILTER_COPIES
    x.loop.wait_ms = 0
    with gil:
        try:
            copy_told(x.answer_copy, (<Request>x.py).answer_taken_by)
        except BaseException as error:
            (<Reactor>x.loop.reactor).on_error("copy", PHASES[PHASE_HEADER_FILTER], error)


cdef int copy_bound(most) except -1:
    if not 0 <= most <= BODY_MOST:
        raise ValueError(f"most: expected 0 to {BODY_MOST} bytes, found {most}")
    return 0


def copy_body(Request request not None, most, done) -> bool:
    """Calls done(body) once the request's body has passed, with None where it is longer than `most` bytes; maybe at once, and
    never where the client does not send all of it. Gives False, and calls nobody, where there is no body."""
    cdef Exchange* x = request.alive()
    copy_bound(most)
    if x.stage > STAGE_UPSTREAM or x.up != NULL or request.body_taken_by is not None:
        raise PluginError("a body can be copied before it goes upstream, and by one who asks")
    if x.body == BODY_NONE or x.body == BODY_TUNNEL:
        return False
    request.body_taken_by = done
    request.body_copy.most = <uint32_t>most
    x.body_copy = &request.body_copy
    x.copying = not x.body_done
    copies_body(x, x.piece.p, x.piece.len)      # what was gathered is here as it was sent, without its framing
    return True


def copy_answer(Request request not None, most, done) -> None:
    """In `header_filter`: as copy_body of the upstream's answer, before anything changes it; done(b"") where it has no body."""
    cdef Exchange* x = request.alive()
    copy_bound(most)
    if x.up_head == NULL or x.filtering & FILTER_COPIES:
        raise PluginError("an answer can be copied when its head is there, and by one who asks")
    request.answer_taken_by = done
    copy_end(&request.answer_copy)
    request.answer_copy.over = 0
    request.answer_copy.most = <uint32_t>most
    x.answer_copy = &request.answer_copy
    x.filtering |= FILTER_COPIES


def copy_head(Request request not None, bytes authority not None, bytes target not None) -> bytes | None:
    """In `before_proxy`: the head that the upstream is about to get, for another server: with this target, and where the upstream
    is not told the client's Host, this one. Without the framing of a body and the empty line. None: it asks for a tunnel."""
    cdef Exchange* x = request.alive()
    cdef Buf* out = &x.loop.wbuf
    cdef const UpstreamC* u
    cdef Names names
    cdef Span host
    if x.body == BODY_TUNNEL:
        return None
    buf_reset(out)
    buf_str(out, method_name(x.up_method))
    buf_put(out, b" ", 1)
    buf_put(out, <const char*>target, len(target))
    buf_put(out, b" HTTP/1.1\r\nHost: ", 17)
    host.p = authority
    host.n = <uint32_t>len(authority)
    u = x.upstream
    if u != NULL and (u.pass_host == HOST_REWRITE or (u.pass_host == HOST_PASS and (x.up_host_len or x.authority_len))):
        request_host(x, &host)
    buf_put(out, host.p, host.n)
    buf_put(out, b"\r\n", 2)
    names_collect(&names, &x.up_extra)
    copy_fields(out, &x.head, x.bytes.p, &names)
    put_forwarded(x, out)
    if x.credential != NULL:
        buf_put(out, x.credential.identity, x.credential.identity_len)
    buf_put(out, x.up_extra.p, x.up_extra.len)
    if out.failed:
        raise MemoryError
    return out.p[:out.len]


def _test_copies_held() -> int:
    """Bytes that copies under way take."""
    return copies_held
