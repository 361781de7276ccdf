# basic_auth: the basic-auth plugin's step (RFC 7617): decode the Authorization field, look the user up, compare the password.
# Who asks for an unknown user waits for the same: the digest of the password is made before anybody is looked up, and compared
# with something in any case; where there are users whose password is hashed, it is judged by one of their hashes.

cdef struct BasicAuthConf:
    AuthConf auth
    bint hide

cdef uint8_t[SECRET_DIGEST] basic_nobody            # compared with where there is no such user; zeros are nobody's digest


cdef class BasicAuthStep(Step):
    """basic-auth of one route. `anonymous`: the Credential of the fallback consumer; `fallback`: one is named."""
    cdef BasicAuthConf conf
    cdef list held

    def __init__(self, *, bint hide_credentials=False, str realm="basic", Credential anonymous=None, bint fallback=False):
        cdef bytes challenge = f'WWW-Authenticate: Basic realm="{realm}"\r\n'.encode()
        self.held = [challenge, anonymous]
        auth_set(&self.conf.auth, challenge, anonymous, fallback)
        self.conf.hide = hide_credentials
        self.bind(step_basic_auth, &self.conf, "rewrite")


cdef bint basic_parse(const char* p, uint32_t n, Buf* scratch, Span* user, Span* password) noexcept nogil:
    # "Basic", spaces, base64 of user:password. Split at the first colon only, so that passwords may hold some.
    cdef const char* colon
    if n < 6 or not field_same(p, b"basic", 5) or p[5] != c" ":
        return False
    p += 6
    n -= 6
    while n and p[0] == c" ":
        p += 1
        n -= 1
    if n == 0 or not base64_decode(p, n, scratch) or scratch.len == 0:
        return False
    colon = <const char*>memchr(scratch.p, c":", scratch.len)
    if colon == NULL:
        return False
    user.p = scratch.p
    user.n = <uint32_t>(colon - scratch.p)
    password.p = colon + 1
    password.n = scratch.len - user.n - 1
    return True


cdef int basic_admit(Exchange* x, BasicAuthConf* c, CredentialC* credential) noexcept nogil:
    # NULL: the password is not that of the user, or there is no such user.
    if credential == NULL:
        return auth_refuse(x, &c.auth, "Invalid user authorization", "basic.refused")
    if auth_revoked(x, credential, REV_NEVER):
        return auth_refuse(x, &c.auth, "Invalid user authorization", "basic.revoked")
    return auth_pass(x, credential)


cdef int basic_unable(Exchange* x, const char* reason) noexcept nogil:
    # Nobody was found wanting, so nobody is told so, nor taken for somebody else.
    buf_put(&x.down_extra, b"Retry-After: 1\r\n", 16)
    reply_error(x, 503, NULL, reason)
    return STEP_REPLY


cdef int basic_hashed(
    Exchange* x, BasicAuthConf* c, CredentialC* credential, const Span* user, const Span* password, const uint8_t* digest
) noexcept nogil:
    # NULL: there is no such user, which is to take as long.
    cdef PasswordC* hashed = credential.password if credential != NULL else password_nobody
    cdef int answer = PASSWORD_GOOD
    if not password_known(hashed, digest):
        answer = password_ask(x, hashed, user, password, digest, c, credential)
    if answer == PASSWORD_LATER:
        return STEP_WAIT
    return basic_answer(x, c, credential, answer)


cdef int basic_answer(Exchange* x, BasicAuthConf* c, CredentialC* credential, int answer) noexcept nogil:
    if answer == PASSWORD_BUSY:
        return basic_unable(x, "basic.busy")
    if answer == PASSWORD_FAILED:
        return basic_unable(x, "basic.failed")
    return basic_admit(x, c, credential if answer == PASSWORD_GOOD else NULL)


cdef int basic_judge(Exchange* x, BasicAuthConf* c, const Span* user, const Span* password) noexcept nogil:
    cdef uint8_t digest[SECRET_DIGEST]
    cdef const uint8_t* right = basic_nobody
    cdef CredentialC* credential
    secret_digest(password.p, password.n, digest)
    credential = <CredentialC*>map_get(&x.snapshot.credentials[CREDENTIAL_BASIC], user.p, user.n)
    if credential.password != NULL if credential != NULL else password_hashes > 0:
        return basic_hashed(x, c, credential, user, password, digest)
    if credential != NULL and credential.proof != NULL:
        right = &credential.proof.digest[0]
    return basic_admit(x, c, credential if ct_equal(digest, right, SECRET_DIGEST) else NULL)


cdef int step_basic_auth(Exchange* x, void* p) noexcept nogil:
    cdef BasicAuthConf* c = <BasicAuthConf*>p
    cdef Span user, password
    cdef uint32_t count
    cdef const Field* f = header_find(x, b"authorization", 13, &count)
    if c.hide:
        head_drop(&x.head, x.bytes.p, b"authorization", 13)
    if f == NULL:
        return auth_refuse(x, &c.auth, "Missing authorization in request", "basic.missing")
    if count > 1:
        return auth_refuse(x, &c.auth, "Invalid authorization in request", "basic.repeated")
    if not basic_parse(x.bytes.p + f.value, f.value_len, &x.loop.wbuf, &user, &password):
        return auth_refuse(x, &c.auth, "Invalid authorization in request", "basic.malformed")
    return basic_judge(x, c, &user, &password)
