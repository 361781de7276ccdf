# chunked: the chunked transfer coding (RFC 9112 section 7.1), decoded strictly and in place.
#
# Owns: sizes, extensions, trailers: their grammar and bounds. Must not know who sent them or where payload
# goes. Extensions and trailers are checked and dropped, never handed on (RFC 9110 section 6.5.1 lets a
# recipient drop trailers). Stricter than the RFC: 16 digits at most; no white space before ";" or the line
# end, where parsers are known to differ; no tab inside extensions.


cdef void chunk_begin(ChunkDecoder* d, uint32_t max_ext, uint32_t max_trailer) noexcept nogil:
    memset(d, 0, sizeof(ChunkDecoder))
    d.ext_left, d.trailer_left = max_ext, max_trailer


cdef int chunk_next(
    ChunkDecoder* d, const char* buf, size_t n, size_t* used, const char** data, size_t* data_len
) noexcept nogil:
    """Decode on; see ChunkVerdict. Look at d.announced after each call, before passing payload on."""
    cdef size_t at = 0
    data[0], data_len[0] = NULL, 0
    while at < n and d.state < CHUNK_ENDED:
        if d.state == CHUNK_PAYLOAD:
            data[0] = buf + at
            data_len[0] = <size_t>d.left if d.left < n - at else n - at
            d.left -= data_len[0]
            if d.left == 0:
                d.state = CHUNK_PAYLOAD_CR
            used[0] = at + data_len[0]
            return CHUNK_DATA
        d.state = chunk_step(d, <uint8_t>buf[at])
        at += 1
    used[0] = at
    if d.state == CHUNK_ENDED:
        return CHUNK_END
    return CHUNK_BAD if d.state == CHUNK_BROKEN else CHUNK_MORE


cdef uint8_t chunk_step(ChunkDecoder* d, uint8_t c) noexcept nogil:
    """The state behind one byte of anything but payload."""
    if d.state == CHUNK_SIZE:
        return chunk_size_step(d, c)
    if d.state == CHUNK_SIZE_LF:
        if c != c"\n":
            return CHUNK_BROKEN
        return CHUNK_PAYLOAD if d.left else CHUNK_LINE
    if d.state == CHUNK_PAYLOAD_CR:
        return CHUNK_PAYLOAD_LF if c == c"\r" else CHUNK_BROKEN
    if d.state == CHUNK_PAYLOAD_LF:
        d.digits = 0
        return CHUNK_SIZE if c == c"\n" else CHUNK_BROKEN
    if d.state == CHUNK_LAST_LF:
        return CHUNK_ENDED if c == c"\n" else CHUNK_BROKEN
    if d.state >= CHUNK_LINE:
        return chunk_trailer_step(d, c)
    if c != c"\r":
        if d.ext_left == 0:
            return CHUNK_BROKEN
        d.ext_left -= 1
    return chunk_ext_step(d.state, c)


cdef uint8_t chunk_size_step(ChunkDecoder* d, uint8_t c) noexcept nogil:
    """1*16HEXDIG, then ";" or CR."""
    cdef int digit = uri_hex(<char>c)
    if digit >= 0:
        if d.digits == 16:
            return CHUNK_BROKEN
        d.digits += 1
        d.left = d.left << 4 | <uint64_t>digit
        return CHUNK_SIZE
    if d.digits == 0 or (c != c"\r" and c != c";") or d.left > <uint64_t>(INT64_MAX - d.announced):
        return CHUNK_BROKEN
    d.announced += <int64_t>d.left
    if c == c"\r":
        return CHUNK_SIZE_LF
    if d.ext_left == 0:
        return CHUNK_BROKEN
    d.ext_left -= 1
    return CHUNK_EXT_BEGIN


