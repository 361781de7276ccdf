# uri: request targets (RFC 3986, RFC 9112 section 3.2).
#
# Owns: splitting a target, the one normal form of a path, validity of host[:port]. Must not know routes.
# The normal form is what routing, plugins and logs see. It is a lawful path again: characters that may
# stand in a path segment stand as themselves, however they were spelled; every other byte is %XX in upper
# case; dot segments are resolved after decoding; empty segments are merged. So %2F, %5C, %25, %3F never
# become structure, over-long UTF-8 stays what it is, and a second pass changes nothing. Patterns of routes
# go through the same function.

cdef enum UriClass:
    URI_ESCAPED = 0             # stands as %XX only
    URI_PCHAR = 1               # RFC 3986 section 3.3
    URI_SLASH = 2

cdef uint8_t URI_CLASS[256]     # UriClass
cdef char URI_HOST[256]         # 0, or the lower-case form of a character of a host name


cdef int uri_split(const char* target, uint32_t len, Uri* out) noexcept nogil:
    """Find the parts of a target; -1 where it has no lawful form or carries a fragment."""
    cdef uint32_t at = 0
    cdef const char* mark
    memset(out, 0, sizeof(Uri))
    if len == 0 or memchr(target, c"#", len) != NULL:
        return -1
    if target[0] == c"/":
        out.form = URI_ORIGIN
    elif target[0] == c"*":
        out.form = URI_ASTERISK
        return 0 if len == 1 else -1
    else:
        at = uri_scheme(target, len)
        if at == 0:
            return -1
        out.form, out.authority = URI_ABSOLUTE, at
        while at < len and target[at] != c"/" and target[at] != c"?":
            at += 1
        out.authority_len = at - out.authority
        if out.authority_len == 0:
            return -1
    out.path = at
    mark = <const char*>memchr(target + at, c"?", len - at)
    out.path_len = (<uint32_t>(mark - target) if mark != NULL else len) - at
    if mark != NULL:
        out.has_query = 1
        out.query = out.path + out.path_len + 1
        out.query_len = len - out.query
    return 0


cdef uint32_t uri_scheme(const char* target, uint32_t len) noexcept nogil:
    """Length of "http://" or "https://" at the front, or 0."""
    if len >= 7 and field_same(target, b"http://", 7):
        return 7
    if len >= 8 and field_same(target, b"https://", 8):
        return 8
    return 0


cdef inline int uri_hex(char c) noexcept nogil:
    if c"0" <= c <= c"9":
        return c - c"0"
    if c"A" <= c <= c"F":
        return c - c"A" + 10
    if c"a" <= c <= c"f":
        return c - c"a" + 10
    return -1


cdef inline int uri_escape(const char* s, uint32_t left) noexcept nogil:
    """The byte that an escape stands for; -1 for a broken one or NUL, which no path has."""
    cdef int high, low
    if left < 3:
        return -1
    high, low = uri_hex(s[1]), uri_hex(s[2])
    return high << 4 | low if high >= 0 and low >= 0 and (high or low) else -1


cdef inline uint32_t uri_dots(const char* s, uint32_t len) noexcept nogil:
    """1 for the segment ".", 2 for "..", else 0."""
    if 1 <= len <= 2 and s[0] == c"." and s[len - 1] == c".":
        return len
    return 0


cdef bint uri_is_normal(const char* path, uint32_t len) noexcept nogil:
    """Whether a path is in normal form already: then nothing need be copied."""
    cdef uint32_t segment = 1
    cdef uint32_t i = 1
    cdef int byte
    if len == 0 or path[0] != c"/":
        return False
    while i < len:
        if path[i] == c"%":
            byte = uri_escape(path + i, len - i)
            if byte < 0 or URI_CLASS[byte] == URI_PCHAR or path[i + 1] > c"F" or path[i + 2] > c"F":
                return False
            i += 2
        elif URI_CLASS[<uint8_t>path[i]] == URI_SLASH:
            if i == segment or uri_dots(path + segment, i - segment):
                return False
            segment = i + 1
        elif URI_CLASS[<uint8_t>path[i]] == URI_ESCAPED:
            return False
        i += 1
    return uri_dots(path + segment, len - segment) == 0


