# shm: the region that all processes map. Owns: creating, attaching, checking, the process slots. Sections find themselves by a
# directory, so a later one is added without moving the others. Everything in it is changed by single atomics: a process
# killed at any instruction leaves nothing locked.

import os as _os


cdef extern from "<sys/mman.h>" nogil:
    int PROT_READ, PROT_WRITE, MAP_SHARED
    void* MAP_FAILED
    void* mmap(void* where, size_t size, int protection, int flags, int fd, long offset)
    int munmap(void* where, size_t size)

_MAGIC = b"FASTGW\0\1"


class RegionError(ValueError):
    """A region that is not ours, of another layout, or cut short."""


class SlotView(_NamedTuple):
    """A process slot as it stood at one moment."""

    pid: int
    kind: int
    state: int
    applied: int
    generation: int


cdef uint64_t boot_hash() except? 0:
    with open("/proc/sys/kernel/random/boot_id", "rb") as f:
        raw = f.read().strip()
    return map_hash(raw, len(raw))


cdef class Region:
    """Shared memory of one gateway. Made by `create` before the fork, or attached by path or descriptor."""

    def __init__(self):
        raise TypeError("Region: use Region.create or Region.attach")

    @staticmethod
    def create(int counters=262144, path=None, int slots=SHM_SLOTS) -> Region:
        """A new region with room for `counters` limiter cells (made a power of two) and `slots` processes.

        Without `path` it lives in anonymous memory; with one, in that file (mode 0600), which must not exist.
        """
        cdef Region self = Region.__new__(Region)
        cdef int cells = 16
        while cells < counters:
            cells *= 2
        layout = [(SECTION_SLOTS, sizeof(ShmSlot), slots), (SECTION_METRICS, sizeof(MetricsBlock), slots),
                  (SECTION_CELLS, sizeof(LimCell), cells)]
        size = SHM_PAGE + sum(entry * count for _, entry, count in layout)
        if path is None:
            fd = _os.memfd_create("fastgw", _os.MFD_CLOEXEC)
        else:
            fd = _os.open(path, _os.O_RDWR | _os.O_CREAT | _os.O_EXCL | _os.O_CLOEXEC, 0o600)
        try:
            _os.ftruncate(fd, size)
            self.map(fd)
        except BaseException:
            _os.close(fd)
            raise
        self.header.size = size
        self.header.boot = boot_hash()
        seed = _os.urandom(16)
        memcpy(self.header.seed, <const char*>seed, 16)
        offset = SHM_PAGE
        for i, (kind, entry, count) in enumerate(layout):
            self.header.section[i].kind = kind
            self.header.section[i].entry_size = entry
            self.header.section[i].offset = offset
            self.header.section[i].count = count
            offset += entry * count
        self.header.sections = len(layout)
        self.header.version = SHM_VERSION
        memcpy(self.header.magic, b"FASTGW\0\1", 8)
        self.find_all()
        return self

    @staticmethod
    def attach(where) -> Region:
        """The region behind a path or a descriptor (which is duplicated). Counters of an earlier boot are cleared."""
        cdef Region self = Region.__new__(Region)
        fd = _os.dup(where) if isinstance(where, int) else _os.open(where, _os.O_RDWR | _os.O_CLOEXEC)
        try:
            self.check_head(fd, where)
            self.map(fd)
        except BaseException:
            _os.close(fd)
            raise
        self.find_all()
        if self.header.boot != boot_hash():
            memset(self.table.cells, 0, (<size_t>self.table.mask + 1) * sizeof(LimCell))
            self.header.boot = boot_hash()
        return self

    def check_head(self, int fd, where) -> None:
        cdef ShmHeader head
        raw = _os.pread(fd, sizeof(ShmHeader), 0)
        size = _os.fstat(fd).st_size
        if len(raw) < <Py_ssize_t>sizeof(ShmHeader) or not raw.startswith(_MAGIC):
            raise RegionError(f"{where}: expected a fastgw region, found other content")
        memcpy(&head, <const char*>raw, sizeof(ShmHeader))
        if head.version != SHM_VERSION:
            raise RegionError(f"{where}: expected layout version {SHM_VERSION}, found {head.version}")
        if head.size != size:
            raise RegionError(f"{where}: expected {head.size} bytes, found {size}")
        if head.sections > SHM_SECTIONS_MAX:
            raise RegionError(f"{where}: expected at most {SHM_SECTIONS_MAX} sections, found {head.sections}")
        for i in range(head.sections):
            end = head.section[i].offset + head.section[i].entry_size * head.section[i].count
            if head.section[i].offset < SHM_PAGE or end > size:
                raise RegionError(f"{where}: section {i} lies outside the region")

    cdef int map(self, int fd) except -1:
        self.size = _os.fstat(fd).st_size
        self.base = <char*>mmap(NULL, self.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
        if <void*>self.base == MAP_FAILED:
            self.base = NULL
            raise OSError(errno, "mmap")
        self.fd = fd
        self.header = <ShmHeader*>self.base
        return 0

    cdef ShmSection* find(self, uint32_t kind, size_t entry_size) except NULL:
        cdef uint32_t i
        for i in range(self.header.sections):
            if self.header.section[i].kind == kind:
                if self.header.section[i].entry_size != entry_size:
                    raise RegionError(f"section {kind}: expected entries of {entry_size} bytes, "
                                      f"found {self.header.section[i].entry_size}")
                return &self.header.section[i]
        raise RegionError(f"section {kind}: expected one, found none")

    def find_all(self) -> None:
        cdef ShmSection* s = self.find(SECTION_SLOTS, sizeof(ShmSlot))
        self.slots = <ShmSlot*>(self.base + s.offset)
        s = self.find(SECTION_METRICS, sizeof(MetricsBlock))
        self.metrics_first = <MetricsBlock*>(self.base + s.offset)
        s = self.find(SECTION_CELLS, sizeof(LimCell))
        self.table.cells = <LimCell*>(self.base + s.offset)
        self.table.mask = <uint32_t>(s.count - 1)
        self.table.nonce = &self.header.nonce
        memcpy(self.table.seed, self.header.seed, 16)

    cdef LimTable* limit_table(self):
        return &self.table

    cdef MetricsBlock* metrics_block(self, int slot) except NULL:
        self.slot_at(slot)
        return &self.metrics_first[slot]

    cdef ShmSlot* slot_at(self, int i) except NULL:
        if not 0 <= i < self.slot_count:
            raise IndexError(f"slot: expected 0 to {self.slot_count - 1}, found {i}")
        return &self.slots[i]

    @property
    def slot_count(self) -> int:
        """How many processes fit."""
        return self.find(SECTION_SLOTS, sizeof(ShmSlot)).count

    @property
    def cell_count(self) -> int:
        """How many limiter cells there are."""
        return <uint64_t>self.table.mask + 1

    # -- the configuration's revision. A starting worker stores its applied revision, then its state, then looks at the
    # target; a writer stores the target, then looks at the states. All are sequentially consistent, so one of the two sees
    # the other (Dekker), and no worker can serve an old configuration that the writer believes gone.

    def publish(self, unsigned long long revision) -> None:
        """Announces a committed revision; it never goes back."""
        at_max(&self.header.target_revision, revision)

    def target(self) -> int:
        """The newest revision announced."""
        return at_load(&self.header.target_revision)

    def slot(self, int i) -> SlotView:
        """A slot as it stands."""
        cdef ShmSlot* s = self.slot_at(i)
        return SlotView(at_load(&s.pid), at_load(&s.kind), at_load(&s.state), at_load(&s.applied), at_load(&s.generation))

    def set_slot(self, int i, unsigned long long pid, int kind, int state) -> None:
        """Gives the slot to a new process, or frees it (pid 0, state 0)."""
        cdef ShmSlot* s = self.slot_at(i)
        at_store(&s.state, SLOT_FREE)
        at_store(&s.applied, 0)
        at_store(&s.pid, pid)
        at_store(&s.kind, kind)
        if pid:
            at_add(&s.generation, 1)
        at_store(&s.state, state)

    def set_state(self, int i, int state) -> None:
        """Says what the slot's process is doing."""
        at_store(&self.slot_at(i).state, state)

    def set_applied(self, int i, unsigned long long revision) -> None:
        """Says which revision the slot's process serves."""
        at_store(&self.slot_at(i).applied, revision)

    def lagging(self, unsigned long long revision) -> list[tuple[int, int]]:
        """(slot, pid) of those that serve or drain and have not applied `revision`."""
        cdef int i
        cdef ShmSlot* s
        late = []
        for i in range(self.slot_count):
            s = &self.slots[i]
            if at_load(&s.state) >= SLOT_SERVING and at_load(&s.kind) == 1 and at_load(&s.applied) < revision:
                late.append((i, at_load(&s.pid)))
        return late

    def metrics(self) -> dict[str, object]:
        """Totals over all slots: counters by name, and `latency_us`: [(upper bound in µs, count), …]."""
        return metrics_sum(self)

    def __dealloc__(self):
        if self.base != NULL:
            munmap(self.base, self.size)
            close(self.fd)
