# series: what is counted of each route, consumer and node, as rows of counters and histograms in shared memory; and refusals by
# their reason. Must not know: who reads, what the labels mean, the form in which they are shown.
#
# A row belongs to one process slot, whose process alone writes it: relaxed loads and stores, no lock. It is found by a hash of
# its labels, which are hashed when the configuration is compiled: a request adds three numbers and looks into an index of the
# process. How many rows there can be is fixed. Where a process has none left, a request is counted in the row of its route and
# node with the consumer `other`, and where that finds no row either, in the one row `other` of its process; both are counted.
# What is idle gives way then: it is added to `other`, so that no sum goes back.

cdef extern from *:
    """
    static const uint32_t FGW_SERIES_US[15] = {1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000, 500000, 1000000, 2000000,
                                               5000000, 10000000, 30000000, 60000000};
    static const uint16_t FGW_LABEL_AT[7] = {0, 64, 160, 232, 296, 360, 400};
    """
    const uint32_t* SERIES_US "FGW_SERIES_US"           # APISIX's buckets
    const uint16_t* LABEL_AT "FGW_LABEL_AT"             # where each label stands in a row's text

cdef enum:
    SERIES_KEY_REST = 2         # keys of labels are odd

cdef uint64_t SERIES_ANY = 0x9e3779b97f4a7c15ULL        # for a consumer, where that is `other`


cdef uint64_t series_hash(bytes labels):
    # FNV-1a, and then the finaliser of MurmurHash3, since sums of them are keys.
    cdef uint64_t h = map_hash(labels, len(labels))
    h ^= h >> 33
    h *= 0xff51afd7ed558ccdULL
    h ^= h >> 33
    h *= 0xc4ceb9fe1a85ec53ULL
    return h ^ (h >> 33)


cdef inline void series_add(uint64_t* counter, uint64_t n) noexcept nogil:
    at_store_relaxed(counter, at_load_relaxed(counter) + n)


cdef inline int series_bucket(uint64_t us) noexcept nogil:
    cdef int i = 0
    while i < SERIES_BOUNDS and us > SERIES_US[i]:
        i += 1
    return i


cdef inline void series_code(SeriesRow* row, uint64_t status, uint64_t n) noexcept nogil:
    cdef uint64_t c
    cdef int i
    for i in range(SERIES_CODES - 1):
        c = row.codes[i]
        if c == 0 or c & 0xffff == status:
            at_store_relaxed(&row.codes[i], (c | status) + (n << 16))
            return
    series_add(&row.codes[SERIES_CODES - 1], n << 16)


cdef uint64_t series_requests(const SeriesRow* row) noexcept nogil:
    cdef uint64_t n = 0
    cdef int i
    for i in range(SERIES_CODES):
        n += row.codes[i] >> 16
    return n


# -- the index of a process ------------------------------------------------------------------------

cdef inline SeriesRow* series_find(const Series* s, uint64_t key) noexcept nogil:
    cdef uint32_t at = <uint32_t>(key >> (64 - SERIES_PLACE_BITS))
    while s.places[at].key != key:
        if s.places[at].key == 0:
            return NULL
        at = (at + 1) & (SERIES_PLACES - 1)
    return s.places[at].row


cdef void series_enter(Series* s, SeriesRow* row) noexcept nogil:
    cdef uint32_t at = <uint32_t>(row.key >> (64 - SERIES_PLACE_BITS))
    while s.places[at].key != 0:
        at = (at + 1) & (SERIES_PLACES - 1)
    s.places[at].key = row.key
    s.places[at].row = row
    s.n_consumers += row.lengths[LABEL_CONSUMER] != 0


cdef void series_index(Series* s) noexcept nogil:
    # From the rows that there are.
    cdef uint32_t i
    memset(s.places, 0, sizeof(s.places))
    s.n_unused = s.n_consumers = 0
    for i in range(s.n_mine):
        if s.mine[i].key == 0:
            s.unused[s.n_unused] = s.mine[i]
            s.n_unused += 1
        elif s.mine[i].key == SERIES_KEY_REST:
            s.rest = s.mine[i]
        else:
            series_enter(s, s.mine[i])


