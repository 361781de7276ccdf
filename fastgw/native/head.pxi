# head: bytes to a table of offsets.
#
# Owns: the grammar of a head (RFC 9112 sections 2.2 to 5), strictly: one space where one is asked for, CRLF and nothing else for
# a line's end, no fold, no space before a colon. Every byte belongs to one part or is the one delimiter allowed there. Bytes that
# come in pieces are looked at once, but for a few in the first line and names that a piece ends in, which are looked at twice.
# Must not know what fields mean beyond their ids: verdicts are framing's. Offsets count from the head's first byte, so the bytes
# may move between feeds.


cdef void head_begin(
    HeadParser* p, Head* head, bint is_response, uint32_t max_bytes, uint32_t max_target, uint16_t max_fields
) noexcept nogil:
    """Start a new head; nothing of an earlier one is kept."""
    p.head = head
    p.at = p.line = 0
    p.max_bytes, p.max_target = max_bytes, max_target
    p.max_fields = max_fields if max_fields < HEAD_MAX_FIELDS else HEAD_MAX_FIELDS
    p.failure = p.done = 0
    p.is_response = is_response
    p.state = HEAD_AT_STATUS if is_response else HEAD_AT_OPEN
    memset(head, 0, sizeof(Head) - sizeof(head.fields))
    head.content_length = -1


cdef int head_feed(HeadParser* p, const char* base, size_t have) noexcept nogil:
    """Parse on: HEAD_MORE, HEAD_DONE (head.len is set) or the status to refuse with, which stays.

    `base` is the first byte of the head, `have` how many bytes there are from it on, also beyond the head.
    """
    cdef uint32_t end = <uint32_t>have if have < p.max_bytes else p.max_bytes
    cdef int code = p.failure
    if code:
        return code
    if p.done:
        return HEAD_DONE
    if p.state < HEAD_AT_NAME:
        code = head_status_line(p, base, end) if p.is_response else head_request_line(p, base, end)
    if p.state >= HEAD_AT_NAME:
        code = head_fields(p, base, end)
    if code == HEAD_DONE:
        p.done = 1
    elif code == HEAD_MORE and end == p.max_bytes:      # RFC 6585 section 5; 414 while the target is all there is
        code = 431 if p.state >= HEAD_AT_NAME else 414
    if code > HEAD_DONE:
        p.failure = 502 if p.is_response else <uint16_t>code    # a broken answer is a bad gateway's
        return p.failure
    return code


cdef inline bint head_is_blank(char c) noexcept nogil:
    return c == c" " or c == c"\t"


cdef inline bint head_is_digit(char c) noexcept nogil:
    return c"0" <= c <= c"9"


cdef inline int head_line_end(const char* base, uint32_t at, uint32_t end) noexcept nogil:
    """CRLF and nothing else: HEAD_DONE, HEAD_MORE or 400. A lone CR or LF is read in two ways by two hops."""
    if at == end:
        return HEAD_MORE
    if base[at] != c"\r":
        return 400
    if at + 1 == end:
        return HEAD_MORE
    return HEAD_DONE if base[at + 1] == c"\n" else 400


cdef int head_request_line(HeadParser* p, const char* base, uint32_t end) noexcept nogil:
    """RFC 9112 section 3: method SP target SP "HTTP/1." ("0" / "1") CRLF. Up to HEAD_AT_NAME, or as head_feed."""
    cdef Head* h = p.head
    cdef int code
    if p.state == HEAD_AT_OPEN:     # one empty line may stand in front (section 2.2)
        if end == 0:
            return HEAD_MORE
        if base[0] == c"\r":
            code = head_line_end(base, 0, end)
            if code != HEAD_DONE:
                return code
            p.line = 2
        p.state = HEAD_AT_METHOD
    if p.state == HEAD_AT_METHOD:
        code = head_method(p, base, end)
        if code != HEAD_DONE:
            return code
    if p.state == HEAD_AT_TARGET:
        p.at += <uint32_t>scan_visible(base + p.at, end - p.at)
        h.target_len = p.at - h.target
        if h.target_len > p.max_target:
            return 414
        if p.at == end:
            return HEAD_MORE
        if h.target_len == 0 or base[p.at] != c" ":     # `GET /` CRLF is HTTP/0.9
            return 400
        p.line = p.at
        p.state = HEAD_AT_VERSION
    return head_version(p, base, end)


cdef int head_method(HeadParser* p, const char* base, uint32_t end) noexcept nogil:
    """A known method; another token is 501 (RFC 9110 section 15.6.2), anything else 400."""
    cdef uint32_t at = p.line
    cdef int method
    while at < end and FIELD_TCHAR[<uint8_t>base[at]] and at - p.line <= METHOD_BYTES:
        at += 1
    if at == end:
        return HEAD_MORE
    if at - p.line > METHOD_BYTES:
        return 501
    if at == p.line or base[at] != c" ":
        return 400
    method = method_find(base + p.line, at - p.line)
    if method < 0:
        return 501
    p.head.method = <uint8_t>method
    p.head.target = p.at = at + 1
    p.state = HEAD_AT_TARGET
    return HEAD_DONE


