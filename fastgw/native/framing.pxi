# framing: verdicts on a parsed head (RFC 9112 sections 3.2, 6, 7, 9; RFC 9110 sections 7, 10.1.1).
#
# Owns: the rules that keep the gateway and its neighbours from seeing different messages, as two tables of
# checks; marking what must not cross. Must not know sockets, routes or configuration. Each check answers 0
# or the status to refuse with.

cdef uint8_t FRAMING_DROP_REQUEST[FIELD_COUNT]      # FieldFlag by FieldId
cdef uint8_t FRAMING_DROP_RESPONSE[FIELD_COUNT]


cdef int framing_request(Head* h, const char* base, Target* target) noexcept nogil:
    """Judge a request's head: 0, with its verdicts and the target filled in, or the status to refuse with."""
    cdef Framing f
    cdef int status
    framing_survey(&f, h, base, FRAMING_DROP_REQUEST)
    f.target = target
    status = (
        framing_method(&f)              # CONNECT, TRACE: 405; Max-Forwards         RFC 9110 9.3.6, 9.3.8, 7.6.2
        or framing_target(&f)           # origin, absolute or asterisk form         RFC 9112 3.2
        or framing_host(&f)             # exactly one, valid                        RFC 9112 3.2, RFC 9110 7.2
        or framing_connection(&f)       # options; nothing we rely on is removed    RFC 9110 7.6.1
        or framing_length(&f)           # one, digits, below 2^63                   RFC 9110 8.6
        or framing_coding(&f)           # "chunked" alone, 1.1 only, no length      RFC 9112 6.1
        or framing_expect(&f)           # 100-continue or 417                       RFC 9110 10.1.1
    )
    if status:
        return status
    h.body = framing_body(&f)
    h.keep_alive = framing_keeps(&f)
    h.expect_continue = h.expect_continue and h.body != BODY_NONE
    h.upgrade = 0
    if f.upgrade:
        framing_switch(&f)
    return 0


cdef int framing_response(Head* h, const char* base, uint8_t request_method) noexcept nogil:
    """Judge an answer's head: 0, filled in as well, or 502: then its connection must not be used again."""
    cdef Framing f
    framing_survey(&f, h, base, FRAMING_DROP_RESPONSE)
    if framing_connection(&f) or framing_length(&f) or framing_coding(&f):
        return 502
    h.upgrade = h.status == 101 and framing_upgrades(&f)
    if h.status == 101 and not h.upgrade:           # switching to what? RFC 9110 section 15.2.2
        return 502
    h.keep_alive = framing_keeps(&f)
    if h.status < 200 or h.status == 204:           # RFC 9110 section 8.6: no length either
        # The body that a 204 announces may follow: whether the next bytes are an answer is in doubt (hardening rule 20).
        if h.status == 204 and (h.content_length > 0 or f.count[FIELD_TRANSFER_ENCODING]):
            h.keep_alive = 0
        h.body, h.content_length = BODY_NONE, -1
    elif h.status == 304 or request_method == METHOD_HEAD:
        h.body = BODY_NONE                          # the length stays: it describes what GET would give
    elif f.count[FIELD_TRANSFER_ENCODING] or h.content_length >= 0:
        h.body = framing_body(&f)
    else:
        h.body, h.keep_alive = BODY_UNTIL_CLOSE, 0  # RFC 9112 section 6.3 rule 8
    return 0


cdef void framing_survey(Framing* f, Head* h, const char* base, const uint8_t* drop) noexcept nogil:
    """Count fields by id and mark those that end here."""
    cdef uint16_t i
    memset(f, 0, sizeof(Framing))
    f.head, f.base = h, base
    for i in range(h.n):
        f.count[h.fields[i].id] += 1
        h.fields[i].flags |= drop[h.fields[i].id]


cdef inline int framing_method(Framing* f) noexcept nogil:
    if METHOD_CONNECT <= f.head.method <= METHOD_TRACE:     # OPTIONS stands between them
        return framing_hops(f)
    return 0


cdef int framing_hops(Framing* f) noexcept nogil:
    """CONNECT and TRACE are not spoken. OPTIONS goes as far as Max-Forwards says (RFC 9110 section 7.6.2), whose number is made
    less by one where it stands, with zeros in front as it may have them."""
    cdef Field* field = head_find(f.head, FIELD_MAX_FORWARDS)
    cdef char* digits
    cdef uint32_t i
    cdef bint more = False
    if f.head.method != METHOD_OPTIONS:
        return 405
    f.target.ends_here = 0
    if field == NULL:
        return 0
    if f.count[FIELD_MAX_FORWARDS] != 1 or field.value_len == 0:
        return 400
    digits = <char*>f.base + field.value
    for i in range(field.value_len):
        if not c"0" <= digits[i] <= c"9":
            return 400
        more = more or digits[i] != c"0"
    if not more:
        f.target.ends_here = 1
        return 0
    i = field.value_len - 1
    while digits[i] == c"0":
        digits[i] = c"9"
        i -= 1
    digits[i] -= 1
    return 0


