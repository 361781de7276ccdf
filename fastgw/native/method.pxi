# method: names of request methods, and their numbers, which are bits of a route's set. The methods of the IANA registry that
# name a thing to do to a resource, and those that servers take besides.

cdef enum Method:
    METHOD_DELETE
    METHOD_GET
    METHOD_HEAD
    METHOD_POST
    METHOD_PUT
    METHOD_CONNECT
    METHOD_OPTIONS
    METHOD_TRACE
    METHOD_PATCH
    METHOD_PRI = 35             # of HTTP/2's preface, known so as to be refused
    METHODS = 36
    METHOD_BYTES = 11           # of the longest

cdef const char** _method_table = [
    "DELETE", "GET", "HEAD", "POST", "PUT", "CONNECT", "OPTIONS", "TRACE", "PATCH", "COPY", "LOCK", "MKCOL", "MOVE", "PROPFIND",
    "PROPPATCH", "SEARCH", "UNLOCK", "BIND", "REBIND", "UNBIND", "ACL", "REPORT", "MKACTIVITY", "CHECKOUT", "MERGE",
    "M-SEARCH", "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE", "PURGE", "MKCALENDAR", "LINK", "UNLINK", "SOURCE", "QUERY", "PRI"]
cdef const char* method_names[METHODS]
cdef uint8_t method_lengths[METHODS]
memcpy(method_names, _method_table, sizeof(method_names))
for _number in range(METHODS):
    method_lengths[<int>_number] = <uint8_t>strlen(method_names[<int>_number])


# The header that names all but those that are never served (RFC 9110 section 10.2.1).
_ALLOWED = [_method_table[i] for i in range(METHODS) if i != METHOD_CONNECT and i != METHOD_TRACE and i != METHOD_PRI]
cdef bytes _ALLOW = b"Allow: " + b", ".join(_ALLOWED) + b"\r\n"
cdef char method_allowed[512]
memcpy(method_allowed, <const char*>_ALLOW, len(_ALLOW) + 1)


cdef inline const char* method_name(uint8_t method) noexcept nogil:
    return method_names[method if method < METHODS else METHOD_GET]


cdef inline uint8_t method_length(uint8_t method) noexcept nogil:
    return method_lengths[method if method < METHODS else METHOD_GET]


cdef int method_find(const char* name, size_t len) noexcept nogil:
    """The number of a method, or -1; names are case-sensitive (RFC 9110 section 9.1)."""
    cdef int i
    if len == 3 and memcmp(name, b"GET", 3) == 0:       # most requests
        return METHOD_GET
    for i in range(<int>METHODS):
        if method_lengths[i] == len and memcmp(method_names[i], name, len) == 0:
            return i
    return -1


cdef int method_number(str name) except -1:
    cdef bytes wanted = name.encode()
    cdef int number = method_find(wanted, len(wanted))
    if number < 0 or number == METHOD_PRI:
        raise ValueError(f"method: unknown {name!r}")
    return number