cdef uint8_t chunk_ext_step(uint8_t state, uint8_t c) noexcept nogil:
    """";" SP* token [ SP* "=" SP* ( token / quoted-string ) ], RFC 9112 section 7.1.1."""
    if state == CHUNK_EXT_QUOTED:
        if c == c'"':
            return CHUNK_EXT_CLOSED
        if c == c"\\":
            return CHUNK_EXT_ESCAPED
        return CHUNK_EXT_QUOTED if c >= 0x20 and c != 0x7F else CHUNK_BROKEN
    if state == CHUNK_EXT_ESCAPED:
        return CHUNK_EXT_QUOTED if c >= 0x20 and c != 0x7F else CHUNK_BROKEN
    if FIELD_TCHAR[c]:
        if state == CHUNK_EXT_BEGIN or state == CHUNK_EXT_NAME:
            return CHUNK_EXT_NAME
        return CHUNK_EXT_TOKEN if state == CHUNK_EXT_VALUE or state == CHUNK_EXT_TOKEN else CHUNK_BROKEN
    if c == c" ":
        if state == CHUNK_EXT_NAME:
            return CHUNK_EXT_EQUAL
        if state == CHUNK_EXT_BEGIN or state == CHUNK_EXT_EQUAL or state == CHUNK_EXT_VALUE:
            return state
        return CHUNK_BROKEN
    if c == c"=":
        return CHUNK_EXT_VALUE if state == CHUNK_EXT_NAME or state == CHUNK_EXT_EQUAL else CHUNK_BROKEN
    if c == c'"':
        return CHUNK_EXT_QUOTED if state == CHUNK_EXT_VALUE else CHUNK_BROKEN
    if state == CHUNK_EXT_NAME or state == CHUNK_EXT_TOKEN or state == CHUNK_EXT_CLOSED:
        if c == c";":
            return CHUNK_EXT_BEGIN
        if c == c"\r":
            return CHUNK_SIZE_LF
    return CHUNK_BROKEN


cdef uint8_t chunk_trailer_step(ChunkDecoder* d, uint8_t c) noexcept nogil:
    """Lines as in a head: token ":" text CRLF, no fold; then the empty line."""
    if d.state == CHUNK_LINE and c == c"\r":
        return CHUNK_LAST_LF
    if d.trailer_left == 0:
        return CHUNK_BROKEN
    d.trailer_left -= 1
    if d.state == CHUNK_FIELD_LF:
        return CHUNK_LINE if c == c"\n" else CHUNK_BROKEN
    if d.state == CHUNK_FIELD_VALUE:
        if c == c"\r":
            return CHUNK_FIELD_LF
        return CHUNK_FIELD_VALUE if (c >= 0x20 or c == c"\t") and c != 0x7F else CHUNK_BROKEN
    if FIELD_TCHAR[c]:
        return CHUNK_FIELD_NAME
    return CHUNK_FIELD_VALUE if c == c":" and d.state == CHUNK_FIELD_NAME else CHUNK_BROKEN


def _test_chunked(
    data: bytes, pieces: list[int], max_ext: int = 1024, max_trailer: int = 8192
) -> tuple[bytes, int, int, int]:
    """Payload, bytes consumed, ChunkVerdict and announced sum; `data` comes in pieces, the rest as one."""
    cdef ChunkDecoder d
    cdef const char* span = NULL
    cdef size_t span_len = 0
    cdef size_t used = 0
    cdef size_t consumed = 0
    cdef int verdict = CHUNK_MORE
    cdef bytes piece
    cdef bytearray payload = bytearray()
    chunk_begin(&d, max_ext, max_trailer)
    for size in [*pieces, len(data)]:
        piece = data[consumed : consumed + size]
        verdict = CHUNK_DATA
        while verdict == CHUNK_DATA:
            verdict = chunk_next(&d, <const char*>piece, len(piece), &used, &span, &span_len)
            payload += span[:span_len] if verdict == CHUNK_DATA else b""
            consumed += used
            piece = piece[used:]
        if verdict != CHUNK_MORE:
            break
    return bytes(payload), consumed, verdict, d.announced
