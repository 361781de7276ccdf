# field: names of header fields.
#
# Owns: the known names, their lookup in every spelling an upstream may fold together, finding fields by
# name in a parsed head. Must not know how a head is parsed or what a field means. A new known name is one
# line in field_fill_tables and one in FieldId; nothing else may assume how many there are.

cdef uint8_t FIELD_TCHAR[256]                   # 0: no tchar (RFC 9110 section 5.6.2); else lower case, and:
cdef enum:
    FIELD_TCHAR_FOLDED = 0x80   # punctuation other than "-", which CGI-like upstreams fold into it
cdef FieldName FIELD_NAMES[FIELD_COUNT]         # known names by length
cdef uint8_t FIELD_NAMES_FROM[FIELD_NAME_BYTES + 2]


cdef bint field_identify(const char* name, size_t len, uint8_t* id, bint* folded) noexcept nogil:
    """Check that a name is a token and look it up; False where it is none."""
    cdef FieldName key
    cdef char* lower = <char*>key.words
    cdef uint8_t seen = 0
    cdef uint8_t c
    cdef size_t i
    memset(&key, 0, sizeof(key))
    for i in range(len):
        c = FIELD_TCHAR[<uint8_t>name[i]]
        if c == 0:
            return False
        seen |= c
        if i < FIELD_NAME_BYTES:
            lower[i] = <char>(c & 0x7F)
    folded[0] = (seen & FIELD_TCHAR_FOLDED) != 0
    id[0] = field_lookup(&key, len)
    return True


cdef uint8_t field_lookup(const FieldName* key, size_t len) noexcept nogil:
    cdef const FieldName* known
    cdef uint8_t i
    if len <= FIELD_NAME_BYTES:
        for i in range(FIELD_NAMES_FROM[len], FIELD_NAMES_FROM[len + 1]):
            known = &FIELD_NAMES[i]
            if (known.words[0] == key.words[0] and known.words[1] == key.words[1]
                    and known.words[2] == key.words[2]):
                return known.id
    if len > 12 and memcmp(key.words, b"x-forwarded-", 12) == 0:
        return FIELD_X_FORWARDED_OTHER
    if len > 11 and memcmp(key.words, b"x-consumer-", 11) == 0:
        return FIELD_X_CONSUMER_OTHER
    return FIELD_OTHER


cdef uint8_t field_id(const char* name, size_t len, bint* folded) noexcept nogil:
    """The id of a name in any spelling that an upstream may take for it; `folded`: not the lawful one."""
    cdef uint8_t id = FIELD_OTHER
    folded[0] = False
    field_identify(name, len, &id, folded)
    return id


cdef inline Field* head_find(Head* h, FieldId id) noexcept nogil:
    return &h.fields[h.first[id] - 1] if h.first[id] else NULL


cdef Field* head_find_name(Head* h, const char* base, const char* lower_name, size_t len) noexcept nogil:
    """The first field of that name, case aside."""
    return head_find_from(h, base, 0, lower_name, len)


cdef Field* head_find_next(Head* h, const char* base, Field* after) noexcept nogil:
    """The next field with the same name as one found before; NULL where it was the last."""
    return head_find_from(h, base, after - h.fields + 1, base + after.name, after.name_len)


cdef Field* head_find_from(
    Head* h, const char* base, Py_ssize_t i, const char* name, size_t len
) noexcept nogil:
    while i < h.n:
        if h.fields[i].name_len == len and field_same(base + h.fields[i].name, name, len):
            return &h.fields[i]
        i += 1
    return NULL


cdef bint field_same(const char* a, const char* b, size_t len) noexcept nogil:
    """Equal but for the case of ASCII letters."""
    cdef size_t i
    for i in range(len):
        if a[i] != b[i] and ((a[i] ^ b[i]) != 0x20 or not c"a" <= (a[i] | 0x20) <= c"z"):
            return False
    return True


cdef void head_drop(Head* h, const char* base, const char* name, size_t len) noexcept nogil:
    """Take every field of that name out, in all spellings an upstream may fold together."""
    cdef uint16_t i
    cdef size_t k
    cdef const char* other
    for i in range(h.n):
        if h.fields[i].name_len != len:
            continue
        other = base + h.fields[i].name
        k = 0
        while k < len and (FIELD_TCHAR[<uint8_t>other[k]] ^ FIELD_TCHAR[<uint8_t>name[k]]) & 0x7F == 0:
            k += 1
        if k == len:
            h.fields[i].flags |= FIELD_DROP | FIELD_HIDDEN


cdef int field_fill_tables() except -1:
    cdef FieldName* known
    cdef bytes name
    cdef uint8_t c
    names = {
        b"host": FIELD_HOST, b"content-length": FIELD_CONTENT_LENGTH,
        b"transfer-encoding": FIELD_TRANSFER_ENCODING, b"connection": FIELD_CONNECTION,
        b"keep-alive": FIELD_KEEP_ALIVE, b"proxy-connection": FIELD_PROXY_CONNECTION,
        b"proxy-authenticate": FIELD_PROXY_AUTHENTICATE, b"proxy-authorization": FIELD_PROXY_AUTHORIZATION,
        b"te": FIELD_TE, b"trailer": FIELD_TRAILER, b"upgrade": FIELD_UPGRADE,
        b"http2-settings": FIELD_HTTP2_SETTINGS,
        b"expect": FIELD_EXPECT, b"authorization": FIELD_AUTHORIZATION, b"cookie": FIELD_COOKIE,
        b"content-type": FIELD_CONTENT_TYPE, b"user-agent": FIELD_USER_AGENT, b"referer": FIELD_REFERER,
        b"server": FIELD_SERVER, b"date": FIELD_DATE, b"forwarded": FIELD_FORWARDED,
        b"x-real-ip": FIELD_X_REAL_IP,
        b"x-forwarded-for": FIELD_X_FORWARDED_FOR, b"x-forwarded-proto": FIELD_X_FORWARDED_PROTO,
        b"x-forwarded-host": FIELD_X_FORWARDED_HOST, b"x-forwarded-port": FIELD_X_FORWARDED_PORT,
        b"x-consumer-username": FIELD_X_CONSUMER_USERNAME,
        b"x-credential-identifier": FIELD_X_CREDENTIAL_IDENTIFIER,
        b"x-consumer-custom-id": FIELD_X_CONSUMER_CUSTOM_ID, b"x-request-id": FIELD_X_REQUEST_ID,
        b"max-forwards": FIELD_MAX_FORWARDS, b"x-apisix-upstream-status": FIELD_X_APISIX_UPSTREAM_STATUS,
        b"traceparent": FIELD_TRACEPARENT, b"tracestate": FIELD_TRACESTATE,
    }
    for c in b"!#$%&'*+.^_`|~":
        FIELD_TCHAR[c] = c"-" | FIELD_TCHAR_FOLDED
    for c in b"-0123456789abcdefghijklmnopqrstuvwxyz":
        FIELD_TCHAR[c] = c
    for c in b"ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        FIELD_TCHAR[c] = c + 32
    for i, name in enumerate(sorted(names, key=len)):
        known = &FIELD_NAMES[i]
        memcpy(known.words, <const char*>name, len(name))
        known.id = names[name]
        for length in range(len(name) + 1, FIELD_NAME_BYTES + 2):
            FIELD_NAMES_FROM[length] = i + 1
    return 0


field_fill_tables()


def _test_field_id(name: bytes) -> tuple[int, bool]:
    """The id of a field name, and whether it was spelled otherwise than with hyphens."""
    cdef bint folded
    cdef uint8_t id = field_id(<const char*>name, len(name), &folded)
    return id, folded
