# JSON strings (RFC 8259 sections 7 and 8): which bytes are lawful, and what they mean.
#
# Owns: UTF-8, escapes, surrogates, unescaping, comparison and hash by meaning. Must not know documents. Only
# json_string meets unchecked bytes; the others are for the strings it let through.

cdef inline size_t json_utf8_len(const uint8_t* at, size_t left) noexcept nogil:
    """Bytes of the well-formed sequence at `at` (Unicode table 3-7: no surrogates, none over-long), or 0."""
    cdef uint8_t lead = at[0]
    cdef uint8_t low = 0x80, high = 0xBF        # lawful range of the second byte
    cdef size_t size
    if 0xC2 <= lead <= 0xDF:
        size = 2
    elif 0xE0 <= lead <= 0xEF:
        size = 3
        if lead == 0xE0:
            low = 0xA0
        elif lead == 0xED:
            high = 0x9F
    elif 0xF0 <= lead <= 0xF4:
        size = 4
        if lead == 0xF0:
            low = 0x90
        elif lead == 0xF4:
            high = 0x8F
    else:
        return 0
    if left < size or not low <= at[1] <= high:
        return 0
    if size > 2 and at[2] & 0xC0 != 0x80 or size > 3 and at[3] & 0xC0 != 0x80:
        return 0
    return size


cdef inline int32_t json_hex4(const uint8_t* at) noexcept nogil:
    cdef int32_t value = 0
    cdef uint8_t c
    cdef int i
    for i in range(4):
        c = at[i]
        if c'0' <= c <= c'9':
            value = value << 4 | (c - c'0')
        elif c'a' <= (c | 0x20) <= c'f':
            value = value << 4 | ((c | 0x20) - c'a' + 10)
        else:
            return -1
    return value


