# Shapes of SHA-2, SHA-1 and HMAC: see sha2.pxi.
cdef extern from "sha2.h" nogil:
    ctypedef void (*Sha2Blocks256)(uint32_t* state, const uint8_t* data, size_t blocks) noexcept
    const uint32_t sha2_start_256[8]
    const uint64_t sha2_start_384[8]
    const uint64_t sha2_start_512[8]
    Sha2Blocks256 sha2_best_256() noexcept
    void sha2_256_portable(uint32_t* state, const uint8_t* data, size_t blocks) noexcept
    void sha2_512_portable(uint64_t* state, const uint8_t* data, size_t blocks) noexcept
    void sha2_store32(uint8_t* p, uint32_t value) noexcept
    void sha2_store64(uint8_t* p, uint64_t value) noexcept
    bint ct_equal(const void* a, const void* b, size_t len) noexcept
    void sha2_wipe(void* p, size_t len) noexcept

cdef extern from "sha1.h" nogil:
    const uint32_t sha1_start[5]
    void sha1_portable(uint32_t* state, const uint8_t* data, size_t blocks) noexcept

cdef enum Sha2Alg:
    SHA1_160 = 160          # the value is the digest's size in bits; only for HMAC
    SHA2_256 = 256
    SHA2_384 = 384
    SHA2_512 = 512

cdef enum:
    SHA2_MAX_BLOCK = 128    # bytes: a block of SHA-384 and SHA-512 (FIPS 180-4 section 1)
    SHA2_MAX_DIGEST = 64    # bytes: a digest of SHA-512

cdef union Sha2State:
    uint32_t narrow[8]      # SHA-1, SHA-256
    uint64_t wide[8]        # SHA-384, SHA-512

cdef struct HmacKey:
    Sha2Blocks256 blocks    # the compression this key was made with, of SHA-1 or SHA-256; unused by the wide algorithms
    Sha2State inner         # after the block key ^ ipad (RFC 2104 section 2)
    Sha2State outer         # after the block key ^ opad
    int32_t alg             # a Sha2Alg
    uint32_t digest_len     # bytes

cdef void sha2_digest(int alg, const uint8_t* msg, size_t length, uint8_t* out) noexcept nogil
cdef void hmac_key_init(HmacKey* key, int alg, const uint8_t* secret, size_t length) noexcept nogil
cdef void hmac_sign(const HmacKey* key, const uint8_t* msg, size_t length, uint8_t* out) noexcept nogil
