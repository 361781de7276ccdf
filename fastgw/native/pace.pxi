# pace: how slowly a client may send a body or take an answer. Must not know what either is made of.
#
# Each side of a request has credit, milliseconds for which the client may still be waited for: at first, and at most, what its
# timeout says. Waiting spends it, and bytes that move earn it back, 1/min_rate of a second each. So nothing may come for as
# long as the timeout says and no longer, and who sends or takes less than min_rate for longer than that is cut: a byte just
# before each timeout does not help (hardening rule 24). While the gateway itself does not read, or has nothing to send, no
# clock runs. Without min_rate any byte earns everything.
#
# Nothing is done for requests that nobody waits for. A deadline is a store, as all of the wheel's (conn.pxi).

cdef enum:
    PACE_NONE = -1              # no clock runs
    PACE_BODY = 0
    PACE_ANSWER = 1


cdef inline int64_t pace_unsent(const Conn* c) noexcept nogil:
    return buf_left(&c.out) + (c.pipe.n if c.pipe != NULL else 0)


cdef inline bint pace_wants_body(const Exchange* x) noexcept nogil:
    # Whether it is the client's body that is waited for, and not who takes it.
    return not x.body_done and x.body != BODY_TUNNEL and (
        x.gathering or (x.up != NULL and x.up.c.state == UP_ACTIVE and not conn_unsent(&x.up.c)))


cdef inline void pace_earn(int64_t* left, int64_t moved, int64_t most, uint32_t rate) noexcept nogil:
    if moved <= 0:
        return
    left[0] = most if rate == 0 or moved >= most * rate // 1000 else left[0] + moved * 1000 // rate
    if left[0] > most:
        left[0] = most


cdef void pace(Down* d) noexcept nogil:
    # Something of a body or an answer moved, or stopped moving: who is waited for now, and until when.
    cdef Loop* loop = d.c.loop
    cdef const LoopLimits* limits = &loop.limits
    cdef Exchange* x = d.c.x
    cdef Pace* p = &d.pace
    cdef int64_t unsent = pace_unsent(&d.c)
    if p.request != d.requests + 1:
        memset(p, 0, sizeof(Pace))
        p.request = d.requests + 1
        p.left[PACE_BODY] = limits.body_ms
        p.left[PACE_ANSWER] = limits.send_ms
    elif p.side != PACE_NONE:
        p.left[p.side] = p.due - <int64_t>loop.now_ms
    if x != NULL:
        pace_earn(&p.left[PACE_BODY], x.body_bytes - p.body, limits.body_ms, limits.min_rate)
        pace_earn(&p.left[PACE_ANSWER], x.answer_bytes - p.answer + p.unsent - unsent, limits.send_ms, limits.min_rate)
        p.body = x.body_bytes
        p.answer = x.answer_bytes
    else:
        pace_earn(&p.left[PACE_ANSWER], p.unsent - unsent, limits.send_ms, limits.min_rate)
    p.unsent = unsent
    p.side = PACE_NONE
    if unsent:
        p.side = PACE_ANSWER
    elif x != NULL and pace_wants_body(x):
        p.side = PACE_BODY
    if p.side == PACE_NONE:
        timer_set(&d.c, 0)
        return
    p.due = <int64_t>loop.now_ms + p.left[p.side]
    timer_set(&d.c, <uint32_t>p.left[p.side] if p.left[p.side] > 0 else 1)


cdef void pace_stop(Down* d) noexcept nogil:
    # The client is not waited for any more.
    cdef Pace* p = &d.pace
    if p.request == d.requests + 1 and p.side != PACE_NONE:
        p.left[p.side] = p.due - <int64_t>d.c.loop.now_ms
    p.side = PACE_NONE
    timer_set(&d.c, 0)


cdef bint pace_lost(Down* d) noexcept nogil:
    # The deadline of a client that takes an answer has come: whether it must be cut. A socket tells that it has room only when
    # a third of its buffer is free, which may be a megabyte; what a slow client took meanwhile is found by sending. May close d.
    cdef int r
    if not conn_unsent(&d.c):
        return True
    r = conn_flush(&d.c)
    if r < 0:
        return True
    pace(d)
    if r == 1:
        down_on_writable(d)
        return False
    return d.pace.left[PACE_ANSWER] <= 0
