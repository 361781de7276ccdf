# request_id: the request-id plugin's steps. In `rewrite` the request gets an id, the client's own or a new one, as a header line
# for the upstream; in `header_filter` the answer gets the same. The line itself is where the id is kept, also for the log.

cdef enum:
    REQUEST_ID_MAX = 256        # bytes of a client's id; a longer one is no id, and would go into the log and the answer
    KSUID_EPOCH = 1400000000    # s: where a KSUID's 32 bits of time begin (segmentio/ksuid)
    KSUID_CHARS = 27            # 160 bits to base 62
    KSUID_LIMB = 916132832      # 62 ** 5, the largest power below 2 ** 32

cdef enum:                      # algorithms
    ID_UUID = 0                 # RFC 9562 section 5.4
    ID_UUIDV7                   # RFC 9562 section 5.7
    ID_CHARS                    # nanoid and range_id: so many characters of a set
    ID_KSUID

cdef struct RequestIdConf:
    const char* name
    uint32_t name_len
    uint8_t algorithm
    uint32_t length             # ID_CHARS
    const char* chars
    uint32_t n_chars
    uint8_t mask                # the lowest 2^k - 1 that reaches every one of them

cdef const char* ID_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


cdef class RequestIdStep(Step):
    """request-id, phase "rewrite" (finds or makes the id) or "header_filter" (puts it into the answer).

    `algorithm`: "uuid", "uuidv7", "ksuid" or "chars": `length` of the characters in `chars`.
    """
    cdef RequestIdConf conf
    cdef bytes name
    cdef bytes chars

    def __init__(self, str phase, *, str header_name="X-Request-Id", str algorithm="uuid", unsigned int length=0,
                 bytes chars=b""):
        cdef bint folded
        cdef uint8_t id
        self.name = header_name.encode()
        self.chars = chars
        id = field_id(self.name, len(self.name), &folded)
        if FRAMING_DROP_REQUEST[id] or FRAMING_DROP_RESPONSE[id]:
            raise ValueError(f"header {header_name!r}: the gateway sets it itself")
        self.conf.name = self.name
        self.conf.name_len = <uint32_t>len(self.name)
        self.conf.algorithm = ("uuid", "uuidv7", "chars", "ksuid").index(algorithm)
        if self.conf.algorithm == ID_CHARS and not (0 < length <= REQUEST_ID_MAX and 0 < len(chars) <= 256):
            raise ValueError(f"length, chars: expected 1 to {REQUEST_ID_MAX} of 1 to 256, found {length} of {len(chars)}")
        self.conf.length = length
        self.conf.chars = self.chars
        self.conf.n_chars = <uint32_t>len(chars)
        self.conf.mask = <uint8_t>((1 << max(len(chars) - 1, 0).bit_length()) - 1)
        self.bind(step_request_id if phase == "rewrite" else step_request_id_answer, &self.conf, phase)


cdef void id_uuid(Buf* out, const uint8_t* raw) noexcept nogil:
    # 16 bytes in the form 8-4-4-4-12.
    cdef int i
    cdef char* p
    if buf_room(out, 36) != 0:
        return
    p = out.p + out.len
    out.len += 36
    for i in range(16):
        if i == 4 or i == 6 or i == 8 or i == 10:
            p[0] = c"-"
            p += 1
        p[0] = HEX_DIGITS[raw[i] >> 4]
        p[1] = HEX_DIGITS[raw[i] & 15]
        p += 2


