# base64: the plain alphabet (RFC 4648 section 4), as header fields carry it: decoded by the other alphabet's decoder, and
# written. Must not know what is carried.

cdef const char* BASE64_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


cdef bint base64_decode(const char* p, uint32_t n, Buf* out) noexcept nogil:
    # With its padding or without any, into an emptied out.
    cdef uint32_t padding = 0
    cdef uint32_t i
    cdef char* text
    cdef Py_ssize_t size
    while padding < 2 and n and p[n - 1] == c"=":
        n -= 1
        padding += 1
    if padding and (n + padding) & 3:
        return False
    buf_reset(out)
    if buf_room(out, 2 * <size_t>n + 32) != 0:
        return False
    text = out.p + b64url_decoded_len(n) + 32       # room beyond the result decodes faster
    for i in range(n):
        if p[i] == c"-" or p[i] == c"_":
            return False
        text[i] = c"-" if p[i] == c"+" else c"_" if p[i] == c"/" else p[i]
    size = b64url_decode(<const uint8_t*>text, n, <uint8_t*>out.p, b64url_decoded_len(n) + 16)
    if size < 0:
        return False
    out.len = <uint32_t>size
    return True


cdef uint32_t base64_bare(const uint8_t* p, uint32_t n, char* out) noexcept nogil:
    # Written without padding; gives the length, at most 4 for each 3 bytes begun.
    cdef uint32_t bits = 0
    cdef uint32_t have = 0
    cdef uint32_t size = 0
    cdef uint32_t i
    for i in range(n):
        bits = bits << 8 | p[i]
        have += 8
        while have >= 6:
            have -= 6
            out[size] = BASE64_DIGITS[(bits >> have) & 63]
            size += 1
    if have:
        out[size] = BASE64_DIGITS[(bits << (6 - have)) & 63]
        size += 1
    return size


cdef bint base64_says(const char* text, uint32_t n, const uint8_t* raw, uint32_t size) noexcept nogil:
    # Whether the text is these bytes (at most SHA2_MAX_DIGEST) in their one spelling, its padding there or not, in a time that
    # depends on lengths alone.
    cdef char right[2 * SHA2_MAX_DIGEST]
    cdef uint32_t bare = base64_bare(raw, size, right)
    if n != bare and (n != ((size + 2) // 3) * 4 or memcmp(text + bare, b"==", n - bare) != 0):
        return False
    return ct_equal(text, right, bare)
