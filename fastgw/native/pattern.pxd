# Path patterns: literal texts with wildcards between them. Owns: the shapes. Bodies in pattern.pxi.

cdef enum PatternWild:
    PATTERN_END = 0             # no wildcard: the path ends here
    PATTERN_SEGMENT = 1         # `:name`, one segment that is not empty
    PATTERN_REST = 2            # `*`, any text, slashes too

cdef struct PatternPart:
    const char* text            # what stands in front of the wildcard
    uint32_t len
    uint8_t wild                # PatternWild
    const char* name            # by which `uri_param_` calls what the wildcard takes; NULL: it has no name
    uint32_t name_len

cdef struct PatternC:
    PatternPart* parts          # the first one's text is the prefix by which the pattern is found
    uint32_t n
    uint32_t first_rest         # part with the first `*`, and with the last; n: there is none
    uint32_t last_rest
    uint32_t len                # as written, in the normal form
    bint checks                 # a path that has the prefix may yet not match


cdef class Pattern:
    cdef PatternC c
    cdef readonly bytes text
    cdef readonly bytes prefix
    cdef readonly bytes head    # what its segments behind the prefix are, up to the first `*`: see facet
    cdef readonly bytes tail    # and behind the last, from the end
    cdef readonly bint open
    cdef readonly bytes words   # its literal segments among these
    cdef list held
    cdef int lay(self, list parts) except -1
