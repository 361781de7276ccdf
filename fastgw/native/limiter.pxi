# limiter: limits for Python programs, on a region that they share among their processes or with a running gateway. Must not
# know: how cells are found or counted.

cdef enum LimAlgorithm:         # _ALGORITHMS has their names in this order
    LIM_ALG_FIXED
    LIM_ALG_SLIDING
    LIM_ALG_BUCKET

_ALGORITHMS = ("fixed", "sliding", "token-bucket")


class Decision(_NamedTuple):
    """What a limiter said of one hit; times in seconds.

    allowed: whether it passed, and so was counted
    limit: the most that can pass at once
    remaining: how many more hits would pass now; 0 when refused
    reset: until nothing consumed counts any more; sliding: until the window's end
    retry_after: until such a hit would pass; 0.0 when allowed, infinite when it is larger than the limit
    """

    allowed: bool
    limit: int
    remaining: int
    reset: float
    retry_after: float


cdef bytes _octets(str name, value):
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise TypeError(f"{name}: expected str or bytes, found {type(value).__name__}")


cdef int64_t clock_ahead_s = 0      # of tests, which have no time to wait


def shift_clock(long long seconds) -> None:
    """For tests: what this process's Limiters, JWTVerifiers and Gates take for the time is that much later from now on; 0: it is
    as it is. No gateway heeds it."""
    global clock_ahead_s
    if not 0 <= seconds <= 10 * 365 * 86400:
        raise ValueError(f"seconds: expected 0 to ten years, found {seconds}")
    clock_ahead_s = seconds


cdef uint64_t _now(now_ns) except? 0:
    cdef timespec t
    if now_ns is not None:
        return now_ns
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <uint64_t>(t.tv_sec + clock_ahead_s) * 1000000000 + <uint64_t>t.tv_nsec


cdef struct LimiterC:
    LimTable* table
    const uint8_t* identity
    size_t identity_len
    LimAlgorithm algorithm
    uint64_t count
    uint64_t burst
    uint64_t window_ns


cdef inline void limiter_key(const LimiterC* c, const uint8_t* key, size_t n, LimKey* out) noexcept nogil:
    lim_key(c.table, c.identity, c.identity_len, key, n, out)


cdef inline void limiter_count(const LimiterC* c, const LimKey* k, uint64_t now, uint64_t cost, LimResult* r) noexcept nogil:
    if c.algorithm == LIM_ALG_FIXED:
        lim_fixed(c.table, k, now, c.count, c.window_ns, cost, r)
    elif c.algorithm == LIM_ALG_SLIDING:
        lim_sliding(c.table, k, now, c.count, c.window_ns, cost, r)
    else:
        lim_bucket(c.table, k, now, c.count, c.window_ns, c.burst, cost, r)


cdef class Table:
    """Counters in shared memory. Make or open one before the fork, or open the same file in every process."""
    cdef readonly Region region

    def __init__(self, Region region not None):
        self.region = region

    @staticmethod
    def create(path=None, int slots=262144) -> Table:
        """A new table with `slots` counters of 64 bytes (made a power of two), in anonymous memory, which children of a fork
        share, or in a new file (mode 0600), which any process of the same user may attach.

        FileExistsError: the file is there already. ValueError: slots out of range.
        """
        return Table(Region.create(slots, path))

    @staticmethod
    def attach(where) -> Table:
        """The table in a file, or behind a descriptor; a gateway's `shared_memory.path` is one.

        FileNotFoundError, or RegionError: no table of this version, or a file that another user owns or may write to.
        """
        return Table(Region.attach(where))

    @staticmethod
    def open(path, int slots=262144) -> Table:
        """Attaches the file, or creates it where there is none; any number of processes may do so at once."""
        return Table(Region.open(path, slots))

    @property
    def slots(self) -> int:
        """How many counters there are."""
        return self.region.cell_count

    @property
    def evictions(self) -> int:
        """How often a live counter gave way, because all that its key may use were taken. Above 0 the table is too small."""
        return at_load(self.region.table.evictions)


