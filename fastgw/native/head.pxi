# head: bytes to a table of offsets.
#
# Owns: driving llhttp to the end of a head and no further, and the proof that its spans tile the head:
# every byte belongs to one span or is the one delimiter allowed there (RFC 9112 sections 2.2 to 5). llhttp
# alone lets through doubled spaces, HTTP/0.9, RTSP, control bytes in reason phrases, empty lines. Must not
# know what fields mean beyond their ids: verdicts are framing's. Offsets count from the head's first byte,
# so the bytes may move.

cdef llhttp_settings_t head_request_settings
cdef llhttp_settings_t head_response_settings


cdef inline uint32_t head_offset(HeadParser* p, const char* at) noexcept nogil:
    return <uint32_t>(at - p.base)


cdef inline int head_fail(HeadParser* p, uint16_t status) noexcept nogil:
    p.failure = status
    return HPE_USER


cdef int head_on_url(llhttp_t* parser, const char* at, size_t n) noexcept nogil:
    cdef HeadParser* p = <HeadParser*>parser.data
    cdef Head* h = p.head
    if h.target_len == 0:
        h.target = head_offset(p, at)
    h.target_len = head_offset(p, at + n) - h.target
    return HPE_OK if p.is_response or h.target_len <= p.max_target else head_fail(p, 414)


cdef int head_on_version_complete(llhttp_t* parser) noexcept nogil:
    cdef HeadParser* p = <HeadParser*>parser.data
    p.versioned = 1
    if parser.http_major != 1 or parser.http_minor > 1:
        return head_fail(p, 505)
    if HTTP_PRI <= parser.method <= HTTP_FLUSH:
        return head_fail(p, 501)
    return HPE_OK


cdef int head_on_field(llhttp_t* parser, const char* at, size_t n) noexcept nogil:
    cdef HeadParser* p = <HeadParser*>parser.data
    cdef Head* h = p.head
    cdef Field* f
    cdef uint32_t length
    if p.in_value:
        if h.n >= p.max_fields:
            return head_fail(p, 431)
        h.fields[h.n].name = head_offset(p, at)
        h.fields[h.n].value_len = 0
        h.n += 1
        p.in_value = 0
    f = &h.fields[h.n - 1]
    length = head_offset(p, at + n) - f.name
    if length > 0xFFFF:
        return head_fail(p, 431)
    f.name_len = <uint16_t>length
    return HPE_OK


cdef int head_on_value(llhttp_t* parser, const char* at, size_t n) noexcept nogil:
    cdef HeadParser* p = <HeadParser*>parser.data
    cdef Field* f = &p.head.fields[p.head.n - 1]
    p.in_value = 1
    if n == 0:
        return HPE_OK
    if f.value_len == 0:
        f.value = head_offset(p, at)
    f.value_len = head_offset(p, at + n) - f.value
    return HPE_OK


cdef int head_on_complete(llhttp_t* parser) noexcept nogil:
    return HPE_PAUSED


cdef void head_begin(
    HeadParser* p, Head* head, bint is_response, uint32_t max_bytes, uint32_t max_target, uint16_t max_fields
) noexcept nogil:
    """Start a new head; nothing of an earlier one is kept."""
    llhttp.init(
        <llhttp_t*><void*>p.raw,
        LLHTTP_RESPONSE if is_response else LLHTTP_REQUEST,
        &head_response_settings if is_response else &head_request_settings,
    )
    p.head, p.base = head, NULL
    p.start = p.parsed = 0
    p.max_bytes, p.max_target = max_bytes, max_target
    p.max_fields = max_fields if max_fields < HEAD_MAX_FIELDS else HEAD_MAX_FIELDS
    p.failure = p.versioned = p.done = 0
    p.in_value = 1
    p.is_response = is_response
    memset(head, 0, sizeof(Head) - sizeof(head.fields))
    head.content_length = -1


cdef int head_feed(HeadParser* p, const char* base, size_t have) noexcept nogil:
    """Parse on: HEAD_MORE, HEAD_DONE (head.len is set) or the status to refuse with.

    `base` is the first byte of the head, `have` how many bytes there are from it on, also beyond the head.
    llhttp sees each byte once and stops at the end of the head.
    """
    cdef llhttp_t* parser = <llhttp_t*><void*>p.raw
    cdef size_t upto = have if have < p.max_bytes else p.max_bytes
    cdef int code
    if p.failure:
        return p.failure
    if p.done:
        return HEAD_DONE
    p.base = base
    if p.parsed <= p.start:
        code = head_open(p, base, upto)
        if code != HEAD_DONE:
            return code
    if upto > p.parsed:
        parser.data = p
        code = llhttp.execute(parser, base + p.parsed, upto - p.parsed)
        if code == HPE_PAUSED:
            p.head.len = p.parsed = head_offset(p, llhttp.get_error_pos(parser))
            p.done = 1
            return HEAD_DONE if head_prove(p, base) else head_refused(p, 400)
        if code != HPE_OK:
            return head_refused(p, head_status_of(p, code, base))
        p.parsed = <uint32_t>upto
        if head_is_09(p, base):
            return head_refused(p, 400)
    if p.parsed >= p.max_bytes:     # RFC 6585 section 5; 414 while the target is all there is
        return head_refused(p, 431 if p.versioned else 414)
    return HEAD_MORE