cdef SeriesRow* series_claim(Series* s) noexcept nogil:
    # A row that counts nothing. Rows are taken in order and never given back, so those behind `at` need no second look.
    cdef SeriesRow* row
    if s.n_unused:
        s.n_unused -= 1
        return s.unused[s.n_unused]
    while s.n_mine < SERIES_MOST and s.at < s.table.n:
        row = &s.table.rows[s.at]
        s.at += 1
        if at_load(&row.owner) == 0 and at_cas(&row.owner, 0, s.owner):
            s.mine[s.n_mine] = row
            s.n_mine += 1
            return row
    return NULL


cdef void series_clear(SeriesRow* row) noexcept nogil:
    # Whoever reads meanwhile sees an odd turn, or another one than before.
    at_store(&row.turn, row.turn | 1)
    memset(&row.bytes_in, 0, sizeof(SeriesRow) - 8 * sizeof(uint64_t))
    row.mark = 0
    row.key = 0
    at_store(&row.turn, row.turn + 1)


cdef inline void series_label(SeriesRow* row, int label, const char* p, uint32_t n) noexcept nogil:
    cdef uint32_t room = LABEL_AT[label + 1] - LABEL_AT[label]
    n = min(n, room)
    row.lengths[label] = <uint8_t>n
    if n:
        memcpy(row.text + LABEL_AT[label], p, n)


cdef SeriesRow* series_make(Series* s, const Exchange* x, const PoolC* pool, uint64_t key, bint named) noexcept nogil:
    # named: it has the consumer's name, if there is one.
    cdef SeriesRow* row = series_claim(s)
    if row == NULL:
        return NULL
    at_store(&row.turn, row.turn | 1)
    if x.plan != NULL:
        series_label(row, LABEL_ROUTE, x.plan.id, x.plan.id_len)
        series_label(row, LABEL_URI, x.plan.matched_uri, x.plan.matched_uri_len)
        series_label(row, LABEL_HOST, x.plan.matched_host, x.plan.matched_host_len)
        series_label(row, LABEL_SERVICE, x.plan.service, x.plan.service_len)
    if x.consumer != NULL:
        if named:
            series_label(row, LABEL_CONSUMER, x.consumer.name, x.consumer.name_len)
        else:
            series_label(row, LABEL_CONSUMER, b"other", 5)
    if pool != NULL:
        series_label(row, LABEL_NODE, pool.ip, pool.ip_len)
    row.key = key
    at_store(&row.turn, row.turn + 1)
    series_enter(s, row)
    return row


# -- where rows are short --------------------------------------------------------------------------

cdef void series_fold(SeriesRow* rest, SeriesRow* row) noexcept nogil:
    cdef int i, k
    for i in range(SERIES_CODES):
        if row.codes[i]:
            series_code(rest, row.codes[i] & 0xffff, row.codes[i] >> 16)
    for i in range(SERIES_BOUNDS + 1):
        for k in range(SERIES_TYPES):
            series_add(&rest.latency[i][k], row.latency[i][k])
    series_add(&rest.bytes_in, row.bytes_in)
    series_add(&rest.bytes_out, row.bytes_out)
    series_add(&rest.request_us, row.request_us)
    series_add(&rest.upstream_us, row.upstream_us)
    series_clear(row)


cdef bint series_reclaim(Series* s, uint64_t now_ms) noexcept nogil:
    # Rows in which nothing was counted since the last look give way. Whether there was one.
    cdef SeriesRow* row
    cdef uint64_t n
    cdef uint32_t i
    cdef bint found = False
    if now_ms - s.looked_ms < SERIES_IDLE_MS:
        return False
    s.looked_ms = now_ms
    for i in range(s.n_mine):
        row = s.mine[i]
        if row.key == 0 or row == s.rest:
            continue
        n = series_requests(row)
        if n == row.mark:
            series_fold(s.rest, row)
            found = True
        else:
            row.mark = n
    if found:
        series_index(s)
    return found


cdef inline SeriesRow* series_own(Series* s, const Exchange* x, const PoolC* pool, uint64_t key) noexcept nogil:
    if x.consumer != NULL and s.n_consumers >= SERIES_MOST // 2:
        return NULL
    return series_make(s, x, pool, key, True)


