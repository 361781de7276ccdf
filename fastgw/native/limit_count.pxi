# limit_count: the limit-count plugin's step. The key is evaluated into the loop's scratch, counted by one atomic on the shared
# table, and the quota headers go to the client. Identity is the owner object and the plugin (DESIGN section 3), never a
# version: an edit keeps what was consumed.

cdef enum:
    LIMIT_FIXED = 0
    LIMIT_BUCKET = 1
    LIMIT_SLIDING = 2

cdef struct LimitCountConf:
    const char* identity
    uint32_t identity_len
    const VarPart* key
    uint32_t key_n
    bint key_needs_value        # falls back to remote_addr where no variable resolves
    uint8_t algorithm
    uint64_t count
    uint64_t burst
    uint64_t window_ns
    uint16_t rejected_code
    bint quota_headers
    const char* names[3]        # "X-RateLimit-Limit: " and so on
    uint32_t name_lens[3]
    const char* rejected_body
    uint32_t rejected_len


cdef class LimitCountStep(Step):
    """limit-count for one owner. `identity`: bytes that name the counter's owner; `window` in seconds."""
    cdef LimitCountConf conf
    cdef bytes identity
    cdef bytes body
    cdef list names
    cdef Template key

    def __init__(self, bytes identity not None, Template key not None, *, unsigned long long count, double window,
                 str algorithm="fixed", burst=None, int rejected_code=503, bytes rejected_body=b"",
                 bint quota_headers=True,
                 header_names=("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")):
        self.identity = identity
        self.key = key
        self.body = rejected_body
        self.conf.identity = self.identity
        self.conf.identity_len = len(identity)
        self.conf.key = key.parts
        self.conf.key_n = key.n
        self.conf.key_needs_value = any(part[0] != VAR_LITERAL for part in key.held)
        self.conf.algorithm = ("fixed", "token-bucket", "sliding").index(algorithm)
        self.conf.count = count
        self.conf.burst = count if burst is None else burst
        self.conf.window_ns = <uint64_t>(window * 1e9)
        self.conf.rejected_code = rejected_code
        self.conf.rejected_body = self.body
        self.conf.rejected_len = len(rejected_body)
        self.conf.quota_headers = quota_headers
        self.names = [f"{name}: ".encode() for name in header_names]
        for i in range(3):
            self.conf.names[i] = <bytes>self.names[i]
            self.conf.name_lens[i] = len(self.names[i])
        self.bind(step_limit_count, &self.conf, "access")


cdef void put_seconds(Buf* out, uint64_t ns) noexcept nogil:
    # Seconds, cut to two decimals, without trailing zeros, as a number prints.
    cdef uint64_t hundredths = ns // 10000000
    cdef uint32_t part = hundredths % 100
    buf_int(out, hundredths // 100)
    if part:
        buf_byte(out, 46)
        buf_byte(out, <char>(48 + part // 10))
        if part % 10:
            buf_byte(out, <char>(48 + part % 10))


cdef inline uint64_t retry_seconds(uint64_t ns) noexcept nogil:
    # Whole seconds, rounded up from the hundredths that the reset header shows (RFC 9110 section 10.2.3); at least 1.
    cdef uint64_t hundredths = ns // 10000000
    return (hundredths + 99) // 100 if hundredths > 100 else 1


cdef int step_limit_count(Exchange* x, void* p) noexcept nogil:
    cdef LimitCountConf* c = <LimitCountConf*>p
    cdef Loop* loop = x.loop
    cdef Buf* value = &loop.wbuf
    cdef Buf* out = &x.down_extra
    cdef LimKey key
    cdef LimResult r
    buf_reset(value)
    if parts_eval(c.key, c.key_n, x, value) == 0 and c.key_needs_value:
        buf_reset(value)
        buf_put(value, x.down.address, x.down.address_len)
    lim_key(loop.table, <const uint8_t*>c.identity, c.identity_len, <const uint8_t*>value.p, value.len, &key)
    if c.algorithm == LIMIT_FIXED:
        lim_fixed(loop.table, &key, loop.now_ns, c.count, c.window_ns, 1, &r)
    elif c.algorithm == LIMIT_SLIDING:
        lim_sliding(loop.table, &key, loop.now_ns, c.count, c.window_ns, 1, &r)
    else:
        lim_bucket(loop.table, &key, loop.now_ns, c.count, c.window_ns, c.burst, 1, &r)
    if c.quota_headers:
        buf_put(out, c.names[0], c.name_lens[0])
        buf_int(out, r.limit)
        buf_put(out, b"\r\n", 2)
        buf_put(out, c.names[1], c.name_lens[1])
        buf_int(out, r.remaining)
        buf_put(out, b"\r\n", 2)
        buf_put(out, c.names[2], c.name_lens[2])
        put_seconds(out, r.reset_ns)
        buf_put(out, b"\r\n", 2)
    if r.allowed:
        return STEP_NEXT
    buf_put(out, b"Retry-After: ", 13)
    buf_int(out, retry_seconds(r.retry_after_ns))
    buf_put(out, b"\r\n", 2)
    x.status = c.rejected_code
    x.refused = "limit-count.exceeded"
    buf_reset(&x.reply_body)
    x.reply_type = NULL
    if c.rejected_len:
        buf_put(&x.reply_body, c.rejected_body, c.rejected_len)
    else:
        reply_error(x, c.rejected_code, NULL, "limit-count.exceeded")
    return STEP_REPLY
