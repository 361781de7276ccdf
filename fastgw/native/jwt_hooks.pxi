# What tests and benches see of sha2, b64url, json and jwt; nothing here runs in a request.
#
# Owns: the thin Python face of these rooms. Input that a room parses is copied into a buffer of its exact
# size, so that the sanitizer build catches a read past its end.

from time import perf_counter_ns


cdef uint8_t* hook_copy(bytes data) except NULL:
    cdef size_t length = len(data)
    cdef uint8_t* copy = <uint8_t*>malloc(length if length > 0 else 1)
    if copy == NULL:
        raise MemoryError
    memcpy(copy, <const uint8_t*>data, length)
    return copy


# SHA-2

cdef int sha2_checked_alg(int alg) except -1:
    if alg not in (SHA2_256, SHA2_384, SHA2_512):
        raise ValueError(f"alg: expected 256, 384 or 512, found {alg}")
    return alg


def _test_sha2(int alg, bytes data, bint portable=False):
    """The digest of data; portable: by the plain C compression whatever the processor has."""
    cdef uint8_t out[SHA2_MAX_DIGEST]
    sha2_checked_alg(alg)
    sha2_digest_with(
        alg, sha2_256_portable if portable else sha2_blocks, <const uint8_t*>data, len(data), out
    )
    return out[:alg // 8]


def _test_hmac(int alg, bytes secret, bytes data, bint portable=False):
    """The authentication code of data under secret."""
    cdef uint8_t out[SHA2_MAX_DIGEST]
    cdef HmacKey key
    if alg == SHA1_160:
        hmac_key_init(&key, alg, <const uint8_t*>secret, len(secret))
    else:
        sha2_checked_alg(alg)
        hmac_key_init_with(
            &key, alg, sha2_256_portable if portable else sha2_blocks, <const uint8_t*>secret, len(secret)
        )
    hmac_sign(&key, <const uint8_t*>data, len(data), out)
    return out[:key.digest_len]


def _test_ct_equal(bytes a, bytes b):
    """Whether two byte strings of one length are equal, in constant time."""
    if len(a) != len(b):
        raise ValueError(f"b: expected {len(a)} bytes, found {len(b)}")
    return ct_equal(<const uint8_t*>a, <const uint8_t*>b, len(a))


def _test_sha2_accelerated():
    """Whether SHA-256 runs on the processor's own instructions here."""
    return sha2_blocks != sha2_256_portable


def _bench_hmac(bytes data, bytes secret, size_t rounds):
    """Nanoseconds per HMAC-SHA256 of data, key prepared."""
    cdef uint8_t out[SHA2_MAX_DIGEST]
    cdef const uint8_t* at = <const uint8_t*>data
    cdef size_t length = len(data)
    cdef size_t i
    cdef HmacKey key
    hmac_key_init(&key, SHA2_256, <const uint8_t*>secret, len(secret))
    started = perf_counter_ns()
    with nogil:
        for i in range(rounds):
            hmac_sign(&key, at, length, out)
    return (perf_counter_ns() - started) / rounds


# base64url

def _test_b64url(bytes text, Py_ssize_t room=-1, bint portable=False):
    """The bytes that text spells, or None; room: the size of the buffer to decode into."""
    cdef size_t size = b64url_decoded_len(len(text))
    cdef size_t given = size if room < 0 else <size_t>room
    cdef uint8_t* copy = hook_copy(text)
    cdef uint8_t* out = <uint8_t*>malloc(given if given > 0 else 1)
    cdef Py_ssize_t found
    try:
        if out == NULL:
            raise MemoryError
        found = b64url_decode_with(
            b64url_bulk_none if portable else b64url_bulk, copy, len(text), out, given
        )
        return None if found < 0 else out[:found]
    finally:
        free(out)
        free(copy)


def _bench_b64url(bytes text, size_t rounds):
    """Nanoseconds per decoding of text, which must be short and lawful."""
    cdef uint8_t out[1024]
    cdef size_t i
    cdef const uint8_t* at = <const uint8_t*>text
    cdef size_t length = len(text)
    if b64url_decode(at, length, out, sizeof(out)) < 0:
        raise ValueError("text: expected base64url of at most 1024 bytes")
    started = perf_counter_ns()
    with nogil:
        for i in range(rounds):
            b64url_decode(at, length, out, sizeof(out))
    return (perf_counter_ns() - started) / rounds


# JSON

cdef object json_found(const JsonWant* want):
    """A want's value: (kind, what a string means or how another value is written, ceiling of a number)."""
    cdef int64_t ceiling = 0
    cdef uint8_t* out
    if want.kind == JSON_NUMBER:
        bounded = json_number_ceil(&want.value, &ceiling)
        return "number", want.value.at[:want.value.length], ceiling if bounded else None
    if want.kind != JSON_STRING:
        name = ("absent", "null", "true", "false", "number", "string", "object", "array")[want.kind]
        return name, b"" if want.kind == JSON_ABSENT else want.value.at[:want.value.length], None
    out = <uint8_t*>malloc(want.value.length + 1)
    if out == NULL:
        raise MemoryError
    try:
        return "string", out[:json_unescape(&want.value, out)], None
    finally:
        free(out)


def _test_json_scan(bytes doc, list names):
    """(fault, [what was found for each of at most 16 names])."""
    cdef size_t i, count = len(names)
    cdef JsonScan scan
    cdef JsonWant wants[16]
    cdef uint8_t* copy
    if count > 16:
        raise ValueError(f"names: expected at most 16, found {count}")
    for i in range(count):
        json_want(&wants[i], <const uint8_t*><bytes>names[i], len(names[i]))
    copy = hook_copy(doc)
    try:
        fault = (
            "ok", "not_object", "syntax", "bad_string", "bad_number",
            "too_deep", "duplicate", "crowded", "trailing",
        )[json_scan(copy, len(doc), wants, count, &scan)]
        return fault, [json_found(&wants[i]) for i in range(count)] if fault == "ok" else []
    finally:
        free(copy)


# JWT

cdef JwtHeaderCache jwt_test_headers


def _test_jwt_verify(
    bytes token, str alg, bytes secret, int64_t now, int64_t leeway=0, uint32_t required=0,
    bytes key_claim=b"key", bint listed_only=False, bint headers=False, size_t max_len=0,
):
    """(reason, key claim or None), judged as for a credential of this alg and secret.

    headers: with the header cache, which then lives as long as the process.
    """
    cdef bytes name = alg.encode()
    cdef int alg_id = jwt_alg_id(<const uint8_t*>name, len(name))
    cdef JwtScratch scratch
    cdef JwtToken parsed
    cdef HmacKey key
    cdef uint8_t* copy = hook_copy(token)
    cdef int verdict
    try:
        jwt_scratch_init(&scratch, &jwt_test_headers if headers else NULL, max_len)
        verdict = jwt_parse(
            <const char*>copy, len(token), <const char*>key_claim, len(key_claim), NULL, 0, True, &parsed, &scratch
        )
        if verdict != JWT_OK:
            return jwt_reason(verdict).decode(), None
        if jwt_hmac_alg(alg_id) == 0:
            verdict = JWT_BAD_ALG
        else:
            hmac_key_init(&key, jwt_hmac_alg(alg_id), <const uint8_t*>secret, len(secret))
            verdict = jwt_verify_hs(&parsed, &key)
        if verdict == JWT_OK:
            verdict = jwt_check_times(&parsed.times, now, leeway, required, listed_only)
        return jwt_reason(verdict).decode(), parsed.key.at[:parsed.key.length]
    finally:
        free(copy)


def _test_jwt_message(str reason):
    """What the client is told for a reason of the access log's."""
    for verdict in range(JWT_VERDICTS):
        if jwt_reason(verdict).decode() == reason:
            return jwt_message(verdict).decode()
    raise ValueError(f"reason: found {reason!r}, which is none of jwt_reason's")


def _bench_jwt(bytes token, bytes secret, size_t rounds, bint headers=False):
    """Nanoseconds per verification of a lawful HS256 token; headers: with the header cache."""
    cdef const char* text = <const char*>token
    cdef size_t length = len(token)
    cdef size_t i, good = 0
    cdef JwtScratch scratch
    cdef JwtHeaderCache cache
    cdef JwtToken parsed
    cdef HmacKey key
    memset(&cache, 0, sizeof(cache))
    jwt_scratch_init(&scratch, &cache if headers else NULL, 0)
    hmac_key_init(&key, SHA2_256, <const uint8_t*>secret, len(secret))
    started = perf_counter_ns()
    with nogil:
        for i in range(rounds):
            if jwt_parse(text, length, b"key", 3, NULL, 0, False, &parsed, &scratch) != JWT_OK:
                break
            if jwt_verify_hs(&parsed, &key) != JWT_OK:
                break
            if jwt_check_times(&parsed.times, 0, 0, 0, False) != JWT_OK:
                break
            good += 1
    spent = perf_counter_ns() - started
    if good != rounds:
        raise ValueError("token: expected one that this secret verifies")
    return spent / rounds
