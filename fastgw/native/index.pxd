# Owners of what a snapshot's tables hold, and the snapshot itself. All but the snapshot being made is immutable: an Edit
# changes only what it made itself, told by its serial number, and copies what it did not.

cdef class Edit

cdef class _Shard:
    cdef MapShard c
    cdef dict held              # key -> owner of its value: both live as long as the shard
    cdef uint64_t edit          # serial of the Edit that made it

cdef class _Map:
    cdef Map c
    cdef list shards            # _Shard or None, beside the C array
    cdef uint64_t edit
    cdef _Shard own(self, Edit edit, uint32_t i)
    cdef object find(self, bytes key)
    cdef int put(self, Edit edit, bytes key, owner, void* value) except -1
    cdef int drop(self, Edit edit, bytes key) except -1
    cdef int lay(self, Edit edit, uint32_t shards) except -1

cdef class _Candidates:
    cdef Candidates c
    cdef PlanC* only            # the array, where there is one plan: beside its length in the cache
    cdef list held              # the plans, in the order they are tried
    cdef dict facets            # signature -> _Facet; None: `held` are all
    cdef uint64_t edit
    cdef int lay(self, list held) except -1
    cdef int lay_facets(self) except -1
    cdef void forget(self) noexcept
    cdef int put(self, Edit edit, Plan plan, _Slot slot) except -1
    cdef int put_facet(self, Edit edit, Plan plan, tuple signature, bytes words, uint32_t least) except -1
    cdef bint drop(self, Edit edit, Plan plan, _Slot slot) except -1

cdef class _Facet:
    cdef FacetC c
    cdef _Map by_words
    cdef bytes head, tail
    cdef uint64_t edit
    cdef int room(self, uint32_t words) except -1

cdef class _Slot:               # where in the index a plan belongs
    cdef bint star              # behind a prefix, not at an exact path
    cdef bytes key
    cdef tuple signature        # of the facet
    cdef bytes words

cdef class _PathIndex:
    cdef PathIndex c
    cdef _Map exact
    cdef _Map prefix
    cdef dict lengths           # of prefixes -> how many have it
    cdef uint64_t edit
    cdef int put(self, Edit edit, Plan plan, _Slot slot) except -1
    cdef int drop(self, Edit edit, Plan plan, _Slot slot) except -1
    cdef void set_map(self, bint star, _Map m)
    cdef int count(self, size_t length, int change) except -1

cdef class Snapshot:
    cdef SnapshotC c
    cdef Steps globals
    cdef _Map hosts
    cdef _Map suffixes
    cdef _PathIndex any_host
    cdef dict lengths           # of suffixes -> how many have it
    cdef list credentials       # a _Map per kind
    cdef _Map server_names
    cdef bint path_first        # hosts are facets of paths: all routes are in any_host
    cdef list replaced          # shards that are not in the snapshot derived from this one: freed piece by piece
    cdef int seal(self) except -1

cdef class Edit:
    cdef Snapshot base
    cdef Snapshot next
    cdef list replaced
    cdef uint64_t serial
    cdef Snapshot open(self)
    cdef _PathIndex paths(self, bytes host)
    cdef int store_paths(self, bytes host, _PathIndex index) except -1
