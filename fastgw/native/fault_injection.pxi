# fault_injection: the fault-injection plugin's steps. By chance and by conditions some requests are held back for a time, some
# answered at once.

cdef enum:
    FAULT_SECONDS = 86400       # a day: what is meant as a longer one is no delay

cdef struct FaultC:             # whom it strikes
    uint8_t percentage
    const ExprC* condition      # NULL: any request

cdef struct FaultDelayConf:
    FaultC fault
    uint64_t ns

cdef struct FaultAbortConf:
    FaultC fault
    uint16_t status
    bint has_body
    const VarPart* body
    uint32_t body_n
    HeaderOps headers


cdef class FaultDelayStep(Step):
    """Holds back `percentage` of the requests of which `condition` holds for `seconds`; the worker serves others meanwhile."""
    cdef FaultDelayConf conf
    cdef Expression condition

    def __init__(self, double seconds, int percentage=100, Expression condition=None):
        if not 0 <= seconds <= FAULT_SECONDS:
            raise ValueError(f"seconds: expected 0 to {FAULT_SECONDS}, found {seconds}")
        self.condition = condition
        self.conf.fault.percentage = <uint8_t>percentage
        self.conf.fault.condition = &condition.c if condition is not None else NULL
        self.conf.ns = <uint64_t>(seconds * 1e9)
        self.bind(step_fault_delay, &self.conf, "rewrite")


cdef class FaultAbortStep(Step):
    """Answers `percentage` of the requests of which `condition` holds. Without a body it has the one of an error."""
    cdef FaultAbortConf conf
    cdef Template body
    cdef AnswerHeaders headers
    cdef Expression condition

    def __init__(self, int status, AnswerHeaders headers not None, Template body=None, int percentage=100,
                 Expression condition=None):
        if not 200 <= status <= 599:
            raise ValueError(f"status: expected 200 to 599, found {status}")
        self.condition = condition
        self.headers = headers
        self.body = body
        self.conf.fault.percentage = <uint8_t>percentage
        self.conf.fault.condition = &condition.c if condition is not None else NULL
        self.conf.status = <uint16_t>status
        self.conf.headers = headers.c
        if body is not None:
            self.conf.has_body = True
            self.conf.body = body.parts
            self.conf.body_n = body.n
        self.bind(step_fault_abort, &self.conf, "rewrite")


cdef bint fault_strikes(Exchange* x, const FaultC* c) noexcept nogil:
    cdef uint32_t chance
    if c.percentage < 100:
        memcpy(&chance, random_take(&x.loop.random, 4), 4)
        if <uint64_t>chance * 100 >> 32 >= c.percentage:
            return False
    return c.condition == NULL or expr_eval(c.condition, x) > 0


cdef int step_fault_delay(Exchange* x, void* p) noexcept nogil:
    cdef const FaultDelayConf* c = <const FaultDelayConf*>p
    if c.ns and fault_strikes(x, &c.fault) and delay_start(x, c.ns) == 0:
        return STEP_WAIT
    return STEP_NEXT


cdef int step_fault_abort(Exchange* x, void* p) noexcept nogil:
    cdef const FaultAbortConf* c = <const FaultAbortConf*>p
    if not fault_strikes(x, &c.fault):
        return STEP_NEXT
    reply_error(x, c.status, NULL, "fault-injection.aborted")
    if c.has_body:
        x.reply_type = "text/plain; charset=utf-8"
        buf_reset(&x.reply_body)
        parts_eval(c.body, c.body_n, x, &x.reply_body)
    elif c.status < 400:
        buf_reset(&x.reply_body)
    answer_headers(x, &c.headers)
    return STEP_REPLY
