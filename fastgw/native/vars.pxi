# vars: what a request says of itself, by APISIX's variable names. Keys of limits take values as spans of the request, not decoded
# (var_value); conditions take them as an application reads them (var_text).

import re as _re
from os import uname as _uname

_PLAIN_VARS = {
    "remote_addr": VAR_REMOTE_ADDR, "consumer_name": VAR_CONSUMER_NAME, "consumer_group_id": VAR_CONSUMER_GROUP_ID,
    "route_id": VAR_ROUTE_ID, "service_id": VAR_SERVICE_ID, "host": VAR_HOST, "uri": VAR_URI, "document_uri": VAR_URI,
    "request_uri": VAR_REQUEST_URI, "real_request_uri": VAR_REAL_REQUEST_URI, "request_method": VAR_REQUEST_METHOD,
    "method": VAR_REQUEST_METHOD, "query_string": VAR_QUERY_STRING, "args": VAR_QUERY_STRING, "scheme": VAR_SCHEME,
    "server_port": VAR_SERVER_PORT, "server_addr": VAR_SERVER_ADDR, "remote_port": VAR_REMOTE_PORT, "hostname": VAR_HOSTNAME,
    "server_protocol": VAR_SERVER_PROTOCOL, "https": VAR_HTTPS, "route_name": VAR_ROUTE_NAME, "service_name": VAR_SERVICE_NAME,
    "balancer_ip": VAR_BALANCER_IP, "balancer_port": VAR_BALANCER_PORT, "status": VAR_STATUS,
    "upstream_status": VAR_UPSTREAM_STATUS,
}
_OF_ANSWER = {"balancer_ip", "balancer_port", "status", "upstream_status"}      # not there before a node or an answer is
_FIELD_VARS = {"content_type", "content_length"}    # header fields that have names of their own
_NAMED_VARS = {"http_": VAR_HTTP, "arg_": VAR_ARG, "cookie_": VAR_COOKIE, "uri_param_": VAR_URI_PARAM,
               "post_arg_": VAR_POST_ARG, "post_arg.": VAR_POST_PATH}
_GRAPHQL_VARS = {"graphql_operation", "graphql_name", "graphql_root_fields"}
_VARIABLE = _re.compile(r"\\(\$)|\$(?:\{(\w+(?:[.:][\w.:*\[\]-]*)?)(?: *\?\? *([^}]*?) *)?\}|(\w+))")
_OR_CAPTURE = _re.compile(_VARIABLE.pattern.replace(r"|(\w+)", r"|(\d+|\w+)"))


cdef char HOSTNAME[256]         # of Linux, at most 64 bytes
cdef uint32_t HOSTNAME_BYTES


cdef int hostname_find() except -1:
    global HOSTNAME_BYTES
    cdef bytes name = _uname().nodename.encode()[:sizeof(HOSTNAME)]
    HOSTNAME_BYTES = <uint32_t>len(name)
    memcpy(HOSTNAME, <const char*>name, HOSTNAME_BYTES)
    return 0


hostname_find()


def variable_known(str name, bint early=False) -> bool:
    """Whether `name` (without $) is a variable the gateway can resolve; `early`: when a route is looked for."""
    if early and name in _OF_ANSWER:
        return False
    if name in _PLAIN_VARS or name in _FIELD_VARS or name in _GRAPHQL_VARS:
        return True
    return any(name.startswith(p) and len(name) > len(p) for p in _NAMED_VARS)


def variable_names(bint early=False) -> tuple:
    """The variables that are known; a name that ends in "_" goes on as the client's header, argument or cookie does."""
    return tuple(sorted({*_PLAIN_VARS, *_FIELD_VARS, *_NAMED_VARS, *_GRAPHQL_VARS} - (_OF_ANSWER if early else set())))


