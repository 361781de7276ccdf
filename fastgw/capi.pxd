# fastgw's core for other Cython modules: `cimport fastgw.capi`, with fastgw.core.include_dir() among the include directories.
# Owns: what include/fastgw.h says, as Cython declares it.

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t


cdef extern from "fastgw.h":
    ctypedef struct FastgwLimiter:
        pass
    ctypedef struct FastgwVerifier:
        pass
    ctypedef struct FastgwDecision:
        int32_t allowed
        int32_t failed
        int64_t limit
        int64_t remaining
        uint64_t reset_ns
        uint64_t retry_after_ns
    ctypedef struct FastgwApi:
        uint32_t version
        uint32_t size
        const FastgwLimiter* (*limiter)(object) except NULL
        const FastgwVerifier* (*verifier)(object) except NULL
        void (*hit)(const FastgwLimiter*, const char* key, size_t n, uint64_t cost, FastgwDecision* said) noexcept nogil
        int (*verify)(
            const FastgwVerifier*, const char* token, size_t n, int64_t now, char* payload, size_t room, size_t* length
        ) noexcept nogil
        const char* (*reason)(int verdict) noexcept nogil
    const FastgwApi* fastgw_import() except NULL
