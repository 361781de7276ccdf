# meta: what `_meta` of a plugin's configuration adds to its steps, as steps around them: FilteredStep runs the inner one only
# where a condition holds, ErrorBodyStep puts another body into its refusals. A plugin without `_meta` has its steps as they are
# and pays nothing. Must not know plugins.

cdef struct Judged:             # in x.judged: a condition that this request has met
    const ExprC* expression
    int runs

cdef struct FilteredConf:
    const ExprC* expression
    step_fn fn
    void* conf

cdef struct ErrorBodyConf:
    step_fn fn
    void* conf
    const char* body
    uint32_t body_len
    const char* type


cdef class FilteredStep(Step):
    """The inner step where the expression holds. Steps of one plugin share the Expression: it is evaluated once per request, so
    that of a plugin either all phases run or none."""
    cdef FilteredConf conf
    cdef Expression expression
    cdef Step inner

    def __init__(self, Expression expression not None, Step inner not None):
        self.expression = expression
        self.inner = inner
        self.conf.expression = &expression.c
        self.conf.fn = inner.c.fn
        self.conf.conf = inner.c.conf
        self.bind(step_filtered, &self.conf, PHASES[inner.phase])


cdef class ErrorBodyStep(Step):
    """The inner step, whose refusals (status 400 and above) have this body and Content-Type instead of their own."""
    cdef ErrorBodyConf conf
    cdef bytes body
    cdef bytes type
    cdef readonly Step inner

    def __init__(self, bytes body not None, str type not None, Step inner not None):
        self.inner = inner
        self.body = body
        self.type = type.encode()
        self.conf.fn = inner.c.fn
        self.conf.conf = inner.c.conf
        self.conf.body = self.body
        self.conf.body_len = <uint32_t>len(body)
        self.conf.type = self.type
        self.bind(step_error_body, &self.conf, PHASES[inner.phase])


cdef bint meta_runs(Exchange* x, const ExprC* expression) noexcept nogil:
    # The verdict of the first time. A condition that cannot be judged (no memory) holds nobody off: the plugin runs.
    cdef Judged* known = <Judged*>x.judged.p
    cdef Judged mine
    cdef uint32_t i
    if x.n_judged == 0:
        buf_reset(&x.judged)
    for i in range(x.n_judged):
        if known[i].expression == expression:
            return known[i].runs
    mine.expression = expression
    mine.runs = expr_eval(expression, x) != 0
    buf_put(&x.judged, &mine, sizeof(mine))
    if not x.judged.failed:
        x.n_judged += 1
    return mine.runs


cdef int step_filtered(Exchange* x, void* p) noexcept nogil:
    cdef const FilteredConf* c = <const FilteredConf*>p
    return c.fn(x, c.conf) if meta_runs(x, c.expression) else STEP_NEXT


cdef void meta_error(Exchange* x, const ErrorBodyConf* c) noexcept nogil:
    if x.status < 400 or x.reply_type == REPLY_STORED:
        return
    buf_reset(&x.reply_body)
    buf_put(&x.reply_body, c.body, c.body_len)
    x.reply_type = c.type


cdef int step_error_body(Exchange* x, void* p) noexcept nogil:
    cdef const ErrorBodyConf* c = <const ErrorBodyConf*>p
    cdef int r
    x.error_body = c            # before it runs, for exchange_resume: after STEP_WAIT the exchange may be gone
    r = c.fn(x, c.conf)
    if r == STEP_REPLY:
        meta_error(x, c)
    if r == STEP_REPLY or r == STEP_NEXT:
        x.error_body = NULL
    return r
