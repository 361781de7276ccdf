# jwt_auth: the jwt-auth plugin's step: find the token, verify it by a key of the credential that its key claim names, attach the
# consumer. Texts and order are APISIX's (DESIGN section 5); the reason goes to the log only.

cdef struct JwtAuthConf:
    AuthConf auth
    const char* header          # lower case
    uint32_t header_len
    const char* query
    uint32_t query_len
    const char* cookie
    uint32_t cookie_len
    const char* key_claim
    uint32_t key_claim_len
    uint32_t required           # JwtClaim bits
    bint listed_only            # claims_to_verify given: others are not checked
    bint hide
    const ClaimRules* rules     # NULL: none
    const JsonText* asked       # the claims that they are about
    uint32_t n_asked
    bint store                  # the claims are kept for later plugins


cdef int jwt_signed(Exchange* x, const JwtToken* token, const VerifyKey* key) noexcept nogil:
    cdef int answer
    if key.hmac != NULL:
        return jwt_verify_hs(token, key.hmac)
    answer = verify_signature(x, token, key)
    if answer == VERIFY_GOOD:
        return JWT_OK
    if answer == VERIFY_BAD:
        return JWT_BAD_SIGNATURE
    return JWT_LATER if answer == VERIFY_LATER else JWT_BUSY


cdef class JwtAuthStep(Step):
    """jwt-auth of one route. `claims`: None, or the claims_to_verify; `anonymous`: the Credential of the fallback consumer;
    `fallback`: one is named; `rules`: what else is done with claims; `store`: whether Python plugins may read them."""
    cdef JwtAuthConf conf
    cdef list held
    cdef JwtClaims rules

    def __init__(self, *, str header="authorization", str query="jwt", str cookie="jwt", str key_claim="key",
                 claims=None, bint hide_credentials=False, str realm="jwt", Credential anonymous=None, bint fallback=False,
                 JwtClaims rules=None, bint store=False):
        raw = [header.lower().encode(), query.encode(), cookie.encode(), key_claim.encode(),
               f'WWW-Authenticate: Bearer realm="{realm}"\r\n'.encode()]
        self.held = [*raw, anonymous]
        auth_set(&self.conf.auth, raw[4], anonymous, fallback)
        self.conf.header = <bytes>raw[0]
        self.conf.header_len = len(raw[0])
        self.conf.query = <bytes>raw[1]
        self.conf.query_len = len(raw[1])
        log_hide_arg(raw[1])
        log_hide_header(raw[0])
        self.conf.cookie = <bytes>raw[2]
        self.conf.cookie_len = len(raw[2])
        self.conf.key_claim = <bytes>raw[3]
        self.conf.key_claim_len = len(raw[3])
        self.conf.listed_only = bool(claims)
        self.conf.required = (JWT_EXP if claims and "exp" in claims else 0) | (JWT_NBF if claims and "nbf" in claims else 0)
        self.conf.hide = hide_credentials
        self.rules = rules
        if rules is not None:
            self.conf.rules = &rules.c
            self.conf.asked = rules.c.asked
            self.conf.n_asked = rules.c.n_asked
        self.conf.store = store
        self.bind(step_jwt_auth, &self.conf, "rewrite")


cdef int jwt_locate(Exchange* x, const JwtAuthConf* c, Span* token) noexcept nogil:
    # Header, query, cookie: the first place that has anything decides, even if what it has is empty or malformed.
    cdef const Field* f
    cdef uint32_t count
    f = header_find(x, c.header, c.header_len, &count)
    if f != NULL:
        if count > 1:
            return JWT_REPEATED
        token.p = x.bytes.p + f.value
        token.n = f.value_len
        if token.n >= 7 and (memcmp(token.p, b"Bearer ", 7) == 0 or memcmp(token.p, b"bearer ", 7) == 0):
            token.p += 7
            token.n -= 7
        return JWT_OK
    count = arg_find(x, c.query, c.query_len, token)
    if count:
        return JWT_OK if count == 1 else JWT_REPEATED
    count = cookie_find(x, c.cookie, c.cookie_len, token)
    if count:
        return JWT_OK if count == 1 else JWT_REPEATED
    return JWT_NO_TOKEN