cdef int framing_target(Framing* f) noexcept nogil:
    """The form fits the method; the authority of an absolute-form, which wins over Host, is one."""
    cdef Target* t = f.target
    t.authority_len = t.port = t.host_len = 0
    if uri_split(f.base + f.head.target, f.head.target_len, &t.uri) < 0:
        return 400
    if t.uri.form == URI_ASTERISK and f.head.method != METHOD_OPTIONS:
        return 400
    if t.uri.form == URI_ABSOLUTE:
        return framing_authority(f, f.head.target + t.uri.authority, t.uri.authority_len)
    return 0


cdef int framing_authority(Framing* f, uint32_t at, uint32_t len) noexcept nogil:
    """Check host[:port]; the first that is seen is the one that counts."""
    cdef Target* t = f.target
    cdef char host[URI_HOST_BYTES]
    cdef uint32_t host_len, port
    if t.authority_len:
        return 400 if host_split(f.base + at, len, host, URI_HOST_BYTES, &host_len, &port) < 0 else 0
    if host_split(f.base + at, len, t.host, URI_HOST_BYTES, &t.host_len, &t.port) < 0:
        return 400
    t.authority, t.authority_len = at, len
    return 0


cdef int framing_host(Framing* f) noexcept nogil:
    """One Host in HTTP/1.1, at most one in 1.0; two would let each hop believe another. It yields to an absolute-form's
    authority (RFC 9112 section 3.2.2)."""
    cdef Field* host = head_find(f.head, FIELD_HOST)
    if f.count[FIELD_HOST] != 1:
        return 400 if f.count[FIELD_HOST] or f.head.minor else 0
    return framing_authority(f, host.value, host.value_len)


cdef int framing_connection(Framing* f) noexcept nogil:
    cdef uint16_t i
    cdef int left = FRAMING_OPTIONS
    if f.count[FIELD_CONNECTION]:
        for i in range(f.head.n):
            if f.head.fields[i].id == FIELD_CONNECTION:
                left = framing_options(f, &f.head.fields[i], left)
                if left < 0:
                    return 400
    return 0


cdef int framing_options(Framing* f, const Field* field, int left) noexcept nogil:
    """Take the options of one Connection field; return how many more there may be, -1: too many."""
    cdef const char* at = f.base + field.value
    cdef const char* end = at + field.value_len
    cdef const char* stop
    cdef size_t n
    while at < end:
        stop = <const char*>memchr(at, c",", end - at)
        if stop == NULL:
            stop = end
        while at < stop and (at[0] == c" " or at[0] == c"\t"):
            at += 1
        n = stop - at
        while n and (at[n - 1] == c" " or at[n - 1] == c"\t"):
            n -= 1
        if n:
            left -= 1
            if left < 0:
                return -1
            framing_option(f, at, n)
        at = stop + 1
    return left


cdef void framing_option(Framing* f, const char* option, size_t n) noexcept nogil:
    """close, keep-alive, upgrade, or a name to remove: of fields that mean nothing to the gateway alone."""
    cdef uint16_t i
    cdef Field* field
    if n == 5 and field_same(option, b"close", 5):
        f.close = 1
    elif n == 10 and field_same(option, b"keep-alive", 10):
        f.keep_alive = 1
    elif n == 7 and field_same(option, b"upgrade", 7):
        f.upgrade = 1
    else:
        for i in range(f.head.n):
            field = &f.head.fields[i]
            if field.id == FIELD_OTHER and field.name_len == n and field_same(f.base + field.name, option, n):
                field.flags |= FIELD_DROP


cdef int framing_length(Framing* f) noexcept nogil:
    """1*DIGIT below 2^63. A second field or a list is refused even where all agree."""
    cdef Field* field = head_find(f.head, FIELD_CONTENT_LENGTH)
    cdef int64_t value = 0
    cdef int digit
    cdef uint32_t i
    if field == NULL:
        return 0
    if f.count[FIELD_CONTENT_LENGTH] != 1 or field.value_len == 0 or not framing_plain(f, field):
        return 400
    for i in range(field.value, field.value + field.value_len):
        digit = f.base[i] - c"0"
        if not 0 <= digit <= 9 or value > (INT64_MAX - digit) // 10:
            return 400
        value = value * 10 + digit
    f.head.content_length = value
    return 0


