# amend: what Python steps of shipped plugins change of a message beside its headers. Must not know plugins.


def replace_body(Request request not None, bytes body not None) -> None:
    """The body that goes upstream instead of the one that `request.body` gave."""
    cdef Exchange* x = request.alive()
    if x.body != BODY_LENGTH or not x.body_done or x.gathering or x.stage >= STAGE_UPSTREAM:
        raise PluginError("a body can be replaced once it was awaited, and before it goes upstream")
    buf_reset(&x.piece)
    buf_put(&x.piece, <const char*>body, len(body))
    if x.piece.failed:
        raise MemoryError
    x.head.content_length = len(body)


def add_response_line(Request request not None, str name not None, str value not None) -> None:
    """Adds a header to those that the answer has of this name, which `set_response_header` would replace. In `header_filter`."""
    cdef Exchange* x = request.alive()
    cdef bytes raw = name.encode("latin-1")
    cdef const Field* f
    cdef Span s
    cdef uint32_t i
    if x.up_head != NULL and not extra_find(&x.down_extra, raw, <uint32_t>len(raw), &s):
        for i in range(x.up_head.n):    # a step's line stands for all of the upstream's: so these become a step's too
            f = &x.up_head.fields[i]
            if f.name_len == len(raw) and not f.flags & FIELD_DROP and same_name(x.up_base + f.name, raw, len(raw)):
                extra_line(&x.down_extra, raw, len(raw), x.up_base + f.value, f.value_len)
    put_python_line(&x.down_extra, name, value)
