# method: names of request methods by llhttp's numbers. Methods of other protocols that llhttp knows (RTSP, PRI) never get
# past head.

cdef enum:
    METHODS = 34                # DELETE to SOURCE are numbered without gaps
    METHOD_QUERY = 46

cdef const char** _method_table = [
    "DELETE", "GET", "HEAD", "POST", "PUT", "CONNECT", "OPTIONS", "TRACE", "COPY", "LOCK", "MKCOL", "MOVE", "PROPFIND",
    "PROPPATCH", "SEARCH", "UNLOCK", "BIND", "REBIND", "UNBIND", "ACL", "REPORT", "MKACTIVITY", "CHECKOUT", "MERGE",
    "M-SEARCH", "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE", "PATCH", "PURGE", "MKCALENDAR", "LINK", "UNLINK", "SOURCE"]
cdef const char* method_names[METHODS]
memcpy(method_names, _method_table, sizeof(method_names))


cdef inline const char* method_name(uint8_t method) noexcept nogil:
    if method < METHODS:
        return method_names[method]
    return "QUERY"


cdef int method_number(str name) except -1:
    cdef int i
    cdef bytes wanted = name.encode()
    for i in range(METHODS):
        if method_names[i] == wanted:
            return i
    if name == "QUERY":
        return METHOD_QUERY
    raise ValueError(f"method: unknown {name!r}")
