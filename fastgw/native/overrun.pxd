# How long a Python plugin may hold up its worker: a thread that sees when one method runs for too long, and tells the
# interpreter, by a signal, to cut it off.

cdef enum:
    OVERRUN_POLLS = 8           # looks at least in the time that a method may take
    OVERRUN_LONGEST_NS = 50000000   # between two: the end of the process waits for the next one
    OVERRUN_IDLE = 64           # looks at which nothing ran, then the thread sleeps until something does
    OVERRUN_FIRST = 20          # times as long may the first call of a step take: what it imports and connects to is then there

cdef struct Overrun:
    uint64_t serial             # odd while a method runs; only the worker's thread writes
    uint64_t patient            # the serial of a first call
    uint64_t fired              # the serial that was told to end
    uint64_t asleep             # the thread is
    uint64_t closing
    uint64_t period_ns          # between two looks; 0: there is no thread
    uint64_t most_ns            # that a method may take
    int tid                     # whom the signal goes to
    int signum
    char waits[64]              # the file that says how long that thread was kept from running
    pthread_t thread
    pthread_mutex_t lock
    pthread_cond_t work
