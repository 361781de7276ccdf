# client_control: the client-control plugin's step: the longest body that a request may have here, below the gateway's own bound.


cdef class ClientControlStep(Step):
    """client-control of one object. `most`: bytes of a body; 0: no bound of its own."""
    cdef int64_t most

    def __init__(self, long long most):
        if most < 0:
            raise ValueError(f"most: expected 0 or more, found {most}")
        self.most = most
        self.bind(step_client_control, &self.most, "rewrite")


cdef int step_client_control(Exchange* x, void* p) noexcept nogil:
    cdef int64_t most = (<const int64_t*>p)[0]
    if most == 0:
        return STEP_NEXT
    x.body_most = min(x.body_most, most)
    if (x.body == BODY_LENGTH and x.head.content_length > most) or (x.body == BODY_CHUNKED and x.chunks.announced > most):
        reply_error(x, 413, NULL, "client-control.too_large")
        return STEP_REPLY
    return STEP_NEXT
