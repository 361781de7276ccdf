# What benches see of the token cache; nothing here runs in a request.


def _bench_token_cache(Snapshot snapshot not None, list tokens not None, uint32_t entries, int rounds, bytes claim=b"key"):
    """(nanoseconds per token that jwt-auth recalls and judges, share of hits), on these tokens of the snapshot in turn.

    Each is remembered beforehand, as if its signature were good.
    """
    cdef TokenCache cache
    cdef TokenName name
    cdef TokenEntry* entry
    cdef CredentialC* credential
    cdef JwtToken token
    cdef JwtScratch* scratch = <JwtScratch*>malloc(sizeof(JwtScratch))
    cdef Span* spans = <Span*>malloc((len(tokens) or 1) * sizeof(Span))
    cdef bytes text
    cdef const char* claim_at = claim
    cdef uint32_t claim_len = <uint32_t>len(claim)
    cdef uint32_t at, n = <uint32_t>len(tokens)
    cdef int i
    cdef uint64_t hits = 0
    memset(&cache, 0, sizeof(cache))
    try:
        if scratch == NULL or spans == NULL:
            raise MemoryError
        if n == 0 or rounds < 1:
            raise ValueError(f"tokens, rounds: expected at least 1 each, found {n} and {rounds}")
        jwt_scratch_init(scratch, NULL, 0)
        token_cache_init(&cache, entries)
        for at in range(n):
            text = tokens[at]
            spans[at].p = text
            spans[at].n = <uint32_t>len(text)
            if (jwt_parse(spans[at].p, spans[at].n, claim_at, claim_len, NULL, 0, False, &token, scratch) != JWT_OK
                    or not token_name(&cache, claim_at, claim_len, spans[at].p, spans[at].n, &name)):
                raise ValueError(f"tokens[{at}]: expected a lawful one that fits into an entry")
            credential = <CredentialC*>map_get(
                &snapshot.c.credentials[CREDENTIAL_JWT], <const char*>token.key.at, token.key.length)
            if credential == NULL:
                raise ValueError(f"tokens[{at}]: expected one of a credential of the snapshot")
            token_remember(&cache, &name, &token, NULL, credential.secret.serial, 0, 0)
        at = 0
        started = perf_counter_ns()
        with nogil:
            for i in range(rounds):
                token_name(&cache, claim_at, claim_len, spans[at].p, spans[at].n, &name)
                entry = token_recall(&cache, &name)
                if entry != NULL:
                    credential = jwt_holds(&snapshot.c, entry, 0)
                    if credential != NULL:
                        token_used(&cache, &name)
                        hits += jwt_check_times(&entry.times, 0, credential.leeway, 0, False) == JWT_OK
                at = at + 1 if at + 1 < n else 0
        return (perf_counter_ns() - started) / rounds, <double>hits / rounds
    finally:
        token_cache_free(&cache)
        free(spans)
        free(scratch)