cdef int framing_coding(Framing* f) noexcept nogil:
    """Exactly "chunked", once, without a length, in HTTP/1.1; unknown codings: 501 (RFC 9112 section 6.1)."""
    cdef Field* field = head_find(f.head, FIELD_TRANSFER_ENCODING)
    if field == NULL:
        return 0
    if f.count[FIELD_TRANSFER_ENCODING] != 1 or f.count[FIELD_CONTENT_LENGTH] or f.head.minor == 0:
        return 400
    if field.value_len == 0 or not framing_plain(f, field):
        return 400
    if field.value_len != 7 or not field_same(f.base + field.value, b"chunked", 7):
        return 501
    return 0


cdef bint framing_plain(Framing* f, const Field* field) noexcept nogil:
    """Around a framing value there may be spaces, but no tab: hops are known to differ over it."""
    cdef const char* at = f.base + field.name + field.name_len + 1
    while at[0] == c" ":
        at += 1
    if at != f.base + field.value:
        return False
    at += field.value_len
    while at[0] == c" ":
        at += 1
    return at[0] == c"\r"


cdef int framing_expect(Framing* f) noexcept nogil:
    """Any expectation but 100-continue: 417. That of HTTP/1.0 is not answered (RFC 9110 section 10.1.1)."""
    cdef uint16_t i
    cdef Field* field
    if f.count[FIELD_EXPECT] == 0:
        return 0
    for i in range(f.head.n):
        field = &f.head.fields[i]
        if field.id == FIELD_EXPECT and not (
            field.value_len == 12 and field_same(f.base + field.value, b"100-continue", 12)
        ):
            return 417
    f.head.expect_continue = f.head.minor == 1
    return 0


cdef uint8_t framing_body(const Framing* f) noexcept nogil:
    if f.count[FIELD_TRANSFER_ENCODING]:
        return BODY_CHUNKED
    return BODY_LENGTH if f.head.content_length > 0 else BODY_NONE


cdef uint8_t framing_keeps(const Framing* f) noexcept nogil:
    """RFC 9112 section 9.3."""
    return not f.close and (f.head.minor == 1 or f.keep_alive)


cdef uint8_t framing_upgrades(const Framing* f) noexcept nogil:
    """One protocol is asked for, and Connection says so (RFC 9110 section 7.8). None that is HTTP, or could hide it: what is
    asked in a tunnel nobody judges."""
    cdef Field* field = head_find(f.head, FIELD_UPGRADE)
    cdef const char* protocol
    cdef uint32_t slash = 0
    cdef uint32_t name
    cdef uint32_t i
    if not f.upgrade or f.head.minor == 0 or f.count[FIELD_UPGRADE] != 1 or f.count[FIELD_HTTP2_SETTINGS]:
        return 0
    protocol = f.base + field.value
    for i in range(field.value_len):
        if protocol[i] == c"/" and i and slash == 0:
            slash = i
        elif FIELD_TCHAR[<uint8_t>protocol[i]] == 0:
            return 0
    name = slash if slash else field.value_len
    return name != 0 and (slash == 0 or slash + 1 != field.value_len) and not (
        (name == 2 and field_same(protocol, b"h2", 2)) or (name == 3 and field_same(protocol, b"h2c", 3))
        or (name == 3 and field_same(protocol, b"tls", 3)) or (name == 4 and field_same(protocol, b"http", 4)))


cdef void framing_switch(Framing* f) noexcept nogil:
    """Whether another protocol may follow: a request with a body is served as if it had not asked, as is a WebSocket handshake
    of another method than GET (RFC 6455 section 4.1)."""
    cdef Head* h = f.head
    cdef Field* field = head_find(h, FIELD_UPGRADE)
    h.upgrade = framing_upgrades(f)
    if not h.upgrade or h.body != BODY_NONE:
        return
    if h.method == METHOD_GET or not (field.value_len == 9 and field_same(f.base + field.value, b"websocket", 9)):
        h.body = BODY_TUNNEL


