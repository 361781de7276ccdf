# limited: what the limiting steps share: whose count a request is, numbers that a request has a say in, the answer to one that
# is over the limit or that could not be counted. Must not know how anything is counted.

cdef enum:
    IDENTITY_NEAR = 48          # bytes of an identity that are kept beside what else a step reads of its own
    NUMBER_DIGITS = 16          # of NUMBER_MOST

cdef uint64_t NUMBER_MOST = (<uint64_t>1 << 53) - 1     # the largest whole number that every reader of JSON keeps exact

cdef struct LimitedConf:        # at the beginning of a limiting step's conf
    const char* identity        # the owner object and the plugin (DESIGN section 3), never a version
    uint32_t identity_len
    char near[IDENTITY_NEAR]
    const VarPart* key
    uint32_t key_n
    bint key_needs_value        # falls back to remote_addr where no variable resolves
    bint is_rule                # one of several: it does not concern a request that has no value for its key
    bint pass_on_failure
    bint shadow                 # counts, and tells the log what it would have done
    uint16_t rejected_code
    const char* rejected_body
    uint32_t rejected_len


cdef class LimitedStep(Step):
    """A step that counts by a key. `identity`: bytes that name the owner of the count."""
    cdef LimitedConf* who       # the beginning of the subclass's conf
    cdef readonly bytes identity
    cdef bytes body
    cdef Template key

    cdef int count_by(self, LimitedConf* who, bytes identity, Template key, int rejected_code, bytes rejected_body,
                      bint pass_on_failure, bint shadow) except -1:
        self.who = who
        self.identity = identity
        self.key = key
        self.body = rejected_body
        self.who.identity = self.identity
        self.who.identity_len = len(identity)
        if len(identity) <= IDENTITY_NEAR:
            memcpy(self.who.near, <const char*>identity, len(identity))
            self.who.identity = self.who.near
        self.who.key = key.parts
        self.who.key_n = key.n
        self.who.key_needs_value = key.varies
        self.who.pass_on_failure = pass_on_failure
        self.who.shadow = shadow
        self.who.rejected_code = rejected_code
        self.who.rejected_body = self.body
        self.who.rejected_len = len(rejected_body)
        return 0


cdef bint limited_number(
    Exchange* x, const VarPart* parts, uint32_t n, uint64_t least, uint64_t most, uint64_t* out
) noexcept nogil:
    # Whether the text is a whole number from `least` to `most`: clients may have a say in it, and what is no such number must
    # not switch the limit off (known-pains 2.4). Overwrites the loop's scratch.
    cdef Buf* text = &x.loop.wbuf
    cdef uint32_t i
    buf_reset(text)
    parts_eval(parts, n, x, text)
    out[0] = 0
    if text.failed or not 0 < text.len <= NUMBER_DIGITS:
        return False
    for i in range(text.len):
        if not 48 <= text.p[i] <= 57:
            return False
        out[0] = out[0] * 10 + <uint64_t>(text.p[i] - 48)
    return least <= out[0] <= most


cdef inline bint limited_key(Exchange* x, const LimitedConf* c, LimKey* out) noexcept nogil:
    # The key is evaluated into the loop's scratch and hashed there. False where it has no value: the client's address stands in,
    # but for a rule, which then has nothing to do with the request.
    cdef Buf* value = &x.loop.wbuf
    cdef bint found
    buf_reset(value)
    found = parts_eval(c.key, c.key_n, x, value) > 0 or not c.key_needs_value
    if not found:
        if c.is_rule:
            return False
        buf_reset(value)
        buf_put(value, x.client.address, x.client.address_len)
    lim_key(x.loop.table, <const uint8_t*>c.identity, c.identity_len, <const uint8_t*>value.p, value.len, out)
    hot_hit(&x.loop.hot, c, x.loop.now_ns, out, c.identity, c.identity_len, value.p, value.len)
    return found


cdef inline uint64_t retry_seconds(uint64_t ns) noexcept nogil:
    # Whole seconds, rounded up from the hundredths that a reset header shows (RFC 9110 section 10.2.3); at least 1.
    cdef uint64_t hundredths = ns // 10000000
    return (hundredths + 99) // 100 if hundredths > 100 else 1


cdef int limited_shadow(Exchange* x, const char* reason) noexcept nogil:
    # Of several limits that would have had a say the log has the first: behind it a request would not have come.
    if x.shadow == NULL:
        x.shadow = reason
    return STEP_NEXT


cdef int limited_refuse(Exchange* x, const LimitedConf* c, uint64_t retry_ns, const char* reason) noexcept nogil:
    cdef Buf* out = &x.down_extra
    if c.shadow:
        metric_add(x.loop, M_SHADOWED, 1)
        return limited_shadow(x, reason)
    metric_add(x.loop, M_REFUSED_LIMIT, 1)
    buf_put(out, b"Retry-After: ", 13)
    buf_int(out, retry_seconds(retry_ns))
    buf_put(out, b"\r\n", 2)
    x.status = c.rejected_code
    x.refused = reason
    hot_refused(&x.loop.hot, c)
    buf_reset(&x.reply_body)
    x.reply_type = NULL
    if c.rejected_len:
        buf_put(&x.reply_body, c.rejected_body, c.rejected_len)
    else:
        reply_error(x, c.rejected_code, NULL, reason)
    return STEP_REPLY


cdef int limited_fail(Exchange* x, const LimitedConf* c, const char* text, const char* reason) noexcept nogil:
    # The limiter could not tell: closed, unless the owner would rather have it open.
    metric_add(x.loop, M_LIMIT_FAILURES, 1)
    if c.shadow:
        return limited_shadow(x, reason)
    if c.pass_on_failure:
        return STEP_NEXT
    reply_error(x, 500, text, reason)
    return STEP_REPLY