cdef int head_open(HeadParser* p, const char* base, size_t have) noexcept nogil:
    """One empty line may stand before a request line (RFC 9112 section 2.2); llhttp would skip any number.

    HEAD_DONE: llhttp may have the byte at p.start.
    """
    if p.parsed == 0 and have and not p.is_response and base[0] == c"\r":
        if have == 1:
            return HEAD_MORE
        if base[1] != c"\n":
            return head_refused(p, 400)
        p.start = p.parsed = 2
    if have <= p.start:
        return HEAD_MORE
    if base[p.start] == c"\r" or base[p.start] == c"\n":
        return head_refused(p, 400)
    return HEAD_DONE


cdef bint head_is_09(HeadParser* p, const char* base) noexcept nogil:
    """`GET /` CRLF, which llhttp takes for HTTP/0.9 and follows with fields: refused without waiting for them."""
    cdef uint32_t end = p.head.target + p.head.target_len
    return not p.is_response and not p.versioned and p.head.target_len and end < p.parsed and base[end] != c" "


cdef int head_refused(HeadParser* p, uint16_t status) noexcept nogil:
    """The verdict, kept: a refused head stays refused. A broken answer is a bad gateway's."""
    p.failure = 502 if p.is_response else status
    return p.failure


cdef uint16_t head_status_of(HeadParser* p, int code, const char* base) noexcept nogil:
    """What to answer to llhttp's error; 400 unless RFC 9110 has a better word (sections 15.6.2, 15.6.6)."""
    cdef const char* at = llhttp.get_error_pos(<llhttp_t*><void*>p.raw)
    cdef const char* v
    if p.failure:                   # a callback's; its number depends on the kind of callback
        return p.failure
    if code == HPE_PAUSED_H2_UPGRADE:
        return 505
    if code == HPE_INVALID_METHOD:
        # All bytes before are letters of some method: with this one, an unknown token or no token at all.
        return 501 if FIELD_TCHAR[<uint8_t>at[0]] or (at[0] == c" " and at > base + p.start) else 400
    if code == HPE_INVALID_VERSION and not p.versioned and not p.is_response:
        v = base + p.head.target + p.head.target_len + 6        # past " HTTP/"
        return 505 if head_is_digit(v[0]) and v[1] == c"." and head_is_digit(v[2]) else 400
    return 400


cdef inline bint head_is_blank(char c) noexcept nogil:
    return c == c" " or c == c"\t"


cdef inline bint head_is_digit(char c) noexcept nogil:
    return c"0" <= c <= c"9"


# --- the proof ---

cdef bint head_prove(HeadParser* p, const char* base) noexcept nogil:
    """Walk the finished head line by line with no trust in llhttp; fill ids, flags, `first`; trim values."""
    cdef Head* h = p.head
    cdef Field* f
    cdef uint32_t at
    cdef uint16_t i
    # Every scan below stops at this end at the latest.
    if h.len < 4 or memcmp(base + h.len - 4, b"\r\n\r\n", 4) != 0:
        return False
    at = head_prove_status_line(h, base) if p.is_response else head_prove_request_line(p, base)
    if at == 0:
        return False
    for i in range(h.n):
        f = &h.fields[i]
        if f.name != at:
            return False
        at = head_prove_field(f, base)
        if at == 0:
            return False
        if f.id != FIELD_OTHER and h.first[f.id] == 0:
            h.first[f.id] = <uint8_t>(i + 1)
    return at + 2 == h.len


