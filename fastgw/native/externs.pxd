# The outside world: libc only. No names of ours.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy, memmove, memset, strlen
from libc.stdlib cimport calloc, free, malloc, realloc
