# verify: signatures of the public-key algorithms, judged by `cryptography`: the quick ones at once, the dear ones by a few
# threads while the loop serves others.
#
# Owns: the threads, their queue, who waits for which answer. Must not know tokens' claims or credentials: an answer is noted in
# the exchange, and its step is run again from its beginning, so that everything else is judged on what holds by then.
#
# The loop does not hold the interpreter while it serves, so a thread that does, as long as a signature takes, is in nobody's way.
# A job's key is kept by the snapshots of the exchanges that wait for it: one whose client left is not released before the answer.

import sys as _sys


cdef double VERIFY_SWITCH_S = 0.0005    # how long the loop waits for the interpreter at most, beside one signature


cdef bint verify_ask(PyObject* verifier, const uint8_t* signed, size_t n, const uint8_t* signature, size_t m) noexcept with gil:
    try:
        return bool((<object>verifier)((<const char*>signed)[:n], (<const char*>signature)[:m]))
    except BaseException:
        return False            # a key that cannot judge a signature does not accept it


cdef inline void verify_append(VerifyList* list, VerifyJob* job) noexcept nogil:
    job.next = NULL
    if list.last != NULL:
        list.last.next = job
    else:
        list.first = job
    list.last = job


# -- the threads ---------------------------------------------------------------------------------------


cdef VerifyJob* verify_take(Verifiers* v) noexcept nogil:
    # The next one, when there is one; NULL: the end.
    cdef VerifyJob* job = NULL
    pthread_mutex_lock(&v.lock)
    v.idle += 1
    while v.queue.first == NULL and not v.closing:
        pthread_cond_wait(&v.work, &v.lock)
    v.idle -= 1
    if not v.closing:
        job = v.queue.first
        v.n_queued -= 1
        v.queue.first = job.next
        if job.next == NULL:
            v.queue.last = NULL
    pthread_mutex_unlock(&v.lock)
    return job


cdef void verify_tell(Verifiers* v, VerifyJob* job) noexcept nogil:
    cdef uint64_t one = 1
    cdef bint first
    pthread_mutex_lock(&v.lock)
    first = v.done.first == NULL
    verify_append(&v.done, job)
    pthread_mutex_unlock(&v.lock)
    if first:
        write(v.bell.fd, &one, sizeof(one))     # never full: the count would have to reach 2^64


cdef void* verify_work(void* p) noexcept with gil:
    # A thread's life. It has its place in the interpreter all the time, and holds it only to judge.
    cdef Verifiers* v = <Verifiers*>p
    cdef VerifyJob* job
    if _sys.getswitchinterval() > VERIFY_SWITCH_S:
        _sys.setswitchinterval(VERIFY_SWITCH_S)
    while True:
        with nogil:
            job = verify_take(v)
        if job == NULL:
            return NULL
        job.good = verify_ask(job.verifier, job.bytes, job.length, job.bytes + job.length, job.signature)
        with nogil:
            verify_tell(v, job)


# -- the loop ------------------------------------------------------------------------------------------


cdef int verify_init(Verifiers* v, Loop* loop, uint32_t threads) except -1:
    """threads: how many there may be, up to VERIFY_THREADS."""
    v.most_threads = min(threads, <uint32_t>VERIFY_THREADS)
    v.bell.loop = loop
    v.bell.kind = CONN_VERIFIED
    v.bell.fd = -1
    if pthread_mutex_init(&v.lock, NULL) != 0 or pthread_cond_init(&v.work, NULL) != 0:
        raise MemoryError
    return 0


cdef bint verify_hang_bell(Loop* loop, Verifiers* v) noexcept nogil:
    # Edge-triggered: each write is an edge, so it needs no read.
    cdef epoll_event e
    if v.bell.fd >= 0:
        return True
    v.bell.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
    if v.bell.fd < 0:
        return False
    e.events = EPOLLIN | EPOLLET
    e.data.ptr = &v.bell
    if epoll_ctl(loop.epfd, EPOLL_CTL_ADD, v.bell.fd, &e) != 0:
        close(v.bell.fd)
        v.bell.fd = -1
        return False
    return True


cdef VerifyJob** verify_find(
    Verifiers* v, uint64_t tag, uint64_t serial, const JwtToken* token
) noexcept nogil:
    # The link to the job of exactly this token and key, or to NULL where one would stand.
    cdef VerifyJob** link = &v.buckets[tag & (VERIFY_BUCKETS - 1)]
    cdef VerifyJob* job
    while link[0] != NULL:
        job = link[0]
        if (job.tag == tag and job.serial == serial and job.length == token.signing_input.length
                and job.signature == token.signature.length
                and memcmp(job.bytes, token.signing_input.at, job.length) == 0
                and memcmp(job.bytes + job.length, token.signature.at, job.signature) == 0):
            break
        link = &job.same
    return link


cdef VerifyJob* verify_job(const JwtToken* token, const VerifyKey* key, uint64_t tag) noexcept nogil:
    cdef size_t n = token.signing_input.length
    cdef size_t m = token.signature.length
    cdef VerifyJob* job = <VerifyJob*>malloc(sizeof(VerifyJob) + n + m)
    if job == NULL:
        return NULL
    job.same = NULL
    job.waiting = NULL
    job.verifier = key.verifier
    job.serial = key.serial
    job.tag = tag
    job.length = <uint32_t>n
    job.signature = <uint32_t>m
    job.good = False
    memcpy(job.bytes, token.signing_input.at, n)
    memcpy(job.bytes + n, token.signature.at, m)
    return job


