# token_cache: tokens of this worker that were found good, so that the next use costs no signature and no interpreter.
#
# Owns: a table of fixed size, who gives way in it, and when two tokens are the same: when all their bytes are, and the name of
# the claim that holds the key. Must not know requests or credentials: jwt_auth asks whether what is remembered still holds.
#
# What is remembered never ages: these bytes bear a good signature of the secret with that serial, their key claim is this, exp
# and nbf are those. All that changes (the clock, the credential behind the key, its secret and leeway, what a route demands, what
# is revoked) is judged anew at each use. Only good tokens are remembered, so a flood of bad ones pushes nobody out.
#
# A token's place is SipHash of its last 32 bytes under a random key: nobody can aim at the entries of a token that he does not
# know, and of one that he knows he would need another that is good and ends alike. Tags only say where to look: what decides is
# the comparison of all bytes, in a time that depends on lengths alone.

cdef int token_cache_init(TokenCache* c, uint32_t entries) except -1:
    """Makes room for at least that many; 0: nothing will be remembered."""
    cdef uint64_t i
    cdef int way
    seed = _os.urandom(sizeof(c.seed))
    memcpy(c.seed, <const char*>seed, sizeof(c.seed))
    c.n_sets = (<uint64_t>entries + TOKEN_WAYS - 1) // TOKEN_WAYS
    if c.n_sets == 0:
        return 0
    # The entries are not cleared: pages that no token has needed yet take no memory.
    c.sets = <TokenSet*>aligned_alloc(TOKEN_LINE, c.n_sets * sizeof(TokenSet))
    c.entries = <TokenEntry*>aligned_alloc(TOKEN_LINE, c.n_sets * TOKEN_WAYS * sizeof(TokenEntry))
    if c.sets == NULL or c.entries == NULL:
        token_cache_free(c)
        raise MemoryError(f"token_cache: no memory for {entries} tokens")
    memset(c.sets, 0, c.n_sets * sizeof(TokenSet))
    for i in range(c.n_sets):
        for way in range(TOKEN_WAYS):
            c.sets[i].rank[way] = way
    return 0


cdef void token_cache_free(TokenCache* c) noexcept nogil:
    free(c.sets)
    free(c.entries)
    c.sets = NULL
    c.entries = NULL
    c.n_sets = 0


cdef inline bint token_name(
    const TokenCache* c, const char* claim, uint32_t claim_len, const char* token, uint32_t token_len, TokenName* name
) noexcept nogil:
    """Where a token may lie; False: nowhere, because it has not the length of one or the cache is off."""
    cdef siphash_state s
    cdef uint64_t lo, hi
    if c.n_sets == 0 or token_len < TOKEN_TAIL or token_len > TOKEN_TEXT or claim_len > TOKEN_TEXT:
        return False
    siphash_start(&s, c.seed[0], c.seed[1])
    siphash_end(&s, <const uint8_t*>token + token_len - TOKEN_TAIL, TOKEN_TAIL, &lo, &hi)
    name.claim = claim
    name.claim_len = claim_len
    name.token = token
    name.token_len = token_len
    name.set = (lo >> 32) * c.n_sets >> 32
    name.tag = hi | 1
    return True


cdef inline TokenEntry* token_recall(const TokenCache* c, TokenName* name) noexcept nogil:
    """The entry of exactly this token and claim, or NULL."""
    cdef const TokenSet* home = &c.sets[name.set]
    cdef TokenEntry* entry
    cdef int way
    for way in range(TOKEN_WAYS):
        if home.tag[way] != name.tag:
            continue
        entry = &c.entries[name.set * TOKEN_WAYS + way]
        if (entry.claim_len == name.claim_len and entry.token_len == name.token_len
                and ct_equal(entry.text, name.claim, name.claim_len)
                and ct_equal(entry.text + name.claim_len, name.token, name.token_len)):
            name.way = way
            return entry
    return NULL


cdef inline const char* token_key(const TokenEntry* entry) noexcept nogil:
    return <const char*>entry.text + entry.claim_len + entry.token_len


cdef inline void token_used(TokenCache* c, const TokenName* name) noexcept nogil:
    """What was recalled is the last to give way."""
    cdef TokenSet* home = &c.sets[name.set]
    cdef uint8_t before = home.rank[name.way]
    cdef int way
    for way in range(TOKEN_WAYS):
        home.rank[way] += home.rank[way] < before
    home.rank[name.way] = 0


cdef inline void token_forget(TokenCache* c, const TokenName* name) noexcept nogil:
    """What was recalled no longer holds."""
    c.sets[name.set].tag[name.way] = 0


cdef void token_remember(
    TokenCache* c, TokenName* name, const JwtToken* token, const RevSubjects* subjects, uint64_t secret,
    int64_t now, int64_t leeway
) noexcept nogil:
    """Keeps a token that was found good and is not there. Gives way: a free entry, an expired one, the one used longest ago.

    subjects: NULL where they were not looked for.
    """
    cdef TokenSet* home = &c.sets[name.set]
    cdef TokenEntry* entry
    cdef int way
    cdef int victim = TOKEN_WAYS
    if token.key.length > TOKEN_TEXT or name.claim_len + name.token_len + token.key.length > TOKEN_TEXT:
        return
    for way in range(TOKEN_WAYS):
        if home.tag[way] == 0:
            victim = way
            break
        if home.until[way] <= now:
            victim = way
        elif victim == TOKEN_WAYS and home.rank[way] == TOKEN_WAYS - 1:
            victim = way
    name.way = victim
    entry = &c.entries[name.set * TOKEN_WAYS + victim]
    entry.times = token.times
    entry.secret = secret
    entry.marked = subjects != NULL
    if subjects != NULL:
        entry.subjects = subjects[0]
    entry.key_hash = map_hash(<const char*>token.key.at, token.key.length)
    entry.claim_len = <uint16_t>name.claim_len
    entry.token_len = <uint16_t>name.token_len
    entry.key_len = <uint16_t>token.key.length
    memcpy(entry.text, name.claim, name.claim_len)
    memcpy(entry.text + name.claim_len, name.token, name.token_len)
    memcpy(entry.text + name.claim_len + name.token_len, token.key.at, token.key.length)
    home.tag[victim] = name.tag
    home.until[victim] = token_until(&token.times, leeway)
    token_used(c, name)


cdef inline uint32_t token_until(const JwtTimes* times, int64_t leeway) noexcept nogil:
    # Only a hint of who is worth keeping. A route may admit a token whose exp it does not look at: that one gives way first.
    cdef int64_t most = 0xffffffff
    if times.exp.state != JWT_TIME_GOOD:
        return <uint32_t>most
    return <uint32_t>max(min(times.exp.seconds + max(min(leeway, most), 0), most), 0)