cdef void id_ksuid(Buf* out, uint32_t seconds, const uint8_t* payload) noexcept nogil:
    # 4 bytes of time and 16 of chance as one number, to base 62: five digits a division.
    cdef uint32_t words[5]
    cdef char digits[30]
    cdef uint64_t rest
    cdef int i, k
    cdef int at = 30
    words[0] = seconds
    for i in range(4):
        words[i + 1] = (<uint32_t>payload[4 * i] << 24 | <uint32_t>payload[4 * i + 1] << 16
                        | <uint32_t>payload[4 * i + 2] << 8 | payload[4 * i + 3])
    while at:
        rest = 0
        for i in range(5):
            rest = rest << 32 | words[i]
            words[i] = <uint32_t>(rest // KSUID_LIMB)
            rest %= KSUID_LIMB
        for k in range(5):
            at -= 1
            digits[at] = ID_BASE62[rest % 62]
            rest //= 62
    buf_put(out, digits + 30 - KSUID_CHARS, KSUID_CHARS)


cdef void id_chars(Buf* out, const RequestIdConf* c, RandomPool* pool) noexcept nogil:
    # A byte that reaches none of the characters is thrown away: a remainder would favour the first ones.
    cdef uint32_t left = c.length
    cdef uint8_t pick
    if buf_room(out, left) != 0:
        return
    while left:
        pick = random_byte(pool) & c.mask
        if pick < c.n_chars:
            out.p[out.len] = c.chars[pick]
            out.len += 1
            left -= 1


cdef void id_make(Buf* out, const RequestIdConf* c, Loop* loop) noexcept nogil:
    cdef uint8_t raw[16]
    cdef uint64_t ms
    cdef int i
    if c.algorithm == ID_CHARS:
        id_chars(out, c, &loop.random)
        return
    memcpy(raw, random_take(&loop.random, 16), 16)
    if c.algorithm == ID_KSUID:
        id_ksuid(out, <uint32_t>(loop.wall - KSUID_EPOCH), raw)
        return
    if c.algorithm == ID_UUIDV7:
        ms = loop.wall_ns // 1000000
        for i in range(6):
            raw[i] = <uint8_t>(ms >> (40 - 8 * i))
    raw[6] = <uint8_t>((raw[6] & 0x0f) | (0x70 if c.algorithm == ID_UUIDV7 else 0x40))
    raw[8] = <uint8_t>((raw[8] & 0x3f) | 0x80)
    id_uuid(out, raw)


cdef bint id_lawful(const char* p, uint32_t n) noexcept nogil:
    # Whether a client's id may go on: not empty, not long, printable ASCII.
    cdef uint32_t i
    if n == 0 or n > REQUEST_ID_MAX:
        return False
    for i in range(n):
        if <uint8_t>p[i] < 32 or <uint8_t>p[i] > 126:
            return False
    return True


cdef int step_request_id(Exchange* x, void* p) noexcept nogil:
    cdef RequestIdConf* c = <RequestIdConf*>p
    cdef Buf* out = &x.up_extra
    cdef const Field* f
    cdef uint32_t count
    cdef Span own
    if extra_find(out, c.name, c.name_len, &own):       # an earlier step's, say a global rule's: one request, one id
        x.request_id = <uint32_t>(own.p - out.p)
        x.request_id_len = own.n
        return STEP_NEXT
    f = header_find(x, c.name, c.name_len, &count)
    buf_put(out, c.name, c.name_len)
    buf_put(out, b": ", 2)
    x.request_id = out.len
    if count == 1 and (x.down.trusted or not x.loop.trusted_ids) and id_lawful(x.bytes.p + f.value, f.value_len):
        buf_put(out, x.bytes.p + f.value, f.value_len)
    else:                       # of several no one can tell which the upstream would take
        id_make(out, c, x.loop)
    x.request_id_len = out.len - x.request_id
    buf_put(out, b"\r\n", 2)
    return STEP_NEXT


cdef int step_request_id_answer(Exchange* x, void* p) noexcept nogil:
    # What the upstream says under that name stays, unless it is empty.
    cdef RequestIdConf* c = <RequestIdConf*>p
    cdef const Field* theirs
    cdef Span id, other
    if not extra_find(&x.up_extra, c.name, c.name_len, &id) or extra_find(&x.down_extra, c.name, c.name_len, &other):
        return STEP_NEXT
    if x.up_head != NULL:
        theirs = head_find_name(x.up_head, x.up_base, c.name, c.name_len)
        if theirs != NULL and theirs.value_len:
            return STEP_NEXT
    buf_put(&x.down_extra, c.name, c.name_len)
    buf_put(&x.down_extra, b": ", 2)
    buf_put(&x.down_extra, id.p, id.n)
    buf_put(&x.down_extra, b"\r\n", 2)
    return STEP_NEXT
