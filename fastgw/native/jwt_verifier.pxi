# jwt_verifier: tokens verified for programs that embed the core: which key judges, what is demanded of claims, what is revoked;
# what comes of it is the claims, or one error that names the reason. Must not know requests, credentials or configuration.
#
# The checks and their order are those of the gateway (jwt). The interpreter is held throughout: a token of ordinary size takes
# less time than to give it away and get it back, where another thread may keep it for 5 ms. Only long ones are checked without.

from json import JSONDecodeError as _JSONDecodeError, loads as _exact_loads
from msgspec import DecodeError as _DecodeError
from msgspec.json import Decoder as _JSONDecoder

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef enum:
    VERIFIER_LONG = 4096        # bytes of a token: above, some 10 us of work

cdef struct NamedKey:
    const char* name
    uint32_t len
    const VerifyKey* key

cdef struct VerifierC:
    NamedKey* keys              # by name, in the order of bytes; one without a name (NULL) judges whatever a token names
    uint32_t n
    bint by_claim               # a token names its key in a claim, not in kid
    const char* claim
    uint32_t claim_len
    uint32_t required           # JwtClaim bits
    int64_t leeway
    size_t max_len
    const ClaimRules* rules     # NULL: none
    const RevTable* revoked     # NULL: nobody asks
    bint more                   # further claims are required, which the Python face looks for

cdef struct VerifierScratch:    # a free list: a judge of signatures may let another thread in
    VerifierScratch* next
    JwtScratch jwt

cdef VerifierScratch* verifier_scratches = NULL
cdef object _claims_of = _JSONDecoder().decode


class TokenError(ValueError):
    """A token that is refused. `reason` says why, in the words of the gateway's log: "jwt.expired"."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


class MalformedTokenError(TokenError):
    """It is no signed token in compact form, or carries what is not supported (RFC 7515 section 4.1.11)."""


class UnknownKeyError(TokenError):
    """It names no key that is known, or none where several could be meant."""


class SignatureError(TokenError):
    """It is not signed by the key that it names, or not by that key's algorithm."""


class ClaimError(TokenError):
    """It is signed, and a claim is missing or not as demanded."""


class ExpiredTokenError(ClaimError):
    """Its time is over: `exp` has come, or it was issued too long ago."""


class RevokedTokenError(TokenError):
    """It was revoked: by its jti, its sub, or with all tokens."""


cdef object token_error(int verdict):
    reason = jwt_reason(verdict).decode()
    if verdict in (JWT_EXPIRED, JWT_TOO_OLD):
        return ExpiredTokenError(reason)
    if verdict == JWT_REVOKED:
        return RevokedTokenError(reason)
    if verdict <= JWT_BAD_PAYLOAD:
        return MalformedTokenError(reason)
    if verdict <= JWT_KEY_NOT_IN_FORCE:
        return UnknownKeyError(reason)
    return SignatureError(reason) if verdict <= JWT_BAD_SIGNATURE else ClaimError(reason)


cdef const VerifyKey* verifier_key(const VerifierC* v, const JwtSpan* name) noexcept nogil:
    # By halves; NULL: there is none of that name.
    cdef uint32_t low = 0, high = v.n, at
    cdef int order
    while low < high:
        at = (low + high) // 2
        order = memcmp(v.keys[at].name, name.at, min(<size_t>v.keys[at].len, name.length))
        if order == 0:
            if v.keys[at].len == name.length:
                return v.keys[at].key
            order = -1 if v.keys[at].len < name.length else 1
        if order < 0:
            low = at + 1
        else:
            high = at
    return NULL


