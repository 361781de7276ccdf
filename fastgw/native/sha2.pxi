# SHA-256, SHA-384, SHA-512 and HMAC over them and over SHA-1 (FIPS 180-4, RFC 2104).
#
# Owns: padding, digests, HMAC keys kept as two midstates, so that a signature over n bytes costs n/64 + 2
# compressions instead of n/64 + 4. Must not know tokens or credentials; compression functions are sha2.h's.
# A HmacKey is plain memory that any thread may read; `alg` must be a Sha2Alg.

cdef Sha2Blocks256 sha2_blocks = sha2_best_256()     # chosen once, at import; never changes


cdef inline void sha2_start(Sha2State* state, int alg) noexcept nogil:
    if alg == SHA2_256:
        memcpy(state.narrow, sha2_start_256, sizeof(state.narrow))
    elif alg == SHA1_160:
        memcpy(state.narrow, sha1_start, sizeof(sha1_start))
    elif alg == SHA2_384:
        memcpy(state.wide, sha2_start_384, sizeof(state.wide))
    else:
        memcpy(state.wide, sha2_start_512, sizeof(state.wide))


cdef inline void sha2_compress(
    Sha2State* state, int alg, Sha2Blocks256 blocks, const uint8_t* data, size_t count
) noexcept nogil:
    if alg <= SHA2_256:
        blocks(state.narrow, data, count)
    else:
        sha2_512_portable(state.wide, data, count)


cdef inline void sha2_finish(
    Sha2State* state, int alg, Sha2Blocks256 blocks,
    size_t before, const uint8_t* msg, size_t length, uint8_t* out
) noexcept nogil:
    """Hash the rest of a message, of which `before` bytes (whole blocks) are in the state already."""
    cdef size_t block = 64 if alg <= SHA2_256 else 128
    cdef size_t whole = length // block
    cdef size_t rest = length - whole * block
    cdef uint8_t last[2 * SHA2_MAX_BLOCK]
    cdef size_t padded = block if rest + 1 + block // 8 <= block else 2 * block
    cdef size_t words = <size_t>(alg // 32 if alg <= SHA2_256 else alg // 64)
    cdef size_t i
    if whole > 0:
        sha2_compress(state, alg, blocks, msg, whole)
    memset(last, 0, sizeof(last))
    if rest > 0:
        memcpy(last, msg + whole * block, rest)
    last[rest] = 0x80
    # The length field is 64 or 128 bits wide; its upper half stays zero, no message here has 2^61 bytes.
    sha2_store64(last + padded - 8, <uint64_t>(before + length) * 8)
    sha2_compress(state, alg, blocks, last, padded // block)
    if alg <= SHA2_256:
        for i in range(words):
            sha2_store32(out + 4 * i, state.narrow[i])
    else:
        for i in range(words):
            sha2_store64(out + 8 * i, state.wide[i])


cdef inline void sha2_digest_with(
    int alg, Sha2Blocks256 blocks, const uint8_t* msg, size_t length, uint8_t* out
) noexcept nogil:
    cdef Sha2State state
    sha2_start(&state, alg)
    sha2_finish(&state, alg, blocks, 0, msg, length, out)


cdef void sha2_digest(int alg, const uint8_t* msg, size_t length, uint8_t* out) noexcept nogil:
    """Write the digest, alg // 8 bytes."""
    sha2_digest_with(alg, sha2_blocks, msg, length, out)


cdef void hmac_key_init_with(
    HmacKey* key, int alg, Sha2Blocks256 blocks, const uint8_t* secret, size_t length
) noexcept nogil:
    cdef uint8_t pad[SHA2_MAX_BLOCK]
    cdef size_t block = 64 if alg <= SHA2_256 else 128
    cdef size_t i
    key.alg = alg
    key.digest_len = alg // 8
    key.blocks = blocks
    memset(pad, 0, sizeof(pad))
    if length > block:
        sha2_digest_with(alg, blocks, secret, length, pad)
    elif length > 0:
        memcpy(pad, secret, length)
    for i in range(block):
        pad[i] ^= 0x36
    sha2_start(&key.inner, alg)
    sha2_compress(&key.inner, alg, blocks, pad, 1)
    for i in range(block):
        pad[i] ^= 0x36 ^ 0x5C
    sha2_start(&key.outer, alg)
    sha2_compress(&key.outer, alg, blocks, pad, 1)
    sha2_wipe(pad, sizeof(pad))


cdef void hmac_key_init(HmacKey* key, int alg, const uint8_t* secret, size_t length) noexcept nogil:
    """Prepare a key; the secret is not kept, but the midstates are as good as the secret to a reader."""
    hmac_key_init_with(key, alg, sha1_portable if alg == SHA1_160 else sha2_blocks, secret, length)


cdef void hmac_sign(const HmacKey* key, const uint8_t* msg, size_t length, uint8_t* out) noexcept nogil:
    """Write the authentication code, key.digest_len bytes."""
    cdef uint8_t digest[SHA2_MAX_DIGEST]
    cdef size_t block = 64 if key.alg <= SHA2_256 else 128
    cdef Sha2State state = key.inner
    sha2_finish(&state, key.alg, key.blocks, block, msg, length, digest)
    state = key.outer
    sha2_finish(&state, key.alg, key.blocks, block, digest, key.digest_len, out)
