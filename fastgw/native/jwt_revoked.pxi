# jwt_revoked: whether a token is revoked: by its jti, its sub, the credential that it proves, or with all tokens. Must not know
# how a token is found or verified, nor how the table is kept (revoked).
#
# A remembered token knows the marks of its subjects and not their texts. So it can be told to be suspect, and is then verified
# afresh, with its texts at hand; the marks of no revoked subject are those of a good token but once in 2^64. All this is asked
# where anything is revoked at all (rev_any); before, nobody looks for the subjects of tokens.

cdef inline void token_subjects(const RevTable* t, const JwtToken* token, RevSubjects* s) noexcept nogil:
    # Of a token whose subjects were looked for.
    s.jti = REV_FREE
    s.sub = REV_FREE
    if token.jti.at != NULL:
        s.jti = rev_mark(t.seed, REV_JTI, <const char*>token.jti.at, token.jti.length)
    if token.sub.at != NULL:
        s.sub = rev_mark(t.seed, REV_SUB, <const char*>token.sub.at, token.sub.length)
    s.issued = token.iat.seconds if token.iat.state == JWT_TIME_GOOD else REV_NEVER


cdef inline bint subject_suspect(const RevTable* t, int kind, uint64_t mark) noexcept nogil:
    return mark != REV_FREE and rev_any_of(t, kind) and rev_marked(t, mark)


cdef inline bint token_suspect(const RevTable* t, const RevSubjects* s) noexcept nogil:
    """Whether its jti or its sub may be revoked: False is certain."""
    return subject_suspect(t, REV_JTI, s.jti) or subject_suspect(t, REV_SUB, s.sub)


cdef bint text_revoked(
    const RevTable* t, int kind, uint64_t mark, const JwtSpan* text, int64_t issued, int64_t now
) noexcept nogil:
    cdef RevName name
    name.mark = mark
    rev_fingerprint(t.seed, kind, <const char*>text.at, text.length, name.fingerprint)
    return rev_holds(t, &name, issued, now)


cdef inline bint token_revoked(const RevTable* t, const JwtToken* token, const RevSubjects* s, int64_t now) noexcept nogil:
    """Whether its jti or its sub is revoked."""
    if subject_suspect(t, REV_JTI, s.jti) and text_revoked(t, REV_JTI, s.jti, &token.jti, s.issued, now):
        return True
    return subject_suspect(t, REV_SUB, s.sub) and text_revoked(t, REV_SUB, s.sub, &token.sub, s.issued, now)


cdef inline bint all_revoked(const RevTable* t, int64_t issued, int64_t now) noexcept nogil:
    """Whether all tokens issued then are."""
    return rev_any_of(t, REV_ALL) and rev_holds(t, &t.everything, issued, now)
