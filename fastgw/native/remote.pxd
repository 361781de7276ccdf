# Counts that a store outside this machine's memory keeps: see remote.pxi.

ctypedef int (*remote_fn)(Exchange* x, const void* conf, const RemoteHit* hit, const LimResult* r) noexcept nogil

cdef enum RemoteAlgorithm:
    REMOTE_FIXED = 0
    REMOTE_BUCKET
    REMOTE_SLIDING
    REMOTE_LEAKY                # a bucket whose requests wait for their turn
    REMOTE_SLOTS                # how many run at once; cost: the place of the one that asks, window: how long a node is believed

cdef enum RemoteVerdict:
    REMOTE_KNOWN                # the result is there
    REMOTE_LATER                # the exchange is suspended; remote_fn has the rest of it
    REMOTE_OPEN                 # nobody can tell, and its owner would rather let it pass

cdef struct RemoteHit:          # what is counted, by which limit
    LimKey key
    uint8_t algorithm
    uint64_t count
    uint64_t burst
    uint64_t window_ns
    uint64_t cost

cdef struct RemoteLimit:        # of one step: where it counts
    RemoteC* store
    uint64_t sync_ns            # 0: the store is asked of each request
    bint open_without           # lets requests pass while the store is away

cdef struct RemoteAsk:          # one question
    RemoteHit hit
    Exchange* x                 # who waits for the answer; NULL: nobody, the count is minded
    remote_fn then              # what goes on with the result, with conf
    const void* conf
    uint64_t sync_ns
    uint64_t asked_ms           # when it was sent; of a count that is minded, when it is due
    uint64_t lease              # what was left of the lease then
    uint64_t give               # of the lease, what goes back
    uint32_t text               # of the key, in the queue's texts
    uint32_t text_len
    bint leases                 # a lease is welcome
    bint open_without
    bint told                   # answered
    bint reports                # only says what was taken

cdef struct RemoteQueue:
    RemoteAsk* asks
    uint32_t n
    uint32_t cap
    Buf texts

cdef struct RemoteC:            # one store, as one worker has it
    PyObject* owner             # the RemoteStore; borrowed
    LimTable* table
    bint away                   # it is not asked: counts are judged here
    uint32_t nodes              # that share its counts
    uint32_t rank               # of this one among them
    uint32_t flying             # batches that were sent and not answered
    bint pending                # on the loop's list
    RemoteC* next_pending
    RemoteQueue asked           # what is to be sent
    RemoteQueue minded          # counts with a lease, or of which the store does not know all that was taken
    Buf text                    # scratch

cdef class RemoteStore:
    cdef RemoteC c
    cdef set batches            # that are under way
    cdef public bytes name      # what tells it from other stores
    cdef object __weakref__
    cdef LimKey place(self) noexcept
    cdef int fly(self, reactor) except -1
    cdef int give_up(self) except -1

cdef class RemoteBatch:
    cdef RemoteStore store
    cdef object reactor         # whose exchanges wait; None: nobody's do
    cdef RemoteQueue asked
    cdef int clock(self) except -1
    cdef int after(self) except -1
    cdef int drop(self, RemoteQueue* q) except -1
