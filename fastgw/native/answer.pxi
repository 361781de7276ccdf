# answer: header lines that steps set, add to what is there, or take out of an answer on its way to the client. The upstream's
# fields that they replace are dropped in its head; those that they add to are taken over into the steps' own lines, which stand
# for all fields of their names when the head is written (serialise). Must not know who says what, nor why.


def header_block(pairs) -> bytes:
    """Header lines as they go out, of (name, value) pairs; ValueError where one could end a line."""
    cdef Buf lines
    cdef bytes n, v
    memset(&lines, 0, sizeof(Buf))
    try:
        for name, value in pairs:
            n, v = name.encode(), value.encode()
            if extra_line(&lines, n, len(n), v, len(v)) < 0:
                raise ValueError(f"header {name!r}: a name or value with control bytes")
        if lines.failed:
            raise MemoryError
        return lines.p[:lines.len] if lines.len else b""
    finally:
        buf_free(&lines)


cdef uint32_t lines_cut(Buf* lines, uint32_t end, const char* name, uint32_t n) noexcept nogil:
    # Takes the lines of that name out of the first `end` bytes; gives how many bytes went.
    cdef Span value
    cdef char* start
    cdef uint32_t size
    cdef uint32_t cut = 0
    while lines_find(lines.p, end - cut, name, n, &value):
        start = <char*>value.p - n - 2
        size = n + 2 + value.n + 2
        memmove(start, start + size, lines.p + lines.len - start - size)
        lines.len -= size
        cut += size
    return cut


cdef void answer_cut(Exchange* x, const char* name, uint32_t n) noexcept nogil:
    # Takes out what the upstream, the gateway itself and earlier steps say under that name.
    if x.up_head != NULL:
        head_drop(x.up_head, x.up_base, name, n)
    elif n == 12 and x.reply_type != REPLY_STORED and same_name(name, "content-type", 12):
        x.reply_type = ""
    lines_cut(&x.down_extra, x.down_extra.len, name, n)


cdef int answer_set(Exchange* x, const char* name, uint32_t n, const char* value, size_t m) noexcept nogil:
    # One line in the place of all that is said under that name. -1 where it cannot be one: then all stays.
    cdef Buf* lines = &x.down_extra
    cdef uint32_t before = lines.len
    if extra_line(lines, name, n, value, m) < 0:
        return -1
    if x.up_head != NULL:
        head_drop(x.up_head, x.up_base, name, n)
    elif n == 12 and x.reply_type != REPLY_STORED and same_name(name, "content-type", 12):
        x.reply_type = ""
    lines_cut(lines, before, name, n)
    return 0


cdef int answer_add(Exchange* x, const char* name, uint32_t n, const char* value, size_t m) noexcept nogil:
    # One line beside what is said under that name. -1 where it cannot be one.
    cdef Buf* lines = &x.down_extra
    cdef Field* f
    cdef Span own
    cdef uint32_t i
    if x.up_head != NULL and not extra_find(lines, name, n, &own):
        for i in range(x.up_head.n):
            f = &x.up_head.fields[i]
            if f.name_len == n and not f.flags & FIELD_DROP and same_name(x.up_base + f.name, name, n):
                f.flags |= FIELD_DROP
                extra_line(lines, x.up_base + f.name, n, x.up_base + f.value, f.value_len)
    return extra_line(lines, name, n, value, m)


cdef bint answer_find(const Exchange* x, const char* name, uint32_t n, Span* value) noexcept nogil:
    # The first value that the answer as it stands has under that name.
    cdef const Field* f
    cdef uint32_t i
    if extra_find(&x.down_extra, name, n, value):
        return True
    if x.up_head != NULL:
        for i in range(x.up_head.n):
            f = &x.up_head.fields[i]
            if f.name_len == n and not f.flags & FIELD_DROP and same_name(x.up_base + f.name, name, n):
                value.p = x.up_base + f.value
                value.n = f.value_len
                return True
    return False


cdef bint list_names(const char* p, uint32_t n, const char* member, uint32_t m) noexcept nogil:
    # Whether a list between commas (RFC 9110 section 5.6.1) has this member, case aside.
    cdef const char* end = p + n
    cdef const char* stop
    cdef const char* last
    while p < end:
        stop = <const char*>memchr(p, c",", end - p)
        if stop == NULL:
            stop = end
        while p < stop and (p[0] == c" " or p[0] == c"\t"):
            p += 1
        last = stop
        while last > p and ((last - 1)[0] == c" " or (last - 1)[0] == c"\t"):
            last -= 1
        if last - p == m and field_same(p, member, m):
            return True
        p = stop + 1
    return False


cdef bint answer_lists(const Exchange* x, const char* name, uint32_t n, const char* member, uint32_t m) noexcept nogil:
    # Whether the answer as it stands has this member in a list of that name.
    cdef const char* p = x.down_extra.p
    cdef uint32_t left = x.down_extra.len
    cdef const Field* f
    cdef Span value
    cdef uint32_t i
    while lines_find(p, left, name, n, &value):
        if list_names(value.p, value.n, member, m):
            return True
        left -= <uint32_t>(value.p + value.n + 2 - p)
        p = value.p + value.n + 2
    if x.up_head != NULL:
        for i in range(x.up_head.n):
            f = &x.up_head.fields[i]
            if (f.name_len == n and not f.flags & FIELD_DROP and same_name(x.up_base + f.name, name, n)
                    and list_names(x.up_base + f.value, f.value_len, member, m)):
                return True
    return False


cdef void answer_vary(Exchange* x, const char* member, uint32_t m) noexcept nogil:
    # The answer depends on that header of the request (RFC 9110 section 12.5.5): caches must know. Most answers have no Vary yet.
    cdef Span said
    if not answer_find(x, "Vary", 4, &said):
        buf_put(&x.down_extra, b"Vary: ", 6)
        buf_put(&x.down_extra, member, m)
        buf_put(&x.down_extra, b"\r\n", 2)
    elif not answer_lists(x, "Vary", 4, member, m) and not answer_lists(x, "Vary", 4, "*", 1):
        answer_add(x, "Vary", 4, member, m)
