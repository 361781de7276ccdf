# cors: the cors plugin's steps. In `rewrite` an OPTIONS is answered, in `header_filter` answers say who may read them. What does
# not depend on the request is written when the step is made. Must not know where the origins come from.

cdef enum:                      # who an origin is to an Origins
    ORIGIN_NOBODY = 0
    ORIGIN_ANYBODY = 1          # one of all: "*"
    ORIGIN_ITSELF = 2           # it is named

cdef struct OriginsC:
    uint8_t wild                # what everybody is, ORIGIN_…
    ExprNode named              # as expr_in has it
    PyObject* search            # of a regular expression; NULL: none

cdef struct CorsConf:
    const OriginsC* origins
    const OriginsC* others      # asked where `origins` knows nobody; NULL: there are none
    const OriginsC* timing      # NULL: nobody is told of it
    bint asks                   # for the request's origin
    bint varies                 # answers do, by it
    bint echoes                 # the headers that are asked for
    const char* lines           # what everybody is told who may read
    uint32_t lines_len

cdef const char* CORS_NAMES[6]
CORS_NAMES[0] = "Access-Control-Allow-Origin"
CORS_NAMES[1] = "Access-Control-Allow-Methods"
CORS_NAMES[2] = "Access-Control-Max-Age"
CORS_NAMES[3] = "Access-Control-Expose-Headers"
CORS_NAMES[4] = "Access-Control-Allow-Headers"
CORS_NAMES[5] = "Access-Control-Allow-Credentials"


cdef class Origins:
    """The origins that `names` has, "*" for any, "**" for any by its own name, or in which `search` finds something."""
    cdef OriginsC c
    cdef list held

    def __cinit__(self, names, search=None):
        cdef bytes raw
        cdef ExprNode* n = &self.c.named
        self.c.wild = ORIGIN_ITSELF if "**" in names else ORIGIN_ANYBODY if "*" in names else ORIGIN_NOBODY
        self.held = sorted({name.encode() for name in names}, key=lambda text: (len(text), text))
        n.list = <Span*>calloc(len(self.held) or 1, sizeof(Span))
        if n.list == NULL:
            raise MemoryError
        for raw in self.held:
            n.list[n.n].p = raw
            n.list[n.n].n = <uint32_t>len(raw)
            n.n += 1
        if search is not None:
            self.held.append(search)
            self.c.search = <PyObject*>search

    def __dealloc__(self):
        free(self.c.named.list)


cdef class PreflightStep(Step):
    """cors in `rewrite`: OPTIONS is answered, before anybody asks who sends it: browsers ask without credentials."""

    def __init__(self):
        self.bind(step_preflight, NULL, "rewrite")


cdef class CorsStep(Step):
    """cors in `header_filter`. `others` are asked where `origins` knows nobody, `timing` may see how long things took; `headers`
    are what everybody is told who may read, beside that; `echo_headers`: those that are asked for are allowed."""
    cdef CorsConf conf
    cdef tuple held
    cdef bytes lines

    def __init__(self, Origins origins not None, headers, *, Origins others=None, Origins timing=None, bint echo_headers=False):
        self.held = origins, others, timing
        self.lines = header_block(headers)
        self.conf.origins = &origins.c
        self.conf.others = &others.c if others is not None else NULL
        self.conf.timing = &timing.c if timing is not None else NULL
        self.conf.varies = origins.c.wild != ORIGIN_ANYBODY or (timing is not None and timing.c.wild != ORIGIN_ANYBODY)
        self.conf.asks = self.conf.varies
        self.conf.echoes = echo_headers
        self.conf.lines = self.lines
        self.conf.lines_len = <uint32_t>len(self.lines)
        self.bind(step_cors, &self.conf, "header_filter")


cdef int step_preflight(Exchange* x, void* p) noexcept nogil:
    if x.head.method != METHOD_OPTIONS or (x.uri_path_len == 1 and x.uri_path[0] == c"*"):     # which is for the gateway itself
        return STEP_NEXT
    x.status = 200
    x.refused = NULL
    x.reply_type = NULL
    buf_reset(&x.reply_body)
    return STEP_REPLY


cdef uint8_t origin_known(const OriginsC* o, const Span* origin) noexcept nogil:
    # What it is to these; of a request without one (NULL) or with several, which nobody can tell apart, nothing is known.
    if o.wild == ORIGIN_ANYBODY or origin.p == NULL:
        return ORIGIN_ANYBODY if o.wild else ORIGIN_NOBODY
    if o.wild or expr_in(&o.named, origin) or (o.search != NULL and expr_search(o.search, origin) > 0):
        return ORIGIN_ITSELF
    return ORIGIN_NOBODY


cdef void cors_line(Buf* out, const char* name, uint32_t n, const char* value, uint32_t m) noexcept nogil:
    # The values are "*" and those of fields of the request, whose bytes were judged when it was parsed.
    if buf_room(out, <size_t>n + m + 4) != 0:
        return
    buf_put(out, name, n)
    buf_put(out, b": ", 2)
    buf_put(out, value, m)
    buf_put(out, b"\r\n", 2)


cdef void cors_name(Buf* out, const char* name, uint32_t n, uint8_t known, const Span* origin) noexcept nogil:
    if known == ORIGIN_ANYBODY:
        cors_line(out, name, n, "*", 1)
    else:
        cors_line(out, name, n, origin.p, origin.n)


cdef void cors_tell(Exchange* x, const CorsConf* c, uint8_t known, const Span* origin) noexcept nogil:
    # What the upstream says under these names is replaced when the head is written, what a global rule's step said is here.
    cdef Buf* out = &x.down_extra
    cdef const Field* asked
    cdef uint32_t i, count
    cdef Span earlier
    if extra_find(out, CORS_NAMES[0], 27, &earlier):
        for i in range(6):
            lines_cut(out, out.len, CORS_NAMES[i], <uint32_t>strlen(CORS_NAMES[i]))
    cors_name(out, CORS_NAMES[0], 27, known, origin)
    buf_put(out, c.lines, c.lines_len)
    if c.echoes:
        asked = header_find(x, "Access-Control-Request-Headers", 30, &count)
        if asked != NULL:
            cors_line(out, CORS_NAMES[4], 28, x.bytes.p + asked.value, asked.value_len)


cdef int step_cors(Exchange* x, void* p) noexcept nogil:
    cdef const CorsConf* c = <const CorsConf*>p
    cdef const Field* sent
    cdef Span origin
    cdef uint32_t count
    cdef uint8_t known
    origin.p = NULL
    origin.n = 0
    if c.asks:
        sent = header_find(x, "Origin", 6, &count)
        if count == 1:
            origin.p = x.bytes.p + sent.value
            origin.n = sent.value_len
    known = origin_known(c.origins, &origin)
    if known == ORIGIN_NOBODY and c.others != NULL and origin.p != NULL:
        known = origin_known(c.others, &origin)
    if c.varies:
        answer_vary(x, "Origin", 6)
    if known:
        cors_tell(x, c, known, &origin)
    known = origin_known(c.timing, &origin) if c.timing != NULL else ORIGIN_NOBODY
    if known:
        lines_cut(&x.down_extra, x.down_extra.len, "Timing-Allow-Origin", 19)
        cors_name(&x.down_extra, "Timing-Allow-Origin", 19, known, &origin)
    return STEP_NEXT