cdef SeriesRow* series_new(Loop* loop, const Exchange* x, const PoolC* pool, uint64_t key) noexcept nogil:
    # The first request of its labels, or one of many for which there is no row.
    cdef Series* s = loop.series
    cdef SeriesRow* row = series_own(s, x, pool, key)
    if row == NULL and series_reclaim(s, loop.now_ms):
        row = series_own(s, x, pool, key)
    if row != NULL:
        return row
    metric_add(loop, M_SERIES_OTHER, 1)
    if x.consumer != NULL:
        key = ((x.plan.series if x.plan != NULL else 0) + SERIES_ANY + (pool.series if pool != NULL else 0)) | 1
        row = series_find(s, key)
        if row == NULL:
            row = series_make(s, x, pool, key, False)
    return row if row != NULL else s.rest


# -- what a request does ---------------------------------------------------------------------------

cdef inline void series_count(Exchange* x, uint64_t us, uint64_t now) noexcept nogil:
    # us: what the request took, until `now`.
    cdef const PoolC* pool = NULL
    cdef SeriesRow* row
    cdef uint64_t key = 0
    cdef uint64_t theirs
    cdef int i = series_bucket(us)
    if x.plan != NULL:
        key += x.plan.series
    if x.consumer != NULL:
        key += x.consumer.series
    if x.t_up and x.node != NULL:
        pool = x.up.pool if x.up != NULL else x.node.pool
        key += pool.series
    key |= 1
    row = series_find(x.loop.series, key)
    if row == NULL:
        row = x.loop.series.search(x.loop, x, pool, key)
    series_add(&row.latency[i][SERIES_REQUEST], 1)
    if pool != NULL:
        theirs = (now - x.t_up) // 1000 if now > x.t_up else 0
        series_add(&row.upstream_us, theirs)
        series_add(&row.latency[series_bucket(theirs)][SERIES_UPSTREAM], 1)
        i = series_bucket(us - theirs) if us > theirs else 0
    series_add(&row.latency[i][SERIES_OWN], 1)
    series_add(&row.request_us, us)
    series_add(&row.bytes_in, x.body_bytes)
    series_add(&row.bytes_out, x.answer_bytes)
    series_code(row, x.status, 1)


cdef inline void reason_count(Series* s, const char* text) noexcept nogil:
    # Reasons are static text, so where one was found last is known by its address; but a Python plugin's has another address each
    # time, at which something else may stand by then: it is compared.
    cdef ReasonSeen* seen = &s.seen[<uint64_t>text >> 3 & (REASONS_SEEN - 1)]
    if seen.text == text and strncmp(seen.reason.text, text, REASON_BYTES) == 0:
        series_add(&seen.reason.count, 1)
    else:
        reason_find(s, seen, text)


cdef void reason_find(Series* s, ReasonSeen* seen, const char* text) noexcept nogil:
    # By a hash of its text.
    cdef size_t n = strlen(text)
    cdef uint64_t h = map_hash(text, n) | 1
    cdef uint32_t i = 0
    while i < s.n_reasons and s.reason_hashes[i] != h:
        i += 1
    if i >= REASONS_MOST:
        i = REASONS_MOST - 1
    elif i == s.n_reasons:
        if i == REASONS_MOST - 1:
            text, n = "other", 5
        memset(s.reasons[i].text, 0, REASON_BYTES)
        memcpy(s.reasons[i].text, text, min(n, <size_t>REASON_BYTES))
        at_store(&s.reasons[i].hash, h)
        s.reason_hashes[i] = h
        s.n_reasons += 1
    series_add(&s.reasons[i].count, 1)
    if n < REASON_BYTES:            # of a longer one a part is kept, which may be another's too
        seen.text, seen.reason = text, &s.reasons[i]


# -- a process comes, others read ------------------------------------------------------------------

