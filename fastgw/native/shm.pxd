# Shared memory: one region, mapped by every process. Drawn in docs/shared-memory.md; what changes here changes SHM_VERSION.

cdef enum:
    SHM_VERSION = 8
    SHM_PAGE = 4096             # the header
    SHM_SLOTS = 256             # processes: workers, old ones that drain, the admin process. 8 bits in holds.h
    SHM_SECTIONS_MAX = 32
    SHM_CELLS_MAX = 1 << 26     # 4 GiB

cdef enum:                      # section kinds
    SECTION_SLOTS = 1
    SECTION_METRICS = 2
    SECTION_CELLS = 3
    SECTION_HOLDS = 4
    SECTION_REVOKED = 5         # the head; then the marks and the entries
    SECTION_MARKS = 6
    SECTION_REVOCATIONS = 7
    SECTION_HOT = 8
    SECTION_ADDRESSES = 9
    SECTION_HEALTH = 10
    SECTION_SERIES = 11         # rows; then refusals by reason
    SECTION_REASONS = 12
    SECTION_PLUGIN_NAMES = 13
    SECTION_PLUGINS = 14

cdef enum:                      # SlotState
    SLOT_FREE = 0
    SLOT_STARTING = 1
    SLOT_SERVING = 2
    SLOT_DRAINING = 3

cdef struct ShmSection:
    uint32_t kind
    uint32_t entry_size         # bytes
    uint64_t offset             # from the region's first byte
    uint64_t count

cdef struct ShmHeader:
    char magic[8]
    uint32_t version
    uint32_t sections
    uint64_t size               # of the whole region, bytes
    uint64_t boot               # hash of the boot id: monotonic times of another boot mean nothing
    uint64_t seed[2]            # of the limiter's hash, random per region
    ShmSection section[SHM_SECTIONS_MAX]
    char pad[208]
    uint64_t target_revision    # at 1024, a cache line of its own: the newest configuration; only grows
    char pad2[56]
    uint64_t nonce              # at 1088, with the other that only insertions write: of provisional cells, see cells.pxi
    uint64_t evictions          # live cells that gave way
    char pad3[48]
    uint64_t revocations        # at 1152: how many entries the table of revocations may have
    uint64_t health_given       # of another line that is hardly ever written: see HealthTable
    char pad4[48]
    uint64_t open_books[ADDRESS_MAPS]      # at 1216: a bit per slot, see addresses.pxd

cdef struct ShmSlot:            # a cache line
    uint64_t pid
    uint64_t kind               # 1 worker, 2 admin
    uint64_t state              # SlotState
    uint64_t applied            # revision of the configuration it serves
    uint64_t generation         # changes of its process
    uint64_t reserved[3]

cdef class Region:
    cdef char* base
    cdef readonly int fd
    cdef readonly size_t size
    cdef ShmHeader* header
    cdef ShmSlot* slots
    cdef MetricsBlock* metrics_first
    cdef LimTable table
    cdef HoldLedgers ledgers
    cdef RevTable revoked
    cdef HotEntry* hot_first
    cdef AddressBooks books
    cdef HealthTable health
    cdef SeriesTable rows
    cdef PluginName* plugin_names
    cdef PluginBlock* plugins_first
    cdef uint64_t slots_n
    cdef int map(self, int fd) except -1
    cdef int lay_out(self, list layout, uint64_t revocations) except -1
    cdef ShmSection* find(self, uint32_t kind) except NULL
    cdef int find_all(self) except -1
    cdef int clear_other_boot(self) except -1
    cdef LimTable* limit_table(self)
    cdef const RevTable* revoked_table(self)
    cdef int open_ring(self, int slot, HotRing* ring) except -1
    cdef int open_ledger(self, int slot, HoldLedger* ledger) except -1
    cdef int open_book(self, int slot, AddressBook* book) except -1
    cdef MetricsBlock* metrics_block(self, int slot) except NULL
    cdef Series* open_series(self, int slot, uint64_t now_ms) except NULL
    cdef PluginBlock* plugin_blocks(self, int slot) except NULL
    cdef ShmSlot* slot_at(self, int i) except NULL
    cdef look(self, ShmSlot* s)
