# delay: requests that a step holds back for a time. A heap by due time; the earliest one asks `io.wake` to be called then. Not
# the timer wheel: its buckets of 100 ms are ten times a delay of 10 ms. Must not know who delays or why.
#
# A delayed exchange is a suspended one like any other: its snapshot stays, and a drain waits for it as for every request in
# flight. But when its client leaves nobody has to wait for its time to come: exchange_abort takes it out.


cdef inline void delay_set(DelayQueue* q, uint32_t i, Delayed d) noexcept nogil:
    q.heap[i] = d
    d.x.delayed_at = i


cdef inline void delay_put(DelayQueue* q, uint32_t i, Delayed d) noexcept nogil:
    # From i upwards to where d belongs.
    cdef uint32_t up
    while i:
        up = (i - 1) // 2
        if q.heap[up].due <= d.due:
            break
        delay_set(q, i, q.heap[up])
        i = up
    delay_set(q, i, d)


cdef void delay_cut(DelayQueue* q, uint32_t i) noexcept nogil:
    # Takes the one at i off the heap.
    cdef uint32_t child = 2 * i + 1
    cdef Delayed last
    q.heap[i].x.delayed = 0
    q.heap[i].x.waiting = 0
    q.n -= 1
    if i == q.n:
        return
    last = q.heap[q.n]
    while child < q.n:
        if child + 1 < q.n and q.heap[child + 1].due < q.heap[child].due:
            child += 1
        if last.due <= q.heap[child].due:
            break
        delay_set(q, i, q.heap[child])
        i = child
        child = 2 * i + 1
    delay_put(q, i, last)


cdef void delay_end(Exchange* x) noexcept nogil:
    # It is not to be resumed any more.
    cdef DelayQueue* q = &x.loop.delays
    cdef bint first = x.delayed_at == 0
    delay_cut(q, x.delayed_at)
    if first and q.n:
        x.loop.io.wake(x.loop, q.heap[0].due)


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
    x.waiting = x.delayed = 1
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
        x = q.heap[0].x
        delay_cut(q, 0)
        exchange_resume(x, STEP_NEXT)
    if q.n:
        loop.io.wake(loop, q.heap[0].due)


cdef void delay_close(Loop* loop) noexcept nogil:
    # At the end, when every client's connection is closed, and so nobody is held back any more.
    cdef DelayQueue* q = &loop.delays
    free(q.heap)
    q.heap = NULL
    q.cap = 0
    if q.timer.fd >= 0:
        close(q.timer.fd)
        q.timer.fd = -1
