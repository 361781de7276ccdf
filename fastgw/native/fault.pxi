# fault: what a client is told where the gateway itself cannot serve its request: the status, the reason that the access log has,
# and an id by which its owner finds that line. Nothing that names what stands behind the gateway. Must not know: what is wrong;
# refusals by plugins, whose texts are APISIX's.


cdef void fault_identify(Exchange* x) noexcept nogil:
    # A request that request-id has not seen, or did not live to see, gets an id as that would give it: where the step comes to
    # its answer after all, it finds it.
    cdef Buf* out = &x.up_extra
    cdef RequestIdConf uuid
    memset(&uuid, 0, sizeof(uuid))
    uuid.algorithm = ID_UUID
    buf_put(out, b"X-Request-Id: ", 14)
    x.request_id = out.len
    id_make(out, &uuid, x.loop)
    x.request_id_len = out.len - x.request_id if not out.failed else 0
    buf_put(out, b"\r\n", 2)


cdef void fault_set(Exchange* x, uint16_t status, const char* reason) noexcept nogil:
    # The answer, which reply_send sends.
    cdef Buf* out = &x.reply_body
    if strncmp(reason, "framing.", 8) == 0:
        metric_add(x.loop, M_REFUSED_FRAMING, 1)
    if x.request_id_len == 0:
        fault_identify(x)
    x.status = status
    x.refused = reason
    x.reply_type = NULL
    buf_reset(out)
    buf_put(out, b'{"error_msg":"', 14)
    buf_int(out, status)
    buf_put(out, b" ", 1)
    buf_str(out, reply_reason(status))
    buf_put(out, b'","reason":"', 12)
    buf_str(out, reason)
    buf_put(out, b'","request_id":"', 16)
    if x.request_id_len:
        log_text(out, x.up_extra.p + x.request_id, x.request_id_len)
    buf_put(out, b'"}\n', 3)


cdef void fault_answer(Exchange* x, uint16_t status, const char* reason) noexcept nogil:
    # Ends the exchange.
    fault_set(x, status, reason)
    reply_send(x)


cdef void fault_of_upstream(Exchange* x, uint16_t status, const char* reason) noexcept nogil:
    # No try, if there was one, brought an answer.
    if x.fail_status != 503:
        put_upstream_status(x, &x.down_extra)
    fault_answer(x, status, reason)
