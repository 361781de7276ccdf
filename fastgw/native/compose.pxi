# compose: targets and URLs made of texts of the configuration, variables and captures. Owns: how each of these is written where
# it stands, so that nothing of a request becomes more than it is there: no end of a line, no further part of the URL
# (known-pains 4.4).
#
# In the path a part of a path ($uri, $uri_param_…, a capture) stands as it is, but for "?"; any other variable is text within one
# segment. In the query `$args` and `$arg_…` stand as the client wrote them; any other variable is one value: who decodes it has
# it as it is, of a part of a path as an application would read that. In front of the path only what a host may hold stands.
# Must not know what the text is for.

cdef enum ComposePlace:
    COMPOSE_HOST = 0            # "https://host:port" of a URL
    COMPOSE_PATH
    COMPOSE_QUERY               # behind the "?" of the template's own

cdef enum ComposeMode:          # what a variable is
    COMPOSE_LITERAL = 0         # none: a text of the configuration, written as it must be
    COMPOSE_CAPTURE             # part of a path, as are
    COMPOSE_SEGMENTS            # these
    COMPOSE_URL                 # a path and a query
    COMPOSE_ARGS                # a query
    COMPOSE_ARG                 # a value in it
    COMPOSE_WORD                # any text

cdef enum:                      # sets of bytes that stand as they are
    STANDS_IN_HOST = 1
    STANDS_AS_PATH = 2          # slashes and escapes too
    STANDS_IN_SEGMENT = 4
    STANDS_AS_PATH_IN_QUERY = 8
    STANDS_IN_QUERY = 16
    STANDS_AS_QUERY = 32
    STANDS_ANYWHERE = 64        # what may stand in a request's target at all
    STANDS_IN_FIELD = 128       # in the value of a header field

cdef enum:
    COMPOSED_MOST = 65536       # bytes of a composed text

cdef uint8_t STANDS[256]
cdef const char* HEX_UPPER = "0123456789ABCDEF"

cdef struct ComposePart:
    VarPart var
    uint8_t mode                # ComposeMode
    uint8_t stands              # set of the bytes of a value
    uint32_t group              # COMPOSE_CAPTURE
    uint8_t rooted              # behind a host: set for a value that begins with a slash, which is the path's then; 0: none does
    bint asked                  # of the query it is the client's own, whatever steps have made of it

cdef struct ComposeC:
    ComposePart* parts
    uint32_t n
    bint varies
    uint8_t tail                # set for what is put behind it that is part of a path

cdef dict _COMPOSED = {
    VAR_URI: COMPOSE_SEGMENTS, VAR_URI_PARAM: COMPOSE_SEGMENTS, VAR_REQUEST_URI: COMPOSE_URL, VAR_REAL_REQUEST_URI: COMPOSE_URL,
    VAR_QUERY_STRING: COMPOSE_ARGS, VAR_ARG: COMPOSE_ARG}
_AUTHORITY = _re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s]*")
_AUTHORITY_MORE = _re.compile(r"(?:://)?[^/?#\s]*")
_BEGINS_WITH_SCHEME = _re.compile(_AUTHORITY.pattern + r"|\$(?:scheme|\{scheme\})://")


