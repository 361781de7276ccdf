# log_text: text as a member of a JSON line of the log. Must not know what is logged.


cdef void log_text(Buf* out, const char* p, size_t n) noexcept nogil:
    # A JSON string's content: quotes, backslashes and control bytes escaped; bytes above 127 as Latin-1 escapes, because a
    # header may hold anything and the line must stay valid UTF-8.
    cdef size_t i = 0
    cdef size_t run = 0
    cdef uint8_t c
    while True:
        i += scan_open(p + i, n - i)
        if i == n:
            break
        c = <uint8_t>p[i]
        buf_put(out, p + run, i - run)
        i += 1
        run = i
        if c == 34 or c == 92:
            buf_byte(out, 92)
            buf_byte(out, c)
        else:
            buf_put(out, b"\\u00", 4)
            buf_byte(out, HEX_DIGITS[c >> 4])
            buf_byte(out, HEX_DIGITS[c & 15])
    buf_put(out, p + run, n - run)


cdef inline void log_member(Buf* out, const char* name, size_t name_len, const char* p, size_t n) noexcept nogil:
    if n == 0:
        return
    buf_put(out, name, name_len)
    log_text(out, p, n)
    buf_byte(out, 34)


cdef bytes log_rendered(const char* name, bytes value):
    """A member as the log line has it, made once for what many requests share; empty where there is nothing to say."""
    cdef Buf out
    memset(&out, 0, sizeof(out))
    log_member(&out, name, strlen(name), value, len(value))
    if out.failed:
        buf_free(&out)
        raise MemoryError
    rendered = out.p[:out.len] if out.len else b""
    buf_free(&out)
    return rendered


# What has a bound is written without a look for room at each piece: whoever writes it has looked once for all of it.

cdef inline char* log_piece(char* p, const char* text, size_t n) noexcept nogil:
    memcpy(p, text, n)
    return p + n


cdef inline char* log_thousandths(char* p, uint32_t thousandths) noexcept nogil:
    # A point and three digits.
    p[0] = 46
    p[1] = <char>(48 + thousandths // 100)
    memcpy(p + 2, DIGIT_PAIRS + 2 * (thousandths % 100), 2)
    return p + 4


cdef inline char* log_ms(char* p, uint64_t ns) noexcept nogil:
    # Milliseconds with three decimals.
    cdef uint64_t us = ns // 1000
    return log_thousandths(int_put(p, us // 1000), us % 1000)


cdef enum:
    LOG_MS = BUF_INT + 4        # bytes that log_ms may write