cdef class Template:
    """Text with variables: `kind` "var" (one name without $), "var_combination" ("$remote_addr ${arg_x ?? none}", where
    what stands behind `??` takes the place of a value that is not there, and `\\$` is a `$`), "rewrite" (also "$1", a capture) or
    "constant"."""

    def __cinit__(self, str text not None, str kind="var"):
        global posted_variables
        pieces = []
        if kind == "constant":
            pieces.append((VAR_LITERAL, text, None))
        elif kind == "var":
            pieces.append((*self.variable(text), None))
        else:
            at = 0
            for m in (_OR_CAPTURE if kind == "rewrite" else _VARIABLE).finditer(text):
                if m.start() > at:
                    pieces.append((VAR_LITERAL, text[at:m.start()], None))
                name = m[2] or m[4]
                if m[1]:
                    pieces.append((VAR_LITERAL, "$", None))
                elif kind == "rewrite" and name.isascii() and name.isdecimal():
                    pieces.append((VAR_CAPTURE, name, m[3]))
                else:
                    pieces.append((*self.variable(name), m[3]))
                at = m.end()
            if at < len(text):
                pieces.append((VAR_LITERAL, text[at:], None))
        self.held = [(id, value.encode(), None if other is None else other.encode()) for id, value, other in pieces]
        self.parts = <VarPart*>calloc(len(pieces) or 1, sizeof(VarPart))
        if self.parts == NULL:
            raise MemoryError
        for id, raw, other in self.held:
            posted_variables += id >= VAR_POST_ARG
            self.parts[self.n].id = id
            self.parts[self.n].text = raw
            self.parts[self.n].len = len(raw)
            if other is not None:
                self.parts[self.n].other = other
                self.parts[self.n].other_len = len(other)
            self.n += 1

    @property
    def varies(self) -> bool:
        """Whether requests have a say in it."""
        return any(part[0] != VAR_LITERAL for part in self.held)

    def variable(self, str name):
        if name in _PLAIN_VARS:
            return _PLAIN_VARS[name], ""
        if name in _FIELD_VARS:
            return VAR_HTTP, name
        if name in _GRAPHQL_VARS:
            return VAR_GRAPHQL, name
        for prefix, id in _NAMED_VARS.items():
            if name.startswith(prefix) and len(name) > len(prefix):
                return id, name[len(prefix):]
        return VAR_UNKNOWN, name

    def __dealloc__(self):
        free(self.parts)


cdef const Field* header_find(const Exchange* x, const char* name, uint32_t n, uint32_t* count) noexcept nogil:
    # The first field of that name in any spelling that upstreams may fold together; count of all of them.
    cdef const Field* first = NULL
    cdef uint32_t i
    count[0] = 0
    for i in range(x.head.n):
        if x.head.fields[i].name_len == n and same_name(x.bytes.p + x.head.fields[i].name, name, n):
            count[0] += 1
            if first == NULL:
                first = &x.head.fields[i]
    return first


cdef bint header_now(const Exchange* x, const char* name, uint32_t n, Span* value) noexcept nogil:
    # What the upstream would be told under that name, as far as steps had a hand in it: what one set, who the request is from,
    # nothing of what one took out; else what the client sent first, if it may say so (field_told). So a client's word never
    # stands for what a step has put in its place, nor for what the gateway says of the client.
    cdef const Field* f
    cdef uint32_t i
    if extra_find(&x.up_extra, name, n, value):
        return True
    if x.credential != NULL and lines_find(x.credential.identity, x.credential.identity_len, name, n, value):
        return True
    for i in range(x.head.n):
        f = &x.head.fields[i]
        if f.name_len == n and same_name(x.bytes.p + f.name, name, n) and field_told(x, f):
            value.p = x.bytes.p + f.value
            value.n = f.value_len
            return True
    return False


cdef inline bint cookie_gap(char c) noexcept nogil:
    # What may stand before a pair; a tab should not (RFC 6265 section 4.2.1), but applications skip it.
    return c == c" " or c == c"\t" or c == c";"


