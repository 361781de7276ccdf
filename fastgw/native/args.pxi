# args: the arguments of a query. Names are compared as an application reads them, percent-decoded and with '+' for a space:
# an argument that the gateway overlooked and the upstream took for the same would be a second answer to one question. A '%'
# that no two hex digits follow stands for itself.


cdef inline int hex_digit(char c) noexcept nogil:
    if c"0" <= c <= c"9":
        return c - c"0"
    if c"a" <= (c | 0x20) <= c"f":
        return (c | 0x20) - c"a" + 10
    return -1


cdef inline char arg_byte(const char** at, const char* stop) noexcept nogil:
    # One byte of an argument, decoded; moves `at` behind it.
    cdef const char* p = at[0]
    cdef int high, low
    at[0] = p + 1
    if p[0] == c"+":
        return c" "
    if p[0] == c"%" and stop - p > 2:
        high = hex_digit(p[1])
        low = hex_digit(p[2])
        if high >= 0 and low >= 0:
            at[0] = p + 3
            return <char>(high << 4 | low)
    return p[0]


cdef bint arg_named(const char* p, const char* stop, const char* name, uint32_t n) noexcept nogil:
    # Whether the argument p..stop, "name" or "name=value", is of that name.
    cdef uint32_t i = 0
    while p < stop and p[0] != c"=":
        if i == n or arg_byte(&p, stop) != name[i]:
            return False
        i += 1
    return i == n


cdef uint32_t args_find(const char* p, uint32_t len, const char* name, uint32_t n, Span* value) noexcept nogil:
    # How often the arguments have one of this name; value of the first, as it stands (not decoded).
    cdef const char* end = p + len
    cdef const char* stop
    cdef const char* equals
    cdef uint32_t count = 0
    while p < end:
        stop = <const char*>memchr(p, 38, end - p)
        if stop == NULL:
            stop = end
        if arg_named(p, stop, name, n):
            count += 1
            if count == 1:
                equals = <const char*>memchr(p, 61, stop - p)
                value.p = equals + 1 if equals != NULL else stop
                value.n = <uint32_t>(stop - value.p)
        p = stop + 1
    return count


cdef inline uint32_t arg_find(const Exchange* x, const char* name, uint32_t n, Span* value) noexcept nogil:
    return args_find(x.bytes.p + x.query, x.query_len, name, n, value) if x.query_len else 0


cdef void arg_decode(const Span* value, Buf* out) noexcept nogil:
    # Appends what an argument's value says.
    cdef const char* p = value.p
    cdef const char* stop = p + value.n
    if buf_room(out, value.n) != 0:
        return
    while p < stop:
        out.p[out.len] = arg_byte(&p, stop)
        out.len += 1


cdef void hide_arg(Exchange* x, const char* name, uint32_t n) noexcept nogil:
    # Takes the argument out of the target as it stands now; the rest of the query stays as it is.
    cdef Buf* target = &x.target
    cdef char* out
    cdef const char* p
    cdef const char* end
    cdef const char* stop
    cdef char separator = c"?"
    if target.len == 0:
        buf_put(target, x.bytes.p + x.raw_path, x.raw_path_len)
    out = <char*>memchr(target.p, c"?", target.len) if target.len else NULL
    if out == NULL:
        return
    p = out + 1
    end = target.p + target.len
    while p < end:
        stop = <const char*>memchr(p, 38, end - p)
        if stop == NULL:
            stop = end
        if not arg_named(p, stop, name, n):     # out + 1 is never beyond p: in place
            out[0] = separator
            memmove(out + 1, p, stop - p)
            out += 1 + (stop - p)
            separator = c"&"
        p = stop + 1
    target.len = <uint32_t>(out - target.p)


def _test_args(bytes query, bytes name):
    """(how often the query has the argument, its first value decoded, the target /?query without it or b"")."""
    cdef Exchange x
    cdef Span value
    cdef Buf decoded
    cdef uint32_t count
    memset(&x, 0, sizeof(Exchange))
    memset(&decoded, 0, sizeof(Buf))
    try:
        buf_put(&x.bytes, b"/?", 2)
        buf_put(&x.bytes, <const char*>query, len(query))
        x.query = 2
        x.query_len = <uint32_t>len(query)
        x.raw_path_len = x.bytes.len
        count = arg_find(&x, name, <uint32_t>len(name), &value)
        if count:
            arg_decode(&value, &decoded)
            hide_arg(&x, name, <uint32_t>len(name))
        return count, decoded.p[:decoded.len] if decoded.len else b"", x.target.p[:x.target.len] if x.target.len else b""
    finally:
        buf_free(&x.bytes)
        buf_free(&x.target)
        buf_free(&decoded)
