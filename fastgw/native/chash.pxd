# Rings of consistent hashing, as lua-resty-balancer's resty.chash has them. Owned by an Upstream, immutable once sorted.

cdef enum:
    CHASH_POINTS = 160          # of each unit of weight
    # Units of one ring, beyond which weights lose precision in proportion: 655,360 points take 5 MiB and 15 ms to make.
    CHASH_UNITS_MOST = 4096

cdef struct ChashPoint:
    uint32_t hash
    uint32_t node               # index in the upstream's nodes

cdef struct Chash:
    ChashPoint* points          # by hash, ascending; of equal ones in the order of the nodes
    uint32_t n
