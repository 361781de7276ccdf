# What a limiter says. The algorithms are in limits.pxi, the cells in cells.pxd.

cdef struct LimResult:
    bint allowed
    bint failed                 # not allowed because it could not be counted: nothing says that it is over the limit
    int64_t limit
    int64_t remaining           # 0 when refused
    uint64_t reset_ns           # until nothing consumed counts any more; sliding: until the window's end
    uint64_t retry_after_ns     # 0 when allowed; LIM_NEVER: such a hit is larger than the limit
