# consumer_restriction: the consumer-restriction plugin's step: may this consumer, consumer group, route or service. All that a
# configuration says of a name stands in one entry, so a request costs one binary search. Must not know how a request came to
# its consumer.

cdef enum RestrictedBy:         # _RESTRICTED has their names in this order
    BY_CONSUMER
    BY_GROUP
    BY_ROUTE
    BY_SERVICE

_RESTRICTED = ("consumer_name", "consumer_group_id", "route_id", "service_id")

cdef enum:                      # what an entry is in
    RESTRICT_BLACK = 1
    RESTRICT_WHITE = 2
    RESTRICT_METHODS = 4

cdef struct RestrictEntry:      # in the order of restrict_order
    const char* name
    uint32_t len
    uint32_t lists
    uint64_t methods            # bit per Method, where it is in RESTRICT_METHODS

cdef struct RestrictConf:
    RestrictEntry* entries
    uint32_t n
    uint8_t by                  # RestrictedBy
    bint whitelisted            # there is a whitelist: who is not in it is refused
    uint16_t status
    const char* body
    uint32_t body_len
    const char* missing         # the text of the answer to a request without the value


cdef inline int restrict_order(const char* p, uint32_t n, const RestrictEntry* entry) noexcept nogil:
    # By bytes, the shorter before what it begins. Below 0: p..n stands before the entry.
    cdef int r = memcmp(p, entry.name, n if n < entry.len else entry.len)
    return r if r else <int>(n > entry.len) - <int>(n < entry.len)


cdef const RestrictEntry* restrict_find(const RestrictConf* c, const char* p, uint32_t n) noexcept nogil:
    cdef uint32_t low = 0
    cdef uint32_t high = c.n
    cdef uint32_t middle
    cdef int r
    while low < high:
        middle = (low + high) // 2
        r = restrict_order(p, n, &c.entries[middle])
        if r == 0:
            return &c.entries[middle]
        if r < 0:
            high = middle
        else:
            low = middle + 1
    return NULL


cdef list restrict_lay(RestrictConf* c, dict said):
    # Makes entries of name -> [lists, methods]. The list given back keeps the names alive; free(c.entries) is the caller's.
    cdef bytes name
    cdef uint32_t i
    cdef list names = sorted(said)
    c.entries = <RestrictEntry*>calloc(len(names) or 1, sizeof(RestrictEntry))
    if c.entries == NULL:
        raise MemoryError
    c.n = <uint32_t>len(names)
    for i in range(c.n):
        name = names[i]
        c.entries[i].name = name
        c.entries[i].len = <uint32_t>len(name)
        c.entries[i].lists, c.entries[i].methods = said[name]
    return names


cdef class ConsumerRestrictionStep(Step):
    """consumer-restriction of one object, by the value that `by` names. `methods` are (value, names of methods); of several
    with one value the first is meant. `body` answers who is refused."""
    cdef RestrictConf conf
    cdef list held

    def __init__(self, str by not None, *, whitelist=None, blacklist=(), methods=(), int status=403, bytes body not None):
        cdef bytes missing = f"The request is rejected, please check the {by} for this request".encode()
        said = {}
        for listed, bit in ((blacklist, RESTRICT_BLACK), (whitelist or (), RESTRICT_WHITE)):
            for text in listed:
                said.setdefault(text.encode(), [0, 0])[0] |= bit
        for text, names in methods:
            entry = said.setdefault(text.encode(), [0, 0])
            if not entry[0] & RESTRICT_METHODS:
                entry[0] |= RESTRICT_METHODS
                for method in names:
                    entry[1] |= 1 << method_number(method)
        self.conf.by = <uint8_t>_RESTRICTED.index(by)
        self.conf.whitelisted = whitelist is not None
        self.conf.status = <uint16_t>status
        self.conf.body = body
        self.conf.body_len = <uint32_t>len(body)
        self.conf.missing = missing
        self.held = [body, missing, restrict_lay(&self.conf, said)]
        self.bind(step_consumer_restriction, &self.conf, "access")

    def __dealloc__(self):
        free(self.conf.entries)


cdef bint restrict_value(const Exchange* x, uint8_t by, Span* out) noexcept nogil:
    # What is looked for; False where the request has none.
    out.p = NULL
    out.n = 0
    if by == BY_CONSUMER and x.consumer != NULL:
        out.p = x.consumer.name
        out.n = x.consumer.name_len
    elif by == BY_GROUP and x.consumer != NULL:
        out.p = x.consumer.group
        out.n = x.consumer.group_len
    elif by == BY_ROUTE and x.plan != NULL:
        out.p = x.plan.id
        out.n = x.plan.id_len
    elif by == BY_SERVICE and x.plan != NULL:
        out.p = x.plan.service
        out.n = x.plan.service_len
    return out.n > 0


cdef bint restrict_admits(const Exchange* x, const RestrictConf* c, const Span* value) noexcept nogil:
    # A blacklist before a whitelist, and who is on that may use any method.
    cdef const RestrictEntry* entry = restrict_find(c, value.p, value.n)
    cdef uint32_t lists = entry.lists if entry != NULL else 0
    if lists & RESTRICT_BLACK:
        return False
    if c.whitelisted:
        return (lists & RESTRICT_WHITE) != 0
    return not lists & RESTRICT_METHODS or (entry.methods >> x.head.method) & 1


cdef void restrict_refuse(Exchange* x, const RestrictConf* c, const char* reason) noexcept nogil:
    x.status = c.status
    x.refused = reason
    x.reply_type = NULL
    buf_reset(&x.reply_body)
    buf_put(&x.reply_body, c.body, c.body_len)


cdef int step_consumer_restriction(Exchange* x, void* p) noexcept nogil:
    cdef RestrictConf* c = <RestrictConf*>p
    cdef Span value
    if not restrict_value(x, c.by, &value):
        reply_message(x, 401, c.missing, "consumer-restriction.missing")
        return STEP_REPLY
    if restrict_admits(x, c, &value):
        return STEP_NEXT
    restrict_refuse(x, c, "consumer-restriction.refused")
    return STEP_REPLY