cdef inline CredentialC* jwt_holds(const SnapshotC* snapshot, const TokenEntry* entry, int64_t now) noexcept nogil:
    # The credential that a remembered token proves on this snapshot; NULL: it must be verified afresh.
    cdef CredentialC* credential = <CredentialC*>map_get_hashed(
        &snapshot.credentials[CREDENTIAL_JWT], entry.key_hash, token_key(entry), entry.key_len)
    if credential == NULL or not keyring_holds(credential, entry.secret, now):
        return NULL
    return credential


cdef inline void credential_fetch(const CredentialC* c) noexcept nogil:
    # Of many credentials the one asked for is seldom in a cache. What the request reads of it from here to its log line is asked
    # for at once instead of one miss after the other.
    cdef const ConsumerC* consumer = c.consumer
    if c.secret != NULL:
        prefetch(c.secret)
        prefetch(<const char*>c.secret + 64)    # its midstates, which stand behind it
        prefetch(<const char*>c.secret + 128)
    prefetch(consumer)
    prefetch(<const char*>consumer + 64)
    prefetch(<const char*>consumer + sizeof(ConsumerC) - 1)
    prefetch(c.identity)
    prefetch(<const char*>c.identity + 64)
    prefetch(c.logged)
    prefetch(<const char*>c.logged + 64)
    if c.first != NULL:
        prefetch(c.first)
        prefetch(c.first + 64)
        prefetch(c.first + 128)


cdef inline void consumer_fetch(const ConsumerC* c) noexcept nogil:
    # The next things behind it, to arrive while the signature is verified.
    prefetch(c.name)
    if c.chain.steps[PHASE_ACCESS] != NULL:
        prefetch(c.chain.steps[PHASE_ACCESS])


cdef int jwt_verify(
    Exchange* x, const JwtAuthConf* c, const Span* span, JwtToken* token, CredentialC** found, uint64_t* serial
) noexcept nogil:
    # All but the claims. `serial`: of the key that it was verified by.
    cdef CredentialC* credential
    cdef const VerifyKey* key
    cdef int verdict = jwt_parse(
        span.p, span.n, c.key_claim, c.key_claim_len, c.asked, c.n_asked, rev_any(x.loop.revoked), token, x.loop.jwt)
    if verdict != JWT_OK:
        return verdict
    credential = <CredentialC*>map_get(
        &x.snapshot.credentials[CREDENTIAL_JWT], <const char*>token.key.at, token.key.length)
    if credential == NULL:
        return JWT_UNKNOWN_KEY
    credential_fetch(credential)
    if credential.ring == NULL:
        key = credential.secret
        serial[0] = key.serial
    else:
        verdict = keyring_choose(credential, token, x.loop.wall, &key, serial)
        if verdict != JWT_OK:
            if verdict == JWT_UNKNOWN_KID or (verdict == JWT_NO_KID and credential.ring.n == 0):
                keyring_ask(x.loop, <KeyRingC*>credential.ring)
            return verdict
    if token.alg != key.alg:                    # the key fixes the algorithm, never the token
        return JWT_BAD_ALG
    consumer_fetch(credential.consumer)
    verdict = jwt_signed(x, token, key)
    if verdict != JWT_OK:
        return verdict
    found[0] = credential
    return JWT_OK


cdef int jwt_take_claims(Exchange* x, const JwtAuthConf* c, const JwtToken* token, int64_t leeway) noexcept nogil:
    # Judges what jwt_parse or jwt_reread just found, and keeps what is to be handed on.
    cdef const JsonWant* found = jwt_asked(x.loop.jwt)
    cdef int verdict
    if c.rules != NULL:
        verdict = claims_judge(c.rules, found, x.loop.wall, leeway)
        if verdict != JWT_OK:
            return verdict
        claims_lines(c.rules, found, &x.loop.jwt.json, &x.up_extra)
    if c.store:
        buf_put(&x.claims, token.payload.at, token.payload.length)
    return JWT_OK


cdef void jwt_drop_claims(Exchange* x, const JwtAuthConf* c) noexcept nogil:
    # What an earlier token said, say a global rule's, is not to stand beside what this one says or does not.
    cdef uint32_t i
    buf_reset(&x.claims)
    if c.rules != NULL:
        for i in range(c.rules.n_headers):
            while extra_drop(x, c.rules.headers[i].line, c.rules.headers[i].line_len - 2):
                pass


