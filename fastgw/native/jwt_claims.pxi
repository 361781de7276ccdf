# jwt_claims: what a route demands of a token's claims beyond its key and times, and the claims that it hands to the upstream.
#
# Owns: issuers, audiences, the greatest age; the way from a claim to a header's value. Must not know requests, credentials, how
# a token is found or verified. What is judged here was signed; it is judged afresh at each use, also of a remembered token.

cdef enum:                      # places in what is asked for; the first names of claim paths come behind
    CLAIM_ISS
    CLAIM_AUD
    CLAIM_IAT
    CLAIM_PATHS
    CLAIM_HEADERS_MAX = 16      # jwt_parse compares each claim's name with each that is asked for
    CLAIM_VALUE_MAX = 4096      # bytes of a header's value

cdef struct ClaimHeader:        # a claim that goes upstream
    const char* line            # its name as a line begins: "X-User: "
    uint32_t line_len
    uint32_t asked              # which claim its path begins with
    JsonText* path              # names below that one
    uint32_t n_path

cdef struct ClaimRules:
    JsonText* asked             # names of the claims to look for
    uint32_t n_asked
    JsonText* issuers           # none: any
    uint32_t n_issuers
    JsonText* audiences         # none: any
    uint32_t n_audiences
    int64_t max_age             # s; 0: any
    ClaimHeader* headers
    uint32_t n_headers


cdef class JwtClaims:
    """What a route does with claims.

    `issuers`, `audiences`: the values admitted; None: any. `max_age`: seconds since `iat`, 0 for any. `headers`: sequence of
    (names, header): the way to a claim, name by name through objects, and the header that carries it upstream.
    """
    cdef ClaimRules c
    cdef list held

    def __cinit__(self, *, issuers=None, audiences=None, int64_t max_age=0, headers=()):
        cdef ClaimHeader* header
        cdef bytes line
        headers = [([name.encode(errors="surrogatepass") for name in names], into) for names, into in headers]
        if len(headers) > CLAIM_HEADERS_MAX:
            raise ValueError(f"headers: expected at most {CLAIM_HEADERS_MAX}, found {len(headers)}")
        if not all(names for names, _ in headers):
            raise ValueError("headers: expected at least one name on the way to each claim")
        if max_age < 0:
            raise ValueError(f"max_age: expected at least 0, found {max_age}")
        firsts = list(dict.fromkeys(names[0] for names, _ in headers))
        self.held = []
        self.c.max_age = max_age
        self.c.asked = self.texts([b"iss", b"aud", b"iat", *firsts], &self.c.n_asked)
        self.c.issuers = self.texts([text.encode(errors="surrogatepass") for text in issuers or ()], &self.c.n_issuers)
        self.c.audiences = self.texts([text.encode(errors="surrogatepass") for text in audiences or ()], &self.c.n_audiences)
        self.c.headers = <ClaimHeader*>calloc(len(headers) or 1, sizeof(ClaimHeader))
        if self.c.headers == NULL:
            raise MemoryError
        for names, into in headers:
            if not claim_header_lawful(into.encode()):
                raise ValueError(f"header {into!r}: the gateway sets it itself")
            line = into.encode() + b": "
            self.held.append(line)
            header = &self.c.headers[self.c.n_headers]
            header.line = line
            header.line_len = <uint32_t>len(line)
            header.asked = <uint32_t>(CLAIM_PATHS + firsts.index(names[0]))
            header.path = self.texts(names[1:], &header.n_path)
            self.c.n_headers += 1

    cdef JsonText* texts(self, list raw, uint32_t* count) except NULL:
        cdef JsonText* found = <JsonText*>calloc(len(raw) or 1, sizeof(JsonText))
        cdef bytes text
        cdef Py_ssize_t i
        if found == NULL:
            raise MemoryError
        for i, text in enumerate(raw):
            self.held.append(text)
            found[i].at = <const uint8_t*><const char*>text
            found[i].length = len(text)
        count[0] = <uint32_t>len(raw)
        return found

    def __dealloc__(self):
        cdef uint32_t i
        for i in range(self.c.n_headers):
            free(self.c.headers[i].path)
        free(self.c.headers)
        free(self.c.asked)
        free(self.c.issuers)
        free(self.c.audiences)


cdef bint claim_header_lawful(bytes name) except -1:
    # Neither what the gateway says itself, in any spelling that upstreams may take for it, nor cookies, which are written anew
    # where one is hidden.
    cdef bint folded
    cdef uint8_t id = FIELD_OTHER
    if not name or not field_identify(name, len(name), &id, &folded):
        return False
    return id != FIELD_COOKIE and FRAMING_DROP_REQUEST[id] == 0


# Judging

cdef bint claim_among(const JsonText* value, const JsonText* admitted, uint32_t n) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        if json_same(value, &admitted[i]):
            return True
    return False


cdef const uint8_t* claim_item(const uint8_t* at, const uint8_t* end, JsonText* item) noexcept nogil:
    # The string that comes next in a checked array: from behind "[" or an item to behind that. NULL: something else comes;
    # `item.at` is then NULL at the array's end.
    item.at = NULL
    at = json_blank(at, end)
    if at < end and at[0] == c',':
        at = json_blank(at + 1, end)
    if at >= end or at[0] == c']':
        return NULL
    item.at = at + 1
    if at[0] != c'"':
        return NULL
    at = json_string(at + 1, end, &item.escaped)
    if at == NULL:
        return NULL
    item.length = <size_t>(at - item.at)
    return at + 1


