# A strict decoder of the chunked coding. Owns: its state between pieces. Body in chunked.pxi.

cdef enum ChunkVerdict:
    CHUNK_MORE = 0              # every byte was used; the message goes on
    CHUNK_DATA = 1              # a span of the payload lies inside the given bytes; call again with the rest
    CHUNK_END = 2               # the message ends; bytes behind `used` belong to the next one
    CHUNK_BAD = 3               # no lawful continuation: refuse, and trust nothing behind it

cdef enum ChunkState:
    CHUNK_SIZE = 0
    CHUNK_SIZE_LF               # line end of a chunk's first line
    CHUNK_EXT_BEGIN             # behind ";"
    CHUNK_EXT_NAME
    CHUNK_EXT_EQUAL             # spaces behind a name: "=" must follow
    CHUNK_EXT_VALUE             # behind "="
    CHUNK_EXT_TOKEN
    CHUNK_EXT_QUOTED
    CHUNK_EXT_ESCAPED           # behind a backslash
    CHUNK_EXT_CLOSED            # behind a closing quote
    CHUNK_PAYLOAD
    CHUNK_PAYLOAD_CR
    CHUNK_PAYLOAD_LF
    CHUNK_LINE                  # first byte of a trailer line, or of the empty line that ends the message
    CHUNK_FIELD_NAME
    CHUNK_FIELD_VALUE
    CHUNK_FIELD_LF
    CHUNK_LAST_LF
    CHUNK_ENDED
    CHUNK_BROKEN

cdef struct ChunkDecoder:
    int64_t announced           # sum of the chunk sizes read so far, known before their payload comes
    uint64_t left               # of the present chunk
    uint32_t ext_left           # bytes of extensions still allowed, over the whole message
    uint32_t trailer_left       # bytes of trailer lines still allowed
    uint8_t digits              # of the present size
    uint8_t state               # ChunkState
