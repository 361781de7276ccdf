# encode: answers in a content coding (RFC 9110 section 8.4) that the client takes: whether one may be coded, in which coding, and
# its pieces on their way through an encoder of Python. Must not know how a coding works, nor where pieces come from.
#
# Steps only ask for it: what is decided here, behind all of them, is so of the head that leaves. What must stay as it is is never
# touched: parts (206, Content-Range), `no-transform` of either side, what has a coding, heads without a body.

cdef enum:                      # the earlier one goes first where a client likes both alike
    ENCODE_BR = 0
    ENCODE_GZIP = 1
    ENCODE_CODINGS = 2

cdef enum:                      # what is behind the bytes that an encoder is given
    ENCODE_MORE = 0
    ENCODE_FLUSH = 1            # nothing for now: all that was given is to go out
    ENCODE_END = 2

cdef enum:
    ENCODE_WHOLE_MOST = 1 << 20     # bytes of an answer of the gateway's own that are coded at once

cdef struct EncodeConf:
    uint8_t coding
    uint8_t minor               # of the lowest HTTP/1.x whose clients get it
    bint varies                 # say so
    int64_t least               # bytes, where the length is known
    const Span* types           # in lower case; none: all
    uint32_t n_types
    uint32_t piece              # bytes that one turn of the worker codes
    PyObject* make              # a Python callable that gives an encoder; borrowed


cdef class EncodeStep(Step):
    """Asks for answers in a coding, "br" or "gzip". `types`: media types in lower case, None for all; `make()` gives an encoder:
    a callable of bytes and what is behind them (0 more, 1 nothing for now, 2 the end), which gives bytes."""
    cdef EncodeConf conf
    cdef Span* spans
    cdef list held

    def __init__(self, str coding, make not None, *, types, long long min_length, int minor, bint vary, unsigned int piece=16384):
        cdef bytes raw
        self.conf.coding = <uint8_t>("br", "gzip").index(coding)
        self.conf.minor = <uint8_t>minor
        self.conf.varies = vary
        self.conf.least = min_length
        self.conf.piece = min(max(piece, 512), IO_BYTES)
        self.held = [make]
        self.conf.make = <PyObject*>make
        free(self.spans)
        self.conf.n_types = 0
        self.spans = <Span*>calloc(len(types or ()) or 1, sizeof(Span))
        if self.spans == NULL:
            raise MemoryError
        for each in types or ():
            raw = each.encode()
            self.held.append(raw)
            self.spans[self.conf.n_types].p = raw
            self.spans[self.conf.n_types].n = <uint32_t>len(raw)
            self.conf.n_types += 1
        self.conf.types = self.spans if types is not None else NULL
        self.bind(step_encode, &self.conf, "header_filter")

    def __dealloc__(self):
        free(self.spans)


cdef int step_encode(Exchange* x, void* p) noexcept nogil:
    cdef const EncodeConf* c = <const EncodeConf*>p
    if not x.reshaped & ANSWER_ENCODES:
        x.encodes[ENCODE_BR] = x.encodes[ENCODE_GZIP] = NULL
        x.reshaped |= ANSWER_ENCODES
    x.encodes[c.coding] = c
    return STEP_NEXT


cdef int32_t encode_weight(const char* p, const char* stop) noexcept nogil:
    # Thousandths, of the parameters of a member (RFC 9110 section 12.4.2); of what is no weight 0.
    cdef int32_t weight
    cdef int32_t unit = 100
    while p < stop and (p[0] == c" " or p[0] == c"\t" or p[0] == c";"):
        p += 1
    while stop > p and ((stop - 1)[0] == c" " or (stop - 1)[0] == c"\t"):
        stop -= 1
    if p == stop:
        return 1000
    if stop - p < 3 or (p[0] | 0x20) != c"q" or p[1] != c"=" or not c"0" <= p[2] <= c"1":
        return 0
    weight = (p[2] - c"0") * 1000
    p += 3
    if p < stop and p[0] == c".":
        p += 1
        while p < stop and c"0" <= p[0] <= c"9" and unit:
            weight += (p[0] - c"0") * unit
            unit //= 10
            p += 1
    return weight if p == stop and weight <= 1000 else 0


cdef void encode_member(const char* p, const char* stop, int32_t* weights) noexcept nogil:
    # One member of Accept-Encoding: weights[coding], then of "*", then of "identity". Of one that is named twice the
    # first counts.
    cdef const char* name
    cdef const char* end
    cdef int at = -1
    while p < stop and (p[0] == c" " or p[0] == c"\t"):
        p += 1
    name = p
    while p < stop and p[0] != c";" and p[0] != c" " and p[0] != c"\t":
        p += 1
    end = p
    if end - name == 2 and field_same(name, "br", 2):
        at = ENCODE_BR
    elif (end - name == 4 and field_same(name, "gzip", 4)) or (end - name == 6 and field_same(name, "x-gzip", 6)):
        at = ENCODE_GZIP
    elif end - name == 1 and name[0] == c"*":
        at = ENCODE_CODINGS
    elif end - name == 8 and field_same(name, "identity", 8):
        at = ENCODE_CODINGS + 1
    if at >= 0 and weights[at] < 0:
        weights[at] = encode_weight(p, stop)


