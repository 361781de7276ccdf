# regex: where a regular expression matches a text, and what its groups take of it. Expressions that are no more than literal
# texts with a run of one kind of bytes between them, as nearly all that rewrite paths are, are matched here, in one pass; the
# others by RE2, whose time is linear in the text too, with the interpreter. Must not know what is matched, nor what for.

cdef enum:
    CAPTURES_MAX = 32           # groups of one expression, the whole match among them

cdef struct Captures:           # offsets into the text
    const char* text
    uint32_t n                  # 0: nothing has matched
    uint32_t start[CAPTURES_MAX]
    uint32_t end[CAPTURES_MAX]  # where it does not lie behind the start the group took nothing

cdef struct RegexPart:
    const char* text            # what stands in front of the run
    uint32_t len
    uint32_t least              # bytes of the run
    const uint8_t* kind         # bit per byte that it may have; NULL: there is none, and the expression ends

cdef struct RegexC:
    PyObject* search            # a Python callable, borrowed; NULL: it is matched here
    RegexPart* parts
    uint32_t n
    bint whole                  # the text must end where the expression does
    uint32_t groups             # beside the whole match


cdef class Regex:
    """An expression. `search(bytes)` gives None or an object with `span(group)`, `groups` is how many it has.

    `parts`: None, or what it consists of where that is all there is to it: from the text's beginning on, pairs of a literal text
    and a run, which is (bytes it may have, least length) and a group, or None behind the last text. Behind a run stands a text
    that begins with none of its bytes, or nothing. `whole`: it must reach to the text's end.
    """
    cdef RegexC c
    cdef object search
    cdef list held

    def __init__(self, search, uint32_t groups, parts=None, bint whole=False):
        cdef RegexPart* part
        cdef bytes literal, kind
        if groups >= CAPTURES_MAX:
            raise ValueError(f"expected at most {CAPTURES_MAX - 1} groups, found {groups}")
        self.search = search
        self.c.groups = groups
        self.c.whole = whole
        self.held = []
        if parts is None:
            self.c.search = <PyObject*>search
            return
        self.c.parts = <RegexPart*>calloc(len(parts), sizeof(RegexPart))
        if self.c.parts == NULL:
            raise MemoryError
        for literal, run in parts:
            part = &self.c.parts[self.c.n]
            part.text = literal
            part.len = <uint32_t>len(literal)
            if run is not None:
                kind = sum(1 << byte for byte in set(run[0])).to_bytes(32, "little")
                part.kind = <const uint8_t*><const char*>kind
                part.least = run[1]
                self.held.append(kind)
            self.held.append(literal)
            self.c.n += 1

    def __dealloc__(self):
        free(self.c.parts)


cdef bint regex_here(const RegexC* r, const char* text, uint32_t len, Captures* found) noexcept nogil:
    # Each run takes all it can: what follows it could not begin earlier.
    cdef const RegexPart* part
    cdef uint32_t at = 0
    cdef uint32_t i
    cdef uint8_t byte
    for i in range(r.n):
        part = &r.parts[i]
        if len - at < part.len or memcmp(text + at, part.text, part.len) != 0:
            return False
        at += part.len
        if part.kind == NULL:
            break
        found.start[i + 1] = at
        while at < len:
            byte = <uint8_t>text[at]
            if not part.kind[byte >> 3] >> (byte & 7) & 1:
                break
            at += 1
        found.end[i + 1] = at
        if at - found.start[i + 1] < part.least:
            return False
    if r.whole and at != len:
        return False
    found.start[0] = 0
    found.end[0] = at
    return True


cdef int regex_match(const RegexC* r, const char* text, uint32_t len, Captures* found) noexcept nogil:
    # 1 and the groups of the first place where it matches; 0; -1 without memory.
    cdef int matches
    found.text = text
    found.n = 0
    matches = regex_here(r, text, len, found) if r.search == NULL else regex_search(r, text, len, found)
    if matches > 0:
        found.n = r.groups + 1
    return matches


cdef int regex_search(const RegexC* r, const char* text, uint32_t len, Captures* found) noexcept nogil:
    cdef int matches = -1
    cdef uint32_t i
    with gil:
        try:
            match = (<object>r.search)(text[:len])
            if match is None:
                matches = 0
            else:
                for i in range(r.groups + 1):
                    start, end = match.span(i)
                    found.start[i] = max(start, 0)      # -1, -1: the group has no part in the match
                    found.end[i] = max(end, 0)
                matches = 1
        except BaseException:
            matches = -1
    return matches


def _test_regex(Regex regex not None, bytes text not None):
    """The spans of its groups, the whole match first; None: it does not match."""
    cdef Captures found
    cdef int matches = regex_match(&regex.c, text, <uint32_t>len(text), &found)
    if matches < 0:
        raise MemoryError
    return [(found.start[i], found.end[i]) for i in range(found.n)] if matches else None
