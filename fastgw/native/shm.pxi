# shm: the region that all processes map. Owns: creating, attaching, checking, the process slots. Sections are found by a
# directory, so a later one is added without moving the others. Everything in it is changed by single atomics: a process
# killed at any instruction leaves nothing locked. Must not know: what a revision holds, how hits are counted.

import fcntl as _fcntl
import os as _os
import stat as _stat
from time import sleep as _sleep
from typing import NamedTuple as _NamedTuple

_MAGIC = b"FASTGW\0\1"

# Section kinds by number: name and bytes per entry as this build has them.
_SECTIONS = {
    SECTION_SLOTS: ("slots", sizeof(ShmSlot)),
    SECTION_METRICS: ("metrics", sizeof(MetricsBlock)),
    SECTION_CELLS: ("cells", sizeof(LimCell)),
    SECTION_HOLDS: ("holds", sizeof(HoldLine)),
    SECTION_REVOKED: ("revoked", sizeof(RevHead)),
    SECTION_MARKS: ("marks", sizeof(uint64_t)),
    SECTION_REVOCATIONS: ("revocations", sizeof(RevEntry)),
    SECTION_HOT: ("hot", sizeof(HotEntry)),
    SECTION_ADDRESSES: ("addresses", sizeof(AddressLine)),
    SECTION_HEALTH: ("health", sizeof(HealthPlace)),
    SECTION_SERIES: ("series", sizeof(SeriesRow)),
    SECTION_REASONS: ("reasons", sizeof(Reason)),
    SECTION_PLUGIN_NAMES: ("plugin names", sizeof(PluginName)),
    SECTION_PLUGINS: ("plugins", sizeof(PluginBlock)),
}


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


cdef uint64_t rev_places(uint64_t entries):
    # A power of two, of which at most half are ever taken.
    cdef uint64_t places = 64
    while places < 2 * entries:
        places *= 2
    return places


cdef uint64_t hold_lines(uint64_t cells):
    # Cache lines of each slot's ledger: a word for each 32 cells, within bounds.
    cdef uint64_t words = cells // 32
    if words < HOLD_WORDS_LEAST:
        words = HOLD_WORDS_LEAST
    return min(words, HOLD_WORDS_MAX) // HOLD_LINE


