# What Python plugins do and cost, by name, in shared memory. Names are claimed once and stay: a plugin's number in the chain
# changes when plugins are read anew, and processes of before and after count side by side. Of each slot only its process writes.

cdef enum:
    PLUGIN_PLACES = 64          # names; one bit each in a Request's mask
    PLUGIN_NAME = 64            # bytes, as judge.py has them at most
    PLUGIN_BUCKETS = 28         # of latency: below 1 µs, 2 µs, 4 µs … 2^26 µs, and above

cdef enum PluginNameState:
    PLUGIN_FREE = 0
    PLUGIN_CLAIMED = 1          # being written; its process may have died of it: passed over
    PLUGIN_NAMED = 2

cdef struct PluginName:
    uint64_t state              # PluginNameState
    uint64_t length
    char text[PLUGIN_NAME]
    uint64_t reserved[6]

cdef struct PluginBlock:        # of one plugin in one slot
    uint64_t calls
    uint64_t failures           # what it raised, nonsense that it returned
    uint64_t timeouts           # it was cut off
    uint64_t held_ns            # for which it held up the worker
    uint64_t latency_ns         # its methods from call to verdict, waiting included
    uint64_t kept               # requests that were over and that something still referred to
    uint64_t let_go             # of these
    uint64_t reserved[5]
    uint64_t latency[PLUGIN_BUCKETS]
