# A JSON scanner (RFC 8259) for hostile documents: no allocation, every byte checked, no read past the end.
#
# Owns: the verdict on a whole document (grammar, UTF-8, surrogates, depth, no name twice in any object,
# compared after unescaping) and the spans of the top-level members asked for. Must not know tokens or what a
# member means. Recursion is bounded by JSON_MAX_DEPTH. Functions that walk return where they stopped, or NULL
# with scan.fault set.

cdef inline const uint8_t* json_fail(JsonScan* scan, int fault) noexcept nogil:
    scan.fault = fault
    return NULL


cdef inline const uint8_t* json_blank(const uint8_t* at, const uint8_t* end) noexcept nogil:
    while at < end and (at[0] == c' ' or at[0] == c'\n' or at[0] == c'\r' or at[0] == c'\t'):
        at += 1
    return at


# Values

cdef inline const uint8_t* json_digits(const uint8_t* at, const uint8_t* end) noexcept nogil:
    while at < end and c'0' <= at[0] <= c'9':
        at += 1
    return at


cdef inline const uint8_t* json_number(JsonScan* scan, const uint8_t* at) noexcept nogil:
    cdef const uint8_t* end = scan.end
    cdef const uint8_t* first = at
    cdef const uint8_t* start
    if at[0] == c'-':
        at += 1
    start = at
    at = json_digits(at, end)
    if at == start or (start[0] == c'0' and at - start > 1):
        return json_fail(scan, JSON_BAD_NUMBER)
    if at < end and at[0] == c'.':
        start = at + 1
        at = json_digits(start, end)
        if at == start:
            return json_fail(scan, JSON_BAD_NUMBER)
    if at < end and (at[0] | 0x20) == c'e':
        at += 1
        if at < end and (at[0] == c'+' or at[0] == c'-'):
            at += 1
        start = at
        at = json_digits(at, end)
        if at == start:
            return json_fail(scan, JSON_BAD_NUMBER)
    return at if at - first <= JSON_MAX_NUMBER else json_fail(scan, JSON_BAD_NUMBER)


cdef inline const uint8_t* json_word(
    JsonScan* scan, const uint8_t* at, const char* word, size_t length
) noexcept nogil:
    if <size_t>(scan.end - at) < length or memcmp(at, word, length) != 0:
        return json_fail(scan, JSON_SYNTAX)
    return at + length


cdef const uint8_t* json_value(JsonScan* scan, const uint8_t* at) noexcept nogil:
    """From a value's first byte to the byte after its last."""
    cdef bint escaped
    cdef uint8_t first
    if at >= scan.end:
        return json_fail(scan, JSON_SYNTAX)
    first = at[0]
    if first == c'"':
        at = json_string(at + 1, scan.end, &escaped)
        return json_fail(scan, JSON_BAD_STRING) if at == NULL else at + 1
    if first == c'-' or c'0' <= first <= c'9':
        return json_number(scan, at)
    if first == c'{':
        return json_object(scan, at + 1)
    if first == c'[':
        return json_array(scan, at + 1)
    if first == c't':
        return json_word(scan, at, b"true", 4)
    if first == c'f':
        return json_word(scan, at, b"false", 5)
    if first == c'n':
        return json_word(scan, at, b"null", 4)
    return json_fail(scan, JSON_SYNTAX)


cdef const uint8_t* json_array(JsonScan* scan, const uint8_t* at) noexcept nogil:
    if scan.depth == JSON_MAX_DEPTH:
        return json_fail(scan, JSON_TOO_DEEP)
    scan.depth += 1
    at = json_blank(at, scan.end)
    if at < scan.end and at[0] == c']':
        scan.depth -= 1
        return at + 1
    while True:
        at = json_value(scan, json_blank(at, scan.end))
        if at == NULL:
            return NULL
        at = json_blank(at, scan.end)
        if at >= scan.end or (at[0] != c',' and at[0] != c']'):
            return json_fail(scan, JSON_SYNTAX)
        at += 1
        if (at - 1)[0] == c']':
            scan.depth -= 1
            return at


