# JSON Web Tokens in compact form (RFC 7515, RFC 7519), signed; HMAC signatures are checked here.
#
# Owns: the checks on a token's own bytes, their order and their names. Must not know requests, credentials or
# configuration: the caller finds the token, looks the key up between jwt_parse and the signature, and checks
# signatures that are not HMAC. Header parameters that bring a key along (jwk, jku, x5u, x5c) are ignored.
#
#   jwt_parse, [caller: key claim to credential, its alg is the token's], jwt_verify_hs, jwt_check_times,
#   [jwt_claims: what a route demands beyond that]

cdef void jwt_scratch_init(JwtScratch* scratch, JwtHeaderCache* headers, size_t max_len) noexcept nogil:
    """Make scratch ready for use; headers may be NULL, max_len 0 means JWT_DEFAULT_MAX."""
    scratch.headers = headers
    scratch.max_len = JWT_DEFAULT_MAX if max_len == 0 else max_len
    if scratch.max_len > JWT_HARD_MAX:
        scratch.max_len = JWT_HARD_MAX
    scratch.used = 0


# Algorithms

cdef int jwt_alg_id(const uint8_t* name, size_t length) noexcept nogil:
    """The JwtAlg of exactly this name (RFC 7518 section 3.1, RFC 8037)."""
    cdef const char* names = b"HS256HS384HS512RS256RS384RS512ES256ES384ES512PS256PS384PS512EdDSA"
    cdef int i, last = JWT_EDDSA
    if length == 5:
        for i in range(last):
            if memcmp(name, names + 5 * i, 5) == 0:
                return i + 1
    return JWT_ALG_OTHER


cdef int jwt_hmac_alg(int alg) noexcept nogil:
    """The Sha2Alg under a JwtAlg of the HS family, 0 for the others."""
    if alg == JWT_HS256:
        return SHA2_256
    if alg == JWT_HS384:
        return SHA2_384
    return SHA2_512 if alg == JWT_HS512 else 0


# Reading

cdef inline bint jwt_decode(JwtScratch* scratch, const JwtSpan* segment, JwtSpan* out) noexcept nogil:
    cdef uint8_t* room = scratch.arena + scratch.used
    cdef Py_ssize_t size = b64url_decode(segment.at, segment.length, room, JWT_ARENA - scratch.used)
    if size < 0:
        return False
    out.at = room
    out.length = <size_t>size
    scratch.used += out.length
    return True


cdef inline bint jwt_unescape(JwtScratch* scratch, const JsonText* text, JwtSpan* out) noexcept nogil:
    """What a string means: in place where it is written so, else in the arena."""
    cdef uint8_t* room = scratch.arena + scratch.used
    out.at = text.at
    out.length = text.length
    if not text.escaped:
        return True
    if text.length > JWT_ARENA - scratch.used:
        return False
    out.at = room
    out.length = json_unescape(text, room)
    scratch.used += out.length
    return True


cdef inline bint jwt_next_segment(const uint8_t** at, const uint8_t* end, JwtSpan* segment) noexcept nogil:
    """Cut off what lies before the next dot; False when there is none."""
    cdef const uint8_t* dot = <const uint8_t*>memchr(at[0], c'.', <size_t>(end - at[0]))
    if dot == NULL:
        return False
    segment.at = at[0]
    segment.length = <size_t>(dot - at[0])
    at[0] = dot + 1
    return True


cdef inline bint jwt_is_nested(const JwtSpan* cty) noexcept nogil:
    """Whether a content type says that the payload is itself a token (RFC 7519 section 5.2): caseless."""
    cdef const char* nested = b"application/jwt"
    cdef size_t skip = 12 if cty.length == 3 else 0     # "JWT" may stand alone (RFC 7515 section 4.1.10)
    cdef size_t i
    if cty.length != 15 - skip:
        return False
    for i in range(cty.length):
        if (cty.at[i] | 0x20) != nested[skip + i]:
            return False
    return True


cdef enum:
    JWT_HEADER_ALG
    JWT_HEADER_TYP
    JWT_HEADER_CTY
    JWT_HEADER_KID
    JWT_HEADER_STRINGS          # those before are strings; one of those after, whatever its value, is refused
    JWT_HEADER_CRIT = JWT_HEADER_STRINGS
    JWT_HEADER_B64
    JWT_HEADER_ZIP
    JWT_HEADER_ENC
    JWT_HEADER_WANTS