cdef bint jwt_mark(
    Exchange* x, const JwtAuthConf* c, const Span* span, JwtToken* token, RevSubjects* subjects
) noexcept nogil:
    # By what a token that was found good can be revoked. False: it is not as it was.
    if not token.subjects and jwt_parse(
            span.p, span.n, c.key_claim, c.key_claim_len, c.asked, c.n_asked, True, token, x.loop.jwt) != JWT_OK:
        return False
    token_subjects(x.loop.revoked, token, subjects)
    return True


cdef inline bint jwt_suspect(
    Exchange* x, const JwtAuthConf* c, const Span* span, JwtToken* token, TokenEntry* entry
) noexcept nogil:
    # Whether a remembered token may be revoked, where something is.
    if not entry.marked:        # it was remembered before anything was
        token.subjects = False
        if not jwt_mark(x, c, span, token, &entry.subjects):
            return True
        entry.marked = True
    return token_suspect(x.loop.revoked, &entry.subjects)


cdef inline bint jwt_disowned(const Exchange* x, const CredentialC* credential, int64_t issued) noexcept nogil:
    # Whether it is revoked with others.
    return auth_revoked(x, credential, issued) or all_revoked(x.loop.revoked, issued, x.loop.wall)


cdef inline int jwt_admit(
    Exchange* x, const JwtAuthConf* c, CredentialC* credential, const JwtTimes* times, const JwtToken* token
) noexcept nogil:
    cdef int verdict = jwt_check_times(times, x.loop.wall, credential.leeway, c.required, c.listed_only)
    if verdict == JWT_OK and (c.rules != NULL or c.store):
        verdict = jwt_take_claims(x, c, token, credential.leeway)
    if verdict == JWT_OK:
        auth_pass(x, credential)
    return verdict


cdef int jwt_judge(Exchange* x, const JwtAuthConf* c) noexcept nogil:
    cdef TokenCache* cache = &x.loop.tokens
    cdef Span span
    cdef TokenName name
    cdef TokenEntry* entry
    cdef JwtToken token
    cdef RevSubjects subjects
    cdef CredentialC* credential = NULL
    cdef uint64_t serial = 0
    cdef bint nameable, revoking
    cdef int verdict = jwt_locate(x, c, &span)
    if verdict != JWT_OK:
        return verdict
    nameable = token_name(cache, c.key_claim, c.key_claim_len, span.p, span.n, &name)
    entry = token_recall(cache, &name) if nameable else NULL
    if entry != NULL:
        credential = jwt_holds(x.snapshot, entry, x.loop.wall)
        revoking = rev_any(x.loop.revoked)      # asked once: only then are the subjects sure to be known
        if credential != NULL and not (revoking and jwt_suspect(x, c, &span, &token, entry)):
            metric_add(x.loop, M_TOKEN_HITS, 1)
            token_used(cache, &name)
            if revoking and jwt_disowned(x, credential, entry.subjects.issued):
                return JWT_REVOKED
            if (c.rules != NULL or c.store) and not jwt_reread(
                    span.p, span.n, c.asked, c.n_asked, &token, x.loop.jwt):
                return JWT_MALFORMED
            return jwt_admit(x, c, credential, &entry.times, &token)
        token_forget(cache, &name)
    if cache.n_sets and x.verify_rounds == 0:
        metric_add(x.loop, M_TOKEN_MISSES, 1)
    verdict = jwt_verify(x, c, &span, &token, &credential, &serial)
    if verdict != JWT_OK:
        return verdict
    revoking = rev_any(x.loop.revoked)          # as it is now: a signature takes its time
    if revoking:
        if not jwt_mark(x, c, &span, &token, &subjects):
            return JWT_MALFORMED
        if token_revoked(x.loop.revoked, &token, &subjects, x.loop.wall) or jwt_disowned(x, credential, subjects.issued):
            return JWT_REVOKED
    verdict = jwt_admit(x, c, credential, &token.times, &token)
    if verdict == JWT_OK and nameable:
        token_remember(cache, &name, &token, &subjects if revoking else NULL, serial, x.loop.wall, credential.leeway)
    return verdict


