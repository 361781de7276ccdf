# capi: the core for programs in C and Cython, as a capsule of functions. Owns: the handles and what the functions take and give;
# include/fastgw.h says it to them. Must not know more of limits and tokens than their Python faces do.

from cpython.pycapsule cimport PyCapsule_New

cdef extern from "fastgw.h":
    int FASTGW_API_VERSION
    ctypedef struct FastgwLimiter:
        pass
    ctypedef struct FastgwVerifier:
        pass
    ctypedef struct FastgwDecision:
        int32_t allowed
        int32_t failed
        int64_t limit
        int64_t remaining
        uint64_t reset_ns
        uint64_t retry_after_ns
    ctypedef struct FastgwApi:
        uint32_t version
        uint32_t size
        const FastgwLimiter* (*limiter)(object) except NULL
        const FastgwVerifier* (*verifier)(object) except NULL
        void (*hit)(const FastgwLimiter*, const char*, size_t, uint64_t, FastgwDecision*) noexcept nogil
        int (*verify)(const FastgwVerifier*, const char*, size_t, int64_t, char*, size_t, size_t*) noexcept nogil
        const char* (*reason)(int) noexcept nogil

cdef FastgwApi capi


cdef const FastgwLimiter* capi_limiter(object limiter) except NULL:
    if not isinstance(limiter, Limiter):
        raise TypeError(f"limiter: expected a Limiter, found {type(limiter).__name__}")
    if (<Limiter>limiter).c.table == NULL:
        raise TypeError("limiter: expected one that was made by its constructor")
    return <const FastgwLimiter*>&(<Limiter>limiter).c


cdef const FastgwVerifier* capi_verifier(object verifier) except NULL:
    if not isinstance(verifier, TokenVerifier):
        raise TypeError(f"verifier: expected a JWTVerifier, found {type(verifier).__name__}")
    if (<TokenVerifier>verifier).c.n == 0:
        raise TypeError("verifier: expected one that was made by its constructor")
    return <const FastgwVerifier*>&(<TokenVerifier>verifier).c


cdef void capi_hit(const FastgwLimiter* limiter, const char* key, size_t n, uint64_t cost, FastgwDecision* said) noexcept nogil:
    cdef const LimiterC* c = <const LimiterC*>limiter
    cdef LimKey k
    cdef LimResult r
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    limiter_key(c, <const uint8_t*>key, n, &k)
    limiter_count(c, &k, <uint64_t>t.tv_sec * 1000000000 + <uint64_t>t.tv_nsec, cost if cost else 1, &r)
    said.allowed = r.allowed
    said.failed = r.failed
    said.limit = r.limit
    said.remaining = r.remaining
    said.reset_ns = r.reset_ns
    said.retry_after_ns = r.retry_after_ns


cdef int capi_verify(
    const FastgwVerifier* verifier, const char* text, size_t n, int64_t now, char* payload, size_t room, size_t* length
) noexcept nogil:
    cdef const VerifierC* v = <const VerifierC*>verifier
    cdef JwtToken token
    cdef JwtScratch* scratch
    cdef int verdict
    if v.more:
        return -1
    scratch = <JwtScratch*>malloc(sizeof(JwtScratch))
    if scratch == NULL:
        return -2
    jwt_scratch_init(scratch, NULL, v.max_len)
    verdict = verifier_judge(v, text, n, now, &token, scratch)
    length[0] = 0
    if verdict == JWT_OK:
        length[0] = token.payload.length
        memcpy(payload, token.payload.at, min(room, token.payload.length))
    free(scratch)
    return -1 if verdict == JWT_LATER else verdict


cdef const char* capi_reason(int verdict) noexcept nogil:
    return jwt_reason(verdict)


capi.version = FASTGW_API_VERSION
capi.size = sizeof(FastgwApi)
capi.limiter = capi_limiter
capi.verifier = capi_verifier
capi.hit = capi_hit
capi.verify = capi_verify
capi.reason = capi_reason
_C_API = PyCapsule_New(&capi, "fastgw._core._C_API", NULL)
