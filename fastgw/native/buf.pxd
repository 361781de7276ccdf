# A growable run of bytes in C memory. Owns: its block. Failure to grow is sticky, so that a serialiser checks once, at its end.

cdef enum:
    BUF_KEEP = 16384            # a block larger than this is given back by buf_reset (bounds what an idle connection holds)

cdef struct Buf:
    char* p
    uint32_t len
    uint32_t cap
    uint32_t off                # bytes at the front already consumed by the reader
    uint32_t failed
