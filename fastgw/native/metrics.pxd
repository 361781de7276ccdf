# Counters of one process slot, in shared memory. Only the slot's process writes; a reader sums over the slots. A slot's next
# process counts on in the same block, so totals never go back.

cdef enum:                      # indexes of counters; METRIC_NAMES in metrics.pxi names them in this order
    M_REQUESTS = 0
    M_1XX
    M_2XX
    M_3XX
    M_4XX
    M_5XX
    M_BYTES_IN                  # of request bodies
    M_BYTES_OUT                 # of answer bodies
    M_ACCEPTED                  # client connections
    M_UP_CONNECTS               # upstream connections opened
    M_UP_FAILURES               # tries that ended without an answer
    M_RETRIES
    M_REFUSED_AUTH              # 401 by an auth plugin
    M_REFUSED_LIMIT
    M_REFUSED_FRAMING
    M_CLIENT_LEFT
    M_LOG_DROPPED               # access log lines
    M_EVICTIONS                 # limiter cells taken from a live key
    M_TOKEN_HITS                # tokens whose verification was remembered
    M_TOKEN_MISSES              # tokens looked at afresh while the cache is on
    M_JWKS_FETCHES              # key sets fetched, changed or not
    M_JWKS_FAILURES             # fetches that brought none
    M_TLS_HANDSHAKES            # with clients
    M_TLS_FAILURES              # handshakes with clients that failed
    M_LIMIT_FAILURES            # requests that a limiter could not count
    M_SHADOWED                  # refusals that a limit in shadow would have made
    M_CONNECTIONS_REFUSED       # closed at once: their address holds as many as it may
    M_ACCEPT_PAUSES             # a listener stopped taking connections for a while
    M_CACHE_HITS                # answers out of a cache
    M_CACHE_MISSES              # requests of a cache that went to the upstream
    M_MIRROR_SENT               # copies that were answered
    M_MIRROR_FAILED             # copies that were not
    M_MIRROR_DROPPED            # copies for which there was no room
    M_SERIES_OTHER              # requests for which there was no row of their own labels
    M_SPANS                     # of traces, exported
    M_SPANS_DROPPED             # and not: the queue was full, or the collector did not take them
    M_COUNT
    METRICS_COUNTERS = 64
    METRICS_BUCKETS = 128       # of latency: exact below 16 µs, then four per power of two

cdef enum:                      # indexes of gauges, GAUGE_NAMES likewise: how many there are now, written ten times a second
    G_CONNECTIONS = 0           # of clients
    G_REQUESTS                  # under way
    G_UP_CONNECTIONS            # of upstreams, busy and idle
    G_COUNT
    METRICS_GAUGES = 8

cdef struct MetricsBlock:
    uint64_t counters[METRICS_COUNTERS]
    uint64_t latency[METRICS_BUCKETS]
    uint64_t latency_sum        # µs
    uint64_t gauges[METRICS_GAUGES]
    uint64_t reserved[55]
