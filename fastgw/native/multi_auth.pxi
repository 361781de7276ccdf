# multi_auth: the multi-auth plugin's step: other authentication steps, tried in turn until one lets the request in. What the
# others leave in the answer's head counts only where none does. Must not know any of them.

cdef enum:
    MEMBER_REFUSED = -1         # beside the results of steps

cdef struct MultiAuthConf:
    StepC* members
    uint32_t n


cdef class MultiAuthStep(Step):
    """multi-auth of one route. `members`: steps of the phase rewrite, tried in this order; none: nobody passes."""
    cdef MultiAuthConf conf
    cdef list held

    def __init__(self, members):
        cdef Step step
        cdef uint32_t i
        self.held = list(members)
        if len(self.held) > MEMBERS_MOST:
            raise ValueError(f"members: expected at most {MEMBERS_MOST}, found {len(self.held)}")
        self.conf.members = <StepC*>calloc(len(self.held) or 1, sizeof(StepC))
        if self.conf.members == NULL:
            raise MemoryError
        for step in self.held:
            if step.phase != PHASE_REWRITE:
                raise ValueError(f"members: expected steps of the phase rewrite, found one of {PHASES[step.phase]}")
        for i, step in enumerate(self.held):
            self.conf.members[i] = step.c
        self.conf.n = <uint32_t>len(self.held)
        self.bind(step_multi_auth, &self.conf, "rewrite")

    def __dealloc__(self):
        free(self.conf.members)


cdef int step_multi_auth(Exchange* x, void* p) noexcept nogil:
    x.member = 0
    x.n_member_refused = 0
    x.members_from = x.down_extra.len
    return multi_auth_try(x, <MultiAuthConf*>p)


cdef int multi_auth_resume(Exchange* x, void* p, int result) noexcept nogil:
    # The member that waited has its result.
    result = multi_auth_judged(x, result)
    return multi_auth_try(x, <MultiAuthConf*>p) if result == MEMBER_REFUSED else result


cdef int multi_auth_again(Exchange* x, void* p, int result) noexcept nogil:
    # The member is to be asked the same again.
    return multi_auth_try(x, <MultiAuthConf*>p)


cdef int multi_auth_try(Exchange* x, MultiAuthConf* c) noexcept nogil:
    cdef const StepC* member
    cdef int result
    while x.member < c.n:
        member = &c.members[x.member]
        x.member += 1
        x.member_from = x.down_extra.len
        x.composite = multi_auth_resume     # before it runs: after STEP_WAIT the exchange may be gone
        x.composite_conf = c
        result = member.fn(x, member.conf)
        if result == STEP_WAIT:
            return STEP_WAIT
        if result == STEP_AGAIN:
            x.member -= 1
            x.composite = multi_auth_again
            return STEP_WAIT
        x.composite = NULL
        result = multi_auth_judged(x, result)
        if result != MEMBER_REFUSED:
            return result
    # The challenges of all members stand in the head already (RFC 9110 section 11.6.1).
    reply_message(x, 401, "Authorization Failed", "multi.failed")
    return STEP_REPLY


cdef int multi_auth_judged(Exchange* x, int result) noexcept nogil:
    # What becomes of a member's result. Where it lets the request in, or could not judge and answers with a fault of the
    # gateway's, that stands, without the challenges of those before it: an answer that is no 401 carries none. Else what it left
    # in the exchange is taken back but its challenge: MEMBER_REFUSED.
    cdef Buf* lines = &x.down_extra
    if result == STEP_NEXT or x.status >= 500:
        if x.members_from < x.member_from <= lines.len:
            memmove(lines.p + x.members_from, lines.p + x.member_from, lines.len - x.member_from)
            lines.len -= x.member_from - x.members_from
        x.n_member_refused = 0
        return result
    if x.refused != NULL and x.n_member_refused < MEMBERS_LOGGED:
        x.member_refused[x.n_member_refused] = x.refused
        x.n_member_refused += 1
    x.status = 0
    x.refused = NULL
    x.reply_type = NULL
    buf_reset(&x.reply_body)
    return MEMBER_REFUSED