cdef class Region:
    """Shared memory of one gateway. Made by `create` before the fork, or attached by path or descriptor."""

    def __init__(self):
        raise TypeError("Region: use Region.create, Region.attach or Region.open")

    @staticmethod
    def create(int counters=262144, path=None, int slots=SHM_SLOTS, int revocations=65536, int series=SERIES_ROWS) -> Region:
        """A new region with room for `counters` limiter cells (made a power of two), `slots` processes, `revocations`, and
        `series` of what is counted by route, consumer and node.

        Without `path` it lives in anonymous memory; with one, in that file (mode 0600), which must not exist and appears
        whole or not at all.
        """
        cdef Region self = Region.__new__(Region)
        cdef int cells = LIM_WINDOW
        if not 1 <= counters <= SHM_CELLS_MAX:
            raise ValueError(f"counters: expected 1 to {SHM_CELLS_MAX}, found {counters}")
        if not 1 <= slots <= SHM_SLOTS:
            raise ValueError(f"slots: expected 1 to {SHM_SLOTS}, found {slots}")
        if not 1 <= revocations <= REV_MOST:
            raise ValueError(f"revocations: expected 1 to {REV_MOST}, found {revocations}")
        if not 1 <= series <= SERIES_ROWS_MOST:
            raise ValueError(f"series: expected 1 to {SERIES_ROWS_MOST}, found {series}")
        while cells < counters:
            cells *= 2
        layout = [(SECTION_SLOTS, slots), (SECTION_METRICS, slots), (SECTION_CELLS, cells),
                  (SECTION_HOLDS, slots * hold_lines(cells)), (SECTION_REVOKED, 1),
                  (SECTION_MARKS, rev_places(revocations)), (SECTION_REVOCATIONS, rev_places(revocations)),
                  (SECTION_HOT, slots * HOT_ENTRIES), (SECTION_ADDRESSES, slots * ADDRESS_LINES),
                  (SECTION_HEALTH, HEALTH_PLACES), (SECTION_SERIES, series), (SECTION_REASONS, slots * REASONS_MOST),
                  (SECTION_PLUGIN_NAMES, PLUGIN_PLACES), (SECTION_PLUGINS, slots * PLUGIN_PLACES)]
        size = SHM_PAGE + sum(_SECTIONS[kind][1] * count for kind, count in layout)
        if path is None:
            fd = _os.memfd_create("fastgw", _os.MFD_CLOEXEC | _os.MFD_ALLOW_SEALING)
            try:
                _os.ftruncate(fd, size)
                _fcntl.fcntl(fd, _fcntl.F_ADD_SEALS, _fcntl.F_SEAL_GROW | _fcntl.F_SEAL_SHRINK)
                self.map(fd)
            except BaseException:
                _os.close(fd)
                raise
            self.lay_out(layout, revocations)
            return self
        path = _os.fspath(path)
        unborn = f"{path}.{_os.getpid()}.{_os.urandom(4).hex()}"
        fd = _os.open(unborn, _os.O_RDWR | _os.O_CREAT | _os.O_EXCL | _os.O_CLOEXEC, 0o600)
        try:
            try:
                _os.posix_fallocate(fd, 0, size)    # a full disk says so now, not by SIGBUS later
                self.map(fd)
            except BaseException:
                _os.close(fd)
                raise
            self.lay_out(layout, revocations)
            _os.link(unborn, path)                  # fails where there is one, and is never seen half made
        finally:
            _os.unlink(unborn)
        return self

    @staticmethod
    def attach(where) -> Region:
        """The region behind a path or a descriptor (which is duplicated). What an earlier boot counted is cleared.

        RegionError: no region of this layout, or a file that somebody else owns or may write to.
        """
        cdef Region self = Region.__new__(Region)
        cdef bint path = not isinstance(where, int)
        if not path:
            fd, where = _fcntl.fcntl(where, _fcntl.F_DUPFD_CLOEXEC, 0), f"descriptor {where}"
        else:
            fd = _os.open(where, _os.O_RDWR | _os.O_CLOEXEC)
        try:
            if path:
                check_owner(fd, where)
            check_head(_os.pread(fd, sizeof(ShmHeader), 0), _os.fstat(fd).st_size, where)
            self.map(fd)
        except BaseException:
            _os.close(fd)
            raise
        self.find_all()
        self.clear_other_boot()
        return self

    @staticmethod
    def open(path, int counters=262144, int slots=SHM_SLOTS, int revocations=65536, int series=SERIES_ROWS) -> Region:
        """Attaches the file, or creates it where there is none; processes that do so at once end up with the same one."""
        while True:
            try:
                return Region.attach(path)
            except FileNotFoundError:
                pass
            try:
                return Region.create(counters, path, slots, revocations, series)
            except FileExistsError:
                pass

    cdef int map(self, int fd) except -1:
        cdef size_t size = _os.fstat(fd).st_size
        cdef void* base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
        if base == MAP_FAILED:
            raise OSError(errno, f"mmap of {size} bytes: {_os.strerror(errno)}")
        self.base = <char*>base
        self.size = size
        self.fd = fd
        self.header = <ShmHeader*>self.base
        return 0

    cdef int lay_out(self, list layout, uint64_t revocations) except -1:
        cdef uint64_t offset = SHM_PAGE
        seed = _os.urandom(16)
        for i, (kind, count) in enumerate(layout):
            self.header.section[i].kind = kind
            self.header.section[i].entry_size = _SECTIONS[kind][1]
            self.header.section[i].offset = offset
            self.header.section[i].count = count
            offset += <uint64_t>_SECTIONS[kind][1] * <uint64_t>count
        self.header.sections = len(layout)
        self.header.version = SHM_VERSION
        self.header.size = self.size
        self.header.boot = boot_hash()
        self.header.revocations = revocations
        memcpy(self.header.seed, <const char*>seed, 16)
        memcpy(self.header.magic, b"FASTGW\0\1", 8)
        return self.find_all()

    cdef ShmSection* find(self, uint32_t kind) except NULL:
        cdef uint32_t i
        for i in range(self.header.sections):
            if self.header.section[i].kind == kind:
                return &self.header.section[i]
        raise RegionError(f"section {_SECTIONS[kind][0]}: expected one, found none")

    cdef int find_all(self) except -1:
        cdef ShmSection* s = self.find(SECTION_SLOTS)
        self.slots = <ShmSlot*>(self.base + s.offset)
        self.slots_n = s.count
        self.metrics_first = <MetricsBlock*>(self.base + self.find(SECTION_METRICS).offset)
        s = self.find(SECTION_CELLS)
        self.table.cells = <LimCell*>(self.base + s.offset)
        self.table.mask = <uint32_t>(s.count - 1)
        self.table.nonce = &self.header.nonce
        self.table.evictions = &self.header.evictions
        memcpy(self.table.seed, self.header.seed, 16)
        self.ledgers.table = &self.table
        self.ledgers.words = <uint64_t*>(self.base + self.find(SECTION_HOLDS).offset)
        self.ledgers.slots = <uint32_t>self.slots_n
        self.ledgers.per_slot = <uint32_t>(hold_lines(s.count) * HOLD_LINE)
        self.books.words = <uint64_t*>(self.base + self.find(SECTION_ADDRESSES).offset)
        self.books.open = self.header.open_books
        self.books.slots = <uint32_t>self.slots_n
        memcpy(self.books.seed, self.header.seed, 16)
        self.hot_first = <HotEntry*>(self.base + self.find(SECTION_HOT).offset)
        self.health.places = <HealthPlace*>(self.base + self.find(SECTION_HEALTH).offset)
        self.health.given = &self.header.health_given
        memcpy(self.health.seed, self.header.seed, 16)
        s = self.find(SECTION_SERIES)
        self.rows.rows = <SeriesRow*>(self.base + s.offset)
        self.rows.n = s.count
        self.rows.reasons = <Reason*>(self.base + self.find(SECTION_REASONS).offset)
        self.plugin_names = <PluginName*>(self.base + self.find(SECTION_PLUGIN_NAMES).offset)
        self.plugins_first = <PluginBlock*>(self.base + self.find(SECTION_PLUGINS).offset)
        self.revoked.head = <RevHead*>(self.base + self.find(SECTION_REVOKED).offset)
        s = self.find(SECTION_MARKS)
        self.revoked.marks = <uint64_t*>(self.base + s.offset)
        self.revoked.entries = <RevEntry*>(self.base + self.find(SECTION_REVOCATIONS).offset)
        self.revoked.mask = s.count - 1
        self.revoked.capacity = self.header.revocations
        memcpy(self.revoked.seed, self.header.seed, 16)
        rev_name(self.revoked.seed, REV_ALL, b"", 0, &self.revoked.everything)
        return 0

    cdef int clear_other_boot(self) except -1:
        # Times and pids of another boot mean nothing. The lock is the kernel's, so it ends with its process; the new boot is
        # noted last, so whoever finds it noted finds all cleared. A master holds the lock for as long as it lives, and found
        # the boot noted before: so nobody waits for the lock alone.
        cdef uint64_t boot = boot_hash()
        while at_load(&self.header.boot) != boot:
            try:
                _fcntl.flock(self.fd, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
            except BlockingIOError:
                _sleep(0.001)
                continue
            try:
                if at_load(&self.header.boot) != boot:
                    memset(self.base + SHM_PAGE, 0, self.size - SHM_PAGE)
                    at_store(&self.header.target_revision, 0)
                    at_store(&self.header.evictions, 0)
                    memset(self.header.open_books, 0, sizeof(self.header.open_books))
                    at_store(&self.header.boot, boot)
            finally:
                _fcntl.flock(self.fd, _fcntl.LOCK_UN)
        return 0

    cdef LimTable* limit_table(self):
        return &self.table

    cdef const RevTable* revoked_table(self):
        return &self.revoked

    cdef int open_ring(self, int slot, HotRing* ring) except -1:
        self.slot_at(slot)
        hot_ring_open(ring, &self.hot_first[slot * HOT_ENTRIES], <uint64_t>slot)
        return 0

    cdef int open_ledger(self, int slot, HoldLedger* ledger) except -1:
        self.slot_at(slot)
        return hold_ledger_open(ledger, &self.ledgers, slot)

    cdef int open_book(self, int slot, AddressBook* book) except -1:
        self.slot_at(slot)
        book.all = &self.books
        book.slot = slot
        return 0

    cdef MetricsBlock* metrics_block(self, int slot) except NULL:
        self.slot_at(slot)
        return &self.metrics_first[slot]

    cdef Series* open_series(self, int slot, uint64_t now_ms) except NULL:
        self.slot_at(slot)
        return series_open(&self.rows, slot, now_ms)

    cdef PluginBlock* plugin_blocks(self, int slot) except NULL:
        self.slot_at(slot)
        return &self.plugins_first[slot * PLUGIN_PLACES]

    cdef ShmSlot* slot_at(self, int i) except NULL:
        if i < 0 or <uint64_t>i >= self.slots_n:
            raise IndexError(f"slot: expected 0 to {self.slots_n - 1}, found {i}")
        return &self.slots[i]

    @property
    def slot_count(self) -> int:
        """How many processes fit."""
        return self.slots_n

    @property
    def cell_count(self) -> int:
        """How many limiter cells there are."""
        return <uint64_t>self.table.mask + 1

    @property
    def revocations(self) -> int:
        """How many revocations it has room for."""
        return self.revoked.capacity

    # -- the configuration's revision. A starting worker stores its applied revision, then its state, then looks at the
    # target; a writer stores the target, then looks at the states. All are sequentially consistent, so one of the two sees
    # the other (Dekker), and no worker can serve an old configuration that the writer believes gone.

    def fileno(self) -> int:
        return self.fd

    def publish(self, unsigned long long revision) -> None:
        """Announces a committed revision; it never goes back."""
        at_max(&self.header.target_revision, revision)

    def target(self) -> int:
        """The newest revision announced."""
        return at_load(&self.header.target_revision)

    def slot(self, int i) -> SlotView:
        """A slot as it stood at one moment."""
        return self.look(self.slot_at(i))

    cdef look(self, ShmSlot* s):
        # set_slot frees the slot, counts the generation, then writes the rest: with one generation around them the values are
        # of one process. Caught changing over and over, the slot is told as free.
        cdef uint64_t generation, pid, kind, state, applied
        cdef int attempt
        for attempt in range(1000):
            generation = at_load(&s.generation)
            state = at_load(&s.state)
            pid = at_load(&s.pid)
            kind = at_load(&s.kind)
            applied = at_load(&s.applied)
            if at_load(&s.generation) == generation:
                return SlotView(pid, kind, state, applied, generation)
        return SlotView(0, 0, SLOT_FREE, 0, generation)

    def set_slot(self, int i, unsigned long long pid, int kind, int state) -> None:
        """Gives the slot to a new process, or frees it (pid 0, state 0). What the one before held is given back."""
        cdef ShmSlot* s = self.slot_at(i)
        at_store(&s.state, SLOT_FREE)
        with nogil:
            hold_give_all(&self.ledgers, i)
            address_clear(&self.books, i)
        memset(self.metrics_first[i].gauges, 0, sizeof(self.metrics_first[i].gauges))
        at_add(&s.generation, 1)
        at_store(&s.applied, 0)
        at_store(&s.pid, pid)
        at_store(&s.kind, kind)
        at_store(&s.state, state)

    def set_state(self, int i, int state) -> None:
        """Says what the slot's process is doing."""
        at_store(&self.slot_at(i).state, state)

    def set_applied(self, int i, unsigned long long revision) -> None:
        """Says which revision the slot's process serves."""
        at_store(&self.slot_at(i).applied, revision)

    def lagging(self, unsigned long long revision) -> list[tuple[int, int]]:
        """(slot, pid) of the workers that serve or drain and have not applied `revision`.

        Never pid 0, which would be the caller's whole process group to os.kill.
        """
        late = []
        for i in range(self.slots_n):
            s = self.look(&self.slots[i])
            if s.state >= SLOT_SERVING and s.kind == 1 and s.applied < revision and s.pid:
                late.append((i, s.pid))
        return late

    def count(self, int i, str name not None, unsigned long long n) -> None:
        """Adds to a counter of the slot: for its own process, which alone may."""
        if name not in METRIC_NAMES:
            raise ValueError(f"counter: expected one of {', '.join(METRIC_NAMES)}, found {name!r}")
        self.slot_at(i)
        metric_count(&self.metrics_first[i], METRIC_NAMES.index(name), n)

    def counters(self, int i) -> dict[str, int]:
        """What the processes of one slot have counted, by name."""
        self.slot_at(i)
        return {name: at_load_relaxed(&self.metrics_first[i].counters[id]) for id, name in enumerate(METRIC_NAMES)}

    def gauges(self, int i) -> dict[str, int]:
        """What the process of one slot has now, by name: as it stood a tenth of a second ago or later."""
        self.slot_at(i)
        return {name: at_load_relaxed(&self.metrics_first[i].gauges[id]) for id, name in enumerate(GAUGE_NAMES)}

    def series(self) -> list[SeriesView]:
        """What is counted by route, consumer and node: the rows of all processes."""
        return series_all(&self.rows)

    @property
    def series_rows(self) -> tuple[int, int]:
        """How many rows have an owner, and how many there are."""
        return series_used(&self.rows), self.rows.n

    def refusals(self) -> dict[str, int]:
        """How often requests were refused, or answers cut off, by the reason that the access log has."""
        return reasons_all(self)

    def live_cells(self, unsigned long long now_ms) -> int:
        """How many limiter cells hold a count at that time of CLOCK_MONOTONIC. Memory that nobody wrote is not looked at."""
        return cells_live(self, now_ms)

    def samples(self, unsigned long long since=0) -> list[Sample]:
        """Hits on limits that were written down, no older than that many ms of CLOCK_MONOTONIC."""
        return hot_samples(self, since)

    def metrics(self) -> dict[str, object]:
        """Totals over all slots: counters by name, and `latency_us`: [(upper bound in µs, count), …]."""
        return metrics_sum(self)

    def plugins(self) -> dict[str, dict[str, object]]:
        """Of each Python plugin that was ever called, over all slots: `calls`, `failures`, `timeouts`, `held_ns` (of workers),
        `latency_ns` and `latency_us`: [(upper bound in µs, count), …]; `kept`: requests that are over and still referred to."""
        return plugins_sum(self.plugin_names, self.plugins_first, self.slots_n)

    def __dealloc__(self):
        if self.base != NULL:
            munmap(self.base, self.size)
            close(self.fd)
