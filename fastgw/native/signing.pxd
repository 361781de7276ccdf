# Keys that clients sign requests with: see signing.pxi.

cdef enum:                      # SigningAlg: the names that requests have for them: see signing_alg
    SIGN_SHA1
    SIGN_SHA256
    SIGN_SHA512
    SIGN_ALGS

cdef struct SigningKeys:        # one secret, made ready for each algorithm
    HmacKey keys[SIGN_ALGS]

cdef class SigningSecret:
    cdef SigningKeys c

cdef int signing_alg(const char* p, size_t n) noexcept nogil
