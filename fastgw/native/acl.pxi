# acl: the acl plugin's step: may somebody with these labels. A consumer's labels were taken apart when its snapshot was made, so
# a request costs one binary search for each. Must not know how a label's text is read as several values (plugins/labels.py),
# nor what is known of users that are no consumers: that is a Python step, which runs for those alone.

cdef struct AclConf:
    RestrictConf restrict       # entries: a label and one value, as label_name writes them
    const StepC* external       # of requests without a consumer to which Python steps may have said whose they are


cdef class AclStep(Step):
    """acl of one object. `deny` and `allow` are pairs (label, value); without `allow` who is not denied may pass. `body`
    answers who is refused; `external` judges who is no consumer."""
    cdef AclConf conf
    cdef list held

    def __init__(self, *, deny=(), allow=None, int status=403, bytes body not None, PythonStep external not None):
        said = {}
        for listed, bit in ((deny, RESTRICT_BLACK), (allow or (), RESTRICT_WHITE)):
            for label, value in listed:
                said.setdefault(label_name(label, value), [0, 0])[0] |= bit
        if external.phase != PHASE_ACCESS:
            raise ValueError(f"external: expected a step of the phase access, found one of {PHASES[external.phase]}")
        self.conf.restrict.whitelisted = allow is not None
        self.conf.restrict.status = <uint16_t>status
        self.conf.restrict.body = body
        self.conf.restrict.body_len = <uint32_t>len(body)
        self.conf.external = &external.c
        self.held = [body, external, restrict_lay(&self.conf.restrict, said)]
        self.bind(step_acl, &self.conf, "access")

    def __dealloc__(self):
        free(self.conf.restrict.entries)


cdef bint acl_admits(const RestrictConf* c, const ConsumerC* consumer) noexcept nogil:
    # One denied label is enough to be refused, one allowed to pass.
    cdef const RestrictEntry* entry
    cdef uint32_t lists = 0
    cdef uint32_t at = 0
    cdef uint32_t n
    while at < consumer.labels_len:
        memcpy(&n, consumer.labels + at, sizeof(n))
        at += <uint32_t>sizeof(n)
        entry = restrict_find(c, consumer.labels + at, n)
        if entry != NULL:
            lists |= entry.lists
        at += n
    return not lists & RESTRICT_BLACK and (not c.whitelisted or (lists & RESTRICT_WHITE) != 0)


cdef int step_acl(Exchange* x, void* p) noexcept nogil:
    cdef AclConf* c = <AclConf*>p
    if x.consumer != NULL:
        if acl_admits(&c.restrict, x.consumer):
            return STEP_NEXT
        restrict_refuse(x, &c.restrict, "acl.refused")
        return STEP_REPLY
    if x.py != NULL:
        return c.external.fn(x, c.external.conf)
    reply_message(x, 401, "Missing authentication.", "acl.missing")
    return STEP_REPLY
