# log_url: URLs as members of the access log's lines. Values of arguments that carry credentials are not written: what is told of
# a request is its URL without them, wherever the request went and whoever refused it, also before it had a route.
#
# Owns: the names of such arguments, which steps tell when they are made. A name once told stays one for the life of the process:
# a client may go on sending what an earlier configuration asked for.

cdef enum:
    SECRET_ARGS_MAX = 64        # with more names than these, no value of any argument is written

cdef struct SecretArg:
    const char* name
    uint32_t n

cdef SecretArg[SECRET_ARGS_MAX] secret_args
cdef uint32_t secret_args_n = 0                     # SECRET_ARGS_MAX + 1: there were more
cdef list secret_arg_names = []                     # holds what the table points to


cdef int log_hide_arg(bytes name) except -1:
    """Arguments of this name carry credentials."""
    global secret_args_n
    if name in secret_arg_names or secret_args_n > SECRET_ARGS_MAX:
        return 0
    if secret_args_n < SECRET_ARGS_MAX:
        secret_arg_names.append(name)
        secret_args[secret_args_n].name = name
        secret_args[secret_args_n].n = <uint32_t>len(name)
    secret_args_n += 1
    return 0


cdef set secret_headers = set()                     # folded names of headers that carry credentials, held
cdef SecretArg[SECRET_ARGS_MAX] secret_header
cdef uint32_t secret_headers_n = 0


cdef int log_hide_header(bytes name) except -1:
    """Headers of this name carry credentials."""
    global secret_headers_n
    if name in secret_headers:
        return 0
    secret_headers.add(name)
    if secret_headers_n < SECRET_ARGS_MAX:
        secret_header[secret_headers_n].name = name
        secret_header[secret_headers_n].n = <uint32_t>len(name)
    secret_headers_n += 1
    return 0


cdef bint log_is_secret_header(const char* p, uint32_t n) noexcept nogil:
    cdef uint32_t i, k
    if secret_headers_n > SECRET_ARGS_MAX:
        return True
    for i in range(secret_headers_n):
        k = 0
        if secret_header[i].n == n:
            while k < n and (FIELD_TCHAR[<uint8_t>p[k]] ^ FIELD_TCHAR[<uint8_t>secret_header[i].name[k]]) & 0x7F == 0:
                k += 1
            if k == n:
                return True
    return False


cdef bint log_is_secret_arg(const char* p, uint32_t n) noexcept nogil:
    # By its name alone.
    cdef uint32_t i
    if secret_args_n > SECRET_ARGS_MAX:
        return True
    for i in range(secret_args_n):
        if secret_args[i].n == n and memcmp(secret_args[i].name, p, n) == 0:
            return True
    return False


cdef bint log_is_secret(const char* p, const char* stop) noexcept nogil:
    # Whether the argument p..stop is one of those, in any spelling that an application reads as its name.
    cdef uint32_t i
    if secret_args_n > SECRET_ARGS_MAX:
        return True
    for i in range(secret_args_n):
        if arg_named(p, stop, secret_args[i].name, secret_args[i].n):
            return True
    return False


cdef void log_query(Buf* out, const char* p, const char* end, bint json) noexcept nogil:
    # json: escaped as in JSON, else as in a text format.
    cdef const char* run = p
    cdef const char* stop
    cdef const char* equals
    while p < end:
        stop = <const char*>memchr(p, c"&", end - p)
        if stop == NULL:
            stop = end
        equals = <const char*>memchr(p, c"=", stop - p)
        if equals != NULL and log_is_secret(p, stop):
            log_escaped(out, run, equals + 1 - run, json)
            buf_put(out, b"***", 3)
            run = stop
        p = stop + 1
    log_escaped(out, run, end - run, json)


cdef inline void log_url(Buf* out, const char* name, size_t name_len, const char* p, size_t n) noexcept nogil:
    """A URL, or a request's target, as a member; `name` as log_member has it."""
    cdef const char* query = <const char*>memchr(p, c"?", n) if n else NULL
    if query == NULL:
        log_member(out, name, name_len, p, n)
        return
    buf_put(out, name, name_len)
    log_text(out, p, query + 1 - p)
    log_query(out, query + 1, p + n, True)
    buf_byte(out, 34)
