# What is counted of routes, consumers and nodes, in rows of shared memory, and of refusals by their reason. See series.pxi.

cdef enum:
    SERIES_ROWS = 16384         # of all processes, by default
    SERIES_ROWS_MOST = 1 << 20
    SERIES_MOST = 2048          # of one process: half of them at most with a consumer
    SERIES_PLACES = 8192        # of a process's index of its rows, a power of two
    SERIES_PLACE_BITS = 13
    SERIES_BOUNDS = 15          # of the histograms, which are APISIX's; then what is above the last
    SERIES_CODES = 16           # statuses of one row; the last counts all that find no place
    SERIES_IDLE_MS = 600000     # a row that nothing was counted in for so long gives way where one is wanted
    SERIES_TEXT = 400
    REASONS_MOST = 128          # of one process slot; the last counts all that find no place
    REASON_BYTES = 48

cdef enum:                      # labels
    LABEL_ROUTE = 0
    LABEL_URI
    LABEL_HOST
    LABEL_SERVICE
    LABEL_CONSUMER
    LABEL_NODE
    LABEL_COUNT

cdef enum:                      # what a latency is of
    SERIES_REQUEST = 0
    SERIES_UPSTREAM
    SERIES_OWN
    SERIES_TYPES

cdef struct SeriesRow:          # sixteen cache lines, of which a quick request touches two
    uint64_t key                # of its labels; 0: it counts nothing
    uint64_t owner              # 1 + the slot of the process that alone writes it; 0: nobody has it yet
    uint64_t turn               # odd while its labels change
    uint64_t mark               # requests at the last look for idle ones
    uint64_t reserved[4]
    uint64_t bytes_in
    uint64_t bytes_out
    uint64_t request_us
    uint64_t upstream_us
    uint64_t codes[SERIES_CODES]                        # requests 48 | status 16
    uint64_t latency[SERIES_BOUNDS + 1][SERIES_TYPES]   # requests; of the type SERIES_OWN by what is left of the others
    uint8_t lengths[16]                                 # of the labels
    char text[SERIES_TEXT]                              # the labels, each at its place, cut where they are longer

cdef struct Reason:             # a cache line
    uint64_t hash               # of the text; 0: none yet
    uint64_t count
    char text[REASON_BYTES]

cdef struct SeriesTable:        # the rows of all processes
    SeriesRow* rows
    uint64_t n
    Reason* reasons             # REASONS_MOST of each slot

cdef struct SeriesPlace:
    uint64_t key
    SeriesRow* row

cdef enum:
    REASONS_SEEN = 64

cdef struct ReasonSeen:         # where a text was found last, by its address
    const char* text
    Reason* reason

ctypedef SeriesRow* (*series_search)(Loop* loop, const Exchange* x, const PoolC* pool, uint64_t key) noexcept nogil

cdef struct Series:             # a process's own
    SeriesPlace places[SERIES_PLACES]   # open addressing; at most a quarter are taken
    series_search search        # series_new, behind a pointer so that no compiler puts it into the path of every request
    SeriesTable* table
    uint64_t owner
    uint64_t at                 # where the first row may be that nobody has
    uint64_t looked_ms          # for idle rows
    SeriesRow* rest             # for what finds no row
    SeriesRow* mine[SERIES_MOST]
    SeriesRow* unused[SERIES_MOST]
    uint32_t n_mine
    uint32_t n_unused
    uint32_t n_consumers        # rows with one
    uint32_t n_reasons
    Reason* reasons
    uint64_t reason_hashes[REASONS_MOST]
    ReasonSeen seen[REASONS_SEEN]
    SeriesRow spare             # `rest` where there was no row left for it: what it counts nobody sees
