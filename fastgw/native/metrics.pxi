# metrics: see metrics.pxd. Writing is one relaxed load and store: there is one writer.

METRIC_NAMES = ("requests", "responses_1xx", "responses_2xx", "responses_3xx", "responses_4xx", "responses_5xx", "bytes_in",
                "bytes_out", "connections_accepted", "upstream_connects", "upstream_failures", "upstream_retries",
                "refused_auth", "refused_limit", "refused_framing", "client_left", "log_lines_dropped",
                "limit_evictions", "token_cache_hits", "token_cache_misses", "jwks_fetches",
                "jwks_failures", "tls_handshakes", "tls_failures", "limit_failures", "shadowed_limit",
                "connections_refused", "accept_pauses", "cache_hits", "cache_misses", "mirror_sent", "mirror_failed",
                "mirror_dropped", "series_other", "spans_exported", "spans_dropped")
GAUGE_NAMES = ("connections", "requests", "upstream_connections")


cdef inline void metric_count(MetricsBlock* m, int id, uint64_t n) noexcept nogil:
    at_store_relaxed(&m.counters[id], at_load_relaxed(&m.counters[id]) + n)


cdef inline void metric_add(Loop* loop, int id, uint64_t n) noexcept nogil:
    metric_count(loop.metrics, id, n)


cdef extern from *:
    """
    static inline int fgw_msb(uint64_t v) { return 63 - __builtin_clzll(v); }
    """
    int fgw_msb(uint64_t v) nogil


cdef inline int latency_bucket(uint64_t us) noexcept nogil:
    cdef int top
    cdef int i
    if us < 16:
        return <int>us
    top = fgw_msb(us)
    i = 16 + (top - 4) * 4 + <int>(us >> (top - 2) & 3)
    return i if i < METRICS_BUCKETS else METRICS_BUCKETS - 1


cdef inline uint64_t metrics_exchange(Exchange* x, uint64_t now) noexcept nogil:
    # At the end of every exchange. What it took, in µs.
    cdef Loop* loop = x.loop
    cdef MetricsBlock* m = loop.metrics
    cdef uint64_t us = (now - x.t_start) // 1000
    cdef int i = latency_bucket(us)
    metric_add(loop, M_REQUESTS, 1)
    if 100 <= x.status < 600:
        metric_add(loop, M_1XX + x.status // 100 - 1, 1)
    metric_add(loop, M_BYTES_IN, x.body_bytes)
    metric_add(loop, M_BYTES_OUT, x.answer_bytes)
    at_store_relaxed(&m.latency[i], at_load_relaxed(&m.latency[i]) + 1)
    at_store_relaxed(&m.latency_sum, at_load_relaxed(&m.latency_sum) + us)
    return us


cdef void metrics_gauge(Loop* loop) noexcept nogil:
    at_store_relaxed(&loop.metrics.gauges[G_CONNECTIONS], loop.n_down)
    at_store_relaxed(&loop.metrics.gauges[G_REQUESTS], loop.n_exchanges)
    at_store_relaxed(&loop.metrics.gauges[G_UP_CONNECTIONS], loop.n_up)


cdef metrics_sum(Region region):
    cdef int slot, i
    cdef MetricsBlock* m
    totals = [0] * M_COUNT
    buckets = [0] * METRICS_BUCKETS
    latency_sum = 0
    for slot in range(region.slot_count):
        m = &region.metrics_first[slot]
        for i in range(M_COUNT):
            totals[i] += at_load_relaxed(&m.counters[i])
        for i in range(METRICS_BUCKETS):
            buckets[i] += at_load_relaxed(&m.latency[i])
        latency_sum += at_load_relaxed(&m.latency_sum)
    totals[M_EVICTIONS] += at_load(region.table.evictions)
    found = dict(zip(METRIC_NAMES, totals))
    found["latency_us"] = [(bucket_bound(i), n) for i, n in enumerate(buckets) if n]
    found["latency_us_sum"] = latency_sum
    found["revocations"] = at_load(&region.revoked.head.all)
    found["revocations_room"] = region.revoked.capacity
    return found


def bucket_bound(int i) -> int:
    """Upper bound (inclusive) in µs of latency bucket i."""
    if i < 16:
        return i
    top, part = 4 + (i - 16) // 4, (i - 16) % 4
    return (1 << top) + ((part + 1) << (top - 2)) - 1


cdef cells_live(Region region, uint64_t now_ms):
    # Of a cell in a hole of the file nothing was ever written, and to look at it would give it memory.
    cdef uint64_t first, last
    cdef uint64_t found = 0
    start = <char*>region.table.cells - region.base
    stop = start + region.cell_count * sizeof(LimCell)
    at = start
    while at < stop:
        try:
            at = _os.lseek(region.fd, at, _os.SEEK_DATA)
        except OSError:
            break                   # holes alone follow
        hole = min(_os.lseek(region.fd, at, _os.SEEK_HOLE), stop) if at < stop else at
        first, last = (at - start) // sizeof(LimCell), (hole - start) // sizeof(LimCell)
        if at < stop:
            with nogil:
                found += lim_live(&region.table, first, last, now_ms)
        at = hole
    return found