cdef int verifier_find(
    const VerifierC* v, const char* text, size_t n, JwtToken* token, JwtScratch* scratch, const VerifyKey** key
) noexcept nogil:
    """Everything before the signature: the token is read, and the key found that must have signed it."""
    cdef const JsonText* asked = NULL if v.rules == NULL else v.rules.asked
    cdef int verdict = jwt_parse(
        text, n, v.claim, v.claim_len, asked, 0 if v.rules == NULL else v.rules.n_asked, v.revoked != NULL, token, scratch)
    if verdict != JWT_OK and (v.by_claim or (verdict != JWT_NO_KEY_CLAIM and verdict != JWT_BAD_KEY_CLAIM)):
        return verdict
    if v.n == 1 and v.keys[0].name == NULL:
        key[0] = v.keys[0].key
    elif v.by_claim:
        key[0] = verifier_key(v, &token.key)
        if key[0] == NULL:
            return JWT_UNKNOWN_KEY
    else:
        if token.kid.at == NULL:
            return JWT_NO_KID
        key[0] = verifier_key(v, &token.kid)
        if key[0] == NULL:
            return JWT_UNKNOWN_KID
    return JWT_OK if token.alg == key[0].alg else JWT_BAD_ALG   # the key fixes the algorithm, never the token


cdef int verifier_admit(const VerifierC* v, const JwtToken* token, const JwtScratch* scratch, int64_t now) noexcept nogil:
    """Everything behind the signature."""
    cdef RevSubjects subjects
    cdef int verdict
    if v.revoked != NULL and rev_any(v.revoked):
        token_subjects(v.revoked, token, &subjects)
        if token_revoked(v.revoked, token, &subjects, now) or all_revoked(v.revoked, subjects.issued, now):
            return JWT_REVOKED
    verdict = jwt_check_times(&token.times, now, v.leeway, v.required, False)
    if verdict != JWT_OK or v.rules == NULL:
        return verdict
    return claims_judge(v.rules, jwt_asked(scratch), now, v.leeway)


cdef int verifier_judge(
    const VerifierC* v, const char* text, size_t n, int64_t now, JwtToken* token, JwtScratch* scratch
) noexcept nogil:
    """The whole of it, for a token that an HMAC signs. JWT_LATER: its key is another one's, and found is all but the
    signature."""
    cdef const VerifyKey* key = NULL
    cdef int verdict = verifier_find(v, text, n, token, scratch, &key)
    if verdict != JWT_OK:
        return verdict
    if key.hmac == NULL:
        return JWT_LATER
    verdict = jwt_verify_hs(token, key.hmac)
    return verdict if verdict != JWT_OK else verifier_admit(v, token, scratch, now)


cdef VerifierScratch* verifier_take() except NULL:
    global verifier_scratches
    cdef VerifierScratch* found = verifier_scratches
    if found != NULL:
        verifier_scratches = found.next
        return found
    found = <VerifierScratch*>malloc(sizeof(VerifierScratch))
    if found == NULL:
        raise MemoryError
    return found


cdef void verifier_give(VerifierScratch* scratch) noexcept:
    global verifier_scratches
    scratch.next = verifier_scratches
    verifier_scratches = scratch


cdef int64_t verifier_now(now) except? -1:
    cdef timespec t
    if now is not None:
        return now
    clock_gettime(CLOCK_REALTIME, &t)
    return t.tv_sec + clock_ahead_s


