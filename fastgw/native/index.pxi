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
    # Plans of one path or prefix. As soon as one of them also looks at the host, or at more of the path, all go into facets.

    def __cinit__(self):
        self.held = []

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

    cdef int lay_facets(self) except -1:
        cdef _Facet facet
        cdef uint32_t i
        cdef FacetC** array = <FacetC**>malloc((len(self.facets) or 1) * sizeof(FacetC*))
        if array == NULL:
            raise MemoryError
        free(self.c.facets)
        for i, facet in enumerate(self.facets.values()):
            array[i] = &facet.c
        self.c.facets = array
        self.c.n_facets = len(self.facets)
        return 0

    cdef int put(self, Edit edit, Plan plan, _Slot slot) except -1:
        cdef uint32_t least = <uint32_t>len(slot.key) + slot.star
        cdef list before = self.held
        if self.facets is None and slot.signature == PLAIN and (plan.c.pattern == NULL or not plan.c.pattern.checks):
            return self.lay(plans_with(before, plan, least))
        if self.facets is None:
            self.facets = {}
            self.lay([])
            for each in before:
                self.put_facet(edit, each, PLAIN, b"", least)
        self.put_facet(edit, plan, slot.signature, slot.words, least)
        self.lay_facets()
        return 0

    cdef int put_facet(self, Edit edit, Plan plan, tuple signature, bytes words, uint32_t least) except -1:
        cdef _Facet facet = facet_own(self.facets.get(signature), signature, edit)
        cdef _Candidates found = candidates_own(facet.by_words.find(words), edit)
        facet.room(<uint32_t>len(words))
        found.lay(plans_with(found.held, plan, least))
        facet.by_words.put(edit, words, found, &found.c)
        facet.c.plans = facet.by_words.c
        self.facets[signature] = facet
        return 0

    cdef bint drop(self, Edit edit, Plan plan, _Slot slot) except -1:
        # False: it is not here.
        cdef _Facet facet
        cdef _Candidates found = self
        cdef list held
        if self.facets is not None:
            facet = self.facets.get(slot.signature)
            found = None if facet is None else facet.by_words.find(slot.words)
        if found is None or plan not in found.held:
            return False
        held = found.held.copy()
        held.remove(plan)
        if self.facets is None:
            self.lay(held)
            return True
        facet = facet_own(facet, slot.signature, edit)
        self.facets[slot.signature] = facet
        if held:
            found = candidates_own(found, edit)
            found.lay(held)
            facet.by_words.put(edit, slot.words, found, &found.c)
        else:
            facet.by_words.drop(edit, slot.words)
            if facet.by_words.c.used == 0:
                del self.facets[slot.signature]
        facet.c.plans = facet.by_words.c
        self.lay_facets()
        return True

    def __dealloc__(self):
        self.forget()
        free(self.c.facets)


cdef _Candidates candidates_own(_Candidates found, Edit edit):
    # Candidates the edit may change: these, a copy, or new ones.
    cdef _Candidates mine
    if found is not None and found.edit == edit.serial:
        return found
    mine = _Candidates()
    mine.edit = edit.serial
    if found is not None and found.facets is not None:
        mine.facets = found.facets.copy()
        mine.lay_facets()
    elif found is not None:
        mine.lay(found.held)
    return mine


cdef list plans_with(list held, Plan plan, uint32_t least):
    cdef Plan other
    cdef Py_ssize_t at = len(held)
    while at:
        other = held[at - 1]
        if not plan_before(&plan.c, &other.c, least):
            break
        at -= 1
    return [*held[:at], plan, *held[at:]]


cdef class _Facet:
    def __cinit__(self):
        self.by_words = _Map()

    cdef int room(self, uint32_t words) except -1:
        cdef char* text
        if words > self.c.most or self.c.text == NULL:
            text = <char*>realloc(self.c.text, words + 1)
            if text == NULL:
                raise MemoryError
            self.c.text = text
            self.c.most = words
        return 0

    def __dealloc__(self):
        free(self.c.text)


cdef _Facet facet_own(_Facet facet, tuple signature, Edit edit):
    cdef _Facet mine
    if facet is not None and facet.edit == edit.serial:
        return facet
    mine = _Facet()
    mine.edit = edit.serial
    mine.c.host, mine.c.suffix, mine.head, mine.c.open, mine.tail = signature
    mine.c.head = mine.head
    mine.c.n_head = <uint32_t>len(mine.head)
    mine.c.tail = mine.tail
    mine.c.n_tail = <uint32_t>len(mine.tail)
    if facet is None:
        mine.by_words = map_own(mine.by_words, edit)
    else:
        mine.by_words = map_own(facet.by_words, edit)
        mine.room(facet.c.most)
    mine.c.plans = mine.by_words.c
    return mine


PLAIN = (FACET_ANY_HOST, 0, b"", True, b"")     # looks at nothing but the prefix


cdef _Slot slot_of(Plan plan, bytes host, bytes pattern):
    # `host` is empty where it is not a facet: any will do, or the index is one host's.
    cdef Pattern own = plan.pattern
    cdef _Slot slot = _Slot()
    cdef int kind = FACET_ANY_HOST
    cdef uint32_t suffix = 0
    cdef bytes name = host.removeprefix(b"*")
    slot.words = b""
    if name:
        slot.words = name + b"/"
        kind = FACET_AUTHORITY if b":" in name.rpartition(b"]")[2] else FACET_HOST
        if host != name:
            kind += 1           # FACET_HOST_END, FACET_AUTHORITY_END
            suffix = <uint32_t>len(name)
    if own is None:
        slot.star = pattern.endswith(b"*")
        slot.key = literal_of(pattern.removesuffix(b"*"))
    else:
        slot.star = own.c.n > 1
        slot.key = own.prefix
    if own is None or not own.c.checks:
        slot.signature = (kind, suffix, b"", True, b"")
    else:
        slot.signature = (kind, suffix, own.head, own.open, own.tail)
        slot.words += own.words
    return slot


cdef class _PathIndex:
    # One host's routes, or all where paths go first. What a pattern has in front of its first wildcard is a prefix.

    def __cinit__(self):
        self.exact = _Map()
        self.prefix = _Map()
        self.lengths = {}

    cdef int put(self, Edit edit, Plan plan, _Slot slot) except -1:
        cdef _Map m = map_own(self.prefix if slot.star else self.exact, edit)
        cdef _Candidates found = m.find(slot.key)
        if found is None and slot.star:
            self.count(len(slot.key), 1)
        found = candidates_own(found, edit)
        found.put(edit, plan, slot)
        m.put(edit, slot.key, found, &found.c)
        self.set_map(slot.star, m)
        return 0

    cdef int drop(self, Edit edit, Plan plan, _Slot slot) except -1:
        cdef _Map m = map_own(self.prefix if slot.star else self.exact, edit)
        cdef _Candidates found = m.find(slot.key)
        if found is not None:
            found = candidates_own(found, edit)
        if found is None or not found.drop(edit, plan, slot):
            raise KeyError(f"expected a route {plan.id!r} at {slot.key!r} in the snapshot, found none")
        if found.c.n or found.c.n_facets:
            m.put(edit, slot.key, found, &found.c)
        else:
            m.drop(edit, slot.key)
            if slot.star:
                self.count(len(slot.key), -1)
        self.set_map(slot.star, m)
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
