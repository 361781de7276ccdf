# hmac_auth: the hmac-auth plugin's step: read the signature's fields, build the text that it signs, compare. Texts and order are
# APISIX's; the reason goes to the log only. What was signed must be what the upstream gets: a signed field that is there twice
# is refused, since the upstream may read the other one.
#
# The text that is signed: the key's id, then of each listed name that the request has "name: value" with the name as it is
# listed, or for "@request-target" the method, a space, the normal path and the query as it came; a line feed behind each.

cdef struct HmacAuthConf:
    AuthConf auth
    Span* signed                # names that must be listed
    uint32_t n_signed
    uint32_t algorithms         # bit per SigningAlg
    int64_t skew                # seconds
    int64_t max_body
    bint hide
    bint digest                 # the body must be what the Digest field says
    bint once                   # a signature is good for one request

cdef struct HmacFields:         # of the Authorization field; p is NULL where one is not there
    Span key_id
    Span algorithm
    Span headers
    Span signature

cdef struct HmacProof:          # what a good signature leaves for the rest of the judgement
    CredentialC* credential
    uint8_t code[SHA2_MAX_DIGEST]
    uint32_t code_len
    int64_t until               # the date from which on the signature is too old

cdef enum:
    HMAC_NAMES = 64             # most names that may be listed: each costs a walk over the head

cdef enum HmacVerdict:          # HMAC_REASONS has its names in this order
    HMAC_OK
    HMAC_MISSING
    HMAC_SCHEME
    HMAC_REPEATED
    HMAC_MALFORMED
    HMAC_UNKNOWN_KEY
    HMAC_ALGORITHM
    HMAC_NO_DATE
    HMAC_BAD_DATE
    HMAC_SKEW
    HMAC_UNSIGNED
    HMAC_TWICE
    HMAC_SIGNATURE
    HMAC_DIGEST
    HMAC_REPLAYED
    HMAC_REVOKED
    HMAC_VERDICTS

cdef const char** _hmac_reasons = [
    "", "hmac.missing", "hmac.scheme", "hmac.repeated", "hmac.malformed", "hmac.unknown_key", "hmac.bad_algorithm",
    "hmac.no_date", "hmac.bad_date", "hmac.clock_skew", "hmac.missing_header", "hmac.repeated_header", "hmac.bad_signature",
    "hmac.bad_digest", "hmac.replayed", "hmac.revoked"]
cdef const char* HMAC_REASONS[HMAC_VERDICTS]
memcpy(HMAC_REASONS, _hmac_reasons, sizeof(HMAC_REASONS))


cdef class HmacAuthStep(Step):
    """hmac-auth of one route. `anonymous`: the Credential of the fallback consumer; `fallback`: one is named."""
    cdef HmacAuthConf conf
    cdef list held

    def __init__(self, *, algorithms=("hmac-sha1", "hmac-sha256", "hmac-sha512"), long long clock_skew=300,
                 signed_headers=("date",), bint digest=False, long long max_body=67108864, bint once=False,
                 bint hide_credentials=False, str realm="hmac", Credential anonymous=None, bint fallback=False):
        cdef bytes challenge = f'WWW-Authenticate: hmac realm="{realm}"\r\n'.encode()
        cdef bytes name
        cdef int number
        self.held = [challenge, anonymous]
        auth_set(&self.conf.auth, challenge, anonymous, fallback)
        for text in algorithms:
            name = text.encode()
            number = signing_alg(name, len(name))
            if number < 0:
                raise ValueError(f"algorithms: unknown {text!r}")
            self.conf.algorithms |= <uint32_t>1 << number
        self.conf.signed = <Span*>calloc(len(signed_headers) or 1, sizeof(Span))
        if self.conf.signed == NULL:
            raise MemoryError
        for text in signed_headers:
            name = text.encode()
            self.held.append(name)
            self.conf.signed[self.conf.n_signed].p = name
            self.conf.signed[self.conf.n_signed].n = <uint32_t>len(name)
            self.conf.n_signed += 1
        self.conf.skew = clock_skew
        self.conf.digest = digest
        self.conf.max_body = max_body
        self.conf.once = once
        self.conf.hide = hide_credentials
        self.bind(step_hmac_auth, &self.conf, "rewrite")

    def __dealloc__(self):
        free(self.conf.signed)


