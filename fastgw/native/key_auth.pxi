# key_auth: the key-auth plugin's step: find the API key, look its consumer up. The key itself is the secret, so it is neither
# an index nor compared before its index was found (secret).

cdef struct KeyAuthConf:
    AuthConf auth
    const char* header
    uint32_t header_len
    const char* query
    uint32_t query_len
    bint hide

cdef enum:                      # verdicts
    KEY_OK = 0
    KEY_MISSING
    KEY_REPEATED
    KEY_UNKNOWN


cdef class KeyAuthStep(Step):
    """key-auth of one route. `anonymous`: the Credential of the fallback consumer; `fallback`: one is named."""
    cdef KeyAuthConf conf
    cdef list held

    def __init__(self, *, str header="apikey", str query="apikey", bint hide_credentials=False, str realm="key",
                 Credential anonymous=None, bint fallback=False):
        cdef bytes challenge = f'WWW-Authenticate: apikey realm="{realm}"\r\n'.encode()
        cdef bytes header_name = header.encode()
        cdef bytes query_name = query.encode()
        self.held = [challenge, header_name, query_name, anonymous]
        auth_set(&self.conf.auth, challenge, anonymous, fallback)
        self.conf.header = header_name
        self.conf.header_len = <uint32_t>len(header_name)
        self.conf.query = query_name
        self.conf.query_len = <uint32_t>len(query_name)
        log_hide_arg(query_name)
        log_hide_header(header_name)
        self.conf.hide = hide_credentials
        self.bind(step_key_auth, &self.conf, "rewrite")


cdef int key_locate(Exchange* x, const KeyAuthConf* c, Span* key) noexcept nogil:
    # Header, then query: the first that is there decides, even if it is empty.
    cdef Buf* scratch = &x.loop.wbuf
    cdef uint32_t count
    cdef const Field* f = header_find(x, c.header, c.header_len, &count)
    if f != NULL:
        key.p = x.bytes.p + f.value
        key.n = f.value_len
        return KEY_OK if count == 1 else KEY_REPEATED
    count = arg_find(x, c.query, c.query_len, key)
    if count == 0:
        return KEY_MISSING
    buf_reset(scratch)
    arg_decode(key, scratch)
    key.p = scratch.p
    key.n = scratch.len
    return KEY_OK if count == 1 else KEY_REPEATED


cdef CredentialC* key_credential(Exchange* x, const Span* key) noexcept nogil:
    cdef uint8_t index[SECRET_INDEX]
    cdef CredentialC* credential
    if key.n == 0:
        return NULL
    secret_index(key.p, key.n, index)
    credential = <CredentialC*>map_get(&x.snapshot.credentials[CREDENTIAL_KEY], <const char*>index, SECRET_INDEX)
    if credential != NULL and credential.proof != NULL and secret_same(credential.proof, key.p, key.n):
        return credential
    return NULL


cdef int step_key_auth(Exchange* x, void* p) noexcept nogil:
    cdef KeyAuthConf* c = <KeyAuthConf*>p
    cdef CredentialC* credential = NULL
    cdef Span key
    cdef int verdict = key_locate(x, c, &key)
    if verdict == KEY_OK:
        credential = key_credential(x, &key)
        if credential == NULL:
            verdict = KEY_UNKNOWN
    if c.hide:                  # both places, whatever the verdict: a wrong key goes no further than a good one
        head_drop(&x.head, x.bytes.p, c.header, c.header_len)
        if x.query_len and arg_find(x, c.query, c.query_len, &key):
            hide_arg(x, c.query, c.query_len)
    if verdict == KEY_OK and auth_revoked(x, credential, REV_NEVER):
        return auth_refuse(x, &c.auth, "Invalid API key in request", "key.revoked")
    if verdict == KEY_OK:
        return auth_pass(x, credential)
    if verdict == KEY_MISSING:
        return auth_refuse(x, &c.auth, "Missing API key in request", "key.missing")
    if verdict == KEY_REPEATED:
        return auth_refuse(x, &c.auth, "Invalid API key in request", "key.repeated")
    return auth_refuse(x, &c.auth, "Invalid API key in request", "key.unknown")