cdef class Composed:
    """A text with variables ("$uri", "${arg_x ?? none}") and, of up to `groups` groups, captures ("$1", "${1}").

    `raw`: captures are of a target as it came, and stand as they are. `url`: it may begin with a scheme and a host. `field`: it
    is no URL, but the value of a header field. ValueError: a capture that there is none of, or a text that no URL can hold.
    """
    cdef ComposeC c
    cdef Template template
    cdef list held
    cdef readonly bytes start           # what it begins with, whatever the request
    cdef readonly bytes text            # all of it, where it does not vary
    cdef readonly bint absolute         # it begins with a scheme

    def __init__(self, str text not None, int groups=-1, bint raw=False, bint url=False, bint field=False):
        cdef ComposePart* part
        cdef uint32_t i
        cdef uint8_t place = COMPOSE_HOST if url and _BEGINS_WITH_SCHEME.match(text) else COMPOSE_PATH
        cdef bytes literal
        self.template = Template(text, "rewrite" if groups >= 0 else "var_combination")
        self.held = []
        self.c.n = self.template.n
        self.c.parts = <ComposePart*>calloc(self.c.n or 1, sizeof(ComposePart))
        if self.c.parts == NULL:
            raise MemoryError
        self.absolute = place == COMPOSE_HOST
        begun = host = False
        for i in range(self.c.n):
            part = &self.c.parts[i]
            part.var = self.template.parts[i]
            if part.var.id == VAR_LITERAL:
                literal = part.var.text[:part.var.len]
                if not field:
                    host = host or (place == COMPOSE_HOST and not literal.endswith(b"://"))
                    place, literal = compose_literal(literal, place, not begun, url)
                self.held.append(literal)
                part.var.text = literal
                part.var.len = <uint32_t>len(literal)
                if i == 0:
                    self.start = literal
            else:
                self.c.varies = True
                self.lay(part, place, groups, raw, url)
                if place == COMPOSE_HOST and part.mode in (COMPOSE_CAPTURE, COMPOSE_SEGMENTS, COMPOSE_URL):
                    if not host and part.mode != COMPOSE_CAPTURE:
                        raise ValueError("expected a host behind ://, found a path")
                    if host:
                        part.rooted = STANDS_AS_QUERY if part.mode == COMPOSE_URL else STANDS_AS_PATH
                    if part.mode != COMPOSE_CAPTURE:
                        place = COMPOSE_PATH
                host = host or place == COMPOSE_HOST and part.var.id != VAR_SCHEME
                if field:
                    part.stands = STANDS_IN_FIELD
            begun = True
        self.c.tail = STANDS_ANYWHERE if raw else STANDS_AS_PATH_IN_QUERY if place == COMPOSE_QUERY else STANDS_AS_PATH
        if self.start is None:
            self.start = b""
        self.text = None if self.c.varies else b"".join(self.held)

    cdef int lay(self, ComposePart* part, uint8_t place, int groups, bint raw, bint url) except -1:
        part.mode = _COMPOSED.get(part.var.id, COMPOSE_WORD)
        part.asked = url
        if part.var.id == VAR_CAPTURE:
            part.mode = COMPOSE_CAPTURE
            group = int(part.var.text[:part.var.len])
            if group > groups:
                raise ValueError(f"expected at most ${groups}, as there are no more groups, found ${group}")
            part.group = group
        if place == COMPOSE_HOST:
            part.stands = STANDS_IN_HOST
        elif part.mode == COMPOSE_CAPTURE and raw:
            part.stands = STANDS_ANYWHERE
        elif place == COMPOSE_PATH and part.mode == COMPOSE_URL and url:
            part.stands = STANDS_AS_QUERY       # its "?" is one
        elif place == COMPOSE_PATH:
            part.stands = STANDS_AS_PATH if part.mode in (COMPOSE_CAPTURE, COMPOSE_SEGMENTS, COMPOSE_URL) else STANDS_IN_SEGMENT
        elif part.mode in (COMPOSE_ARGS, COMPOSE_ARG):
            part.stands = STANDS_AS_QUERY
        else:
            part.stands = STANDS_AS_PATH_IN_QUERY if part.mode in (COMPOSE_CAPTURE, COMPOSE_SEGMENTS) else STANDS_IN_QUERY
        return 0

    def __dealloc__(self):
        free(self.c.parts)


cdef int stands_fill() except -1:
    cdef int byte
    for byte in range(32, 256):
        STANDS[byte] = STANDS_IN_FIELD if byte != 127 else 0
    STANDS[9] = STANDS_IN_FIELD
    for byte in range(33, 256):
        if byte != 127:
            STANDS[byte] |= STANDS_ANYWHERE
        if byte < 127 and byte != c"#":
            STANDS[byte] |= STANDS_AS_QUERY
        if URI_CLASS[byte] == URI_PCHAR:
            STANDS[byte] |= STANDS_AS_PATH | STANDS_IN_SEGMENT
        if URI_HOST[byte] or byte in b":[]":
            STANDS[byte] |= STANDS_IN_HOST
        # What applications take for the end of a value, or for a space, is none.
        if (URI_CLASS[byte] == URI_PCHAR and byte not in b"&+;") or byte in b"/?":
            STANDS[byte] |= STANDS_IN_QUERY | STANDS_AS_PATH_IN_QUERY
    STANDS[<int>c"/"] |= STANDS_AS_PATH
    STANDS[<int>c"%"] |= STANDS_AS_PATH | STANDS_AS_PATH_IN_QUERY
    return 0


stands_fill()


cdef tuple compose_literal(bytes literal, uint8_t place, bint first, bint url):
    # The place behind a text of the configuration that begins in `place`, and the text as it is to be written.
    cdef list pieces = []
    cdef uint32_t at = 0
    text = literal.decode("latin-1")
    if place == COMPOSE_HOST:
        at = (_AUTHORITY if first else _AUTHORITY_MORE).match(text).end()
        pieces.append(literal[:at])
        if at < len(literal):
            place = COMPOSE_PATH
    path, mark, query = literal[at:].partition(b"?")
    if place == COMPOSE_QUERY:
        return place, compose_quoted(literal, STANDS_AS_QUERY, url)
    if url and b"#" in path:        # no query begins behind it
        path, mark, query = literal[at:], b"", b""
    pieces.append(compose_path(path, url))
    if mark:
        place = COMPOSE_QUERY
        pieces += [b"?", compose_quoted(query, STANDS_AS_QUERY, url)]
    return place, b"".join(pieces)


