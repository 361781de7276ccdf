# Read-mostly hash tables from byte strings to pointers, built once per snapshot. Owns: its entries; borrows keys and values.

cdef struct MapEntry:
    uint64_t hash
    const char* key
    void* value                 # NULL marks a free entry
    uint32_t len

cdef struct Map:
    MapEntry* entries
    uint32_t mask               # entries - 1, a power of two less one
    uint32_t used
