# jwt_keyring: the keys that a credential's tokens are verified by: one, or a ring of them out of which the token's kid chooses,
# so that an old key and a new one hold side by side while issuers change over.
#
# Owns: what a secret is made into, the choice of a key, the time in which a key is in force. Must not know
# requests, nor where keys come from. The algorithm is the key's own, never the token's.

cdef uint64_t secret_serial     # of the SecretKey, or of a ring's last key, made last


cdef class SecretKey:
    """What a secret was made into: midstates for HMAC, or a Python verifier for the other algorithms.

    `algorithm`: "HS256" … "EdDSA". `secret`: the HMAC key's bytes. `verifier(signing_input, signature) -> bool` serves the
    public-key algorithms; `quick`: it is asked at once, and not by another thread.
    """
    cdef VerifyKey key
    cdef HmacKey hmac           # right behind the key: both are asked for at once
    cdef readonly str algorithm
    cdef object verifier

    def __cinit__(self, str algorithm not None, bytes secret=b"", verifier=None, *, bint quick=False):
        global secret_serial
        cdef bytes name = algorithm.encode()
        secret_serial += 1
        self.key.serial = secret_serial
        self.algorithm = algorithm
        self.verifier = verifier
        self.key.alg = jwt_alg_id(<const uint8_t*><const char*>name, len(name))
        if self.key.alg == JWT_ALG_OTHER:
            raise ValueError(f"algorithm: unknown {algorithm!r}")
        if jwt_hmac_alg(self.key.alg):
            if not secret:
                raise ValueError(f"secret: {algorithm} needs one")
            hmac_key_init(&self.hmac, jwt_hmac_alg(self.key.alg), <const uint8_t*><const char*>secret, len(secret))
            self.key.hmac = &self.hmac
        elif verifier is None:
            raise ValueError(f"verifier: {algorithm} needs one")
        self.key.verifier = <PyObject*>self.verifier
        self.key.quick = quick

    def __dealloc__(self):
        sha2_wipe(&self.hmac, sizeof(self.hmac))


cdef class KeyRing:
    """Keys by the name that tokens call them by in `kid`; immutable. Other keys are another credential, in the next snapshot:
    the one that a request runs on keeps the keys that a thread may judge it by.

    `keys`: sequence of (kid, SecretKey, not_before, expires): seconds of the wall clock, in force from the one and before the
    other; None: no bound. Without keys every token is refused. `ask`: the number by which a token with an unknown kid has the set
    fetched anew, see Reactor.ask_by; 0: it does not.
    """

    def __cinit__(self, keys, uint64_t ask=0):
        global secret_serial
        cdef RingKeyC* one
        cdef SecretKey key
        cdef bytes kid
        keys = list(keys)
        if len(keys) > RING_KEYS_MAX:
            raise ValueError(f"keys: expected at most {RING_KEYS_MAX}, found {len(keys)}")
        if len({kid for kid, _, _, _ in keys}) != len(keys):
            raise ValueError("keys: expected each kid once")
        self.held = keys
        self.c.keys = <RingKeyC*>calloc(len(keys) or 1, sizeof(RingKeyC))
        if self.c.keys == NULL:
            raise MemoryError
        for kid, key, not_before, expires in keys:
            if kid is None or key is None:
                raise TypeError("keys: expected a kid and a SecretKey each, found None")
            if not 0 < len(kid) <= KID_BYTES_MAX:
                raise ValueError(f"kid: expected 1 to {KID_BYTES_MAX} bytes, found {len(kid)}")
            one = &self.c.keys[self.c.n]
            one.kid = kid
            one.kid_len = <uint32_t>len(kid)
            one.key = &key.key
            one.not_before = -INT64_MAX if not_before is None else not_before
            one.expires = INT64_MAX if expires is None else expires
            self.c.n += 1
        self.c.ask = ask
        self.c.serial = secret_serial + 1
        secret_serial += self.c.n

    def __len__(self):
        return self.c.n

    def __dealloc__(self):
        free(self.c.keys)


cdef inline bint ring_key_holds(const RingKeyC* key, int64_t now) noexcept nogil:
    return key.not_before <= now < key.expires


cdef int keyring_choose(
    const CredentialC* c, const JwtToken* token, int64_t now, const VerifyKey** key, uint64_t* serial
) noexcept nogil:
    # The key that a token names, of a credential with a ring. One that names none gets the credential's own key, or the only
    # one of the ring: there is no choice to make. Trying several would let a token be judged by a key its issuer gave up.
    cdef const KeyRingC* ring = c.ring
    cdef uint32_t i = 0
    if token.kid.at == NULL:
        if c.secret != NULL:
            key[0] = c.secret
            serial[0] = c.secret.serial
            return JWT_OK
        if ring.n != 1:
            return JWT_NO_KID
    else:
        while i < ring.n and not (ring.keys[i].kid_len == token.kid.length
                                  and memcmp(ring.keys[i].kid, token.kid.at, token.kid.length) == 0):
            i += 1
        if i == ring.n:
            return JWT_UNKNOWN_KID
    if not ring_key_holds(&ring.keys[i], now):
        return JWT_KEY_NOT_IN_FORCE
    key[0] = ring.keys[i].key
    serial[0] = ring.serial + i
    return JWT_OK


cdef void keyring_ask(Loop* loop, KeyRingC* ring) noexcept nogil:
    # No key has the name that a token gives: if the set is one that is fetched, it may have come meanwhile. Anybody can make such
    # tokens, so this must be cheap, and what is asked too often is not even sent. Nor is what finds the pipe full.
    if ring.ask == 0 or loop.ask_fd < 0 or (ring.asked_ms and loop.now_ms - ring.asked_ms < RING_ASK_MS):
        return
    ring.asked_ms = loop.now_ms
    write(loop.ask_fd, &ring.ask, sizeof(ring.ask))


cdef inline bint keyring_holds(const CredentialC* c, uint64_t serial, int64_t now) noexcept nogil:
    # Whether a signature that this key found good is good still. A key is told by its serial, which no other ever bears, and not
    # by its address, which another may get. A ring gives its keys serials of its own: in another ring a token may mean another.
    cdef uint64_t i
    if c.secret != NULL and c.secret.serial == serial:
        return True
    if c.ring == NULL:
        return False
    i = serial - c.ring.serial
    return i < c.ring.n and ring_key_holds(&c.ring.keys[i], now)