cdef size_t json_escape_len(const uint8_t* at, size_t left, uint32_t* code) noexcept nogil:
    """Bytes of the escape at `at` (a pair of surrogates counts as one) and its code point, or 0."""
    cdef int32_t high, low
    if left < 2:
        return 0
    if at[1] != c'u':
        code[0] = json_short_escape(at[1])
        return 2 if code[0] != 0 else 0
    high = json_hex4(at + 2) if left >= 6 else -1
    if high < 0 or 0xDC00 <= high <= 0xDFFF:
        return 0
    if high < 0xD800 or high > 0xDFFF:
        code[0] = <uint32_t>high
        return 6
    if left < 12 or at[6] != c'\\' or at[7] != c'u':
        return 0
    low = json_hex4(at + 8)
    if not 0xDC00 <= low <= 0xDFFF:
        return 0
    code[0] = <uint32_t>(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
    return 12


cdef inline uint32_t json_short_escape(uint8_t letter) noexcept nogil:
    if letter == c'"' or letter == c'\\' or letter == c'/':
        return letter
    if letter == c'b':
        return 0x08
    if letter == c'f':
        return 0x0C
    if letter == c'n':
        return 0x0A
    if letter == c'r':
        return 0x0D
    if letter == c't':
        return 0x09
    return 0


cdef inline const uint8_t* json_string(const uint8_t* at, const uint8_t* end, bint* escaped) noexcept nogil:
    """From the byte after the opening quote to the closing quote; NULL: not a lawful string, or no end."""
    cdef uint32_t code
    cdef size_t step
    escaped[0] = False
    while at < end:
        if end - at >= 8:
            step = json_plain_run(at)
            at += step
            if step == 8:
                continue
        if at[0] == c'"':
            return at
        if 0x20 <= at[0] < 0x80 and at[0] != c'\\':
            at += 1
            continue
        if at[0] == c'\\':
            escaped[0] = True
            step = json_escape_len(at, <size_t>(end - at), &code)
        else:
            step = json_utf8_len(at, <size_t>(end - at))
        if step == 0:
            return NULL
        at += step
    return NULL


cdef int json_next(JsonBytes* cursor) noexcept nogil:
    """The next byte of a checked string after unescaping, or -1 at its end."""
    cdef uint32_t code = 0, i
    cdef size_t step
    cdef int byte
    if cursor.pending_len > 0:
        cursor.pending_len -= 1
        return cursor.pending[cursor.pending_len]
    if cursor.at >= cursor.end:
        return -1
    if not cursor.escaped or cursor.at[0] != c'\\':
        byte = cursor.at[0]
        cursor.at += 1
        return byte
    step = json_escape_len(cursor.at, <size_t>(cursor.end - cursor.at), &code)
    if step == 0:               # only in a string that nobody checked
        cursor.at = cursor.end
        return -1
    cursor.at += step
    if code < 0x80:
        return <int>code
    cursor.pending_len = 1 if code < 0x800 else 2 if code < 0x10000 else 3
    for i in range(cursor.pending_len):
        cursor.pending[i] = <uint8_t>(0x80 | code >> 6 * i & 0x3F)
    return <int>((0xFF00 >> (cursor.pending_len + 1) & 0xFF) | code >> 6 * cursor.pending_len)


cdef inline void json_rewind(JsonBytes* cursor, const JsonText* text) noexcept nogil:
    cursor.at = text.at
    cursor.end = text.at + text.length
    cursor.pending_len = 0
    cursor.escaped = text.escaped


cdef size_t json_unescape(const JsonText* text, uint8_t* out) noexcept nogil:
    """Write what a checked string means, at most text.length bytes, and return how many."""
    cdef JsonBytes cursor
    cdef size_t size = 0
    cdef int byte
    json_rewind(&cursor, text)
    while True:
        byte = json_next(&cursor)
        if byte < 0:
            return size
        out[size] = <uint8_t>byte
        size += 1


cdef bint json_same_slow(const JsonText* a, const JsonText* b) noexcept nogil:
    cdef JsonBytes left, right
    cdef int byte
    json_rewind(&left, a)
    json_rewind(&right, b)
    while True:
        byte = json_next(&left)
        if byte != json_next(&right):
            return False
        if byte < 0:
            return True


cdef inline bint json_same(const JsonText* a, const JsonText* b) noexcept nogil:
    """Whether two strings mean the same bytes, however each is written."""
    if a.escaped or b.escaped:
        return json_same_slow(a, b)
    if a.length != b.length:
        return False
    # Most names differ in their first byte, and then a call costs more than the comparison.
    return a.length == 0 or (a.at[0] == b.at[0] and memcmp(a.at, b.at, a.length) == 0)


cdef inline uint32_t json_mix(uint32_t value, uint32_t word) noexcept nogil:
    value = (value ^ word) * <uint32_t>0x9E3779B1
    return value ^ value >> 15


cdef uint32_t json_hash_slow(const JsonText* text) noexcept nogil:
    cdef uint32_t value = 0, word = 0, shift = 0
    cdef JsonBytes cursor
    cdef int byte
    json_rewind(&cursor, text)
    byte = json_next(&cursor)
    while byte >= 0:
        word |= <uint32_t>byte << shift
        shift += 8
        if shift == 32:
            value = json_mix(value, word)
            word = shift = 0
        byte = json_next(&cursor)
    return json_mix(value, word) if shift > 0 else value


cdef inline uint32_t json_hash(const JsonText* text) noexcept nogil:
    """A hash of what the string means, taken four bytes at a time."""
    cdef const uint8_t* at = text.at
    cdef const uint8_t* end = at + text.length
    cdef uint32_t value = 0
    if text.escaped:
        return json_hash_slow(text)
    while end - at >= 4:
        value = json_mix(value, at[0] | <uint32_t>at[1] << 8 | <uint32_t>at[2] << 16 | <uint32_t>at[3] << 24)
        at += 4
    if end - at == 3:
        return json_mix(value, at[0] | <uint32_t>at[1] << 8 | <uint32_t>at[2] << 16)
    if end - at == 2:
        return json_mix(value, at[0] | <uint32_t>at[1] << 8)
    return json_mix(value, at[0]) if at < end else value
