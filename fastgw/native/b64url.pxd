# Shapes of the base64url room: see b64url.pxi.
cdef extern from "b64url.h" nogil:
    ctypedef size_t (*B64urlBulk)(
        const uint8_t* text, size_t length, uint8_t* out, size_t room, uint32_t* bad
    ) noexcept
    B64urlBulk b64url_best_bulk() noexcept
    size_t b64url_bulk_none(
        const uint8_t* text, size_t length, uint8_t* out, size_t room, uint32_t* bad
    ) noexcept

cdef enum:
    B64URL_BAD = 0xFF       # what the table holds for a byte outside the alphabet; no sextet has bit 7

cdef inline size_t b64url_decoded_len(size_t length) noexcept nogil:
    """Bytes that `length` characters decode to; a length of 4n + 1 is never lawful."""
    return length // 4 * 3 + (length & 3) * 3 // 4

cdef Py_ssize_t b64url_decode(const uint8_t* text, size_t length, uint8_t* out, size_t room) noexcept nogil
