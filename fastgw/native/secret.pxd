# A secret that requests show in clear, in the forms it is compared in: see secret.pxi.

cdef enum:
    SECRET_INDEX = 16           # bytes of an index
    SECRET_DIGEST = 32          # bytes of a digest

cdef struct SecretC:
    const char* text
    uint32_t len
    uint8_t digest[SECRET_DIGEST]

cdef class SharedSecret:
    cdef SecretC c
    cdef bytes text

cdef void secret_index(const char* p, size_t n, uint8_t* out) noexcept nogil
cdef bint secret_same(const SecretC* s, const char* p, size_t n) noexcept nogil
cdef void secret_digest(const char* p, size_t n, uint8_t* out) noexcept nogil
