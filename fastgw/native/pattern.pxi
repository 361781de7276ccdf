# pattern: paths with wildcards, and whether a path matches one. `*` and `*name` take any text, `:name` one segment; the whole
# path must match, and of several ways to do so the one counts where earlier wildcards take more, as of a greedy regular
# expression (lua-resty-radixtree). No backtracking: the parts behind the last `*` have one place, those between two are as far
# to the right as they go, which leaves most room for the rest; so a path costs at most its length times that of the pattern.
# Must not know routes.

PATTERN_NAMELESS = b":ext"


cdef class Pattern:
    """A path pattern in the form of `normalise_path(…, True)`: `%2A` and `%3A` are literal, `*` is not, nor is `:` in front of a
    segment where there are `params`."""

    def __init__(self, bytes text not None, bint params=False):
        segments = text.split(b"/")
        parts, literal, kinds = [], b"", []
        for i, segment in enumerate(segments):
            if i:
                literal += b"/"
            wild = segment[:1]
            if wild == b"*":
                parts.append((literal, PATTERN_REST, segment[1:] or PATTERN_NAMELESS))
                literal = b""
                kinds.append(b"*")
            elif wild == b":" and params:
                parts.append((literal, PATTERN_SEGMENT, segment[1:]))
                literal = b""
                kinds.append(b"P")
            else:
                first, *others = segment.split(b"*")
                literal += literal_of(first)
                for j, other in enumerate(others):
                    if literal or not parts:
                        parts.append((literal, PATTERN_REST, None))
                    literal = literal_of(other)
                kinds.append(b"*" if others else b"L")
        parts.append((literal, PATTERN_END, None))
        self.text = text
        self.prefix = parts[0][0]
        # Segments in front of the first wildcard are in the prefix.
        behind = next((i for i, kind in enumerate(kinds) if kind != b"L"), len(kinds))
        kinds, segments = kinds[behind:], segments[behind:]
        self.open = b"*" in kinds
        first = kinds.index(b"*") if self.open else len(kinds)
        last = len(kinds) - 1 - kinds[::-1].index(b"*") if self.open else len(kinds) - 1
        self.head = b"".join(kinds[:first])
        self.tail = b"".join(kinds[:last:-1])
        ends = [*zip(kinds[:first], segments[:first]), *zip(kinds[:last:-1], segments[:last:-1])]
        self.words = b"".join(literal_of(segment) + b"/" for kind, segment in ends if kind == b"L")
        self.lay(parts)

    cdef int lay(self, list parts) except -1:
        cdef bytes literal
        cdef PatternPart* part
        self.held = parts
        self.c.parts = <PatternPart*>calloc(len(parts), sizeof(PatternPart))
        if self.c.parts == NULL:
            raise MemoryError
        self.c.n = self.c.first_rest = self.c.last_rest = <uint32_t>len(parts)
        self.c.len = <uint32_t>len(self.text)
        for i, (literal, wild, name) in enumerate(parts):
            part = &self.c.parts[<uint32_t>i]
            part.text = literal
            part.len = <uint32_t>len(literal)
            part.wild = wild
            if name is not None:
                part.name = <bytes>name
                part.name_len = <uint32_t>len(name)
            if wild == PATTERN_REST:
                self.c.last_rest = <uint32_t>i
                if self.c.first_rest == self.c.n:
                    self.c.first_rest = <uint32_t>i
        # A `*` behind the prefix and nothing more: whoever has the prefix matches.
        self.c.checks = self.c.n > 2 or self.c.first_rest != 0 or self.c.parts[1].len != 0
        return 0

    @property
    def wild(self) -> bool:
        """Whether it has wildcards at all."""
        return self.c.n > 1

    def __dealloc__(self):
        free(self.c.parts)


cdef bytes literal_of(bytes text):
    # An escaped `*` or `:` of a pattern is what a request has, whose normal form has them as they are.
    return text.replace(b"%2A", b"*").replace(b"%3A", b":")


