# index: the tables of a snapshot with their owners, made so that the next snapshot shares all that did not change.
# Nothing here is called while a request is served.

cdef enum:
    MAP_SHARDS = 256            # of a large map: a change copies 1/256 of it and the array of shards (4 KiB)
    MAP_SPLIT = 64              # keys from which a map is a large one; a small one has a single shard


cdef class _Shard:
    def __cinit__(self):
        self.held = {}

    def __dealloc__(self):
        free(self.c.entries)


cdef class _Map:
    def __cinit__(self):
        self.shards = []

    cdef int lay(self, Edit edit, uint32_t shards) except -1:
        # Spreads the keys over so many shards, a power of two.
        cdef list before = self.shards
        cdef _Shard old
        cdef bytes key
        cdef MapShard* array = <MapShard*>calloc(shards, sizeof(MapShard))
        if array == NULL:
            raise MemoryError
        free(self.c.shards)
        self.c.shards = array
        self.c.shard_mask = shards - 1
        self.c.used = 0
        self.shards = [None] * shards
        for old in before:
            if old is not None:
                for key, owner in old.held.items():
                    self.put(edit, key, owner, shard_get(&old.c, map_hash(key, len(key)), key, len(key)))
        edit.replaced += [shard for shard in before if shard is not None]
        return 0

    cdef _Shard own(self, Edit edit, uint32_t i):
        cdef _Shard shard = self.shards[i]
        cdef _Shard mine
        if shard is not None and shard.edit == edit.serial:
            return shard
        mine = _Shard()
        mine.edit = edit.serial
        if shard is not None:
            shard_copy(&mine.c, &shard.c)
            mine.held = shard.held.copy()
            edit.replaced.append(shard)
        self.shards[i] = mine
        return mine

    cdef object find(self, bytes key):
        cdef _Shard shard
        if self.c.used == 0:
            return None
        shard = self.shards[map_shard(&self.c, map_hash(key, len(key)))]
        return None if shard is None else shard.held.get(key)

    cdef int put(self, Edit edit, bytes key, owner, void* value) except -1:
        cdef uint64_t h = map_hash(key, len(key))
        cdef uint32_t i, before
        cdef _Shard shard
        if self.c.shards == NULL:
            self.lay(edit, 1)
        elif self.c.used >= MAP_SPLIT and self.c.shard_mask == 0:
            self.lay(edit, MAP_SHARDS)
        i = map_shard(&self.c, h)
        shard = self.own(edit, i)
        before = shard.c.used
        shard_room(&shard.c, before + 1)
        shard.held[key] = owner     # of an equal key the dict keeps the first object, and so does the entry
        shard_set(&shard.c, h, key, len(key), value)
        self.c.used += shard.c.used - before
        self.c.shards[i] = shard.c
        return 0

    cdef int drop(self, Edit edit, bytes key) except -1:
        cdef uint64_t h = map_hash(key, len(key))
        cdef uint32_t i = map_shard(&self.c, h)
        cdef _Shard shard = self.own(edit, i)
        shard_drop(&shard.c, h, key, len(key))
        del shard.held[key]
        self.c.used -= 1
        self.c.shards[i] = shard.c
        return 0

    def __dealloc__(self):
        free(self.c.shards)


cdef _Map map_own(_Map m, Edit edit):
    cdef _Map mine
    cdef size_t size = (m.c.shard_mask + 1) * sizeof(MapShard)
    if m.edit == edit.serial:
        return m
    mine = _Map()
    mine.edit = edit.serial
    mine.shards = m.shards.copy()
    if m.c.shards != NULL:
        mine.c.shards = <MapShard*>malloc(size)
        if mine.c.shards == NULL:
            raise MemoryError
        memcpy(mine.c.shards, m.c.shards, size)
        mine.c.shard_mask = m.c.shard_mask
        mine.c.used = m.c.used
    return mine


cdef class _Candidates:
    cdef int lay(self, list held) except -1:
        cdef Plan plan
        cdef uint32_t i
        cdef PlanC** plans = &self.only
        if len(held) > 1:
            plans = <PlanC**>malloc(len(held) * sizeof(PlanC*))
            if plans == NULL:
                raise MemoryError
        self.forget()
        for i, plan in enumerate(held):
            plans[i] = &plan.c
        self.c.plans = plans
        self.c.n = len(held)
        self.held = held
        return 0

    cdef void forget(self) noexcept:
        if self.c.plans != &self.only:
            free(self.c.plans)

    def __dealloc__(self):
        self.forget()


