# What tests and benches see of the table of what is revoked; nothing here runs in a request.


def _bench_revoked(Region region not None, list tokens not None, Credential credential not None, size_t rounds):
    """(nanoseconds for what jwt-auth asks of the table about a remembered token, share of those found revoked), on the
    tokens in turn: (jti, sub) as bytes, issued at 1."""
    cdef const RevTable* t = region.revoked_table()
    cdef size_t n = len(tokens)
    cdef size_t i, at = 0, found = 0
    cdef JwtToken token
    cdef RevSubjects* subjects = <RevSubjects*>malloc((n or 1) * sizeof(RevSubjects))
    cdef Exchange* x = <Exchange*>calloc(1, sizeof(Exchange))
    cdef Loop* loop = <Loop*>calloc(1, sizeof(Loop))
    cdef bytes jti, sub
    try:
        if subjects == NULL or x == NULL or loop == NULL:
            raise MemoryError
        if n == 0 or rounds < 1:
            raise ValueError(f"tokens, rounds: expected at least 1 each, found {n} and {rounds}")
        x.loop = loop
        loop.revoked = t
        memset(&token, 0, sizeof(token))
        token.iat.state = JWT_TIME_GOOD
        token.iat.seconds = 1
        for i in range(n):
            jti, sub = tokens[i]
            token.jti.at = <const uint8_t*>jti
            token.jti.length = len(jti)
            token.sub.at = <const uint8_t*>sub
            token.sub.length = len(sub)
            token_subjects(t, &token, &subjects[i])
        started = perf_counter_ns()
        with nogil:
            for i in range(rounds):
                found += rev_any(t) and (
                    token_suspect(t, &subjects[at]) or jwt_disowned(x, &credential.c, subjects[at].issued))
                at = at + 1 if at + 1 < n else 0
        return (perf_counter_ns() - started) / rounds, <double>found / rounds
    finally:
        free(subjects)
        free(x)
        free(loop)


def _test_marks(Revocations table not None):
    """The mark of every place."""
    return [at_load(&table.table.marks[i]) for i in range(table.table.mask + 1)]
