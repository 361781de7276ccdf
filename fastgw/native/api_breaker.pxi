# api_breaker: the api-breaker plugin's steps. In `access` a request to a place whose breaker is open is answered without asking
# the upstream; in `log` the upstream's status is told to the breaker. A place is a host and a path, whatever the route, as in
# APISIX. Must not know how it is counted (breaker).

cdef enum:                      # what a status says
    BREAKER_NOTHING = 0
    BREAKER_HEALTHY
    BREAKER_UNHEALTHY

cdef struct ApiBreakerHeader:
    const char* name
    uint32_t name_len
    const VarPart* value
    uint32_t value_n

cdef struct ApiBreakerConf:
    BreakerConf breaker
    uint16_t status
    bint has_body
    const char* body
    uint32_t body_len
    const char* type
    ApiBreakerHeader* headers
    uint32_t n_headers
    uint8_t verdict[600]


cdef class ApiBreakerStep(Step):
    """api-breaker, phase "access" (asks the breaker) or "log" (tells it how the request went).

    `status`, `body`, `type` and `headers` (names and Templates of values) are the answer while it is open; they count only with a
    body. `unhealthy` and `healthy` are statuses of the upstream, `failures` and `successes` how many of them count.
    """
    cdef ApiBreakerConf conf
    cdef bytes body
    cdef bytes type
    cdef list held

    def __init__(self, str phase not None, *, int status, bytes body=None, str type="text/plain; charset=utf-8", headers=(),
                 unhealthy=(500,), healthy=(200,), int failures=3, int successes=3, int max_s=300):
        cdef Template value
        cdef bytes raw
        breaker_set(&self.conf.breaker, failures, successes, max_s)
        self.conf.status = <uint16_t>status
        self.body = body or b""
        self.type = type.encode()
        self.held = [(name.encode(), value) for name, value in headers]
        self.conf.has_body = body is not None
        self.conf.body = self.body
        self.conf.body_len = <uint32_t>len(self.body)
        self.conf.type = self.type
        self.conf.headers = <ApiBreakerHeader*>calloc(len(self.held) or 1, sizeof(ApiBreakerHeader))
        if self.conf.headers == NULL:
            raise MemoryError
        for raw, value in self.held:
            self.conf.headers[self.conf.n_headers] = [raw, <uint32_t>len(raw), value.parts, value.n]
            self.conf.n_headers += 1
        for statuses, verdict in ((healthy, BREAKER_HEALTHY), (unhealthy, BREAKER_UNHEALTHY)):
            for each in statuses:
                if not 200 <= each < 600:
                    raise ValueError(f"status: expected 200 to 599, found {each}")
                self.conf.verdict[<int>each] = verdict
        self.bind(step_api_breaker if phase == "access" else step_api_breaker_log, &self.conf, phase)

    def __dealloc__(self):
        free(self.conf.headers)


cdef inline LimKey api_breaker_key(const Exchange* x) noexcept nogil:
    cdef LimKey k
    lim_key(x.loop.table, <const uint8_t*>x.host.p, x.host.len, <const uint8_t*>x.uri_path, x.uri_path_len, &k)
    return lim_variant(x.loop.table, &k, LIM_SALT_BREAKER)


cdef int step_api_breaker(Exchange* x, void* p) noexcept nogil:
    cdef ApiBreakerConf* c = <ApiBreakerConf*>p
    cdef LimKey k = api_breaker_key(x)
    if not breaker_open(x.loop.table, &k, &c.breaker, x.loop.now_ms):
        return STEP_NEXT
    api_breaker_answer(x, c)
    return STEP_REPLY


cdef void api_breaker_answer(Exchange* x, const ApiBreakerConf* c) noexcept nogil:
    cdef Buf* value = &x.loop.wbuf
    cdef const ApiBreakerHeader* h
    cdef uint32_t i
    if not c.has_body:
        reply_error(x, c.status, NULL, "api-breaker.open")
        if c.status < 400:
            buf_reset(&x.reply_body)
        return
    x.status = c.status
    x.refused = "api-breaker.open"
    x.reply_type = c.type
    buf_reset(&x.reply_body)
    buf_put(&x.reply_body, c.body, c.body_len)
    for i in range(c.n_headers):
        h = &c.headers[i]
        buf_reset(value)
        parts_eval(h.value, h.value_n, x, value)
        extra_line(&x.down_extra, h.name, h.name_len, value.p, value.len)   # not with control bytes in it


cdef inline uint16_t upstream_status(const Exchange* x) noexcept nogil:
    # What the upstream answered, or what its last failure counts as (502, 504); 0: it never came to that, or not to an end.
    if x.up_status:
        return x.up_status
    return x.status if x.status == x.fail_status and x.status != 503 else 0


cdef int step_api_breaker_log(Exchange* x, void* p) noexcept nogil:
    cdef ApiBreakerConf* c = <ApiBreakerConf*>p
    cdef uint16_t status = upstream_status(x)
    cdef LimKey k
    if status >= 600 or c.verdict[status] == BREAKER_NOTHING:
        return STEP_NEXT
    k = api_breaker_key(x)
    if c.verdict[status] == BREAKER_UNHEALTHY:
        breaker_failed(x.loop.table, &k, &c.breaker, x.loop.now_ms)
    else:
        breaker_succeeded(x.loop.table, &k, &c.breaker, x.loop.now_ms)
    return STEP_NEXT