cdef int jwt_scan_header(JwtScratch* scratch, const JwtSpan* segment, JwtToken* token) noexcept nogil:
    cdef JsonWant wants[JWT_HEADER_WANTS]
    cdef JwtSpan doc, alg, cty
    cdef int i
    if not jwt_decode(scratch, segment, &doc):
        return JWT_MALFORMED
    json_want(&wants[JWT_HEADER_ALG], b"alg", 3)
    json_want(&wants[JWT_HEADER_TYP], b"typ", 3)
    json_want(&wants[JWT_HEADER_CTY], b"cty", 3)
    json_want(&wants[JWT_HEADER_KID], b"kid", 3)
    json_want(&wants[JWT_HEADER_CRIT], b"crit", 4)
    json_want(&wants[JWT_HEADER_B64], b"b64", 3)
    json_want(&wants[JWT_HEADER_ZIP], b"zip", 3)
    json_want(&wants[JWT_HEADER_ENC], b"enc", 3)
    if json_scan(doc.at, doc.length, wants, JWT_HEADER_WANTS, &scratch.json) != JSON_OK:
        return JWT_BAD_HEADER
    for i in range(JWT_HEADER_STRINGS, JWT_HEADER_WANTS):
        if wants[i].kind != JSON_ABSENT:
            return JWT_UNSUPPORTED
    for i in range(JWT_HEADER_STRINGS):
        if wants[i].kind != JSON_STRING and (wants[i].kind != JSON_ABSENT or i == JWT_HEADER_ALG):
            return JWT_BAD_HEADER
    if wants[JWT_HEADER_CTY].kind == JSON_STRING:
        if not jwt_unescape(scratch, &wants[JWT_HEADER_CTY].value, &cty):
            return JWT_TOO_LARGE
        if jwt_is_nested(&cty):
            return JWT_UNSUPPORTED
    if not jwt_unescape(scratch, &wants[JWT_HEADER_ALG].value, &alg):
        return JWT_TOO_LARGE
    token.alg = jwt_alg_id(alg.at, alg.length)
    token.kid.at = NULL
    token.kid.length = 0
    if wants[JWT_HEADER_KID].kind == JSON_STRING:
        if not jwt_unescape(scratch, &wants[JWT_HEADER_KID].value, &token.kid):
            return JWT_TOO_LARGE
    return JWT_OK


cdef inline bint jwt_recall_header(
    JwtHeaderCache* cache, const JwtSpan* segment, JwtToken* token
) noexcept nogil:
    """Take alg and kid from an equal header segment that was found good before."""
    cdef JwtHeader* header
    cdef int i
    for i in range(JWT_CACHED_HEADERS):
        header = &cache.headers[i]
        if header.text_len == segment.length and memcmp(header.text, segment.at, segment.length) == 0:
            token.alg = header.alg
            token.kid.at = header.kid if header.has_kid else NULL
            token.kid.length = header.kid_len
            return True
    return False


cdef void jwt_remember_header(
    JwtHeaderCache* cache, const JwtSpan* segment, const JwtToken* token
) noexcept nogil:
    cdef JwtHeader* header = &cache.headers[cache.next % JWT_CACHED_HEADERS]
    if segment.length > JWT_CACHED_TEXT or token.kid.length > JWT_CACHED_KID:
        return
    cache.next = (cache.next + 1) % JWT_CACHED_HEADERS
    header.text_len = <uint32_t>segment.length
    header.alg = token.alg
    header.has_kid = token.kid.at != NULL
    header.kid_len = <uint32_t>token.kid.length
    memcpy(header.text, segment.at, segment.length)
    if header.has_kid:
        memcpy(header.kid, token.kid.at, token.kid.length)


cdef inline int jwt_read_header(JwtScratch* scratch, const JwtSpan* segment, JwtToken* token) noexcept nogil:
    cdef int verdict
    if segment.length == 0:
        return JWT_MALFORMED
    if scratch.headers == NULL:
        return jwt_scan_header(scratch, segment, token)
    if jwt_recall_header(scratch.headers, segment, token):
        return JWT_OK
    verdict = jwt_scan_header(scratch, segment, token)
    if verdict == JWT_OK:
        jwt_remember_header(scratch.headers, segment, token)
    return verdict