cdef bint claim_audience(const JsonWant* aud, const ClaimRules* rules) noexcept nogil:
    # RFC 7519 section 4.1.3: one string, or an array of strings.
    cdef const uint8_t* end = aud.value.at + aud.value.length
    cdef const uint8_t* at
    cdef JsonText item
    cdef bint found = False
    if aud.kind == JSON_STRING:
        return claim_among(&aud.value, rules.audiences, rules.n_audiences)
    if aud.kind != JSON_ARRAY:
        return False
    at = claim_item(aud.value.at + 1, end, &item)
    while at != NULL:
        found = found or claim_among(&item, rules.audiences, rules.n_audiences)
        at = claim_item(at, end, &item)
    return found and item.at == NULL


cdef int claim_age(const JsonWant* iat, int64_t max_age, int64_t now, int64_t leeway) noexcept nogil:
    cdef int64_t most = <int64_t>1 << 60        # beyond any claim, far from overflow
    cdef int64_t issued
    now = max(min(now, most), -most)
    leeway = max(min(leeway, most), 0)
    if iat.kind == JSON_ABSENT:
        return JWT_NO_IAT
    if iat.kind != JSON_NUMBER or not json_number_ceil(&iat.value, &issued):
        return JWT_BAD_CLAIM
    if issued > now + leeway:
        return JWT_EARLY_IAT
    if not json_number_floor(&iat.value, &issued):
        return JWT_BAD_CLAIM
    return JWT_OK if issued >= now - leeway - min(max_age, most) else JWT_TOO_OLD


cdef int claims_judge(const ClaimRules* rules, const JsonWant* found, int64_t now, int64_t leeway) noexcept nogil:
    """The JwtVerdict on what was found of the claims that the rules ask for."""
    if rules.n_issuers and not (found[CLAIM_ISS].kind == JSON_STRING and claim_among(
            &found[CLAIM_ISS].value, rules.issuers, rules.n_issuers)):
        return JWT_BAD_ISSUER
    if rules.n_audiences and not claim_audience(&found[CLAIM_AUD], rules):
        return JWT_BAD_AUDIENCE
    return claim_age(&found[CLAIM_IAT], rules.max_age, now, leeway) if rules.max_age else JWT_OK


# Handing on

cdef bint claim_plain(const char* p, size_t n, bint listed) noexcept nogil:
    # Whether a value crosses as it is: no control character, C1 among them, no space at an end, where it would be cut off; of a
    # list, no comma, at which it would become two.
    cdef size_t i
    cdef uint8_t c
    for i in range(n):
        c = <uint8_t>p[i]
        if c < 0x20 or c == 0x7F or (listed and c == c','):
            return False
        if c == 0xC2 and i + 1 < n and <uint8_t>p[i + 1] < 0xA0:
            return False
    return n == 0 or (p[0] != c' ' and p[n - 1] != c' ')


cdef bint claim_string(const JsonText* text, bint listed, Buf* out) noexcept nogil:
    cdef size_t size
    if buf_room(out, text.length) != 0:
        return False
    size = json_unescape(text, <uint8_t*>out.p + out.len)
    if not claim_plain(out.p + out.len, size, listed):
        return False
    out.len += <uint32_t>size
    return True


cdef bint claim_list(const JsonText* array, Buf* out) noexcept nogil:
    cdef const uint8_t* end = array.at + array.length
    cdef JsonText item
    cdef const uint8_t* at = claim_item(array.at + 1, end, &item)
    cdef bint first = True
    while at != NULL:
        if not first:
            buf_byte(out, c',')
        first = False
        if not claim_string(&item, True, out):
            return False
        at = claim_item(at, end, &item)
    return item.at == NULL


cdef bint claim_value(const JsonWant* claim, Buf* out) noexcept nogil:
    # Appends what a header says for a claim; False: nothing that a header can say, and then the rest of `out` means nothing.
    if claim.kind == JSON_STRING:
        return claim_string(&claim.value, False, out)
    if claim.kind == JSON_ARRAY:
        return claim_list(&claim.value, out)
    if claim.kind == JSON_NUMBER or claim.kind == JSON_TRUE or claim.kind == JSON_FALSE:
        buf_put(out, claim.value.at, claim.value.length)
        return True
    return False


cdef bint claim_follow(const ClaimHeader* header, JsonWant* claim, JsonScan* scan) noexcept nogil:
    # From the claim that the path begins with to the one at its end, through objects.
    cdef JsonWant inner
    cdef uint32_t i
    for i in range(header.n_path):
        if claim.kind != JSON_OBJECT:
            return False
        json_want(&inner, header.path[i].at, header.path[i].length)
        if json_scan(claim.value.at, claim.value.length, &inner, 1, scan) != JSON_OK:
            return False
        claim[0] = inner
    return True


cdef void claims_lines(const ClaimRules* rules, const JsonWant* found, JsonScan* scan, Buf* lines) noexcept nogil:
    """Append a header line for each claim that is there and fits into one."""
    cdef const ClaimHeader* header
    cdef JsonWant claim
    cdef uint32_t i, start, value
    for i in range(rules.n_headers):
        header = &rules.headers[i]
        claim = found[header.asked]
        if not claim_follow(header, &claim, scan):
            continue
        start = lines.len
        buf_put(lines, header.line, header.line_len)
        value = lines.len
        if claim_value(&claim, lines) and lines.len - value <= CLAIM_VALUE_MAX:
            buf_put(lines, b"\r\n", 2)
        else:
            lines.len = start
