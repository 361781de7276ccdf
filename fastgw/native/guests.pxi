# guests: requests that another server took, as the core has them: the connection without a socket that each of them is given, and
# its head, written of the parts that it is told by. Must not know who asks, nor what becomes of an answer.
#
# An exchange needs a client's connection: each has a Down without a socket, whose number is a Guest. What the chain answers by
# reply_send comes to guest_send; a chain that passes comes to embed_pass instead of an upstream. Both may happen at once, or,
# where a step waits, in a later drain: then the guest is put down as settled, and whoever drained is told.
#
# Applications route by the decoded path, without taking dots and double slashes away. So what is routed here is that path,
# written as a target; one that is not in the one form that routes are compared in (uri) is refused: else this side would judge
# another path than the application serves.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

cdef extern from "<arpa/inet.h>" nogil:
    int inet_pton(int family, const char* text, void* out)

cdef enum GuestState:
    GUEST_FREE
    GUEST_ASKED                 # the chain runs, or waits
    GUEST_PASSED                # the application may answer
    GUEST_ANSWERED              # the chain did

cdef enum:
    GUESTS_KEPT = 256           # connections without a socket that are kept for the next request

cdef struct Guest:
    Down* down                  # NULL: closed
    uint8_t state
    uint8_t at_once             # whoever asks is still there
    uint16_t status
    const char* reason
    Buf answer                  # head and body as they would be sent
    int next_idle

cdef struct Guests:
    Guest* list
    int n
    int idle                    # the first of those with a Down and no request; -1: none
    int n_idle
    int free                    # the first of those without; -1: none
    Buf settled                 # numbers of those whose wait is over

cdef inline Guest* guest_of(const Conn* c) noexcept nogil:
    return &(<Guests*>c.loop.net).list[c.fd]


cdef void guest_settle(Guest* g, const Conn* c, uint8_t state) noexcept nogil:
    cdef Guests* all_ = <Guests*>c.loop.net
    g.state = state
    if not g.at_once:
        buf_put(&all_.settled, &c.fd, sizeof(int))


cdef ssize_t guest_send(Conn* c, const void* head, size_t h, const void* body, size_t n) noexcept nogil:
    cdef Guest* g = guest_of(c)
    buf_put(&g.answer, head, h)
    buf_put(&g.answer, body, n)
    if g.state == GUEST_ASKED and c.x != NULL:
        g.status = c.x.status
        g.reason = c.x.refused
        guest_settle(g, c, GUEST_ANSWERED)
    return h + n


cdef ssize_t guest_recv(Conn* c, void* buf, size_t n) noexcept nogil:
    return 0


cdef void guest_close(Conn* c) noexcept nogil:
    if c.fd >= 0:
        guest_of(c).down = NULL


cdef void guest_finish(Conn* c) noexcept nogil:
    pass


cdef void embed_pass(Exchange* x) noexcept nogil:
    """The chain passed, and there is no upstream: the application is the one."""
    guest_settle(guest_of(&x.down.c), &x.down.c, GUEST_PASSED)


cdef bint field_tells(bytes name) noexcept:
    # Not what belongs to the connection, which is the server's business. Of the body its length is told.
    cdef bint folded
    cdef Py_ssize_t n = len(name)
    cdef uint8_t id
    if not 0 < n <= FIELD_NAME_BYTES:
        return True
    id = field_id(<const char*>name, <uint32_t>n, &folded)
    return not (id == FIELD_CONNECTION or id == FIELD_KEEP_ALIVE or id == FIELD_PROXY_CONNECTION or id == FIELD_TE
                or id == FIELD_TRAILER or id == FIELD_UPGRADE or id == FIELD_HTTP2_SETTINGS or id == FIELD_EXPECT
                or id == FIELD_TRANSFER_ENCODING)