cdef bint verify_queue(Loop* loop, VerifyJob* job) noexcept nogil:
    # False: there is no thread, and none can be had.
    cdef Verifiers* v = loop.verifiers
    cdef bint more
    if not verify_hang_bell(loop, v):
        return False
    pthread_mutex_lock(&v.lock)
    more = v.n_queued >= v.idle and v.n_threads < v.most_threads
    pthread_mutex_unlock(&v.lock)
    if more and pthread_create(&v.threads[v.n_threads], NULL, verify_work, v) == 0:
        v.n_threads += 1
    if v.n_threads == 0:
        return False
    pthread_mutex_lock(&v.lock)
    verify_append(&v.queue, job)
    v.n_queued += 1
    pthread_cond_signal(&v.work)
    pthread_mutex_unlock(&v.lock)
    return True


cdef int verify_signature(Exchange* x, const JwtToken* token, const VerifyKey* key) noexcept nogil:
    """A VerifyAnswer. VERIFY_LATER: the step must end with STEP_AGAIN, and meets the answer when it asks the same again."""
    cdef Loop* loop = x.loop
    cdef Verifiers* v = loop.verifiers
    cdef siphash_state s
    cdef uint64_t tag, hi
    cdef size_t tail
    cdef VerifyJob** link
    cdef VerifyJob* job
    if (x.verify_rounds and x.verified.serial == key.serial and x.verified.at == token.signing_input.at
            and x.verified.length == token.signing_input.length and x.verified.signature == token.signature.length):
        return VERIFY_GOOD if x.verified.good else VERIFY_BAD
    # While a thread may hold the interpreter, a quick one would have to wait for it here: then it waits with the others.
    if v.most_threads and x.verify_rounds < VERIFY_ROUNDS and (v.n_jobs or not key.quick):
        tail = min(token.signature.length, <size_t>TOKEN_TAIL)
        siphash_start(&s, loop.tokens.seed[0], loop.tokens.seed[1])
        siphash_end(&s, token.signature.at + token.signature.length - tail, tail, &tag, &hi)
        link = verify_find(v, tag, key.serial, token)
        job = link[0]
        if job == NULL:
            if v.n_jobs >= VERIFY_MOST:
                return VERIFY_BUSY
            job = verify_job(token, key, tag)
            if job == NULL:
                return VERIFY_BUSY
            if verify_queue(loop, job):
                link[0] = job
                v.n_jobs += 1
            else:
                free(job)
                job = NULL
        if job != NULL:
            x.verify_rounds += 1
            x.verified.serial = 0
            x.verified.at = token.signing_input.at
            x.verify_next = job.waiting
            job.waiting = x
            x.waiting = 1
            return VERIFY_LATER
    return VERIFY_GOOD if verify_ask(
        key.verifier, token.signing_input.at, token.signing_input.length, token.signature.at, token.signature.length
    ) else VERIFY_BAD


cdef VerifyJob* verify_answers(Verifiers* v) noexcept nogil:
    cdef VerifyJob* job
    pthread_mutex_lock(&v.lock)
    job = v.done.first
    v.done.first = v.done.last = NULL
    pthread_mutex_unlock(&v.lock)
    return job


cdef void verify_run(Loop* loop) noexcept nogil:
    # Resumes those whose answers have come.
    cdef Verifiers* v = loop.verifiers
    cdef VerifyJob* job = verify_answers(v)
    cdef VerifyJob* following
    cdef VerifyJob** link
    cdef Exchange* x
    cdef Exchange* after
    while job != NULL:
        following = job.next
        link = &v.buckets[job.tag & (VERIFY_BUCKETS - 1)]
        while link[0] != job:
            link = &link[0].same
        link[0] = job.same
        v.n_jobs -= 1
        x = job.waiting
        while x != NULL:
            after = x.verify_next
            x.verified.serial = job.serial
            x.verified.length = job.length
            x.verified.signature = job.signature
            x.verified.good = job.good
            x.waiting = 0
            exchange_resume(x, STEP_NEXT)
            x = after
        free(job)
        job = following


cdef void verify_drop(VerifyJob* job) noexcept nogil:
    cdef VerifyJob* following
    cdef Exchange* x
    cdef Exchange* after
    while job != NULL:
        following = job.next
        x = job.waiting
        while x != NULL:
            after = x.verify_next
            exchange_release(x)
            x = after
        free(job)
        job = following


cdef void verify_close(Loop* loop) noexcept nogil:
    # At the end, when every client's connection is closed: waits for the threads, lets go of what is still under way.
    cdef Verifiers* v = loop.verifiers
    cdef uint32_t i
    pthread_mutex_lock(&v.lock)
    v.closing = True
    pthread_cond_broadcast(&v.work)
    pthread_mutex_unlock(&v.lock)
    for i in range(v.n_threads):
        pthread_join(v.threads[i], NULL)
    v.n_threads = v.most_threads = 0
    verify_drop(v.queue.first)
    verify_drop(v.done.first)
    v.queue.first = v.queue.last = v.done.first = v.done.last = NULL
    v.n_jobs = v.n_queued = 0
    memset(v.buckets, 0, sizeof(v.buckets))
    if v.bell.fd >= 0:
        close(v.bell.fd)
        v.bell.fd = -1