cdef inline bint jwt_read_text(JwtScratch* scratch, const JsonWant* want, JwtSpan* out) noexcept nogil:
    out.at = NULL
    out.length = 0
    return want.kind != JSON_STRING or jwt_unescape(scratch, &want.value, out)


cdef inline void jwt_read_time(const JsonWant* want, JwtTime* time, bint up) noexcept nogil:
    time.seconds = 0
    if want.kind == JSON_ABSENT:
        time.state = JWT_TIME_ABSENT
    elif want.kind == JSON_NUMBER and (
            json_number_ceil(&want.value, &time.seconds) if up else json_number_floor(&want.value, &time.seconds)):
        time.state = JWT_TIME_GOOD
    else:
        time.state = JWT_TIME_BAD


cdef int jwt_parse(
    const char* text, size_t length, const char* key_claim, size_t key_claim_len,
    const JsonText* asked, size_t asked_count, bint subjects, JwtToken* token, JwtScratch* scratch
) noexcept nogil:
    """Read a token up to its key claim: JWT_OK, or the verdict on what is wrong with it.

    exp and nbf are read but not judged, since a wrong signature must come first. The same goes for the claims of the names asked
    for, at most JWT_ASKED_MAX: what was found of them is jwt_asked(scratch). subjects: whether iat, jti and sub are read as well.
    """
    cdef const uint8_t* at = <const uint8_t*>text
    cdef const uint8_t* end = at + length
    cdef JwtSpan header, payload, signature
    cdef JsonWant* wants = scratch.wants
    cdef size_t i, count = JWT_OWN_CLAIMS + asked_count
    cdef int verdict
    if length > scratch.max_len:
        return JWT_TOO_LARGE
    if not jwt_next_segment(&at, end, &header) or not jwt_next_segment(&at, end, &payload):
        return JWT_MALFORMED
    signature.at = at
    signature.length = <size_t>(end - at)       # a third dot fails as base64url
    scratch.used = 0
    verdict = jwt_read_header(scratch, &header, token)
    if verdict != JWT_OK:
        return verdict
    if not jwt_decode(scratch, &payload, &token.payload):
        return JWT_MALFORMED
    if not jwt_decode(scratch, &signature, &token.signature):
        return JWT_MALFORMED
    token.signing_input.at = header.at
    token.signing_input.length = header.length + 1 + payload.length
    json_want(&wants[0], <const uint8_t*>key_claim, key_claim_len)
    json_want(&wants[1], b"exp", 3)
    json_want(&wants[2], b"nbf", 3)
    for i in range(asked_count):
        json_want(&wants[JWT_OWN_CLAIMS + i], asked[i].at, asked[i].length)
    if subjects:
        json_want(&wants[count], b"iat", 3)
        json_want(&wants[count + 1], b"jti", 3)
        json_want(&wants[count + 2], b"sub", 3)
    if json_scan(token.payload.at, token.payload.length, wants,
                 count + (JWT_SUBJECT_CLAIMS if subjects else 0), &scratch.json) != JSON_OK:
        return JWT_BAD_PAYLOAD
    jwt_read_time(&wants[1], &token.times.exp, True)
    jwt_read_time(&wants[2], &token.times.nbf, True)
    token.subjects = subjects
    if subjects:
        jwt_read_time(&wants[count], &token.iat, False)
        if not jwt_read_text(scratch, &wants[count + 1], &token.jti) or not jwt_read_text(
                scratch, &wants[count + 2], &token.sub):
            return JWT_TOO_LARGE
    if wants[0].kind == JSON_ABSENT:
        return JWT_NO_KEY_CLAIM
    if wants[0].kind != JSON_STRING or wants[0].value.length == 0:
        return JWT_BAD_KEY_CLAIM
    return JWT_OK if jwt_unescape(scratch, &wants[0].value, &token.key) else JWT_TOO_LARGE


cdef inline const JsonWant* jwt_asked(const JwtScratch* scratch) noexcept nogil:
    """What jwt_parse or jwt_reread found of the claims asked for, in their order; gone with the scratch's next use."""
    return &scratch.wants[JWT_OWN_CLAIMS]