cdef class Limiter:
    """A limit on a shared table: all processes that use one table count together, exactly.

    `identity` names the limit: limiters of one identity on one table share their counts, also when count or window differ, so
    that an edited limit keeps what was consumed. `count` hits per `window` seconds (0.001 to 8 years) by `algorithm`:
      fixed         the window starts with a key's first hit and ends at once
      sliding       windows follow the clock; the one before counts by the share that still overlaps
      token-bucket  `burst` hits at once (default: count), refilled evenly at count per window
    Counts and bursts reach from 1 to 2**40 - 1. ValueError or TypeError name the argument that is wrong.
    """
    cdef LimiterC c
    cdef Region region
    cdef bytes identity

    def __init__(self, table, identity, *, count, double window, algorithm="fixed", burst=None):
        cdef double horizon = <double>LIM_HORIZON_MS / 2000
        if algorithm not in _ALGORITHMS:
            raise ValueError(f"algorithm: expected one of {', '.join(_ALGORITHMS)}, found {algorithm!r}")
        if burst is not None and algorithm != "token-bucket":
            raise ValueError(f"burst: expected only with token-bucket, found {burst!r} with {algorithm}")
        burst = count if burst is None else burst
        for name, value in (("count", count), ("burst", burst)):
            if not isinstance(value, int):
                raise TypeError(f"{name}: expected int, found {type(value).__name__}")
            if not 1 <= value <= LIM_COUNT_MAX:
                raise ValueError(f"{name}: expected 1 to {LIM_COUNT_MAX}, found {value}")
        if not 0.001 <= window <= horizon:
            raise ValueError(f"window: expected 0.001 to {horizon:.0f} seconds, found {window}")
        if algorithm == "token-bucket" and burst * window / count > horizon:
            raise ValueError(f"burst: expected a bucket filled within {horizon:.0f} seconds, found {burst * window / count:.0f}")
        if isinstance(table, Table):
            self.region = (<Table>table).region
        elif isinstance(table, Region):
            self.region = table
        else:
            raise TypeError(f"table: expected Table or Region, found {type(table).__name__}")
        self.identity = _octets("identity", identity)
        self.c.table = self.region.limit_table()
        self.c.identity = <const uint8_t*><const char*>self.identity
        self.c.identity_len = len(self.identity)
        self.c.algorithm = <LimAlgorithm><int>_ALGORITHMS.index(algorithm)
        self.c.count = count
        self.c.burst = burst
        self.c.window_ns = <uint64_t>(window * 1e9 + 0.5)

    cdef LimKey key_of(self, key) except *:
        cdef bytes raw = _octets("key", key)
        cdef LimKey k
        if self.c.table == NULL:
            raise TypeError("Limiter: expected one that was made by its constructor")
        limiter_key(&self.c, <const uint8_t*><const char*>raw, len(raw), &k)
        return k

    cdef decide(self, key, uint64_t cost, now_ns):
        cdef LimKey k = self.key_of(key)
        cdef LimResult r
        limiter_count(&self.c, &k, _now(now_ns), cost, &r)
        retry = float("inf") if r.retry_after_ns == LIM_NEVER else r.retry_after_ns / 1e9
        return Decision(bool(r.allowed), r.limit, r.remaining, r.reset_ns / 1e9, retry)

    def hit(self, key, unsigned long long cost=1, *, now_ns=None) -> Decision:
        """Counts `cost` for `key` (str or bytes) if that is within the limit; a refused hit counts nothing.

        now_ns: a reading of CLOCK_MONOTONIC, for programs that have one at hand and for tests.
        """
        if cost == 0:
            raise ValueError("cost: expected at least 1, found 0")
        return self.decide(key, cost, now_ns)

    def peek(self, key, *, now_ns=None) -> Decision:
        """What a hit of cost 1 would be told, without counting it; `remaining` still includes it."""
        return self.decide(key, 0, now_ns)

    def reset(self, key, *, now_ns=None) -> bool:
        """Forgets what `key` consumed; whether there was anything."""
        cdef LimKey k = self.key_of(key)
        return lim_reset(self.c.table, &k, _now(now_ns), self.c.window_ns)
