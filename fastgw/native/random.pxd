# Unpredictable bytes, kept in advance. Owned by a Loop, which no process shares with another: see random.pxi.

cdef enum:
    RANDOM_BYTES = 4096         # one getrandom per 256 UUIDs; measured: 40 ns an id instead of 300

cdef struct RandomPool:
    uint32_t left               # bytes not yet given out, at the front
    uint8_t bytes[RANDOM_BYTES]
