# shm_check: whether what somebody hands over as a region is one, of this layout, that nobody else can change. Owns the words for
# what it is instead. Must not know what sections are for.


cdef void check_head(bytes raw, size_t size, where) except *:
    # Of an untrusted file: everything that later code relies on, with no arithmetic that could overflow.
    cdef ShmHeader head
    if len(raw) < <Py_ssize_t>sizeof(ShmHeader) or not raw.startswith(_MAGIC):
        raise RegionError(f"{where}: expected a fastgw region, found other content")
    memcpy(&head, <const char*>raw, sizeof(ShmHeader))
    if head.version != SHM_VERSION:
        raise RegionError(f"{where}: expected layout version {SHM_VERSION}, found {head.version}")
    if head.size != size:
        raise RegionError(f"{where}: expected {head.size} bytes, found {size}")
    if head.sections > SHM_SECTIONS_MAX:
        raise RegionError(f"{where}: expected at most {SHM_SECTIONS_MAX} sections, found {head.sections}")
    counts = {}
    places = []
    for i in range(head.sections):
        kind, entry, offset, count = [int(x) for x in (head.section[i].kind, head.section[i].entry_size,
                                                       head.section[i].offset, head.section[i].count)]
        name, expected = _SECTIONS.get(kind, (f"of kind {kind}", entry))
        if entry != expected:
            raise RegionError(f"{where}: section {name}: expected entries of {expected} bytes, found {entry}")
        if offset < SHM_PAGE or offset % 64 or offset + entry * count > size:
            raise RegionError(f"{where}: section {name}: expected it inside the region, found {count} entries at {offset}")
        if kind in counts:
            raise RegionError(f"{where}: section {name}: expected one, found another")
        counts[kind] = count
        if kind in _SECTIONS:   # what a later version adds is not looked at
            places.append((offset, offset + entry * count, name))
    places.sort()
    for (_, end, before), (start, _, name) in zip(places, places[1:]):
        if start < end:
            raise RegionError(f"{where}: section {name}: expected it behind section {before}, found both at {start}")
    for kind, (name, _) in _SECTIONS.items():
        if kind not in counts:
            raise RegionError(f"{where}: section {name}: expected one, found none")
    cells = counts[SECTION_CELLS]
    if not LIM_WINDOW <= cells <= SHM_CELLS_MAX or cells & (cells - 1):
        raise RegionError(f"{where}: section cells: expected a power of two from {LIM_WINDOW}, found {cells}")
    slots = counts[SECTION_SLOTS]
    if not 1 <= slots <= SHM_SLOTS:
        raise RegionError(f"{where}: section slots: expected 1 to {SHM_SLOTS} entries, found {slots}")
    if counts[SECTION_METRICS] != slots:
        raise RegionError(f"{where}: section metrics: expected {slots} entries, found {counts[SECTION_METRICS]}")
    if counts[SECTION_HOLDS] != slots * hold_lines(cells):
        raise RegionError(
            f"{where}: section holds: expected {slots * hold_lines(cells)} entries, found {counts[SECTION_HOLDS]}")
    if counts[SECTION_HOT] != slots * HOT_ENTRIES:
        raise RegionError(f"{where}: section hot: expected {slots * HOT_ENTRIES} entries, found {counts[SECTION_HOT]}")
    if counts[SECTION_ADDRESSES] != slots * ADDRESS_LINES:
        raise RegionError(f"{where}: section addresses: expected {slots * ADDRESS_LINES} entries, "
                          f"found {counts[SECTION_ADDRESSES]}")
    if counts[SECTION_HEALTH] != HEALTH_PLACES:
        raise RegionError(f"{where}: section health: expected {HEALTH_PLACES} entries, found {counts[SECTION_HEALTH]}")
    if not 1 <= counts[SECTION_SERIES] <= SERIES_ROWS_MOST:
        raise RegionError(f"{where}: section series: expected 1 to {SERIES_ROWS_MOST} entries, found {counts[SECTION_SERIES]}")
    if counts[SECTION_REASONS] != slots * REASONS_MOST:
        raise RegionError(f"{where}: section reasons: expected {slots * REASONS_MOST} entries, found {counts[SECTION_REASONS]}")
    if counts[SECTION_PLUGIN_NAMES] != PLUGIN_PLACES:
        raise RegionError(
            f"{where}: section plugin names: expected {PLUGIN_PLACES} entries, found {counts[SECTION_PLUGIN_NAMES]}")
    if counts[SECTION_PLUGINS] != slots * PLUGIN_PLACES:
        raise RegionError(f"{where}: section plugins: expected {slots * PLUGIN_PLACES} entries, found {counts[SECTION_PLUGINS]}")
    if counts[SECTION_REVOKED] != 1:
        raise RegionError(f"{where}: section revoked: expected 1 entry, found {counts[SECTION_REVOKED]}")
    most, places = int(head.revocations), counts[SECTION_MARKS]
    if not 1 <= most <= REV_MOST:
        raise RegionError(f"{where}: expected room for 1 to {REV_MOST} revocations, found {most}")
    if places != rev_places(most) or counts[SECTION_REVOCATIONS] != places:
        raise RegionError(f"{where}: sections marks, revocations: expected {rev_places(most)} entries each, "
                          f"found {places} and {counts[SECTION_REVOCATIONS]}")


cdef int check_owner(int fd, where) except -1:
    # Who may write to it may change any count; who owns it may cut it short, which ends each process that maps it by SIGBUS.
    found = _os.fstat(fd)
    if not _stat.S_ISREG(found.st_mode):
        raise RegionError(f"{where}: expected a regular file, found another kind of file")
    if found.st_uid != _os.geteuid():
        raise RegionError(f"{where}: expected a file of user {_os.geteuid()}, found one of user {found.st_uid}")
    if found.st_mode & 0o022:
        raise RegionError(f"{where}: expected mode 0600, found {_stat.S_IMODE(found.st_mode):04o}: others may write to it")
    return 0
