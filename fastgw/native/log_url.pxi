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


cdef bint log_is_secret(const char* p, const char* stop) noexcept nogil:
    # Whether the argument p..stop is one of those, in any spelling that an application reads as its name.
    cdef uint32_t i
    if secret_args_n > SECRET_ARGS_MAX:
        return True
    for i in range(secret_args_n):
        if arg_named(p, stop, secret_args[i].name, secret_args[i].n):
            return True
    return False


cdef void log_query(Buf* out, const char* p, const char* end) noexcept nogil:
    cdef const char* run = p
    cdef const char* stop
    cdef const char* equals
    while p < end:
        stop = <const char*>memchr(p, c"&", end - p)
        if stop == NULL:
            stop = end
        equals = <const char*>memchr(p, c"=", stop - p)
        if equals != NULL and log_is_secret(p, stop):
            log_text(out, run, equals + 1 - run)
            buf_put(out, b"***", 3)
            run = stop
        p = stop + 1
    log_text(out, run, end - run)


cdef inline void log_url(Buf* out, const char* name, size_t name_len, const char* p, size_t n) noexcept nogil:
    """A URL, or a request's target, as a member; `name` as log_member has it."""
    cdef const char* query = <const char*>memchr(p, c"?", n) if n else NULL
    if query == NULL:
        log_member(out, name, name_len, p, n)
        return
    buf_put(out, name, name_len)
    log_text(out, p, query + 1 - p)
    log_query(out, query + 1, p + n)
    buf_byte(out, 34)
