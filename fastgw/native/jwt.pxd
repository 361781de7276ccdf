# Shapes of the JWT room: see jwt.pxi.
cdef enum:
    JWT_DEFAULT_MAX = 8192      # bytes of a token, unless configured (hardening rule 26)
    JWT_HARD_MAX = 32768        # bytes: no configuration goes beyond a whole request head
    JWT_ARENA = 49152           # bytes: 3/4 of JWT_HARD_MAX decoded, and as much again for what is unescaped
    JWT_OWN_CLAIMS = 3          # the key, exp, nbf: looked for in every token
    JWT_SUBJECT_CLAIMS = 3      # iat, jti, sub: where something is revoked
    JWT_ASKED_MAX = 19          # names of more claims that a caller asks for: iss, aud, iat and one per header
    JWT_CACHED_HEADERS = 4      # header segments remembered: an issuer has one per key and algorithm
    JWT_CACHED_TEXT = 256       # bytes: a longer header segment is scanned each time
    JWT_CACHED_KID = 192        # bytes: 3/4 of JWT_CACHED_TEXT, so a kid of such a header always fits

# In the order of the checks; jwt_reason and jwt_message name them.
cdef enum JwtVerdict:
    JWT_OK
    JWT_NO_TOKEN                # for the caller: the request carries none
    JWT_REPEATED                # for the caller: the request carries several (hardening rule 29)
    JWT_TOO_LARGE
    JWT_MALFORMED               # not three segments, or one of them not canonical base64url
    JWT_BAD_HEADER              # not a JSON object, or alg, typ, cty or kid not a string
    JWT_UNSUPPORTED             # crit, b64, zip, enc, or a token inside the token
    JWT_BAD_PAYLOAD             # not a JSON object
    JWT_NO_KEY_CLAIM
    JWT_BAD_KEY_CLAIM           # not a string, or an empty one
    JWT_UNKNOWN_KEY             # for the caller: no credential has this key
    JWT_NO_KID                  # for the caller: several keys could be meant
    JWT_UNKNOWN_KID             # for the caller: no key has this name
    JWT_KEY_NOT_IN_FORCE        # for the caller: not yet, or no more
    JWT_BAD_ALG
    JWT_BAD_SIGNATURE
    JWT_MISSING_CLAIM           # exp or nbf required and absent
    JWT_BAD_CLAIM               # exp, nbf or iat not a number within +-2^53
    JWT_EXPIRED
    JWT_NOT_YET
    JWT_BAD_ISSUER              # not a string, or none of those admitted
    JWT_BAD_AUDIENCE            # neither a string nor strings, or none of those admitted among them
    JWT_NO_IAT
    JWT_EARLY_IAT               # issued in the future
    JWT_TOO_OLD
    JWT_REVOKED                 # for the caller
    JWT_BUSY                    # for the caller: too many signatures wait to be verified
    JWT_LATER                   # for the caller: no verdict yet
    JWT_VERDICTS                # how many there are

cdef enum JwtAlg:               # jwt_alg_id counts on the order
    JWT_ALG_OTHER               # any other string, "none" in every casing among them: equals no credential's
    JWT_HS256
    JWT_HS384
    JWT_HS512
    JWT_RS256
    JWT_RS384
    JWT_RS512
    JWT_ES256
    JWT_ES384
    JWT_ES512
    JWT_PS256
    JWT_PS384
    JWT_PS512
    JWT_EDDSA

cdef enum JwtClaim:             # bits of `required`
    JWT_EXP = 1
    JWT_NBF = 2

cdef enum JwtTimeState:
    JWT_TIME_ABSENT
    JWT_TIME_GOOD
    JWT_TIME_BAD

cdef struct JwtTime:
    int64_t seconds             # least whole second not before the claim's: see json_number_ceil
    int32_t state               # a JwtTimeState

cdef struct JwtTimes:
    JwtTime exp
    JwtTime nbf

cdef struct JwtSpan:
    const uint8_t* at
    size_t length

cdef struct JwtToken:           # its spans live as long as the token's bytes and the scratch's next use
    JwtSpan signing_input       # in the token: header, dot, payload
    JwtSpan signature           # decoded
    JwtSpan payload             # decoded: JSON
    JwtSpan key                 # the key claim, unescaped; never empty after JWT_OK
    JwtSpan kid                 # unescaped; at is NULL when the header has none
    JwtTimes times
    bint subjects               # whether the next three were looked for
    JwtSpan jti                 # unescaped; at is NULL when the payload has none that is a string
    JwtSpan sub
    JwtTime iat                 # its seconds are rounded down
    int32_t alg                 # a JwtAlg

cdef struct JwtHeader:          # one header segment found good
    uint32_t text_len           # 0: nothing remembered
    uint32_t kid_len
    int32_t alg
    bint has_kid
    uint8_t text[JWT_CACHED_TEXT]
    uint8_t kid[JWT_CACHED_KID]

cdef struct JwtHeaderCache:     # one per thread; zero bytes are an empty one
    JwtHeader headers[JWT_CACHED_HEADERS]
    uint32_t next               # the one to replace

cdef struct JwtScratch:         # one per thread; what a token needs besides itself
    JwtHeaderCache* headers     # NULL: every header is scanned
    size_t max_len              # bytes of a token
    size_t used                 # of arena
    JsonWant wants[JWT_OWN_CLAIMS + JWT_ASKED_MAX + JWT_SUBJECT_CLAIMS]     # in between: what was asked for
    JsonScan json
    uint8_t arena[JWT_ARENA]

cdef void jwt_scratch_init(JwtScratch* scratch, JwtHeaderCache* headers, size_t max_len) noexcept nogil
cdef int jwt_alg_id(const uint8_t* name, size_t length) noexcept nogil
cdef int jwt_hmac_alg(int alg) noexcept nogil
cdef int jwt_parse(
    const char* text, size_t length, const char* key_claim, size_t key_claim_len,
    const JsonText* asked, size_t asked_count, bint subjects, JwtToken* token, JwtScratch* scratch
) noexcept nogil
cdef bint jwt_reread(
    const char* text, size_t length, const JsonText* asked, size_t asked_count, JwtToken* token, JwtScratch* scratch
) noexcept nogil
cdef int jwt_verify_hs(const JwtToken* token, const HmacKey* key) noexcept nogil
cdef int jwt_check_times(
    const JwtTimes* times, int64_t now, int64_t leeway, uint32_t required, bint listed_only
) noexcept nogil
cdef const char* jwt_reason(int verdict) noexcept nogil
cdef const char* jwt_message(int verdict) noexcept nogil