cdef inline bint hmac_gap(char c) noexcept nogil:
    return c == c" " or c == c"\t"


cdef Span* hmac_place(HmacFields* out, const char* name, size_t n, Span* other) noexcept nogil:
    # Where a field's value goes; `other` takes those that mean nothing here.
    if n == 5 and memcmp(name, b"keyId", 5) == 0:
        return &out.key_id
    if n == 9 and memcmp(name, b"algorithm", 9) == 0:
        return &out.algorithm
    if n == 7 and memcmp(name, b"headers", 7) == 0:
        return &out.headers
    if n == 9 and memcmp(name, b"signature", 9) == 0:
        return &out.signature
    other.p = NULL
    return other


cdef bint hmac_parse(const char* p, const char* end, HmacFields* out) noexcept nogil:
    # name="value", commas between; there are no escapes. A name that is there twice could mean either.
    cdef const char* name
    cdef const char* stop
    cdef Span other
    cdef Span* value
    memset(out, 0, sizeof(HmacFields))
    while True:
        while p < end and (hmac_gap(p[0]) or p[0] == c","):
            p += 1
        if p == end:
            break
        name = p
        while p < end and p[0] != c"=" and p[0] != c",":
            p += 1
        if end - p < 2 or p[0] != c"=" or p[1] != c'"':
            return False
        value = hmac_place(out, name, p - name, &other)
        p += 2
        stop = <const char*>memchr(p, c'"', end - p) if p < end else NULL
        if stop == NULL or value.p != NULL:
            return False
        value.p = p
        value.n = <uint32_t>(stop - p)
        p = stop + 1
        if p < end and not hmac_gap(p[0]) and p[0] != c",":
            return False
    return out.key_id.p != NULL and out.algorithm.p != NULL and out.signature.p != NULL


cdef bint hmac_next(const char** at, const char* end, Span* name) noexcept nogil:
    # The next of the listed names.
    cdef const char* p = at[0]
    while p < end and hmac_gap(p[0]):
        p += 1
    name.p = p
    while p < end and not hmac_gap(p[0]):
        p += 1
    name.n = <uint32_t>(p - name.p)
    at[0] = p
    return name.n > 0


cdef inline bint hmac_named(const Span* name, const char* text, uint32_t n) noexcept nogil:
    return name.n == n and field_same(name.p, text, n)


cdef bint hmac_lists(const HmacFields* fields, const Span* wanted) noexcept nogil:
    cdef const char* p = fields.headers.p
    cdef const char* end
    cdef Span name
    if p == NULL:
        return False
    end = p + fields.headers.n
    while hmac_next(&p, end, &name):
        if hmac_named(&name, wanted.p, wanted.n):
            return True
    return False


cdef void hmac_put_target(const Exchange* x, Buf* out) noexcept nogil:
    buf_str(out, method_name(x.head.method))
    buf_byte(out, c" ")
    buf_put(out, x.uri_path, x.uri_path_len)
    if x.query_len:
        buf_byte(out, c"?")
        buf_put(out, x.bytes.p + x.query, x.query_len)
    buf_byte(out, c"\n")


cdef inline bint hmac_nominated(const Field* f) noexcept nogil:
    # Whether a Connection field, which anybody may have put in, keeps it from the upstream: then it is not there.
    return f.id == FIELD_OTHER and f.flags & (FIELD_DROP | FIELD_HIDDEN) == FIELD_DROP


