# Unpredictable bytes, kept in advance. Owned by a Loop, which no process shares with another: see random.pxi.

cdef enum:
    RANDOM_BYTES = 4096         # one getrandom per 256 UUIDs: 51 ns of it an id, where a call of its own costs over 250

cdef struct RandomPool:
    uint32_t left               # bytes not yet given out, at the front
    uint8_t bytes[RANDOM_BYTES]