cdef int uri_normalise(const char* path, uint32_t len, char* out, uint32_t cap, bint pattern=False) noexcept nogil:
    """Write the normal form of a path to `out`, which must not overlap it; return its length. Of a pattern an escaped `*` or `:`
    stays escaped: it is literal, and no request has it in that form.

    -1 where there is none: no slash in front, a broken escape, NUL, a raw backslash (which some upstreams
    take for a slash), dots that climb above the root; or where `cap` is short: URI_GROWTH times `len` never
    is. An empty path is "/" (RFC 9110 section 4.2.3).
    """
    cdef uint32_t at = 0
    cdef uint32_t n = 0
    cdef uint32_t segment, dots
    cdef int size
    if len == 0 and cap:
        out[0] = c"/"
        return 1
    while at < len:
        if path[at] != c"/" or n == cap:
            return -1
        at += 1
        segment = n
        out[n] = c"/"
        n += 1
        size = uri_segment(path, &at, len, out + n, cap - n, pattern)
        if size < 0:
            return -1
        n += <uint32_t>size
        dots = uri_dots(out + segment + 1, <uint32_t>size)
        if dots == 2:
            if segment == 0:
                return -1
            segment -= 1
            while out[segment] != c"/":
                segment -= 1
        if dots or size == 0:
            n = segment if at < len else segment + 1
    return <int>n


cdef int uri_segment(const char* path, uint32_t* at, uint32_t len, char* out, uint32_t cap, bint pattern) noexcept nogil:
    """Write one segment, up to the next slash, in its normal spelling; return its length or -1."""
    cdef uint32_t n = 0
    cdef int byte
    cdef bint literal
    while at[0] < len and path[at[0]] != c"/":
        byte = <uint8_t>path[at[0]]
        literal = False
        if byte == c"%":
            byte = uri_escape(path + at[0], len - at[0])
            at[0] += 2
            literal = pattern and (byte == c"*" or byte == c":")
        elif byte == 0 or byte == c"\\":
            return -1
        at[0] += 1
        if byte < 0 or n == cap:
            return -1
        if URI_CLASS[byte] == URI_PCHAR and not literal:
            out[n] = <char>byte
            n += 1
        elif cap - n < 3:
            return -1
        else:
            out[n] = c"%"
            out[n + 1] = b"0123456789ABCDEF"[byte >> 4]
            out[n + 2] = b"0123456789ABCDEF"[byte & 15]
            n += 3
    return <int>n


cdef int uri_like_servlet(char* path, uint32_t len) noexcept nogil:
    """Take the parameters out of the segments of a normal path, in place, as servlet containers do (`/a;x=1/b` is `/a/b` there);
    return what is left, or -1 for what they would understand otherwise than who looks at the path before: `..;`, `/;x/`.
    """
    cdef uint32_t at = 0
    cdef uint32_t n = 0
    cdef uint32_t segment
    while at < len:
        path[n] = path[at]          # the slash
        n += 1
        at += 1
        segment = n
        while at < len and path[at] != c"/" and path[at] != c";":
            path[n] = path[at]
            n += 1
            at += 1
        if at < len and path[at] == c";":
            while at < len and path[at] != c"/":
                at += 1
            if uri_dots(path + segment, n - segment) or (n == segment and at < len):
                return -1
    return <int>n


cdef int host_split(
    const char* authority, uint32_t len, char* out_lower, uint32_t cap, uint32_t* host_len, uint32_t* port
) noexcept nogil:
    """Check host[:port]; write the host in lower case without port and final dot; port 0 where none is given.

    Stricter than RFC 3986: non-empty labels of letters, digits, "-" and "_", or a bracketed IPv6 address. No
    user (RFC 9110 section 4.2.4), escape, list, quote or zone. -1 where it is something else.
    """
    cdef uint32_t n
    if len == 0:
        return -1
    n = host_bracketed(authority, len, out_lower, cap) if authority[0] == c"[" else host_name(
        authority, len, out_lower, cap)
    if n == 0 or host_port(authority + n, len - n, port) < 0:
        return -1
    if out_lower[n - 1] == c".":
        n -= 1
    host_len[0] = n
    return 0


cdef uint32_t host_name(const char* s, uint32_t len, char* out, uint32_t cap) noexcept nogil:
    """Copy a name up to its colon; return its length with a final dot, or 0."""
    cdef int empty
    cdef uint32_t n = <uint32_t>scan_host(s, min(len, cap), out, &empty)
    return 0 if empty or (n < len and s[n] != c":") else n