cdef int framing_fill_tables() except -1:
    # RFC 9110 section 7.6.1: what belongs to one connection stays on it, either way. Length and
    # coding are written anew for each hop.
    for id in (
        FIELD_CONNECTION, FIELD_KEEP_ALIVE, FIELD_PROXY_CONNECTION, FIELD_PROXY_AUTHENTICATE,
        FIELD_PROXY_AUTHORIZATION, FIELD_TE, FIELD_TRAILER, FIELD_UPGRADE, FIELD_HTTP2_SETTINGS,
        FIELD_CONTENT_LENGTH, FIELD_TRANSFER_ENCODING,
    ):
        FRAMING_DROP_REQUEST[id] = FRAMING_DROP_RESPONSE[id] = FIELD_DROP
    # What the gateway says about the client is not the client's to say.
    for id in (
        FIELD_HOST, FIELD_EXPECT, FIELD_FORWARDED, FIELD_X_REAL_IP, FIELD_X_FORWARDED_FOR,
        FIELD_X_FORWARDED_PROTO, FIELD_X_FORWARDED_HOST, FIELD_X_FORWARDED_PORT, FIELD_X_FORWARDED_OTHER,
    ):
        FRAMING_DROP_REQUEST[id] = FIELD_DROP
    # Nor is what an upstream has answered that upstream's to say, or of one that was meant for another gateway.
    FRAMING_DROP_RESPONSE[FIELD_X_APISIX_UPSTREAM_STATUS] = FIELD_DROP
    # Nor is who it is, to steps either.
    for id in (FIELD_X_CONSUMER_USERNAME, FIELD_X_CREDENTIAL_IDENTIFIER, FIELD_X_CONSUMER_CUSTOM_ID, FIELD_X_CONSUMER_OTHER):
        FRAMING_DROP_REQUEST[id] = FIELD_DROP | FIELD_HIDDEN
    return 0


framing_fill_tables()


def header_of_framing(str name not None) -> bool:
    """Whether a header belongs to one hop: it frames messages, or names who is asked."""
    cdef bint folded
    cdef bytes raw = name.encode()
    cdef uint8_t id = field_id(raw, len(raw), &folded)
    return bool(FRAMING_DROP_RESPONSE[id]) or id == FIELD_HOST or id == FIELD_EXPECT


def header_reserved(str name not None) -> bool:
    """Whether nobody but the gateway says what the upstream is sent under this name."""
    cdef bint folded
    cdef bytes raw = name.encode()
    return bool(FRAMING_DROP_REQUEST[field_id(raw, len(raw), &folded)])


# --- for tests ---

def _test_head(
    data: bytes, pieces: list[int], response: bool, method: str = "GET",
    max_bytes: int = 32768, max_target: int = 8192, max_fields: int = 100,
) -> dict[str, object] | int:
    """Parse and judge the head at the front of `data`, which comes in pieces, the rest as one.

    Return its parts, or the status it is refused with, or 0 where it is not complete. The bytes and the
    parser move before each piece, and nothing lies behind the bytes: a sanitizer sees every step beyond them.
    Fed again without a new byte, the parser says again what it said.
    """
    cdef Head head
    cdef HeadParser parser, moved
    cdef Target target
    cdef char host[URI_HOST_BYTES]
    cdef char* base
    cdef int status = HEAD_MORE
    cdef size_t have = 0
    memset(&head, 0xA5, sizeof(head))
    memset(&target, 0xA5, sizeof(target))
    target.host = host
    head_begin(&parser, &head, response, max_bytes, max_target, max_fields)
    for size in [*pieces, len(data)]:
        have = min(have + size, len(data))
        moved = parser
        memset(&parser, 0xA5, sizeof(parser))
        base = <char*>malloc(have or 1)
        if base == NULL:
            raise MemoryError
        memcpy(base, <const char*>data, have)
        status = head_feed(&moved, base, have)
        if head_feed(&moved, base, have) != status:
            raise AssertionError(f"a verdict of {status} did not stay")
        if status == HEAD_DONE:
            verdict = (framing_response(&head, base, method == "HEAD" and METHOD_HEAD) if response
                       else framing_request(&head, base, &target))
            status = verdict or HEAD_DONE
        free(base)
        parser = moved
        if status != HEAD_MORE:
            break
    if status != HEAD_DONE:
        return status
    return framing_shown(&head, data) if response else framing_shown(&head, data) | framing_asked(&head, &target, data)


cdef dict framing_asked(const Head* h, const Target* t, bytes data):
    authority = data[t.authority : t.authority + t.authority_len] if t.authority_len else b""
    return {"method": method_name(h.method), "authority": authority, "host": t.host[: t.host_len], "port": t.port}


cdef dict framing_shown(Head* h, bytes data):
    cdef Field* f
    cdef int i
    fields = []
    for i in range(h.n):
        f = &h.fields[i]
        name, value = data[f.name : f.name + f.name_len], data[f.value : f.value + f.value_len]
        fields.append((name, value, bool(f.flags & FIELD_DROP)))
    return {
        "len": h.len, "target": data[h.target : h.target + h.target_len], "status": h.status, "minor": h.minor,
        "keep_alive": bool(h.keep_alive), "body": h.body, "length": h.content_length,
        "expect_continue": bool(h.expect_continue), "upgrade": bool(h.upgrade), "fields": fields,
        "first": sorted([h.first[i] - 1 for i in range(FIELD_COUNT) if h.first[i]]),
    }
