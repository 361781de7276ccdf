# buf: a growable run of bytes, see buf.pxd.

cdef extern from *:
    """
    #define fgw_prefetch(p) __builtin_prefetch(p)
    """
    void prefetch "fgw_prefetch"(const void* p) nogil

cdef const char* HEX_DIGITS = "0123456789abcdef"
cdef enum:
    BUF_INT = 20                # "-9223372036854775808"
cdef char DIGIT_PAIRS[200]      # "000102" to "99"
_PAIRS = b"".join([b"%02d" % i for i in range(100)])
memcpy(DIGIT_PAIRS, <const char*><bytes>_PAIRS, sizeof(DIGIT_PAIRS))


cdef int buf_grow(Buf* b, size_t more) noexcept nogil:
    cdef size_t want = <size_t>b.len + more
    cdef size_t cap = want if want <= HEAP_TIGHT else <size_t>b.cap * 2 if b.cap else 512
    cdef char* p
    if want > 0x7fffffff:
        b.failed = 1
        return -1
    while cap < want:
        cap *= 2
    p = <char*>realloc(b.p, cap)
    if p == NULL:
        b.failed = 1
        return -1
    b.p = p
    b.cap = <uint32_t>cap
    return 0


cdef inline int buf_room(Buf* b, size_t more) noexcept nogil:
    if more <= <size_t>(b.cap - b.len):
        return 0
    return buf_grow(b, more)


cdef inline void buf_put(Buf* b, const void* p, size_t n) noexcept nogil:
    if n and buf_room(b, n) == 0:
        memcpy(b.p + b.len, p, n)
        b.len += <uint32_t>n


cdef inline void buf_byte(Buf* b, char c) noexcept nogil:
    if buf_room(b, 1) == 0:
        b.p[b.len] = c
        b.len += 1


cdef inline void buf_str(Buf* b, const char* z) noexcept nogil:
    buf_put(b, z, strlen(z))


cdef inline char* int_put(char* p, int64_t v) noexcept nogil:
    # Behind the number; BUF_INT bytes at p may be written. Nearly every number of a head or a log line has at most four digits:
    # two pairs from a table, and as one copy of fixed size what follows the zeros in front.
    cdef char tmp[8]
    cdef uint32_t u, zeros
    if <uint64_t>v > 9999:
        return int_put_long(p, v)
    u = <uint32_t>v
    memcpy(tmp, DIGIT_PAIRS + 2 * (u // 100), 2)
    memcpy(tmp + 2, DIGIT_PAIRS + 2 * (u % 100), 2)
    memset(tmp + 4, 0, 4)
    zeros = (u < 10) + (u < 100) + (u < 1000)
    memcpy(p, tmp + zeros, 4)
    return p + 4 - zeros


cdef char* int_put_long(char* p, int64_t v) noexcept nogil:
    # Two digits at a time, then all the room there is for digits in one copy of fixed size: no call.
    cdef char tmp[2 * BUF_INT]
    cdef int i = BUF_INT
    cdef uint64_t u = <uint64_t>v if v >= 0 else <uint64_t>(-(v + 1)) + 1
    memset(tmp + BUF_INT, 0, BUF_INT)
    while u >= 100:
        i -= 2
        memcpy(tmp + i, DIGIT_PAIRS + 2 * (u % 100), 2)
        u //= 100
    if u >= 10:
        i -= 2
        memcpy(tmp + i, DIGIT_PAIRS + 2 * u, 2)
    else:
        i -= 1
        tmp[i] = <char>(48 + u)
    if v < 0:
        i -= 1
        tmp[i] = 45
    memcpy(p, tmp + i, BUF_INT)
    return p + BUF_INT - i


cdef inline void buf_int(Buf* b, int64_t v) noexcept nogil:
    if buf_room(b, BUF_INT) == 0:
        b.len = <uint32_t>(int_put(b.p + b.len, v) - b.p)


cdef void buf_hex(Buf* b, uint64_t v) noexcept nogil:
    cdef char tmp[16]
    cdef int i = 16
    while True:
        i -= 1
        tmp[i] = HEX_DIGITS[v & 15]
        v >>= 4
        if v == 0:
            break
    buf_put(b, tmp + i, 16 - i)


cdef inline void buf_eat(Buf* b, size_t n) noexcept nogil:
    # The reader took n bytes; an emptied buffer starts again at its front.
    b.off += <uint32_t>n
    if b.off >= b.len:
        b.off = b.len = 0


cdef inline uint32_t buf_left(const Buf* b) noexcept nogil:
    return b.len - b.off


cdef inline void buf_reset(Buf* b) noexcept nogil:
    # Empties; keeps a small block for the next use.
    b.len = b.off = b.failed = 0
    if b.cap > BUF_KEEP or HEAP_TIGHT:
        free(b.p)
        b.p = NULL
        b.cap = 0


cdef inline void buf_free(Buf* b) noexcept nogil:
    free(b.p)
    memset(b, 0, sizeof(Buf))


# --- for tests ---

def _test_buf_int(int64_t v, before: bytes) -> bytes:
    """A number appended to `before`."""
    cdef Buf b
    memset(&b, 0, sizeof(b))
    buf_put(&b, <const char*>before, len(before))
    buf_int(&b, v)
    if b.failed:
        raise MemoryError
    text = b.p[: b.len]
    buf_free(&b)
    return text