cdef bint cookie_span(const char* p, const char* end, const char* name, uint32_t n, Span* pair, Span* value) noexcept nogil:
    # Finds name=value in one Cookie field; pair spans "name=value" itself.
    cdef const char* stop
    cdef const char* at
    while p < end:
        while p < end and cookie_gap(p[0]):
            p += 1
        stop = <const char*>memchr(p, 59, end - p) if p < end else end
        if stop == NULL:
            stop = end
        if <uint32_t>(stop - p) > n and memcmp(p, name, n) == 0 and p[n] == 61:
            at = p + n + 1
            pair.p = p
            pair.n = <uint32_t>(stop - p)
            while stop > at and (stop - 1)[0] == 32:
                stop -= 1
            value.p = at
            value.n = <uint32_t>(stop - at)
            return True
        p = stop
    return False


cdef uint32_t cookie_find(const Exchange* x, const char* name, uint32_t n, Span* value) noexcept nogil:
    # How often the request has the cookie, in however many fields; value of the first.
    cdef uint32_t count = 0
    cdef uint32_t i
    cdef const Field* f
    cdef const char* p
    cdef const char* end
    cdef Span pair, found
    for i in range(x.head.n):
        f = &x.head.fields[i]
        if f.id != FIELD_COOKIE:
            continue
        p = x.bytes.p + f.value
        end = p + f.value_len
        while cookie_span(p, end, name, n, &pair, &found):
            count += 1
            if count == 1:
                value[0] = found
            p = pair.p + pair.n
    return count


cdef bint uri_param_find(const Exchange* x, const char* name, uint32_t n, Span* value) noexcept nogil:
    # Looked for again in the path where it is wanted, so that no other request pays for it.
    cdef const PlanC* plan = x.trying
    if x.plan != NULL:
        plan = x.plan
    if plan == NULL or plan.pattern == NULL:
        return False
    return pattern_param(plan.pattern, x.uri_path, x.uri_path_len, name, n, value)


cdef void node_span(const Exchange* x, bint port, Span* out) noexcept nogil:
    # Of "10.0.0.1:80", "[::1]:80" or "unix:/path", which has no port.
    cdef const PoolC* pool = NULL
    cdef uint32_t n
    if x.up != NULL:
        pool = x.up.pool
    elif x.node != NULL:
        pool = x.node.pool
    if pool == NULL:
        return
    n = pool.name_len
    if not (n > 5 and memcmp(pool.name, b"unix:", 5) == 0):
        while n and pool.name[n - 1] != c":":
            n -= 1
        if n == 0:
            return
        n -= 1
    if port:
        n = min(n + 1, pool.name_len)
        out.p = pool.name + n
        out.n = pool.name_len - n
    else:
        out.p = pool.name
        out.n = n


cdef bint var_value(const Exchange* x, const VarPart* part, Span* out) noexcept nogil:
    # False where the request has no such value.
    out.n = 0
    out.p = ""
    if part.id == VAR_LITERAL:
        out.p = part.text
        out.n = part.len
    elif part.id == VAR_REMOTE_ADDR:
        out.p = x.client.address
        out.n = x.client.address_len
    elif part.id == VAR_CONSUMER_NAME and x.consumer != NULL:
        out.p = x.consumer.name
        out.n = x.consumer.name_len
    elif part.id == VAR_CONSUMER_GROUP_ID and x.consumer != NULL:
        out.p = x.consumer.group
        out.n = x.consumer.group_len
    elif part.id == VAR_ROUTE_ID and x.plan != NULL:
        out.p = x.plan.id
        out.n = x.plan.id_len
    elif part.id == VAR_SERVICE_ID and x.plan != NULL:
        out.p = x.plan.service
        out.n = x.plan.service_len
    elif part.id == VAR_HOST:
        out.p = x.host.p
        out.n = x.host.len
    elif part.id == VAR_URI:
        out.p = x.uri_path
        out.n = x.uri_path_len
    elif part.id == VAR_REAL_REQUEST_URI:
        out.p = x.bytes.p + x.head.target
        out.n = x.head.target_len
    elif part.id == VAR_REQUEST_METHOD:
        out.p = method_name(x.head.method)
        out.n = <uint32_t>strlen(out.p)
    elif part.id == VAR_QUERY_STRING:
        out.p = x.bytes.p + x.query
        out.n = x.query_len
    elif part.id == VAR_SCHEME:
        out.p = "https"
        out.n = 5 if x.down != NULL and x.down.c.tls != NULL else 4
    elif part.id == VAR_HTTP:
        return header_now(x, part.text, part.len, out)
    elif part.id == VAR_ARG:
        return arg_find(x, part.text, part.len, out) > 0
    elif part.id == VAR_COOKIE:
        return cookie_find(x, part.text, part.len, out) > 0
    elif part.id == VAR_URI_PARAM:
        return uri_param_find(x, part.text, part.len, out)
    elif part.id == VAR_ROUTE_NAME and x.plan != NULL:
        out.p = x.plan.name
        out.n = x.plan.name_len
    elif part.id == VAR_SERVICE_NAME and x.plan != NULL:
        out.p = x.plan.service_name
        out.n = x.plan.service_name_len
    elif part.id == VAR_SERVER_PROTOCOL:
        out.p = "HTTP/1.1" if x.head.minor else "HTTP/1.0"
        out.n = 8
    elif part.id == VAR_HTTPS and x.down.c.tls != NULL:
        out.p = "on"
        out.n = 2
    elif part.id == VAR_HOSTNAME:
        out.p = HOSTNAME
        out.n = HOSTNAME_BYTES
    elif part.id == VAR_BALANCER_IP or part.id == VAR_BALANCER_PORT:
        node_span(x, part.id == VAR_BALANCER_PORT, out)
    return out.n > 0