cdef Series* series_open(SeriesTable* table, int slot, uint64_t now_ms) except NULL:
    """What the slot's processes have counted goes on. One that was killed while it changed a row leaves that row empty."""
    cdef Series* s = <Series*>calloc(1, sizeof(Series))
    cdef SeriesRow* row
    cdef uint64_t owner
    if s == NULL:
        raise MemoryError
    s.table = table
    s.search = series_new
    s.owner = <uint64_t>slot + 1
    s.looked_ms = now_ms
    s.reasons = &table.reasons[slot * REASONS_MOST]
    while s.n_reasons < REASONS_MOST and at_load(&s.reasons[s.n_reasons].hash) != 0:
        s.reason_hashes[s.n_reasons] = s.reasons[s.n_reasons].hash
        s.n_reasons += 1
    while s.at < table.n:
        row = &table.rows[s.at]
        owner = at_load(&row.owner)
        if owner == 0:
            break
        s.at += 1
        if owner == s.owner and s.n_mine < SERIES_MOST:
            if row.turn & 1:
                series_clear(row)
            s.mine[s.n_mine] = row
            s.n_mine += 1
    series_index(s)
    if s.rest == NULL:
        s.rest = series_claim(s)
        if s.rest == NULL:
            s.rest = &s.spare
        else:
            s.rest.key = SERIES_KEY_REST
    return s


class SeriesView(_NamedTuple):
    """What a row has counted, at one moment. `other`: it is the one for what found no row, and has no labels.

    codes: status and requests; status 0: of several
    latency: requests by bound (see SERIES_MS) and above the last one, in all, of the upstream, of the gateway itself
    """

    slot: int
    other: bool
    route: str
    matched_uri: str
    matched_host: str
    service: str
    consumer: str
    node: str
    codes: list[tuple[int, int]]
    latency: tuple[list[int], list[int], list[int]]
    request_us: int
    upstream_us: int
    bytes_in: int
    bytes_out: int


SERIES_MS = tuple([SERIES_US[_i] // 1000 for _i in range(SERIES_BOUNDS)])


cdef series_view(const SeriesRow* shared):
    # None: it counts nothing, or is being changed.
    cdef SeriesRow row
    cdef uint64_t turn = at_load(&shared.turn)
    cdef int i, k
    memcpy(&row, shared, sizeof(SeriesRow))
    if turn & 1 or at_load(&shared.turn) != turn or row.key == 0:
        return None
    labels = []
    for i in range(LABEL_COUNT):
        k = min(row.lengths[i], LABEL_AT[i + 1] - LABEL_AT[i])      # nobody of this region writes more
        labels.append(row.text[LABEL_AT[i]:LABEL_AT[i] + k].decode("utf-8", "replace"))
    codes = [(row.codes[i] & 0xffff, row.codes[i] >> 16) for i in range(SERIES_CODES) if row.codes[i]]
    latency = tuple([[row.latency[i][k] for i in range(SERIES_BOUNDS + 1)] for k in range(SERIES_TYPES)])
    return SeriesView(row.owner - 1, row.key == SERIES_KEY_REST, *labels, codes, latency, row.request_us, row.upstream_us,
                      row.bytes_in, row.bytes_out)


cdef series_all(SeriesTable* table):
    cdef uint64_t i
    found = []
    for i in range(table.n):
        if at_load(&table.rows[i].owner) == 0:
            break               # nor has anybody those behind it: to look would give them memory
        view = series_view(&table.rows[i])
        if view is not None:
            found.append(view)
    return found


cdef series_used(SeriesTable* table):
    cdef uint64_t i = 0
    while i < table.n and at_load(&table.rows[i].owner) != 0:
        i += 1
    return i


cdef reasons_all(Region region):
    cdef uint64_t slot
    cdef const Reason* r
    cdef int i
    found = {}
    for slot in range(region.slots_n):
        if at_load(&region.slots[slot].generation) == 0:
            continue            # never used: to look would give its pages memory
        for i in range(REASONS_MOST):
            r = &region.rows.reasons[slot * REASONS_MOST + i]
            if at_load(&r.hash) == 0:
                break
            name = r.text[:REASON_BYTES].partition(b"\0")[0].decode("utf-8", "replace")
            found[name] = found.get(name, 0) + at_load_relaxed(&r.count)
    return found
