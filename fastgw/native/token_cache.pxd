# Shapes of the token cache: see token_cache.pxi.
cdef enum:
    TOKEN_WAYS = 4              # entries in which a token may lie
    TOKEN_TEXT = 2032           # bytes of an entry's text; what needs more is not remembered
    TOKEN_TAIL = 32             # bytes of a token's end that are hashed; every signature is longer (HS256: 43)
    TOKEN_LINE = 64             # bytes of a cache line

cdef struct TokenSet:           # one cache line: all that most lookups of an unknown token read
    uint64_t tag[TOKEN_WAYS]    # part of the hash, odd; 0: free
    uint32_t until[TOKEN_WAYS]  # s of CLOCK_REALTIME when the token expires, for the choice of who gives way
    uint8_t rank[TOKEN_WAYS]    # 0: used last, 3: used longest ago
    uint8_t pad[12]

cdef struct TokenEntry:         # 33 cache lines; an odd number, so that the first ones spread over the processor's caches
    JwtTimes times
    uint64_t secret             # serial of the key that verified it
    RevSubjects subjects        # by which it can be revoked; only where `marked`
    uint64_t key_hash           # map_hash of the key claim
    uint16_t claim_len          # lengths of the three runs of text
    uint16_t token_len
    uint16_t key_len
    uint16_t marked             # whether the subjects are known: nobody looks for them while nothing is revoked
    uint8_t text[TOKEN_TEXT]    # the key claim's name, the token, the key claim

cdef struct TokenCache:         # one per worker
    TokenSet* sets
    TokenEntry* entries         # TOKEN_WAYS per set
    uint64_t n_sets             # 0: off
    uint64_t seed[2]            # of the hash, random per process

cdef struct TokenName:          # what an entry is found by; borrows its bytes
    const char* claim           # the key claim's name
    const char* token
    uint32_t claim_len
    uint32_t token_len
    uint64_t set                # where it may lie; see token_name
    uint64_t tag
    int way                     # where token_recall found it