cdef int hmac_text(const Exchange* x, const HmacFields* fields, Buf* out) noexcept nogil:
    # What was signed.
    cdef const char* p = fields.headers.p
    cdef const char* end = p
    cdef const Field* f
    cdef Span name
    cdef uint32_t count
    cdef uint32_t names = 0
    buf_reset(out)
    buf_put(out, fields.key_id.p, fields.key_id.n)
    buf_byte(out, c"\n")
    if p != NULL:
        end = p + fields.headers.n
    while p < end and hmac_next(&p, end, &name):
        names += 1
        if names > HMAC_NAMES:
            return HMAC_MALFORMED
        if hmac_named(&name, b"@request-target", 15):
            hmac_put_target(x, out)
            continue
        f = header_find(x, name.p, name.n, &count)
        if f == NULL or hmac_nominated(f):
            continue
        if count > 1:
            return HMAC_TWICE
        buf_put(out, name.p, name.n)
        buf_put(out, b": ", 2)
        if f.id == FIELD_HOST:      # what goes upstream, which an absolute target may have said instead
            buf_put(out, x.bytes.p + x.authority, x.authority_len)
        else:
            buf_put(out, x.bytes.p + f.value, f.value_len)
        buf_byte(out, c"\n")
    return HMAC_MALFORMED if out.failed else HMAC_OK


cdef int hmac_judge_date(const Exchange* x, const HmacAuthConf* c, HmacProof* proof) noexcept nogil:
    cdef uint32_t count
    cdef const Field* f = header_find(x, b"date", 4, &count)
    cdef int64_t date
    if f == NULL:
        return HMAC_NO_DATE
    if count > 1:
        return HMAC_TWICE
    date = http_date(x.bytes.p + f.value, f.value_len)
    if date < 0:
        return HMAC_BAD_DATE
    proof.until = date + c.skew + 1
    return HMAC_OK if date - c.skew <= x.loop.wall < proof.until else HMAC_SKEW


cdef int hmac_judge_fields(Exchange* x, const HmacAuthConf* c, const HmacFields* fields, HmacProof* proof) noexcept nogil:
    # All but the body.
    cdef Buf* text = &x.loop.wbuf
    cdef int alg = signing_alg(fields.algorithm.p, fields.algorithm.n)
    cdef const HmacKey* key
    cdef uint32_t i
    cdef int verdict
    proof.credential = <CredentialC*>map_get(&x.snapshot.credentials[CREDENTIAL_HMAC], fields.key_id.p, fields.key_id.n)
    if proof.credential == NULL or proof.credential.signing == NULL:
        return HMAC_UNKNOWN_KEY
    if alg < 0 or not (c.algorithms >> alg) & 1:
        return HMAC_ALGORITHM
    verdict = hmac_judge_date(x, c, proof)
    if verdict != HMAC_OK:
        return verdict
    for i in range(c.n_signed):
        if not hmac_lists(fields, &c.signed[i]):
            return HMAC_UNSIGNED
    verdict = hmac_text(x, fields, text)
    if verdict != HMAC_OK:
        return verdict
    key = &proof.credential.signing.keys[alg]
    hmac_sign(key, <const uint8_t*>text.p, text.len, proof.code)
    proof.code_len = key.digest_len
    return HMAC_OK if base64_says(fields.signature.p, fields.signature.n, proof.code, proof.code_len) else HMAC_SIGNATURE


cdef int hmac_judge(Exchange* x, const HmacAuthConf* c, HmacProof* proof) noexcept nogil:
    cdef uint32_t count
    cdef const Field* f = header_find(x, b"authorization", 13, &count)
    cdef const char* p
    cdef HmacFields fields
    if f == NULL:
        return HMAC_MISSING
    if count > 1:
        return HMAC_REPEATED
    p = x.bytes.p + f.value
    if f.value_len < 9 or memcmp(p, b"Signature", 9) != 0:
        return HMAC_SCHEME
    if f.value_len < 10 or not hmac_gap(p[9]) or not hmac_parse(p + 9, p + f.value_len, &fields):
        return HMAC_MALFORMED
    return hmac_judge_fields(x, c, &fields, proof)