cdef const uint8_t* json_object(JsonScan* scan, const uint8_t* at) noexcept nogil:
    cdef uint32_t first = scan.open         # the names of this object are those from here on
    cdef const uint8_t* value
    if scan.depth == JSON_MAX_DEPTH:
        return json_fail(scan, JSON_TOO_DEEP)
    scan.depth += 1
    at = json_blank(at, scan.end)
    if at < scan.end and at[0] == c'}':
        scan.depth -= 1
        return at + 1
    while True:
        value = json_name(scan, json_blank(at, scan.end), first)
        if value == NULL:
            return NULL
        at = json_value(scan, value)
        if at == NULL:
            return NULL
        if scan.depth == 1:
            json_offer(scan, &scan.names[scan.open - 1], value, at)
        at = json_blank(at, scan.end)
        if at >= scan.end or (at[0] != c',' and at[0] != c'}'):
            return json_fail(scan, JSON_SYNTAX)
        at += 1
        if (at - 1)[0] == c'}':
            scan.depth -= 1
            scan.open = first
            return at


cdef bint json_is_new_slow(
    JsonScan* scan, const JsonText* name, uint32_t found, uint32_t first
) noexcept nogil:
    """Whether a name whose hash was seen is another name all the same."""
    cdef uint32_t i
    for i in range(first, scan.open):
        if scan.hashes[i] != found:
            continue
        if json_same(&scan.names[i], name):
            scan.fault = JSON_DUPLICATE
            return False
        scan.clashes += 1       # made to clash: each costs a comparison, so a few must be enough
        if scan.clashes > JSON_MAX_CLASHES:
            scan.fault = JSON_CROWDED
            return False
    return True


cdef inline const uint8_t* json_name(JsonScan* scan, const uint8_t* at, uint32_t first) noexcept nogil:
    """From a member's opening quote to its value's first byte; the name is remembered."""
    cdef JsonText* name = &scan.names[scan.open]
    cdef uint32_t i, found, clash = 0
    if at >= scan.end or at[0] != c'"':
        return json_fail(scan, JSON_SYNTAX)
    if scan.open == JSON_MAX_OPEN:
        return json_fail(scan, JSON_CROWDED)
    name.at = at + 1
    at = json_string(at + 1, scan.end, &name.escaped)
    if at == NULL:
        return json_fail(scan, JSON_BAD_STRING)
    name.length = <size_t>(at - name.at)
    found = json_hash(name)
    for i in range(first, scan.open):   # no way out of the loop, so that compilers compare several at once
        clash |= scan.hashes[i] == found
    if clash and not json_is_new_slow(scan, name, found, first):
        return NULL
    scan.hashes[scan.open] = found
    scan.open += 1
    at = json_blank(at + 1, scan.end)
    if at >= scan.end or at[0] != c':':
        return json_fail(scan, JSON_SYNTAX)
    return json_blank(at + 1, scan.end)


# Numbers

cdef inline const uint8_t* json_exponent(
    const uint8_t* at, const uint8_t* end, int64_t* value
) noexcept nogil:
    """Find the "e" of a checked number (or its end) and read the exponent, held at +-JSON_MAX_EXPONENT."""
    cdef const uint8_t* mark = at
    cdef bint negative
    value[0] = 0
    while mark < end and (mark[0] | 0x20) != c'e':
        mark += 1
    if mark == end:
        return mark
    negative = mark[1] == c'-'
    at = mark + (2 if negative or mark[1] == c'+' else 1)
    while at < end and value[0] < JSON_MAX_EXPONENT:
        value[0] = value[0] * 10 + (at[0] - c'0')
        at += 1
    if negative:
        value[0] = -value[0]
    return mark


cdef bint json_number_ceil_slow(const JsonText* number, int64_t* out) noexcept nogil:
    cdef bint fraction
    if not json_number_parts(number, out, &fraction):
        return False
    out[0] += fraction and number.at[0] != c'-'
    return True


cdef bint json_number_floor(const JsonText* number, int64_t* out) noexcept nogil:
    """The greatest whole number not above a checked JSON number, exactly; False when that lies outside +-2^53.

    For a whole n, x >= n means floor(x) >= n; see json_number_ceil for the other comparisons.
    """
    cdef bint fraction
    if not json_number_parts(number, out, &fraction):
        return False
    out[0] -= fraction and number.at[0] == c'-'
    return True