cdef int head_version(HeadParser* p, const char* base, uint32_t end) noexcept nogil:
    """SP "HTTP/1." ("0" / "1") CRLF, from p.line; another version is 505 (RFC 9110 section 15.6.6)."""
    cdef const char* s = base + p.line
    cdef uint32_t n = end - p.line
    cdef int code
    if memcmp(s, b" HTTP/", n if n < 6 else 6) != 0:
        return 400
    if (n > 6 and not head_is_digit(s[6])) or (n > 7 and s[7] != c".") or (n > 8 and not head_is_digit(s[8])):
        return 400
    if n < 9:
        return HEAD_MORE
    if s[6] != c"1" or s[8] > c"1":
        return 505
    if p.head.method == METHOD_PRI:                     # of HTTP/2's preface alone (RFC 9113 section 3.4)
        return 501
    code = head_line_end(s, 9, n)
    if code == HEAD_DONE:
        p.head.minor = <uint8_t>(s[8] - c"0")
        head_next_line(p, p.line + 11)
    return code


cdef int head_status_line(HeadParser* p, const char* base, uint32_t end) noexcept nogil:
    """RFC 9112 section 4: "HTTP/1." ("0" / "1") SP 3DIGIT [ SP reason ] CRLF. Up to HEAD_AT_NAME, or as head_feed.

    Codes run from 100 to 599 (RFC 9110 section 15). The space after the code is often left out where there is no reason;
    nothing hangs on it.
    """
    cdef Head* h = p.head
    cdef int code
    if p.state == HEAD_AT_STATUS:   # refused at the first wrong byte: of what is no answer, more may never come
        if memcmp(base, b"HTTP/1.", end if end < 7 else 7) != 0:
            return 400
        if ((end > 7 and not c"0" <= base[7] <= c"1") or (end > 8 and base[8] != c" ")
                or (end > 9 and not c"1" <= base[9] <= c"5") or (end > 10 and not head_is_digit(base[10]))
                or (end > 11 and not head_is_digit(base[11])) or (end > 12 and base[12] != c" " and base[12] != c"\r")):
            return 400
        if end < 13:
            return HEAD_MORE
        h.minor = <uint8_t>(base[7] - c"0")
        h.status = <uint16_t>((base[9] - c"0") * 100 + (base[10] - c"0") * 10 + base[11] - c"0")
        h.target = p.at = 13 if base[12] == c" " else 12
        p.state = HEAD_AT_REASON
    p.at += <uint32_t>scan_text(base + p.at, end - p.at)
    h.target_len = p.at - h.target
    code = head_line_end(base, p.at, end)
    if code == HEAD_DONE:
        head_next_line(p, p.at + 2)
    return code


cdef inline void head_next_line(HeadParser* p, uint32_t at) noexcept nogil:
    p.line = p.at = at
    p.state = HEAD_AT_NAME


cdef int head_fields(HeadParser* p, const char* base, uint32_t end) noexcept nogil:
    """RFC 9112 section 5: *( field-name ":" OWS field-value OWS CRLF ) CRLF, no fold. As head_feed."""
    cdef Field* f
    cdef int code
    while True:
        if p.state == HEAD_AT_NAME:
            if p.at < end and base[p.at] == c"\r" and p.at == p.line:
                code = head_line_end(base, p.at, end)
                p.head.len = p.at + 2
                return code
            code = head_name(p, base, end)
            if code != HEAD_DONE:
                return code
        f = &p.head.fields[p.head.n - 1]
        if p.state == HEAD_AT_BLANK:
            while p.at < end and head_is_blank(base[p.at]):
                p.at += 1
            if p.at == end:
                return HEAD_MORE
            f.value = p.at
            p.state = HEAD_AT_VALUE
        p.at += <uint32_t>scan_text(base + p.at, end - p.at)
        code = head_line_end(base, p.at, end)
        if code != HEAD_DONE:
            return code
        f.value_len = p.at - f.value
        while f.value_len and head_is_blank(base[f.value + f.value_len - 1]):
            f.value_len -= 1
        head_next_line(p, p.at + 2)


cdef int head_name(HeadParser* p, const char* base, uint32_t end) noexcept nogil:
    """A token and the colon right behind it, into a new row of the table; HEAD_DONE, HEAD_MORE or the refusing status."""
    cdef Head* h = p.head
    cdef Field* f
    cdef FieldName key
    cdef bint folded = False
    cdef uint8_t id = FIELD_OTHER
    if h.n >= p.max_fields:
        return 431 if p.at < end else HEAD_MORE
    memset(&key, 0, sizeof(key))
    if p.at == p.line:
        p.at += <uint32_t>scan_plain(base + p.at, end - p.at, <char*>key.words)
    if p.at < end and base[p.at] == c":" and p.at - p.line <= 0xFFFF and key.words[0]:
        id = field_lookup(&key, p.at - p.line)
    else:                           # other characters of a token, or the name came in pieces
        while p.at < end and FIELD_TCHAR[<uint8_t>base[p.at]]:
            p.at += 1
        if p.at - p.line > 0xFFFF:
            return 431
        if p.at == end:
            return HEAD_MORE
        if p.at == p.line or base[p.at] != c":" or not field_identify(base + p.line, p.at - p.line, &id, &folded):
            return 400
    f = &h.fields[h.n]
    f.name = p.line
    f.name_len = <uint16_t>(p.at - p.line)
    f.value_len = 0
    # An underscore twin of a known name is that name to a CGI-like upstream: it has no meaning here and never crosses.
    f.flags = FIELD_DROP | FIELD_HIDDEN if folded and id != FIELD_OTHER else 0
    f.id = FIELD_OTHER if folded else id
    h.n += 1
    if f.id != FIELD_OTHER and h.first[f.id] == 0:
        h.first[f.id] = <uint8_t>h.n
    p.at += 1
    p.state = HEAD_AT_BLANK
    return HEAD_DONE
