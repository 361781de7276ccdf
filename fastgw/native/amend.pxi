# amend: what Python steps of shipped plugins change of a message beside its headers. Must not know plugins.


def replace_body(Request request not None, bytes body not None) -> None:
    """The body that goes upstream instead of the one that `request.body` gave."""
    cdef Exchange* x = request.alive()
    if x.body != BODY_LENGTH or not x.body_done or x.gathering or x.stage >= STAGE_UPSTREAM:
        raise PluginError("a body can be replaced once it was awaited, and before it goes upstream")
    piece_reset(x)
    buf_put(&x.piece, <const char*>body, len(body))
    gather_count(x)             # it was lawful, and is counted however long this one is
    if x.piece.failed:
        raise MemoryError
    x.head.content_length = len(body)