cdef _Candidates candidates_with(_Candidates found, Edit edit, list held):
    # `found` with other plans, in place if the edit made it.
    cdef _Candidates mine = found
    if mine is None or mine.edit != edit.serial:
        mine = _Candidates()
        mine.edit = edit.serial
    mine.lay(held)
    return mine


cdef list plans_with(list held, Plan plan):
    cdef Plan other
    cdef Py_ssize_t at = len(held)
    while at:
        other = held[at - 1]
        if other.c.priority > plan.c.priority or (other.c.priority == plan.c.priority and other.c.order <= plan.c.order):
            break
        at -= 1
    return [*held[:at], plan, *held[at:]]


cdef class _PathIndex:
    # One host's routes. A pattern that ends in `*` is a prefix.

    def __cinit__(self):
        self.exact = _Map()
        self.prefix = _Map()
        self.lengths = {}

    cdef int put(self, Edit edit, Plan plan, bytes pattern) except -1:
        cdef bint star = pattern.endswith(b"*")
        cdef bytes path = pattern.removesuffix(b"*")
        cdef _Map m = map_own(self.prefix if star else self.exact, edit)
        cdef _Candidates found = m.find(path)
        if found is None and star:
            self.count(len(path), 1)
        found = candidates_with(found, edit, plans_with([] if found is None else found.held, plan))
        m.put(edit, path, found, &found.c)
        self.set_map(star, m)
        return 0

    cdef int drop(self, Edit edit, Plan plan, bytes pattern) except -1:
        cdef bint star = pattern.endswith(b"*")
        cdef bytes path = pattern.removesuffix(b"*")
        cdef _Map m = map_own(self.prefix if star else self.exact, edit)
        cdef _Candidates found = m.find(path)
        if found is None or plan not in found.held:
            raise KeyError(f"expected a route {plan.id!r} with {pattern!r} in the snapshot, found none")
        held = found.held.copy()
        held.remove(plan)
        if held:
            found = candidates_with(found, edit, held)
            m.put(edit, path, found, &found.c)
        else:
            m.drop(edit, path)
            if star:
                self.count(len(path), -1)
        self.set_map(star, m)
        return 0

    cdef void set_map(self, bint star, _Map m):
        if star:
            self.prefix = m
            self.c.prefix = m.c
        else:
            self.exact = m
            self.c.exact = m.c

    cdef int count(self, size_t length, int change) except -1:
        if lengths_count(self.lengths, length, change):
            lengths_lay(self.lengths, &self.c.lengths, &self.c.hashes)
            self.c.n_lengths = len(self.lengths)
        return 0

    def __dealloc__(self):
        free(self.c.lengths)
        free(self.c.hashes)


cdef _PathIndex paths_own(_PathIndex index, Edit edit):
    # An index the edit may change: this one, a copy, or a new one.
    cdef _PathIndex mine
    if index is not None and index.edit == edit.serial:
        return index
    mine = _PathIndex()
    mine.edit = edit.serial
    if index is not None:
        mine.set_map(0, index.exact)
        mine.set_map(1, index.prefix)
        mine.lengths = index.lengths.copy()
        lengths_lay(mine.lengths, &mine.c.lengths, &mine.c.hashes)
        mine.c.n_lengths = len(mine.lengths)
    return mine


cdef bint lengths_count(dict lengths, size_t length, int change) except -1:
    # Counts one more or less of a length; true when a length came or went.
    n = lengths.get(length, 0) + change
    if n:
        lengths[length] = n
        return n == change
    del lengths[length]
    return True


cdef int lengths_lay(dict counts, uint32_t** lengths, uint64_t** hashes) except -1:
    # The lengths as an ascending array, and the scratch of the same size.
    free(lengths[0])
    free(hashes[0])
    lengths[0] = <uint32_t*>calloc(len(counts) or 1, sizeof(uint32_t))
    hashes[0] = <uint64_t*>calloc(len(counts) or 1, sizeof(uint64_t))
    if lengths[0] == NULL or hashes[0] == NULL:
        raise MemoryError
    for i, n in enumerate(sorted(counts)):
        lengths[0][<size_t>i] = n
    return 0
