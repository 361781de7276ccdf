# signing: secrets that clients sign requests with. Owns: the algorithms by their names, and a secret's pad states for each, made
# once, so that a signature costs no more with one than with another. Must not know what is signed, or where a signature stands.


cdef int signing_alg(const char* p, size_t n) noexcept nogil:
    """The SigningAlg of that name, exactly; -1: none."""
    if n == 9 and memcmp(p, b"hmac-sha1", 9) == 0:
        return SIGN_SHA1
    if n == 11 and memcmp(p, b"hmac-sha256", 11) == 0:
        return SIGN_SHA256
    if n == 11 and memcmp(p, b"hmac-sha512", 11) == 0:
        return SIGN_SHA512
    return -1


cdef class SigningSecret:
    """A secret that requests are signed with."""

    def __cinit__(self, bytes secret not None):
        cdef const uint8_t* p = <const uint8_t*><const char*>secret
        if not secret:
            raise ValueError("secret: expected at least 1 byte, found none")
        hmac_key_init(&self.c.keys[SIGN_SHA1], SHA1_160, p, len(secret))
        hmac_key_init(&self.c.keys[SIGN_SHA256], SHA2_256, p, len(secret))
        hmac_key_init(&self.c.keys[SIGN_SHA512], SHA2_512, p, len(secret))

    def __dealloc__(self):
        sha2_wipe(&self.c, sizeof(self.c))