cdef int step_jwt_auth(Exchange* x, void* p) noexcept nogil:
    cdef JwtAuthConf* c = <JwtAuthConf*>p
    cdef int verdict
    if c.rules != NULL or x.claims.len:
        jwt_drop_claims(x, c)
    verdict = jwt_judge(x, c)
    if verdict == JWT_LATER:
        return STEP_AGAIN
    if verdict == JWT_BUSY:     # nobody was found wanting, so nobody is taken for someone else either
        buf_put(&x.down_extra, b"Retry-After: 1\r\n", 16)
        reply_error(x, 503, NULL, jwt_reason(verdict))
        return STEP_REPLY
    if c.hide:
        jwt_hide(x, c)
    if verdict == JWT_OK:
        return STEP_NEXT
    return auth_refuse(x, &c.auth, jwt_message(verdict), jwt_reason(verdict))


cdef void jwt_hide(Exchange* x, const JwtAuthConf* c) noexcept nogil:
    # Removes the token from every place that may carry one, whatever the verdict.
    cdef Span value
    head_drop(&x.head, x.bytes.p, c.header, c.header_len)
    if x.query_len and arg_find(x, c.query, c.query_len, &value):
        hide_arg(x, c.query, c.query_len)
    if x.head.first[FIELD_COOKIE] and cookie_find(x, c.cookie, c.cookie_len, &value):
        hide_cookie(x, c.cookie, c.cookie_len)


cdef void hide_cookie(Exchange* x, const char* name, uint32_t n) noexcept nogil:
    # One Cookie line of what is left of all Cookie fields, or of the line that an earlier step left of them.
    cdef Buf* out = &x.up_extra
    cdef Buf* earlier = &x.loop.wbuf
    cdef uint32_t start
    cdef uint32_t i
    cdef Field* f
    buf_reset(earlier)
    extra_cut(x, b"Cookie", 6, earlier)
    start = out.len
    buf_put(out, b"Cookie: ", 8)
    put_cookies(out, start + 8, earlier.p, earlier.len, name, n)
    for i in range(x.head.n):
        f = &x.head.fields[i]
        if f.id == FIELD_COOKIE and not f.flags & FIELD_DROP:
            f.flags |= FIELD_DROP
            put_cookies(out, start + 8, x.bytes.p + f.value, f.value_len, name, n)
    if out.len > start + 8:
        buf_put(out, b"\r\n", 2)
    else:
        out.len = start


cdef void extra_cut(Exchange* x, const char* name, uint32_t n, Buf* value) noexcept nogil:
    # Takes the step-made line of that name out of the lines for the upstream, and appends its value.
    cdef Span found
    if extra_find(&x.up_extra, name, n, &found):
        buf_put(value, found.p, found.n)
        extra_drop(x, name, n)


cdef bint extra_drop(Exchange* x, const char* name, uint32_t n) noexcept nogil:
    # Takes the first step-made line of that name out; False: there is none.
    cdef Buf* lines = &x.up_extra
    cdef Span found
    cdef uint32_t at, size
    if not extra_find(lines, name, n, &found):
        return False
    at = <uint32_t>(found.p - lines.p) - n - 2
    size = n + 2 + found.n + 2
    memmove(lines.p + at, lines.p + at + size, lines.len - at - size)
    lines.len -= size
    if x.request_id >= at + size:
        x.request_id -= size
    elif x.request_id > at:
        x.request_id_len = 0
    return True


cdef void put_cookies(
    Buf* out, uint32_t first, const char* p, uint32_t len, const char* name, uint32_t n
) noexcept nogil:
    # The pairs of one value but those of that name; `first`: where the first pair of the line stands.
    cdef const char* end
    cdef const char* stop
    if len == 0:                # p may be NULL
        return
    end = p + len
    while p < end:
        while p < end and cookie_gap(p[0]):
            p += 1
        stop = <const char*>memchr(p, 59, end - p) if p < end else end
        if stop == NULL:
            stop = end
        if stop > p and not (<uint32_t>(stop - p) > n and memcmp(p, name, n) == 0 and p[n] == 61):
            if out.len > first:
                buf_put(out, b"; ", 2)
            buf_put(out, p, stop - p)
        p = stop