cdef void header_lower(char* to, const char* p, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        to[i] = <char>(p[i] | 0x20) if c"A" <= p[i] <= c"Z" else p[i]


cdef list header_lines(const char* p, size_t n):
    # As pairs; names in lower case, as servers have them.
    cdef const char* end = p + n
    cdef const char* stop
    cdef const char* colon
    cdef bytes name
    cdef list found = []
    while p < end:
        stop = <const char*>memchr(p, c"\r", end - p)
        if stop == NULL:
            stop = end
        colon = <const char*>memchr(p, c":", stop - p)
        if colon != NULL and stop - colon >= 2:
            name = PyBytes_FromStringAndSize(NULL, colon - p)
            header_lower(PyBytes_AS_STRING(name), p, colon - p)
            found.append((name, (colon + 2)[:stop - colon - 2]))
        p = stop + 2
    return found


cdef int told_by(Down* d, client, server) except -1:
    # Whose request it is. What is no address (a server's name of a unix socket) is none.
    cdef const char* text = "unix:"
    cdef Py_ssize_t n = 5
    cdef uint8_t found[16]
    if client is not None and client[0]:
        text = PyUnicode_AsUTF8AndSize(client[0], &n)
    if server is not None and server[1] is not None:
        d.port = <uint16_t>(server[1] & 0xFFFF)
    if n == d.client.address_len and memcmp(text, d.client.address, n) == 0:
        return 0
    memset(d.client.bytes, 0, sizeof(d.client.bytes))
    if n >= <Py_ssize_t>sizeof(d.client.address):
        n = 5
        text = "unix:"
    memcpy(d.client.address, text, n)
    d.client.address[n] = 0
    d.client.address_len = <uint8_t>n
    if inet_pton(AF_INET, d.client.address, found) == 1:
        d.client.bytes[10] = d.client.bytes[11] = 0xff
        memcpy(&d.client.bytes[12], found, 4)
    elif inet_pton(AF_INET6, d.client.address, found) == 1:
        memcpy(d.client.bytes, found, 16)
    d.trusted = d.c.loop.trusted.n != 0 and cidr_match(&d.c.loop.trusted, d.client.bytes)
    return 0


cdef int told_head(Buf* out, dict scope) except? -1:
    # The request as the core reads it; how many fields it has, -1: it has no lawful form.
    cdef const char* text
    cdef const char* root
    cdef Py_ssize_t n, m
    cdef int fields = 0
    cdef bint named = False
    cdef uint32_t version
    cdef bytes query, name, value
    buf_reset(out)
    method = scope.get("method")
    if method is None:
        buf_put(out, b"GET", 3)     # of a WebSocket (RFC 6455 section 4.1)
    else:
        text = PyUnicode_AsUTF8AndSize(method, &n)
        buf_put(out, text, n)
    buf_byte(out, c" ")
    root = ""
    m = 0
    try:
        text = PyUnicode_AsUTF8AndSize(scope["path"], &n)
        if scope.get("root_path"):
            root = PyUnicode_AsUTF8AndSize(scope["root_path"], &m)
    except UnicodeEncodeError:
        return -1
    if not told_path(out, root, m, text, n):
        return -1
    query = scope.get("query_string")
    if query:
        buf_byte(out, c"?")
        buf_put(out, <const char*>query, len(query))
    buf_put(out, b" HTTP/1.1\r\n", 11)
    version = out.len - 3
    for pair in scope["headers"]:
        name, value = pair
        fields += told_field(out, name, value, &named)
    if not named:
        out.p[version] = c"0"       # the only version that needs no Host
    buf_put(out, b"\r\n", 2)
    if out.failed:
        raise MemoryError
    return fields


cdef int told_field(Buf* out, bytes name, bytes value, bint* named) noexcept:
    # 1, or 0 where it belongs to the connection, which is the server's business. Of the body its length is told.
    cdef uint32_t n = <uint32_t>len(name)
    if not field_tells(name):
        return 0
    if n == 4 and field_same(<const char*>name, b"host", 4):
        named[0] = True
    buf_put(out, <const char*>name, n)
    buf_put(out, b": ", 2)
    buf_put(out, <const char*>value, len(value))
    buf_put(out, b"\r\n", 2)
    return 1


cdef bint told_path(Buf* out, const char* root, Py_ssize_t m, const char* path, Py_ssize_t n) noexcept:
    # The whole path, as ASGI has it, also where a server left what the application is mounted at out of it: applications take
    # both for the same.
    cdef uint32_t start = out.len
    while m and root[m - 1] == c"/":
        m -= 1
    if not (n >= m and memcmp(path, root, m) == 0 and (n == m or path[m] == c"/")) and not told_escaped(out, root, m):
        return False
    return told_escaped(out, path, n) and uri_is_normal(out.p + start, out.len - start)


cdef bint told_escaped(Buf* out, const char* path, Py_ssize_t n) noexcept:
    cdef const char* digits = b"0123456789ABCDEF"
    cdef uint8_t c
    cdef Py_ssize_t i
    if buf_room(out, 3 * n) != 0:
        return False
    for i in range(n):
        c = <uint8_t>path[i]
        if URI_CLASS[c] == URI_PCHAR or URI_CLASS[c] == URI_SLASH:
            out.p[out.len] = <char>c
            out.len += 1
        else:
            out.p[out.len] = c"%"
            out.p[out.len + 1] = digits[c >> 4]
            out.p[out.len + 2] = digits[c & 15]
            out.len += 3
    return True
