# Shapes of signatures that `cryptography` judges: see verify.pxi.
cdef enum:
    VERIFY_THREADS = 8          # per worker at most; started when there is work for them
    VERIFY_MOST = 1024          # signatures that wait or are being judged: half a second of the dearest algorithms
    VERIFY_BUCKETS = 1024       # where a signature under way is looked for; a power of two
    VERIFY_ROUNDS = 4           # suspensions of one exchange; what it asks beyond is judged on the loop

cdef enum VerifyAnswer:
    VERIFY_BAD
    VERIFY_GOOD
    VERIFY_LATER                # the exchange is suspended; the answer comes when its step is run again
    VERIFY_BUSY                 # too many wait

cdef struct VerifyJob:
    VerifyJob* next             # in its list
    VerifyJob* same             # in its bucket
    Exchange* waiting           # linked by verify_next
    PyObject* verifier          # borrowed: the snapshots of those who wait keep it
    uint64_t serial
    uint64_t tag                # hash of the signature's end
    uint32_t length             # of the signing input
    uint32_t signature          # length; its bytes follow the signing input
    bint good
    uint8_t bytes[8]            # and as many more as both take

cdef struct VerifyList:         # first in, first out
    VerifyJob* first
    VerifyJob* last

cdef struct Verifiers:          # one per worker
    uint32_t most_threads       # 0: everything is judged on the loop
    uint32_t n_threads
    uint32_t n_jobs             # under way; the loop's own count
    VerifyJob* buckets[VERIFY_BUCKETS]  # the loop's own
    Conn bell                   # CONN_VERIFIED: its descriptor says that there are answers
    pthread_t threads[VERIFY_THREADS]
    pthread_mutex_t lock        # of all below
    pthread_cond_t work
    VerifyList queue
    VerifyList done
    uint32_t n_queued
    uint32_t idle               # threads that wait, or were told and are not awake yet
    bint closing