cdef void put_request_uri(const Exchange* x, Buf* out) noexcept nogil:
    # In the one form that routing uses: what is limited or matched by it must not be evaded by another spelling.
    buf_put(out, x.uri_path, x.uri_path_len)
    if x.query_len:
        buf_put(out, b"?", 1)
        buf_put(out, x.bytes.p + x.query, x.query_len)


cdef bint var_made(const Exchange* x, const VarPart* part, Buf* out) noexcept nogil:
    # Appends a value that has to be made. False where the request has none.
    cdef uint32_t n = 0
    if part.id == VAR_REQUEST_URI:
        put_request_uri(x, out)
        return True
    if part.id == VAR_SERVER_ADDR:
        return put_own_address(x, out)
    if part.id == VAR_SERVER_PORT:
        buf_int(out, x.down.port)
        return True
    if part.id == VAR_REMOTE_PORT:
        n = x.client.port
    elif part.id == VAR_STATUS:
        n = x.status
    elif part.id == VAR_UPSTREAM_STATUS:
        n = x.up_status
    elif part.id >= VAR_POST_ARG:
        return put_posted(x, part, out)
    if n:
        buf_int(out, n)
    return n != 0


cdef bint put_posted(const Exchange* x, const VarPart* part, Buf* out) noexcept nogil:
    cdef Buf scratch
    cdef Span value
    cdef bint found
    memset(&scratch, 0, sizeof(Buf))
    value.n = 0
    value.p = ""
    found = posted_text(x, part, &scratch, &value) == VALUE_TEXT
    if found:
        buf_put(out, value.p, value.n)
    buf_free(&scratch)
    return found


cdef bint put_own_address(const Exchange* x, Buf* out) noexcept nogil:
    # Of the socket that the client reached, which is asked for it where somebody wants to know: one listener may have many. In
    # tests there is no socket.
    cdef sockaddr_storage own
    cdef socklen_t size = sizeof(own)
    cdef char text[64]
    if x.loop.net != NULL or getsockname(x.down.c.fd, <sockaddr*>&own, &size) != 0:
        return False
    if own.ss_family == AF_INET:
        inet_ntop(AF_INET, &(<sockaddr_in*>&own).sin_addr, text, sizeof(text))
    elif own.ss_family == AF_INET6:
        inet_ntop(AF_INET6, &(<sockaddr_in6*>&own).sin6_addr, text, sizeof(text))
    else:
        memcpy(text, b"unix:\0", 6)
    buf_put(out, text, strlen(text))
    return True