cdef class TokenVerifier:
    """Verifies tokens by the keys it was made with; immutable, for any number of threads. See fastgw.core.JWTVerifier.

    `keys`: SecretKeys by name, or one alone under None. `claim`: the name of the claim that names a token's key; None: its kid
    does. `required`: which of exp and nbf must be there. `others`: further claims that must. `region`: where revocations are.
    """
    cdef VerifierC c
    cdef JwtHeaderCache headers
    cdef list held
    cdef tuple others
    cdef JwtClaims rules
    cdef Region region
    cdef bytes claim

    def __init__(self, keys, *, claim=None, required=(), long long leeway=0, JwtClaims rules=None,
                 size_t max_bytes=JWT_DEFAULT_MAX, Region region=None):
        cdef NamedKey* one
        cdef SecretKey key
        if self.c.keys != NULL:
            raise TypeError("a verifier is made once")
        if not keys or (None in keys and len(keys) != 1):
            raise ValueError("keys: expected names with a key each, or one key")
        if leeway < 0:
            raise ValueError(f"leeway: expected at least 0 seconds, found {leeway}")
        if not 0 < max_bytes <= JWT_HARD_MAX:
            raise ValueError(f"max_bytes: expected 1 to {JWT_HARD_MAX}, found {max_bytes}")
        if claim is not None and None in keys:
            raise ValueError("claim: expected none with a single key, which judges whatever a token names")
        # No claim has this name, as it is no text.
        self.claim = b"\xff" if claim is None else claim.encode()
        self.c.by_claim = claim is not None
        self.c.claim = self.claim
        self.c.claim_len = <uint32_t>len(self.claim)
        self.c.required = (JWT_EXP if "exp" in required else 0) | (JWT_NBF if "nbf" in required else 0)
        self.others = tuple([name for name in required if name not in ("exp", "nbf")])
        self.c.more = len(self.others) != 0
        self.c.leeway = leeway
        self.c.max_len = max_bytes
        self.rules = rules
        if rules is not None:
            self.c.rules = &rules.c
        self.region = region
        if region is not None:
            self.c.revoked = region.revoked_table()
        self.held = [(None, keys[None])] if None in keys else sorted((name.encode(), key) for name, key in keys.items())
        self.c.keys = <NamedKey*>calloc(len(self.held), sizeof(NamedKey))
        if self.c.keys == NULL:
            raise MemoryError
        for name, key in self.held:
            if key is None:
                raise TypeError("keys: expected a SecretKey each, found None")
            one = &self.c.keys[self.c.n]
            one.key = &key.key
            if name is not None:
                one.name = <bytes>name
                one.len = <uint32_t>len(<bytes>name)
            self.c.n += 1

    def verify(self, token, now=None) -> dict:
        """The claims of a good token, str or bytes; else a TokenError. `now`: seconds since 1970, if not the clock's."""
        cdef const char* text
        cdef Py_ssize_t n
        cdef VerifierScratch* scratch
        cdef int64_t at = verifier_now(now)
        if isinstance(token, bytes):
            text = <const char*><bytes>token
            n = len(<bytes>token)
        elif isinstance(token, str):
            try:
                text = PyUnicode_AsUTF8AndSize(token, &n)
            except UnicodeEncodeError:
                raise token_error(JWT_MALFORMED) from None
        else:
            raise TypeError(f"token: expected str or bytes, found {type(token).__name__}")
        scratch = verifier_take()
        try:
            return self.judged(text, n, at, &scratch.jwt)
        finally:
            verifier_give(scratch)

    cdef object judged(self, const char* text, Py_ssize_t n, int64_t now, JwtScratch* scratch):
        cdef JwtToken token
        cdef const VerifyKey* key = NULL
        cdef int verdict
        if n > VERIFIER_LONG:
            jwt_scratch_init(scratch, NULL, self.c.max_len)     # whoever holds the interpreter meanwhile may use the cache
            with nogil:
                verdict = verifier_judge(&self.c, text, n, now, &token, scratch)
        else:
            jwt_scratch_init(scratch, &self.headers, self.c.max_len)
            verdict = verifier_judge(&self.c, text, n, now, &token, scratch)
        if verdict == JWT_LATER:
            verifier_find(&self.c, text, n, &token, scratch, &key)
            if not (<object>key.verifier)(
                    (<const char*>token.signing_input.at)[:token.signing_input.length],
                    (<const char*>token.signature.at)[:token.signature.length]):
                verdict = JWT_BAD_SIGNATURE
            else:
                verdict = verifier_admit(&self.c, &token, scratch, now)
        if verdict != JWT_OK:
            raise token_error(verdict)
        claims = claims_read((<const char*>token.payload.at)[:token.payload.length])
        for name in self.others:
            if name not in claims:
                raise token_error(JWT_MISSING_CLAIM)
        return claims

    def __dealloc__(self):
        free(self.c.keys)


cdef dict claims_read(bytes payload):
    # It was checked as JSON, so only what one reader or the other has no value for is left: very large numbers.
    try:
        return _claims_of(payload)
    except _DecodeError:
        pass
    try:
        return _exact_loads(payload)
    except (_JSONDecodeError, ValueError):
        raise token_error(JWT_BAD_PAYLOAD) from None