cdef bytes compose_quoted(bytes text, uint8_t stands, bint url):
    # What may not stand there as %XX. Of a URL a fragment stays one.
    return b"".join([b"%c" % each if STANDS[<uint8_t>each] & stands or (url and each == 35) else b"%%%02X" % each
                     for each in text])


def _spelled(match):
    byte = int(match[1], 16)
    if byte == 0:
        raise ValueError("expected no %00, which no path has")
    return b"%c" % byte if URI_CLASS[<uint8_t>byte] == URI_PCHAR else b"%%%02X" % byte


cdef bytes compose_path(bytes text, bint url):
    # In the spelling that paths have here, so that a path made of it most likely has it: %41 is A, and %2f %2F. A "%" that begins
    # no escape stands for itself.
    text = _re.sub(rb"%(?![0-9A-Fa-f]{2})", b"%25", text)
    return compose_quoted(_re.sub(rb"%(..)", _spelled, text), STANDS_AS_PATH, url)


cdef void compose_put(Buf* out, const char* p, uint32_t n, uint8_t stands) noexcept nogil:
    # The bytes of the set as they are, each other one as %XX.
    cdef uint32_t i
    cdef uint32_t run = 0
    cdef uint8_t byte
    if n == 0:                  # p may be NULL, to which C lets nobody add even 0
        return
    for i in range(n):
        byte = <uint8_t>p[i]
        if STANDS[byte] & stands:
            continue
        buf_put(out, p + run, i - run)
        run = i + 1
        buf_byte(out, c"%")
        buf_byte(out, HEX_UPPER[byte >> 4])
        buf_byte(out, HEX_UPPER[byte & 15])
    buf_put(out, p + run, n - run)


cdef void target_query(const Exchange* x, Span* query) noexcept nogil:
    # The query as it goes upstream so far: a step may have taken a credential out of it.
    cdef const char* mark
    query.p = x.bytes.p + x.query
    query.n = x.query_len
    if x.target.len:
        mark = <const char*>memchr(x.target.p, c"?", x.target.len)
        query.n = 0
        if mark != NULL:
            query.p = mark + 1
            query.n = <uint32_t>(x.target.p + x.target.len - query.p)


cdef void compose_value(const Exchange* x, const ComposePart* part, const Captures* captures, Buf* scratch,
                        Span* out) noexcept nogil:
    # What a variable or a capture has, as it is to be written but for bytes that cannot stand; empty where it has nothing.
    cdef bint found = False
    out.n = 0
    out.p = ""
    if part.mode == COMPOSE_CAPTURE:
        if captures != NULL and part.group < captures.n and captures.end[part.group] > captures.start[part.group]:
            out.p = captures.text + captures.start[part.group]
            out.n = captures.end[part.group] - captures.start[part.group]
        found = out.n > 0
    elif part.var.id == VAR_QUERY_STRING and not part.asked:
        target_query(x, out)
        found = out.n > 0
    elif part.var.id == VAR_REQUEST_URI and not part.asked:
        found = True
        target_query(x, out)
        buf_put(scratch, x.uri_path, x.uri_path_len)
        if out.n:
            buf_put(scratch, b"?", 1)
            buf_put(scratch, out.p, out.n)
        out.p = scratch.p
        out.n = scratch.len
    elif part.mode == COMPOSE_ARG and part.stands & (STANDS_IN_SEGMENT | STANDS_IN_HOST):
        found = arg_find(x, part.var.text, part.var.len, out) > 0
        if found:
            arg_decode(out, scratch)
            out.p = scratch.p
            out.n = scratch.len
    elif part.var.id >= VAR_MADE:
        found = var_made(x, &part.var, scratch)
        out.p = scratch.p
        out.n = scratch.len
    else:
        found = var_value(x, &part.var, out)
    if not found and part.var.other != NULL:
        out.p = part.var.other
        out.n = part.var.other_len


cdef void compose(const Exchange* x, const ComposeC* c, const Captures* captures, Buf* out) noexcept nogil:
    # Appends the text; out.failed where it gets too long.
    cdef const ComposePart* part
    cdef Buf scratch
    cdef Span value
    cdef uint32_t i
    memset(&scratch, 0, sizeof(Buf))
    for i in range(c.n):
        part = &c.parts[i]
        if part.mode == COMPOSE_LITERAL:
            buf_put(out, part.var.text, part.var.len)
            continue
        buf_reset(&scratch)
        compose_value(x, part, captures, &scratch, &value)
        compose_put(out, value.p, value.n,
                    part.rooted if part.rooted and value.n and value.p[0] == c"/" else part.stands)
        if out.len > COMPOSED_MOST:
            out.failed = 1
            break
    buf_free(&scratch)
