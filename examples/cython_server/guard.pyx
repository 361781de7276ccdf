# cython: language_level=3
# The hot part of a server that is written in Cython: a limit and a token judged without the interpreter, by fastgw's C API.

from libc.stdint cimport int64_t
from fastgw.capi cimport FastgwApi, FastgwDecision, FastgwLimiter, FastgwVerifier, fastgw_import

import fastgw.core

cdef const FastgwApi* api = fastgw_import()


cdef class Guard:
    """Who may go on: `limiter` is a fastgw.core.Limiter, `verifier` a fastgw.core.JWTVerifier of shared secrets."""
    cdef object held
    cdef const FastgwLimiter* limiter
    cdef const FastgwVerifier* verifier

    def __init__(self, limiter, verifier):
        self.held = (limiter, verifier)     # the handles live as long as these
        self.limiter = api.limiter(limiter)
        self.verifier = api.verifier(verifier)

    cdef int judge(self, const char* key, size_t n, const char* token, size_t m, int64_t now) noexcept nogil:
        # 200, 401 or 429; what a server's loop in C would call for each request.
        cdef FastgwDecision said
        cdef char payload[4096]
        cdef size_t length
        if api.verify(self.verifier, token, m, now, payload, sizeof(payload), &length) != 0:
            return 401
        api.hit(self.limiter, key, n, 1, &said)
        return 200 if said.allowed else 429

    def ask(self, bytes key not None, bytes token not None, int64_t now):
        cdef const char* k = key
        cdef const char* t = token
        cdef size_t n = len(key)
        cdef size_t m = len(token)
        cdef int status
        with nogil:
            status = self.judge(k, n, t, m, now)
        return status

    def payload(self, bytes token not None, int64_t now):
        """The claims' JSON, or why there are none."""
        cdef char payload[4096]
        cdef size_t length = 0
        cdef int verdict = api.verify(self.verifier, token, len(token), now, payload, sizeof(payload), &length)
        return payload[:min(length, sizeof(payload))] if verdict == 0 else api.reason(verdict).decode()