cdef bint jwt_reread(
    const char* text, size_t length, const JsonText* asked, size_t asked_count, JwtToken* token, JwtScratch* scratch
) noexcept nogil:
    """The payload, and the claims asked for, of a token that jwt_parse found lawful before; nothing else is filled in."""
    cdef const uint8_t* at = <const uint8_t*>text
    cdef const uint8_t* end = at + length
    cdef JsonWant* wants = &scratch.wants[JWT_OWN_CLAIMS]
    cdef JwtSpan header, payload
    cdef size_t i
    if not jwt_next_segment(&at, end, &header) or not jwt_next_segment(&at, end, &payload):
        return False
    scratch.used = 0
    if not jwt_decode(scratch, &payload, &token.payload):
        return False
    for i in range(asked_count):
        json_want(&wants[i], asked[i].at, asked[i].length)
    return not asked_count or json_scan(
        token.payload.at, token.payload.length, wants, asked_count, &scratch.json) == JSON_OK


# Judging

cdef int jwt_verify_hs(const JwtToken* token, const HmacKey* key) noexcept nogil:
    """Check a parsed token's algorithm and signature against a credential's key, in constant time."""
    cdef uint8_t expected[SHA2_MAX_DIGEST]
    if jwt_hmac_alg(token.alg) != key.alg:
        return JWT_BAD_ALG
    hmac_sign(key, token.signing_input.at, token.signing_input.length, expected)
    if token.signature.length != key.digest_len or not ct_equal(token.signature.at, expected, key.digest_len):
        return JWT_BAD_SIGNATURE
    return JWT_OK


cdef int jwt_check_times(
    const JwtTimes* times, int64_t now, int64_t leeway, uint32_t required, bint listed_only
) noexcept nogil:
    """Judge exp and nbf at `now`, in whole seconds: exp > now - leeway and nbf <= now + leeway.

    required: JwtClaim bits that must be present. listed_only: what is not required is not looked at either.
    """
    cdef bint exp = (required & JWT_EXP) != 0 or (not listed_only and times.exp.state != JWT_TIME_ABSENT)
    cdef bint nbf = (required & JWT_NBF) != 0 or (not listed_only and times.nbf.state != JWT_TIME_ABSENT)
    cdef int64_t bound = <int64_t>1 << 60       # far beyond any claim, far from overflow
    now = max(min(now, bound), -bound)
    leeway = max(min(leeway, bound), 0)
    if (exp and times.exp.state == JWT_TIME_ABSENT) or (nbf and times.nbf.state == JWT_TIME_ABSENT):
        return JWT_MISSING_CLAIM
    if (exp and times.exp.state == JWT_TIME_BAD) or (nbf and times.nbf.state == JWT_TIME_BAD):
        return JWT_BAD_CLAIM
    if exp and times.exp.seconds <= now - leeway:
        return JWT_EXPIRED
    if nbf and times.nbf.seconds > now + leeway:
        return JWT_NOT_YET
    return JWT_OK


# Names

cdef const char* jwt_reasons[JWT_VERDICTS]
jwt_reasons[:] = [
    b"jwt.ok", b"jwt.no_token", b"jwt.repeated", b"jwt.too_large", b"jwt.malformed",
    b"jwt.bad_header", b"jwt.unsupported", b"jwt.bad_payload", b"jwt.no_key_claim", b"jwt.bad_key_claim",
    b"jwt.unknown_key", b"jwt.kid_missing", b"jwt.unknown_kid", b"jwt.key_not_in_force",
    b"jwt.bad_alg", b"jwt.bad_signature", b"jwt.missing_claim", b"jwt.bad_claim",
    b"jwt.expired", b"jwt.not_yet",
    b"jwt.issuer", b"jwt.audience", b"jwt.iat_missing", b"jwt.iat_in_future", b"jwt.too_old",
    b"jwt.revoked", b"jwt.busy", b"jwt.unknown",
]


cdef const char* jwt_reason(int verdict) noexcept nogil:
    """What the access log says."""
    if 0 <= verdict < JWT_VERDICTS:
        return jwt_reasons[verdict]
    return b"jwt.unknown"


cdef const char* jwt_message(int verdict) noexcept nogil:
    """What the client is told: APISIX's texts for keys, and for all the rest one that tells nothing."""
    if verdict == JWT_NO_TOKEN:
        return b"Missing JWT token in request"
    if verdict == JWT_NO_KEY_CLAIM:
        return b"missing user key in JWT token"
    if verdict == JWT_BAD_KEY_CLAIM or verdict == JWT_UNKNOWN_KEY:
        return b"Invalid user key in JWT token"
    return b"failed to verify jwt"
