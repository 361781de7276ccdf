# Samples of what limits are asked, one ring per process slot. See hot.pxi.

cdef enum:
    HOT_EVERY = 32              # hits per sample, where there are many
    HOT_SPACING_MS = 10         # between samples, where there are few: 100 in a second cost nothing
    HOT_LOOK_BACK = 8           # samples by which that is judged: those of one request are at one moment
    HOT_ENTRIES = 128           # of a ring: a tenth of a second at 40,000 hits per second, more than one where each is sampled
    HOT_IDENTITY = 96           # bytes kept; the longest of a plugin on an object has 92
    HOT_KEY = 56

cdef struct HotEntry:           # three cache lines
    uint64_t turn               # odd while it is written
    uint64_t time_ms            # CLOCK_MONOTONIC; 0: never written
    uint64_t fp                 # of the identity and the whole key
    uint64_t refused
    uint32_t hits               # how many it stands for
    uint8_t identity_len        # bytes of it that are here
    uint8_t key_len
    uint8_t cut                 # there are more of one of them
    uint8_t pad
    char identity[HOT_IDENTITY]
    char key[HOT_KEY]

cdef struct HotRing:            # a process's own view; it alone writes the entries
    HotEntry* entries
    uint32_t at                 # where the next sample goes
    uint32_t left               # hits until it
    uint32_t gap                # what that was at first
    uint32_t random
    const void* who             # the limit that the last one is of