cdef uint32_t host_bracketed(const char* s, uint32_t len, char* out, uint32_t cap) noexcept nogil:
    """Copy an IPv6 address with its brackets; return its length, or 0."""
    cdef char address[URI_ADDRESS_BYTES]
    cdef in6_addr parsed
    cdef uint32_t n = 0
    while n < len and s[n] != c"]":
        if n == cap or n == URI_ADDRESS_BYTES:
            return 0
        out[n] = <char>(s[n] | 0x20) if c"A" <= s[n] <= c"F" else s[n]
        n += 1
    if n < 2 or n == len or n == cap:
        return 0
    memcpy(address, s + 1, n - 1)
    address[n - 1] = 0
    out[n] = c"]"
    return n + 1 if inet_pton(AF_INET6, address, &parsed) == 1 else 0


cdef int host_port(const char* s, uint32_t len, uint32_t* port) noexcept nogil:
    """RFC 3986 section 3.2.3: [ ":" *DIGIT ], at most 65535. The rule for digits is ours: five of them."""
    cdef uint32_t i
    port[0] = 0
    if len == 0:
        return 0
    if s[0] != c":" or len > 6:
        return -1
    for i in range(1, len):
        if not c"0" <= s[i] <= c"9":
            return -1
        port[0] = port[0] * 10 + <uint32_t>(s[i] - c"0")
    return 0 if port[0] <= 65535 else -1


cdef int uri_fill_tables() except -1:
    cdef uint8_t c
    for c in b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@":
        URI_CLASS[c] = URI_PCHAR
    URI_CLASS[<uint8_t>c"/"] = URI_SLASH
    for c in b"abcdefghijklmnopqrstuvwxyz0123456789-._":
        URI_HOST[c] = c
    for c in b"ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        URI_HOST[c] = c + 32
    return 0


uri_fill_tables()


def _test_uri_split(target: bytes) -> tuple[int, bytes, bytes, bytes | None] | None:
    """Form, authority, path, query of a target."""
    cdef Uri uri
    if uri_split(<const char*>target, <uint32_t>len(target), &uri) < 0:
        return None
    query = target[uri.query : uri.query + uri.query_len] if uri.has_query else None
    return (
        uri.form,
        target[uri.authority : uri.authority + uri.authority_len],
        target[uri.path : uri.path + uri.path_len],
        query,
    )


def _test_uri_normalise(path: bytes, cap: int = -1) -> tuple[bool, bytes | None]:
    """Whether a path is normal already, and its normal form (None: refused)."""
    cdef uint32_t room = <uint32_t>(cap if cap >= 0 else URI_GROWTH * len(path) + 1)
    cdef char* out = <char*>malloc(room or 1)
    cdef int n
    if out == NULL:
        raise MemoryError
    try:
        n = uri_normalise(<const char*>path, <uint32_t>len(path), out, room)
        return bool(uri_is_normal(<const char*>path, <uint32_t>len(path))), out[:n] if n >= 0 else None
    finally:
        free(out)


def _test_host_split(authority: bytes, cap: int = URI_HOST_BYTES) -> tuple[bytes, int] | None:
    """Host and port of an authority."""
    cdef char* out = <char*>malloc(cap or 1)
    cdef const char* raw = authority
    cdef uint32_t host_len = 0
    cdef uint32_t port = 0
    if out == NULL:
        raise MemoryError
    try:
        if host_split(raw, <uint32_t>len(authority), out, <uint32_t>cap, &host_len, &port) < 0:
            return None
        return out[:host_len], port
    finally:
        free(out)


def normalise_path(bytes path not None, bint pattern=False) -> bytes:
    """The one form of a path that routing compares (see docs/routing.md), or ValueError where a request would get a 400. Of a
    pattern `%2A` and `%3A` stay as they are."""
    cdef bytearray out = bytearray(len(path) * URI_GROWTH + 1)
    cdef int n = uri_normalise(path, <uint32_t>len(path), <char*>out, <uint32_t>len(out), pattern)
    if n <= 0:
        raise ValueError(f"path {path.decode('utf-8', 'replace')!r}: expected one that a request could ask for")
    return bytes(out[:n])
