# Strict base64url without padding (RFC 4648 sections 3.5 and 5, RFC 7515 section 2).
#
# Owns: the one canonical spelling of a byte string: no padding, no blanks, no characters of plain base64,
# unused trailing bits zero. Two spellings of one token would be two keys of a cache and two lines of a log.
# Must not know tokens.

cdef uint8_t[256] b64url_sextets
cdef B64urlBulk b64url_bulk = b64url_best_bulk()    # chosen once, at import; never changes


cdef void b64url_fill() noexcept nogil:
    cdef const char* alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    cdef uint8_t i
    memset(b64url_sextets, B64URL_BAD, sizeof(b64url_sextets))
    for i in range(64):
        b64url_sextets[<uint8_t>alphabet[i]] = i


b64url_fill()


cdef inline Py_ssize_t b64url_decode_with(
    B64urlBulk bulk, const uint8_t* text, size_t length, uint8_t* out, size_t room
) noexcept nogil:
    cdef const uint8_t* end = text + (length & ~<size_t>3)
    cdef const uint8_t* sextets = b64url_sextets
    cdef size_t rest = length & 3
    cdef size_t size = b64url_decoded_len(length)
    cdef size_t done
    cdef uint32_t a, b, c = 0, d, bad = 0
    if rest == 1 or size > room:
        return -1
    done = bulk(text, length, out, room, &bad)
    text += done
    out += done // 4 * 3
    while text < end:
        a, b, c, d = sextets[text[0]], sextets[text[1]], sextets[text[2]], sextets[text[3]]
        bad |= a | b | c | d
        out[0] = <uint8_t>(a << 2 | b >> 4)
        out[1] = <uint8_t>(b << 4 | c >> 2)
        out[2] = <uint8_t>(c << 6 | d)
        text += 4
        out += 3
    if rest > 0:
        a, b = sextets[text[0]], sextets[text[1]]
        c = sextets[text[2]] if rest == 3 else 0
        # Low bits that reach no byte must be zero: four of b after two characters, two of c after three.
        bad |= a | b | c | (0x80 if (c & 3 if rest == 3 else b & 15) else 0)
        out[0] = <uint8_t>(a << 2 | b >> 4)
        if rest == 3:
            out[1] = <uint8_t>(b << 4 | c >> 2)
    return -1 if bad & 0x80 else <Py_ssize_t>size


cdef Py_ssize_t b64url_decode(const uint8_t* text, size_t length, uint8_t* out, size_t room) noexcept nogil:
    """Decode into out and return the number of bytes, or -1: not canonical, or more than `room` bytes.

    All of `room` may be written to, whatever the result; more room than needed decodes faster.
    """
    return b64url_decode_with(b64url_bulk, text, length, out, room)
