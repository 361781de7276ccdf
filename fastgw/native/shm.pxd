# Shared memory: one region, mapped by every process. Drawn in docs/native.md; what changes here changes SHM_VERSION.

cdef enum:
    SHM_VERSION = 1
    SHM_PAGE = 4096             # the header
    SHM_SLOTS = 256             # processes: workers, old ones that drain, the admin process
    SHM_SECTIONS_MAX = 32

cdef enum:                      # section kinds
    SECTION_SLOTS = 1
    SECTION_METRICS = 2
    SECTION_CELLS = 3

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
    char pad[128]
    uint64_t target_revision    # the newest configuration; only grows
    char pad2[56]
    uint64_t nonce              # of provisional limiter cells; see limits.pxi

cdef struct ShmSlot:            # a cache line
    uint64_t pid
    uint64_t kind               # 1 worker, 2 admin
    uint64_t state              # SlotState
    uint64_t applied            # revision of the configuration it serves
    uint64_t generation         # how many processes had the slot
    uint64_t reserved[3]

cdef class Region:
    cdef char* base
    cdef readonly int fd
    cdef readonly size_t size
    cdef ShmHeader* header
    cdef ShmSlot* slots
    cdef MetricsBlock* metrics_first
    cdef LimTable table
    cdef int map(self, int fd) except -1
    cdef ShmSection* find(self, uint32_t kind, size_t entry_size) except NULL
    cdef LimTable* limit_table(self)
    cdef MetricsBlock* metrics_block(self, int slot) except NULL
    cdef ShmSlot* slot_at(self, int i) except NULL
