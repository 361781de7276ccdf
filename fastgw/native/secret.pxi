# secret: secrets that clients show in clear (API keys, passwords), compared so that the time taken tells nothing of them.
#
# Owns: two keys of this process, drawn at import, and what they make of a secret. An index (SipHash) finds a secret in a table:
# whoever does not know the key cannot aim at a slot or at a prefix of what is stored there. A digest (HMAC-SHA-256) makes
# texts of any length comparable in one length. Must not know what is kept under them, or where a request carries it.

cdef uint64_t secret_sip[2]
cdef HmacKey secret_hmac


cdef void secret_draw_keys() noexcept nogil:
    cdef uint8_t raw[SHA2_MAX_DIGEST]
    random_fill(secret_sip, sizeof(secret_sip))
    random_fill(raw, sizeof(raw))
    hmac_key_init(&secret_hmac, SHA2_256, raw, sizeof(raw))
    sha2_wipe(raw, sizeof(raw))


secret_draw_keys()


cdef void secret_index(const char* p, size_t n, uint8_t* out) noexcept nogil:
    cdef siphash_state s
    cdef uint64_t half[2]
    siphash_start(&s, secret_sip[0], secret_sip[1])
    siphash_end(&s, <const uint8_t*>p, n, &half[0], &half[1])
    memcpy(out, half, SECRET_INDEX)


cdef bint secret_same(const SecretC* s, const char* p, size_t n) noexcept nogil:
    # Only after its index was found, which tells all there is to tell about a length.
    return s.len == n and ct_equal(s.text, p, n)


cdef void secret_digest(const char* p, size_t n, uint8_t* out) noexcept nogil:
    hmac_sign(&secret_hmac, <const uint8_t*>p, n, out)


cdef class SharedSecret:
    """A secret that requests show: an API key or a password."""

    def __cinit__(self, bytes text not None):
        if not text:
            raise ValueError("secret: expected at least 1 byte, found none")
        self.text = text
        self.c.text = self.text
        self.c.len = <uint32_t>len(text)
        secret_digest(self.c.text, self.c.len, self.c.digest)

    @property
    def index(self) -> bytes:
        """What a table finds it by: the same within this process, and unpredictable outside it."""
        cdef uint8_t out[SECRET_INDEX]
        secret_index(self.c.text, self.c.len, out)
        return out[:SECRET_INDEX]

    def __dealloc__(self):
        sha2_wipe(&self.c, sizeof(self.c))


def _test_secret_digest(bytes text):
    """The digest of a text under this process's key."""
    cdef uint8_t out[SECRET_DIGEST]
    secret_digest(<const char*>text, len(text), out)
    return out[:SECRET_DIGEST]


def _test_random(uint32_t size, uint32_t calls):
    """What that many calls for bytes of this size give, out of one pool."""
    cdef RandomPool pool
    cdef uint32_t i
    if size > RANDOM_BYTES:
        raise ValueError(f"size: expected at most {RANDOM_BYTES}, found {size}")
    pool.left = 0
    return [random_take(&pool, size)[:size] for i in range(calls)]
