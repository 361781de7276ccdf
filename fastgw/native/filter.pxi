# filter: body_filter steps over the pieces of an answer. A step sees a piece, never the body; what it puts into x.filtered
# replaces the piece. A filtered answer has no length known beforehand, so it goes out chunked.


cdef inline bint chain_has(const Exchange* x, int phase) noexcept nogil:
    return x.snapshot.globals.n[phase] or x.plan.chain.n[phase] or (
        x.consumer != NULL and x.consumer.chain.n[phase])


cdef void filter_piece(Exchange* x, const char** p, size_t* n, bint last) noexcept nogil:
    # Runs every body_filter step over one piece; p and n name the result, good until the next piece.
    x.piece_p = p[0]
    x.piece_n = n[0]
    x.piece_last = last
    chain_on_answer(x, PHASE_BODY_FILTER)
    p[0] = x.piece_p
    n[0] = x.piece_n


cdef void filter_replace(Exchange* x, const char* p, size_t n) noexcept nogil:
    # A step's new piece; p may lie in the old one.
    cdef Buf fresh
    memset(&fresh, 0, sizeof(Buf))
    buf_put(&fresh, p, n)
    buf_free(&x.filtered)
    x.filtered = fresh
    x.piece_p = fresh.p
    x.piece_n = fresh.len


cdef void answer_emit(Exchange* x, Buf* out, const char* p, size_t n) noexcept nogil:
    # One piece of the answer's body, framed for the client.
    if x.filtering and not answer_filtered(x, &p, &n, False):
        out.failed = 1
        return
    answer_frame(x, out, p, n)


cdef void answer_frame(Exchange* x, Buf* out, const char* p, size_t n) noexcept nogil:
    if n == 0:
        return
    x.answer_bytes += n
    if x.answer_chunked:
        buf_hex(out, n)
        buf_put(out, b"\r\n", 2)
    buf_put(out, p, n)
    if x.answer_chunked:
        buf_put(out, b"\r\n", 2)


cdef void answer_emit_end(Exchange* x, Buf* out) noexcept nogil:
    # What filters still hold back, and the last chunk.
    cdef const char* p = NULL
    cdef size_t n = 0
    if x.filtering:
        if not answer_filtered(x, &p, &n, True):
            out.failed = 1
            return
        answer_frame(x, out, p, n)
    if x.answer_chunked:
        buf_put(out, b"0\r\n\r\n", 5)