cdef bint hmac_digest_holds(const Exchange* x) noexcept nogil:
    # Whether the Digest field is that of the body, which is all here.
    cdef uint8_t digest[SHA2_MAX_DIGEST]
    cdef uint32_t count
    cdef const Field* f = header_find(x, b"digest", 6, &count)
    cdef const char* p
    if f == NULL or count > 1 or f.value_len < 8:
        return False
    p = x.bytes.p + f.value
    sha2_digest(SHA2_256, <const uint8_t*>x.piece.p, x.piece.len, digest)
    return field_same(p, b"SHA-256=", 8) and base64_says(p + 8, f.value_len - 8, digest, 32)


cdef int hmac_first(const Exchange* x, const HmacProof* proof) noexcept nogil:
    # As lim_once: whether this signature is seen for the first time, in any worker.
    cdef LimKey key
    lim_key(x.loop.table, <const uint8_t*>b"hmac-auth", 9, proof.code, proof.code_len, &key)
    return lim_once(x.loop.table, &key, x.loop.now_ns, <uint64_t>(proof.until - x.loop.wall) * 1000000000)


cdef int hmac_refuse(Exchange* x, const HmacAuthConf* c, int verdict) noexcept nogil:
    cdef const char* text = "client request can't be validated"
    if verdict == HMAC_MISSING:
        text = "client request can't be validated: missing Authorization header"
    elif verdict == HMAC_SCHEME:
        text = "client request can't be validated: Authorization header does not start with 'Signature'"
    return auth_refuse(x, &c.auth, text, HMAC_REASONS[verdict])


cdef int hmac_too_large(Exchange* x, int64_t most) noexcept nogil:
    # APISIX's answer.
    cdef Buf* out = &x.reply_body
    cdef int64_t size = x.piece.len
    if not x.body_done:
        size = x.head.content_length if x.body == BODY_LENGTH else x.chunks.announced
    x.status = 413
    x.refused = "hmac.body_too_large"
    x.reply_type = NULL
    buf_reset(out)
    buf_str(out, '{"message":"request size ')
    buf_int(out, size)
    buf_str(out, " is greater than the maximum size ")
    buf_int(out, most)
    buf_str(out, ' allowed"}\n')
    return STEP_REPLY


cdef int hmac_admit(Exchange* x, const HmacAuthConf* c, const HmacProof* proof) noexcept nogil:
    # All was judged but whether it is revoked, and the first time.
    cdef int first = 1
    if auth_revoked(x, proof.credential, REV_NEVER):
        return hmac_refuse(x, c, HMAC_REVOKED)
    if c.once:
        first = hmac_first(x, proof)
    if first < 0:
        buf_put(&x.down_extra, b"Retry-After: 1\r\n", 16)
        reply_error(x, 503, NULL, "hmac.replay_full")
        return STEP_REPLY
    if first == 0:
        return hmac_refuse(x, c, HMAC_REPLAYED)
    return auth_pass(x, proof.credential)


cdef int hmac_with_body(Exchange* x, void* p) noexcept nogil:
    # The body is here, or is known to be too long. That took its time, and the date is judged anew.
    cdef HmacAuthConf* c = <HmacAuthConf*>p
    cdef HmacProof proof
    cdef int verdict
    if body_over(x):
        return hmac_too_large(x, c.max_body)
    verdict = hmac_judge(x, c, &proof)
    if verdict == HMAC_OK and not hmac_digest_holds(x):
        verdict = HMAC_DIGEST
    return hmac_admit(x, c, &proof) if verdict == HMAC_OK else hmac_refuse(x, c, verdict)


cdef int step_hmac_auth(Exchange* x, void* p) noexcept nogil:
    cdef HmacAuthConf* c = <HmacAuthConf*>p
    cdef HmacProof proof
    cdef int verdict = hmac_judge(x, c, &proof)
    if c.hide:
        head_drop(&x.head, x.bytes.p, b"authorization", 13)
    if verdict != HMAC_OK:
        return hmac_refuse(x, c, verdict)
    if c.digest:                # only a body whose head bears a good signature is worth the memory
        return body_gather(x, <uint32_t>c.max_body, hmac_with_body, c)
    return hmac_admit(x, c, &proof)