cdef bint field_told(const Exchange* x, const Field* f) noexcept nogil:
    # Whether steps may look at it: not at what a step took out, at what only a trusted proxy may say of its client, or at
    # the twin of a known field in another spelling. These do not reach an upstream either, which might then see another value.
    cdef bint folded
    if f.flags & FIELD_HIDDEN:
        return False
    if f.id == FIELD_OTHER:
        return not f.flags & FIELD_DROP or field_id(x.bytes.p + f.name, f.name_len, &folded) == FIELD_OTHER
    if (FIELD_FORWARDED <= f.id <= FIELD_X_FORWARDED_PORT) or f.id == FIELD_X_FORWARDED_OTHER:
        return x.down.trusted
    return True


cdef int field_text(const Exchange* x, const char* name, uint32_t n, Buf* scratch, Span* out) noexcept nogil:
    # What steps have set, as header_now has it; else what the client sent, of which several fields of one name are one value, as
    # they would be in one field (RFC 9110 section 5.3, RFC 6265 section 5.4).
    cdef const Field* f
    cdef uint32_t i
    cdef int found = VALUE_NONE
    if extra_find(&x.up_extra, name, n, out):
        return VALUE_TEXT
    if x.credential != NULL and lines_find(x.credential.identity, x.credential.identity_len, name, n, out):
        return VALUE_TEXT
    for i in range(x.head.n):
        f = &x.head.fields[i]
        if f.name_len != n or not same_name(x.bytes.p + f.name, name, n) or not field_told(x, f):
            continue
        if found == VALUE_NONE:
            out.p = x.bytes.p + f.value
            out.n = f.value_len
            found = VALUE_TEXT
            continue
        if out.p != scratch.p or scratch.len == 0:
            buf_put(scratch, out.p, out.n)
        buf_put(scratch, b"; " if f.id == FIELD_COOKIE else b", ", 2)
        buf_put(scratch, x.bytes.p + f.value, f.value_len)
        out.p = scratch.p
        out.n = scratch.len
    return found


cdef int arg_text(const Exchange* x, const char* name, uint32_t n, Buf* scratch, Span* out) noexcept nogil:
    if arg_find(x, name, n, out) == 0:
        return VALUE_NONE
    return arg_value(scratch, out)


cdef int arg_value(Buf* scratch, Span* out) noexcept nogil:
    # What the argument says that args_find found.
    cdef uint32_t i
    if out.n == 0 and (out.p - 1)[0] != c"=":
        return VALUE_TRUE
    for i in range(out.n):
        if out.p[i] == c"%" or out.p[i] == c"+":
            arg_decode(out, scratch)
            out.p = scratch.p
            out.n = scratch.len
            break
    return VALUE_TEXT


cdef int var_text(const Exchange* x, const VarPart* part, Buf* scratch, Span* out) noexcept nogil:
    # What a variable has; a text is a span of the request or of the emptied scratch. -1: no memory.
    cdef int found
    buf_reset(scratch)
    out.n = 0
    out.p = ""
    if part.id == VAR_HTTP:
        found = field_text(x, part.text, part.len, scratch, out)
    elif part.id == VAR_ARG:
        found = arg_text(x, part.text, part.len, scratch, out)
    elif part.id >= VAR_POST_ARG:
        found = posted_text(x, part, scratch, out)
    elif part.id >= VAR_MADE:
        found = VALUE_TEXT if var_made(x, part, scratch) else VALUE_NONE
        out.p = scratch.p
        out.n = scratch.len
    else:
        found = VALUE_TEXT if var_value(x, part, out) else VALUE_NONE
    return -1 if scratch.failed else found


cdef uint32_t parts_eval(const VarPart* parts, uint32_t n, const Exchange* x, Buf* out) noexcept nogil:
    # Appends the text; gives how many variables had a value.
    cdef uint32_t i
    cdef uint32_t found = 0
    cdef Span s
    for i in range(n):
        if parts[i].id >= VAR_MADE and var_made(x, &parts[i], out):
            found += 1
        elif parts[i].id < VAR_MADE and var_value(x, &parts[i], &s):
            buf_put(out, s.p, s.n)
            found += parts[i].id != VAR_LITERAL
        elif parts[i].other != NULL:
            buf_put(out, parts[i].other, parts[i].other_len)
            found += 1
    return found
