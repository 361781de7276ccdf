# strip: request headers that belong to a plugin of a route are taken from the client before any plugin runs, whatever the plugins
# then do: one that is skipped by a filter, or finds nothing to say, leaves no client's word standing for its own.

cdef struct StripConf:
    const char** names
    uint32_t* sizes
    uint32_t n


cdef class StripStep(Step):
    """Keeps every request header of these names, in all spellings that upstreams may fold together, from crossing."""
    cdef StripConf conf
    cdef list names

    def __init__(self, names):
        cdef bytes raw
        self.names = [name.encode() for name in names]
        self.conf.names = <const char**>calloc(len(self.names) or 1, sizeof(char*))
        self.conf.sizes = <uint32_t*>calloc(len(self.names) or 1, sizeof(uint32_t))
        if self.conf.names == NULL or self.conf.sizes == NULL:
            raise MemoryError
        for raw in self.names:
            self.conf.names[self.conf.n] = raw
            self.conf.sizes[self.conf.n] = <uint32_t>len(raw)
            self.conf.n += 1
        self.bind(step_strip, &self.conf, "rewrite")

    def __dealloc__(self):
        free(self.conf.names)
        free(self.conf.sizes)


cdef int step_strip(Exchange* x, void* p) noexcept nogil:
    cdef const StripConf* c = <StripConf*>p
    cdef uint32_t i
    for i in range(c.n):
        head_drop(&x.head, x.bytes.p, c.names[i], c.sizes[i])
    return STEP_NEXT
