# delay: requests that a step holds back for a time. A heap by due time; the earliest one asks `io.wake` to be called then. Not
# the timer wheel: its buckets of 100 ms are ten times a delay of 10 ms. Must not know who delays or why.
#
# A delayed exchange is a suspended one like any other: its snapshot stays, its client may leave (then exchange_abort has ended
# it and only its memory waits for the time to come), and a drain waits for it as for every request in flight.


cdef inline void delay_put(DelayQueue* q, uint32_t i, Delayed d) noexcept nogil:
    # From i upwards to where d belongs.
    cdef uint32_t up
    while i:
        up = (i - 1) // 2
        if q.heap[up].due <= d.due:
            break
        q.heap[i] = q.heap[up]
        i = up
    q.heap[i] = d


cdef Exchange* delay_take(DelayQueue* q) noexcept nogil:
    # The earliest one, off the heap.
    cdef Exchange* x = q.heap[0].x
    cdef Delayed last
    cdef uint32_t i = 0
    cdef uint32_t child = 1
    q.n -= 1
    last = q.heap[q.n]
    while child < q.n:
        if child + 1 < q.n and q.heap[child + 1].due < q.heap[child].due:
            child += 1
        if last.due <= q.heap[child].due:
            break
        q.heap[i] = q.heap[child]
        i = child
        child = 2 * i + 1
    q.heap[i] = last
    return x


cdef int delay_start(Exchange* x, uint64_t ns) noexcept nogil:
    # The caller suspends x (STEP_WAIT); the chain goes on in `ns` from now. -1: no memory, x is not delayed.
    cdef DelayQueue* q = &x.loop.delays
    cdef Delayed* grown
    cdef Delayed d
    if q.n == q.cap:
        grown = <Delayed*>realloc(q.heap, (2 * q.cap + 64) * sizeof(Delayed))
        if grown == NULL:
            return -1
        q.heap = grown
        q.cap = 2 * q.cap + 64
    d.due = x.loop.now_ns + ns
    d.x = x
    q.n += 1
    delay_put(q, q.n - 1, d)
    x.waiting = 1
    if q.heap[0].x == x:
        x.loop.io.wake(x.loop, d.due)
    return 0


cdef void delay_run(Loop* loop) noexcept nogil:
    # Resumes those whose time has come.
    cdef DelayQueue* q = &loop.delays
    cdef Exchange* x
    if q.n == 0 or q.heap[0].due > loop.now_ns:
        return
    while q.n and q.heap[0].due <= loop.now_ns:
        x = delay_take(q)
        x.waiting = 0
        exchange_resume(x, STEP_NEXT)
    if q.n:
        loop.io.wake(loop, q.heap[0].due)


cdef void delay_close(Loop* loop) noexcept nogil:
    # At the end, when every client's connection is closed: lets go of what is still held back.
    cdef DelayQueue* q = &loop.delays
    while q.n:
        exchange_release(delay_take(q))
    free(q.heap)
    q.heap = NULL
    q.cap = 0
    if q.timer.fd >= 0:
        close(q.timer.fd)
        q.timer.fd = -1
