# overrun: see overrun.pxd. Owns: the thread, what it takes for too long. Must not know plugins, requests, or what is raised.
#
# A method's call costs two stores and a look. The thread never holds the interpreter: it reads one word some eight times in
# the time allowed, and nothing at all once no plugin is asked any more. A signal, and not PyThreadState_SetAsyncExc: it also ends
# what blocks in the kernel (sleep, sockets, locks, subprocesses), where the interpreter looks after signals on EINTR (PEP 475).
# It comes again as long as the method runs on, for one that has caught it. Time in which other programs kept the worker from
# running is not the method's.


cdef extern from "<unistd.h>" nogil:
    long syscall(long number, ...)
    ssize_t read(int fd, void* buf, size_t n)
    int getpid()

cdef extern from "<sys/syscall.h>" nogil:
    long SYS_tgkill, SYS_gettid

cdef extern from "<time.h>" nogil:
    int nanosleep(const timespec* wanted, timespec* left)

cdef extern from "<fcntl.h>" nogil:
    int open_file "open" (const char* path, int flags)
    int O_RDONLY


cdef inline void overrun_begin(Overrun* o, bint first) noexcept nogil:
    cdef uint64_t serial = o.serial + 1
    if o.period_ns == 0:
        return
    if first:
        at_store_relaxed(&o.patient, serial)
    at_store(&o.serial, serial)     # before the look: either this one sees it asleep, or it sees this (Dekker)
    if at_load_relaxed(&o.asleep):
        overrun_wake(o)


cdef inline void overrun_end(Overrun* o) noexcept nogil:
    if o.serial & 1:
        at_store_relaxed(&o.serial, o.serial + 1)


cdef inline bint overrun_is(const Overrun* o) noexcept nogil:
    # Whether the method that runs now is the one that was to end; asked where the signal arrives, which may be later.
    return (o.serial & 1) and at_load(&o.fired) == o.serial


cdef void overrun_wake(Overrun* o) noexcept nogil:
    pthread_mutex_lock(&o.lock)
    at_store(&o.asleep, 0)
    pthread_cond_signal(&o.work)
    pthread_mutex_unlock(&o.lock)


cdef void overrun_sleep(Overrun* o) noexcept nogil:
    pthread_mutex_lock(&o.lock)
    at_store(&o.asleep, 1)
    while at_load(&o.asleep) and not at_load(&o.serial) & 1 and not at_load(&o.closing):
        pthread_cond_wait(&o.work, &o.lock)
    at_store(&o.asleep, 0)
    pthread_mutex_unlock(&o.lock)


cdef uint64_t overrun_kept_from(const Overrun* o) noexcept nogil:
    # ns for which the worker's thread was ready and others ran: the second number of its schedstat. 0 where nobody says.
    cdef char text[96]
    cdef uint64_t value = 0
    cdef ssize_t n, i = 0
    cdef int fd = open_file(o.waits, O_RDONLY | O_CLOEXEC)
    if fd < 0:
        return 0
    n = read(fd, text, sizeof(text))
    close(fd)
    while i < n and text[i] != c" ":
        i += 1
    i += 1
    while i < n and c"0" <= text[i] <= c"9":
        value = value * 10 + <uint64_t>(text[i] - c"0")
        i += 1
    return value


cdef inline uint64_t overrun_clock() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <uint64_t>t.tv_sec * 1000000000 + <uint64_t>t.tv_nsec


cdef void* overrun_watch(void* p) noexcept nogil:
    cdef Overrun* o = <Overrun*>p
    cdef uint64_t seen = 0
    cdef uint64_t serial, took, most
    cdef uint64_t since = 0, kept = 0
    cdef uint64_t idle = 0
    cdef timespec period
    period.tv_sec = <long>(o.period_ns // 1000000000)
    period.tv_nsec = <long>(o.period_ns % 1000000000)
    while not at_load(&o.closing):
        nanosleep(&period, NULL)
        serial = at_load(&o.serial)
        if not serial & 1:
            idle += 1
            if idle >= OVERRUN_IDLE:
                overrun_sleep(o)
                idle = 0
            continue
        idle = 0
        if serial != seen:
            seen = serial
            since = 0
            continue
        if since == 0:          # seen twice: it is no short one
            since = overrun_clock()
            kept = overrun_kept_from(o)
        most = o.most_ns * (OVERRUN_FIRST if at_load(&o.patient) == serial else 1)
        took = overrun_clock() - since
        if took < most or took < most + overrun_kept_from(o) - kept or at_load(&o.serial) != serial:
            continue
        at_store(&o.fired, serial)
        syscall(SYS_tgkill, getpid(), o.tid, o.signum)
        since = 0
    return NULL


cdef int overrun_start(Overrun* o, double seconds, int signum) except -1:
    # For the calling thread, once. From then on a method that runs for longer is told to end.
    cdef bytes path
    if o.period_ns:
        raise RuntimeError("overrun: expected one thread, found another one at it")
    o.tid = <int>syscall(SYS_gettid)
    o.signum = signum
    path = f"/proc/self/task/{o.tid}/schedstat".encode()
    memcpy(o.waits, <const char*>path, len(path) + 1)
    if pthread_mutex_init(&o.lock, NULL) != 0 or pthread_cond_init(&o.work, NULL) != 0:
        raise MemoryError
    o.period_ns = min(max(<uint64_t>(seconds * 1e9 / OVERRUN_POLLS), <uint64_t>1000000), <uint64_t>OVERRUN_LONGEST_NS)
    o.most_ns = <uint64_t>(seconds * 1e9)
    if pthread_create(&o.thread, NULL, overrun_watch, o) != 0:
        o.period_ns = 0
        raise OSError(errno, "a thread cannot be started")
    return 0


cdef void overrun_stop(Overrun* o) noexcept nogil:
    if o.period_ns == 0:
        return
    at_store(&o.closing, 1)
    overrun_wake(o)
    pthread_join(o.thread, NULL)
    o.period_ns = 0


# -- test hook -----------------------------------------------------------------------------------------


cdef class _test_Overrun:
    """The watch over the calling thread, without plugins."""
    cdef Overrun o

    def __init__(self, double seconds, int signum):
        overrun_start(&self.o, seconds, signum)

    def begin(self, bint first=False):
        overrun_begin(&self.o, first)

    def end(self):
        overrun_end(&self.o)

    def told(self):
        return overrun_is(&self.o)

    def asleep(self):
        return bool(at_load(&self.o.asleep))

    def close(self):
        with nogil:
            overrun_stop(&self.o)

    def __dealloc__(self):
        with nogil:
            overrun_stop(&self.o)
