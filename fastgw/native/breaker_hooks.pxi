# breaker_hooks: the breaker room as tests call it.


cdef class _TestBreaker:
    """A breaker's state by key on a table, for tests."""
    cdef Region region
    cdef BreakerConf conf

    def __init__(self, Region region not None, *, unsigned long long failures, unsigned long long successes,
                 unsigned long long max_s):
        self.region = region
        breaker_set(&self.conf, failures, successes, max_s)

    cdef LimKey key_of(self, bytes key) except *:
        cdef LimKey k
        lim_key(&self.region.table, NULL, 0, <const uint8_t*><const char*>key, len(key), &k)
        return k

    def open(self, bytes key not None, uint64_t now_ms) -> bool:
        cdef LimKey k = self.key_of(key)
        return bool(breaker_open(&self.region.table, &k, &self.conf, now_ms))

    def failed(self, bytes key not None, uint64_t now_ms) -> None:
        cdef LimKey k = self.key_of(key)
        with nogil:
            breaker_failed(&self.region.table, &k, &self.conf, now_ms)

    def succeeded(self, bytes key not None, uint64_t now_ms) -> None:
        cdef LimKey k = self.key_of(key)
        with nogil:
            breaker_succeeded(&self.region.table, &k, &self.conf, now_ms)

    def state(self, bytes key not None, uint64_t now_ms) -> tuple[int, int] | None:
        """Failures and successes."""
        cdef LimKey k = self.key_of(key)
        cdef BreakerState b
        cdef pair16 s
        cdef int at = lim_seek(&self.region.table, &k, &s)
        if not breaker_read(&self.region.table, at, s, now_ms, &b):
            return None
        return b.failures, b.successes


def _bench_breaker(_TestBreaker breaker not None, bytes key not None, uint64_t now_ms, size_t rounds) -> float:
    """Nanoseconds to ask a breaker and tell it of a success, key hashed each time, as a request does."""
    cdef LimTable* table = &breaker.region.table
    cdef const uint8_t* raw = <const uint8_t*><const char*>key
    cdef size_t n = len(key)
    cdef size_t i
    cdef LimKey k
    started = perf_counter_ns()
    with nogil:
        for i in range(rounds):
            lim_key(table, NULL, 0, raw, n, &k)
            if not breaker_open(table, &k, &breaker.conf, now_ms):
                breaker_succeeded(table, &k, &breaker.conf, now_ms)
    return (perf_counter_ns() - started) / rounds