cdef void encode_accepted(const Exchange* x, int32_t* weights) noexcept nogil:
    # What the client itself takes, whatever the upstream is told. Nothing where it says nothing.
    cdef const Field* f
    cdef const char* p
    cdef const char* end
    cdef const char* stop
    cdef uint32_t i
    for i in range(<uint32_t>(ENCODE_CODINGS + 2)):
        weights[i] = -1
    for i in range(x.head.n):
        f = &x.head.fields[i]
        if f.name_len != 15 or not same_name(x.bytes.p + f.name, "Accept-Encoding", 15):
            continue
        p = x.bytes.p + f.value
        end = p + f.value_len
        while p < end:
            stop = <const char*>memchr(p, c",", end - p)
            if stop == NULL:
                stop = end
            encode_member(p, stop, weights)
            p = stop + 1
    for i in range(<uint32_t>ENCODE_CODINGS):
        if weights[i] < 0:
            weights[i] = max(weights[ENCODE_CODINGS], 0)


cdef bint encode_typed(const EncodeConf* c, const Span* type) noexcept nogil:
    cdef uint32_t n = 0
    cdef uint32_t i
    while n < type.n and type.p[n] != c";" and type.p[n] != c" " and type.p[n] != c"\t":
        n += 1
    if n == 0 or c.types == NULL:
        return n > 0
    for i in range(c.n_types):
        if c.types[i].n == n and field_same(type.p, c.types[i].p, n):
            return True
    return False


cdef bint encode_lawful(const Exchange* x) noexcept nogil:
    # Whether the answer may be coded at all.
    cdef const Field* f
    cdef Span found
    cdef uint32_t i
    if x.status < 200 or x.status == 204 or x.status == 205 or x.status == 206 or x.status == 304:
        return False
    if answer_find(x, "Content-Encoding", 16, &found) or answer_find(x, "Content-Range", 13, &found):
        return False
    if answer_lists(x, "Cache-Control", 13, "no-transform", 12):
        return False
    for i in range(x.head.n):
        f = &x.head.fields[i]
        if (f.name_len == 13 and same_name(x.bytes.p + f.name, "Cache-Control", 13)
                and list_names(x.bytes.p + f.value, f.value_len, "no-transform", 12)):
            return False
    return True


cdef const EncodeConf* encode_choose(Exchange* x, const Span* type, int64_t length) noexcept nogil:
    # The coding of an answer of that Content-Type and that length (-1: not known); NULL: none. What other clients would get
    # is told to caches, also in a 304.
    cdef const EncodeConf* best = NULL
    cdef const EncodeConf* c
    cdef int32_t weights[ENCODE_CODINGS + 2]
    cdef bint lawful = encode_lawful(x)
    cdef bint varies = False
    cdef int i
    encode_accepted(x, weights)
    for i in range(ENCODE_CODINGS):
        c = x.encodes[i]
        if c == NULL:
            continue
        if x.status == 304:
            varies |= c.varies
        if not lawful or not encode_typed(c, type) or (0 <= length < c.least):
            continue
        varies |= c.varies
        if x.head.minor >= c.minor and weights[i] > 0 and (best == NULL or weights[i] > weights[best.coding]):
            best = c
    if best != NULL and weights[ENCODE_CODINGS + 1] > weights[best.coding]:
        best = NULL
    if varies:
        answer_vary(x, "Accept-Encoding", 15)
    return best if x.head.method != METHOD_HEAD else NULL


cdef void encode_head(Exchange* x, const EncodeConf* c) noexcept nogil:
    # What the head says of a body that is coded from here on: its validator is weak, as its bytes are others (RFC 9110 section
    # 8.8.3.3), and there are no ranges of it.
    cdef Buf* scratch = &x.loop.wbuf
    cdef Span tag
    if answer_find(x, "ETag", 4, &tag) and not (tag.n >= 2 and tag.p[0] == c"W" and tag.p[1] == c"/"):
        buf_reset(scratch)
        buf_put(scratch, b"W/", 2)
        buf_put(scratch, tag.p, tag.n)
        answer_set(x, "ETag", 4, scratch.p, scratch.len)
    answer_digests(x)
    if c.coding == ENCODE_BR:
        answer_set(x, "Content-Encoding", 16, "br", 2)
    else:
        answer_set(x, "Content-Encoding", 16, "gzip", 4)


cdef bint encode_make(Exchange* x, const EncodeConf* c) noexcept nogil:
    # An encoder for this answer. False: there is none, and the answer stays as it is.
    cdef bint made = False
    with gil:
        try:
            pyrequest_of(x).encoder = (<object>c.make)()
            made = True
        except BaseException as error:
            encode_failed(x, error)
    return made


cdef int encode_failed(Exchange* x, error) noexcept:
    try:
        (<Reactor>x.loop.reactor).on_error("encode", PHASES[PHASE_BODY_FILTER], error)
    except BaseException:
        pass
    return 0


cdef bint encode_piece(Exchange* x, const char** p, size_t* n, uint8_t end) noexcept nogil:
    # p and n name the coded bytes, good until the next piece. False: they cannot be had.
    cdef bint made = False
    with gil:
        try:
            encode_call(x, p, n, end)
            made = True
        except BaseException as error:
            encode_failed(x, error)
    if end == ENCODE_MORE:
        x.reshaped |= ANSWER_UNSENT
    else:
        x.reshaped &= ~ANSWER_UNSENT
    return made


cdef int encode_call(Exchange* x, const char** p, size_t* n, uint8_t end) except -1:
    cdef bytes coded = (<Request>x.py).encoder(p[0][:n[0]] if n[0] else b"", end)
    filter_replace(x, <const char*>coded, len(coded))
    if x.filtered.failed:
        raise MemoryError
    p[0] = x.piece_p
    n[0] = x.piece_n
    return 0


def _test_weight(bytes parameters not None) -> int:
    """The weight that the parameters of a member of Accept-Encoding say, in thousandths."""
    cdef const char* p = parameters
    return encode_weight(p, p + len(parameters))
