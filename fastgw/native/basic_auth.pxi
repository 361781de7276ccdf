# basic_auth: the basic-auth plugin's step (RFC 7617): decode the Authorization field, look the user up, compare the password.
# Who asks for an unknown user waits for the same: the digest of the password is made before anybody is looked up, and compared
# with something in any case.

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


cdef CredentialC* basic_credential(Exchange* x, const Span* user, const Span* password) noexcept nogil:
    cdef uint8_t digest[SECRET_DIGEST]
    cdef const uint8_t* right = basic_nobody
    cdef CredentialC* credential
    secret_digest(password.p, password.n, digest)
    credential = <CredentialC*>map_get(&x.snapshot.credentials[CREDENTIAL_BASIC], user.p, user.n)
    if credential != NULL and credential.proof != NULL:
        right = &credential.proof.digest[0]
    return credential if ct_equal(digest, right, SECRET_DIGEST) else NULL


cdef int step_basic_auth(Exchange* x, void* p) noexcept nogil:
    cdef BasicAuthConf* c = <BasicAuthConf*>p
    cdef CredentialC* credential
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
    credential = basic_credential(x, &user, &password)
    if credential == NULL:
        return auth_refuse(x, &c.auth, "Invalid user authorization", "basic.refused")
    return auth_pass(x, credential)
