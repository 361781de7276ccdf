# Shapes of the JSON strings room: see json_text.pxi.
cdef extern from "json_text.h" nogil:
    unsigned int json_plain_run(const uint8_t* at) noexcept

cdef struct JsonText:
    const uint8_t* at           # into the document; a string's first byte after the quote
    size_t length               # bytes, of a string without its quotes
    bint escaped                # a string: some byte is a backslash, so it means other bytes than these

cdef struct JsonBytes:          # reads a string byte by byte, unescaped
    const uint8_t* at
    const uint8_t* end
    uint8_t pending[4]          # an escape's UTF-8, most significant byte last
    uint32_t pending_len
    bint escaped                # False: a backslash is itself, as in a name that was asked for

cdef size_t json_unescape(const JsonText* text, uint8_t* out) noexcept nogil