cdef bint json_number_parts(const JsonText* number, int64_t* out, bint* some) noexcept nogil:
    """A checked number without its fraction, and whether that is some; False when it lies outside +-2^53."""
    cdef const uint8_t* at = number.at
    cdef const uint8_t* end = at + number.length
    cdef bint negative = at[0] == c'-'
    cdef bint fraction = False
    cdef uint64_t whole = 0, most = <uint64_t>1 << JSON_WHOLE_BITS
    cdef int64_t places             # digits still to come before the decimal point, the exponent applied
    if negative:
        at += 1
    end = json_exponent(at, end, &places)
    places += json_digits(at, end) - at
    while at < end:
        if at[0] != c'.':
            if places > 0:
                whole = whole * 10 + (at[0] - c'0')
            elif at[0] != c'0':
                fraction = True
            places -= 1
            if whole > most:
                return False
        at += 1
    while places > 0 and whole != 0:
        whole *= 10
        places -= 1
        if whole > most:
            return False
    if whole == most and fraction:
        return False
    out[0] = -<int64_t>whole if negative else <int64_t>whole
    some[0] = fraction
    return True


cdef inline bint json_number_ceil(const JsonText* number, int64_t* out) noexcept nogil:
    """The least whole number not below a checked JSON number, exactly; False when that lies outside +-2^53.

    For a whole n, x > n means ceil(x) > n and x <= n means ceil(x) <= n: comparisons of times in whole
    seconds need no floating point, and so know no rounding, infinity or overflow.
    """
    cdef int64_t whole = 0
    cdef uint8_t digit
    cdef size_t i
    if number.length > 15:              # fifteen digits are always within 2^53
        return json_number_ceil_slow(number, out)
    for i in range(number.length):
        digit = number.at[i] - c'0'
        if digit > 9:
            return json_number_ceil_slow(number, out)
        whole = whole * 10 + digit
    out[0] = whole
    return True


# The document

cdef inline int json_kind(uint8_t first) noexcept nogil:
    """What kind a well-formed value is, by its first byte."""
    if first == c'"':
        return JSON_STRING
    if first == c'{':
        return JSON_OBJECT
    if first == c'[':
        return JSON_ARRAY
    if first == c't':
        return JSON_TRUE
    if first == c'f':
        return JSON_FALSE
    return JSON_NULL if first == c'n' else JSON_NUMBER


cdef inline void json_offer(
    JsonScan* scan, const JsonText* name, const uint8_t* value, const uint8_t* end
) noexcept nogil:
    """Give a top-level member to every want of its name."""
    cdef JsonWant* want = scan.wants
    cdef JsonWant* last = want + scan.want_count
    while want < last:
        if json_same(&want.name, name):
            want.kind = json_kind(value[0])
            want.value.at = value
            want.value.length = <size_t>(end - value)
            want.value.escaped = False
            if want.kind == JSON_STRING:
                want.value.at += 1
                want.value.length -= 2
                want.value.escaped = memchr(want.value.at, c'\\', want.value.length) != NULL
        want += 1


cdef void json_want(JsonWant* want, const uint8_t* name, size_t length) noexcept nogil:
    """Ask for a member by what its name means; `name` must outlive the scan."""
    want.name.at = name
    want.name.length = length
    want.name.escaped = False
    want.kind = JSON_ABSENT


cdef int json_scan(
    const uint8_t* doc, size_t length, JsonWant* wants, size_t want_count, JsonScan* scan
) noexcept nogil:
    """Check a whole document, which must be an object, and fill in the wants; good only on JSON_OK."""
    cdef const uint8_t* at
    scan.end = doc + length
    scan.wants = wants
    scan.want_count = want_count
    scan.fault = JSON_OK
    scan.depth = scan.open = scan.clashes = 0
    at = json_blank(doc, scan.end)
    if at >= scan.end or at[0] != c'{':
        return JSON_NOT_OBJECT
    at = json_object(scan, at + 1)
    if at == NULL:
        return scan.fault
    return JSON_OK if json_blank(at, scan.end) == scan.end else JSON_TRAILING
