# auth: how a step that says who a request comes from ends: with a consumer, or with one refusal. Where a credential lies and how
# it is proved is the business of the steps below.

cdef struct AuthConf:
    const char* challenge       # the WWW-Authenticate line
    uint32_t challenge_len
    bint fallback               # anonymous_consumer is given
    CredentialC* anonymous      # NULL where there is no consumer of that name: refuse


cdef void auth_set(AuthConf* c, bytes challenge, Credential anonymous, bint fallback):
    # The caller keeps both alive.
    c.challenge = challenge
    c.challenge_len = <uint32_t>len(challenge)
    c.fallback = fallback
    if anonymous is not None:
        c.anonymous = &anonymous.c


cdef inline bint auth_revoked(const Exchange* x, const CredentialC* credential, int64_t issued) noexcept nogil:
    """Whether the credential, or what it was issued at that time, is revoked. REV_NEVER: there is no telling when."""
    cdef const RevTable* t = x.loop.revoked
    return (rev_any_of(t, REV_CREDENTIAL) and rev_marked(t, credential.revoked.mark)
            and rev_holds(t, &credential.revoked, issued, x.loop.wall))


cdef inline int auth_pass(Exchange* x, CredentialC* credential) noexcept nogil:
    x.credential = credential
    x.consumer = credential.consumer
    return STEP_NEXT


cdef int auth_refuse(Exchange* x, const AuthConf* c, const char* message, const char* reason) noexcept nogil:
    if c.anonymous != NULL:
        return auth_pass(x, c.anonymous)
    if c.fallback:
        message = "Invalid user authorization"
    buf_put(&x.down_extra, c.challenge, c.challenge_len)
    reply_message(x, 401, message, reason)
    return STEP_REPLY
