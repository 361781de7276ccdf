# Hash tables from byte strings to pointers, as a request reads them. Owns: nothing; index.pxi has the owners of entries,
# keys and values. A table is split in shards, so that a version of it with one key changed shares all shards but one.

cdef struct MapEntry:
    uint64_t hash
    const char* key
    void* value                 # NULL marks a free entry
    uint32_t len

cdef struct MapShard:
    MapEntry* entries           # NULL: none yet
    uint32_t mask               # entries - 1, a power of two less one
    uint32_t used

cdef struct Map:
    MapShard* shards            # NULL: an empty map
    uint32_t shard_mask         # shards - 1
    uint32_t used               # keys in all of them