cdef inline int64_t pattern_forward(const PatternC* p, uint32_t i, uint32_t last, const char* path, int64_t at, int64_t end,
                                    uint32_t wanted, Span* found) noexcept nogil:
    # Where the parts i to `last` end that begin at `at`, the wildcard of the last one left out; -1: they do not stand there.
    cdef const PatternPart* part
    cdef const char* slash
    cdef int64_t start
    while True:
        part = &p.parts[i]
        if end - at < part.len or memcmp(path + at, part.text, part.len) != 0:
            return -1
        at += part.len
        if i == last:
            return at
        start = at
        slash = <const char*>memchr(path + at, c"/", end - at) if at < end else NULL
        at = end if slash == NULL else slash - path
        if at == start:
            return -1
        if i == wanted:
            found.p = path + start
            found.n = <uint32_t>(at - start)
        i += 1


cdef inline int64_t pattern_backward(const PatternC* p, uint32_t first, const char* path, int64_t least, int64_t at,
                                     uint32_t wanted, Span* found) noexcept nogil:
    # Where the parts from `first` to the last one begin that end at `at`; -1: they do not.
    cdef const PatternPart* part
    cdef uint32_t i = p.n - 1
    cdef int64_t end
    while True:
        part = &p.parts[i]
        if at - least < part.len or memcmp(path + at - part.len, part.text, part.len) != 0:
            return -1
        at -= part.len
        if i == first:
            return at
        end = at
        while at > least and path[at - 1] != c"/":
            at -= 1
        if at == end:
            return -1
        i -= 1
        if i == wanted:
            found.p = path + at
            found.n = <uint32_t>(end - at)


cdef bint pattern_match(const PatternC* p, const char* path, uint32_t n, uint32_t wanted, Span* found) noexcept nogil:
    # Whether the whole path matches; `found` is what the wildcard of the part `wanted` takes then (p.n: of none).
    cdef int64_t low, high, at, end
    cdef uint32_t first
    cdef uint32_t last = p.last_rest
    if last == p.n:
        return pattern_forward(p, 0, p.n - 1, path, 0, n, wanted, found) == n
    low = pattern_forward(p, 0, p.first_rest, path, 0, n, wanted, found)
    if low < 0:
        return False
    high = pattern_backward(p, last + 1, path, low, n, wanted, found)
    if high < 0:
        return False
    while last != p.first_rest:
        first = last
        while p.parts[first - 1].wild != PATTERN_REST:
            first -= 1
        at = high
        while True:
            at -= 1
            if at < low:
                return False
            if path[at] != p.parts[first].text[0]:
                continue
            end = pattern_forward(p, first, last, path, at, high, wanted, found)
            if end >= 0:
                break
        if last == wanted:
            found.p = path + end
            found.n = <uint32_t>(high - end)
        high = at
        last = first - 1
    if last == wanted:
        found.p = path + low
        found.n = <uint32_t>(high - low)
    return True


cdef bint pattern_param(const PatternC* p, const char* path, uint32_t n, const char* name, uint32_t name_len,
                        Span* found) noexcept nogil:
    # What the wildcard of this name takes of a path; of several of one name the last counts. False: there is none.
    cdef const PatternPart* part
    cdef uint32_t i = p.n - 1
    while i:
        i -= 1
        part = &p.parts[i]
        if part.name != NULL and part.name_len == name_len and memcmp(part.name, name, name_len) == 0:
            return pattern_match(p, path, n, i, found)
    return False


def _test_pattern(Pattern pattern not None, bytes path not None) -> dict | None:
    """What each named wildcard takes of a path, by name; None: it does not match."""
    cdef Span found
    cdef uint32_t i
    cdef dict taken = {}
    if not pattern_match(&pattern.c, path, <uint32_t>len(path), pattern.c.n, &found):
        return None
    for i in range(pattern.c.n):
        if pattern.c.parts[i].name != NULL:
            pattern_match(&pattern.c, path, <uint32_t>len(path), i, &found)
            taken[pattern.c.parts[i].name[:pattern.c.parts[i].name_len]] = found.p[:found.n]
    return taken