cdef uint32_t head_prove_request_line(HeadParser* p, const char* base) noexcept nogil:
    """RFC 9112 section 3: method SP target SP "HTTP/1." ("0" / "1") CRLF. Return where it ends, or 0."""
    cdef Head* h = p.head
    cdef uint32_t at = h.target + h.target_len
    cdef uint32_t i
    if h.target < p.start + 2 or base[h.target - 1] != c" " or at + 13 > h.len:
        return 0
    for i in range(p.start, h.target - 1):
        if FIELD_TCHAR[<uint8_t>base[i]] == 0:
            return 0
    if not head_is_visible(base + h.target, h.target_len):
        return 0
    if memcmp(base + at, b" HTTP/1.", 8) != 0 or memcmp(base + at + 9, b"\r\n", 2) != 0:
        return 0
    h.method = (<llhttp_t*><void*>p.raw).method
    h.minor = <uint8_t>(base[at + 8] - c"0")
    return at + 11 if h.minor <= 1 else 0


cdef uint32_t head_prove_status_line(Head* h, const char* base) noexcept nogil:
    """RFC 9112 section 4: "HTTP/1." ("0" / "1") SP 3DIGIT [ SP reason ] CRLF.

    Codes run from 100 to 599 (RFC 9110 section 15). The space after the code is often left out where there is
    no reason; nothing hangs on it.
    """
    cdef uint32_t at = 12
    if h.len < 16 or memcmp(base, b"HTTP/1.", 7) != 0 or base[8] != c" ":
        return 0
    if not (head_is_digit(base[9]) and head_is_digit(base[10]) and head_is_digit(base[11])):
        return 0
    h.minor = <uint8_t>(base[7] - c"0")
    h.status = <uint16_t>((base[9] - c"0") * 100 + (base[10] - c"0") * 10 + base[11] - c"0")
    if base[at] == c" ":
        at += 1
    if h.target_len == 0:
        h.target = at
    if h.target != at or not head_is_text(base + at, h.target_len):
        return 0
    at += h.target_len
    if memcmp(base + at, b"\r\n", 2) != 0:
        return 0
    return at + 2 if h.minor <= 1 and 100 <= h.status <= 599 else 0


cdef uint32_t head_prove_field(Field* f, const char* base) noexcept nogil:
    """RFC 9112 section 5: field-name ":" OWS field-value OWS CRLF, no fold. Return where it ends, or 0."""
    cdef uint32_t at = f.name + f.name_len
    cdef bint folded = False
    if f.name_len == 0 or not field_identify(base + f.name, f.name_len, &f.id, &folded) or base[at] != c":":
        return 0
    at += 1
    while head_is_blank(base[at]):
        at += 1
    if f.value_len == 0:
        f.value = at
    elif f.value != at or not head_is_text(base + at, f.value_len):
        return 0
    at += f.value_len
    if memcmp(base + at, b"\r\n", 2) != 0:
        return 0
    while f.value_len and head_is_blank(base[f.value + f.value_len - 1]):
        f.value_len -= 1
    # An underscore twin of a known name is that name to a CGI-like upstream: it has no meaning here and
    # never crosses.
    f.flags = FIELD_DROP if folded and f.id != FIELD_OTHER else 0
    if folded:
        f.id = FIELD_OTHER
    return at + 2


cdef inline uint64_t head_below(uint64_t word, uint64_t bound) noexcept nogil:
    # Non-zero where a byte of the word is less than the bound (1 to 128): the classic exact test on words.
    return (word - 0x0101010101010101u * bound) & ~word & 0x8080808080808080u


cdef bint head_is_text(const char* s, size_t n) noexcept nogil:
    """Field values and reasons: no control byte but tab (RFC 9110 section 5.5); eight bytes at a time."""
    cdef size_t i = 0
    cdef uint64_t word
    cdef uint8_t c
    while i + 8 <= n:
        memcpy(&word, s + i, 8)
        if head_below(word, 0x20) | head_below(word ^ 0x7F7F7F7F7F7F7F7Fu, 1):
            break                   # perhaps a tab only: byte by byte from here
        i += 8
    while i < n:
        c = <uint8_t>s[i]
        if (c < 0x20 and c != c"\t") or c == 0x7F:
            return False
        i += 1
    return True


cdef bint head_is_visible(const char* s, size_t n) noexcept nogil:
    """Request targets: visible ASCII only."""
    cdef size_t i
    cdef bint good = True
    for i in range(n):              # compilers make this loop a vector one
        good &= <uint8_t>(<uint8_t>s[i] - 0x21) < 0x5E
    return good


cdef void head_fill_settings(llhttp_settings_t* settings) noexcept nogil:
    llhttp.settings_init(settings)
    settings.on_url = head_on_url
    settings.on_version_complete = head_on_version_complete
    settings.on_header_field = head_on_field
    settings.on_header_value = head_on_value
    settings.on_headers_complete = head_on_complete


head_fill_settings(&head_request_settings)
head_fill_settings(&head_response_settings)
head_response_settings.on_url, head_response_settings.on_status = NULL, head_on_url
