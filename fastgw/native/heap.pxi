# heap: blocks that the core has from the heap, counted in builds that look for faults. There buffers have no slack either: each
# is as long as what is in it, and moves when that grows, so that whoever reads beyond it, or keeps a pointer to it, is found out.

cdef extern from "heap.h" nogil:
    enum:
        HEAP_TIGHT              # bytes up to which a buffer has no slack; 0 in all other builds
    long heap_blocks()
    void heap_allow(void* at, size_t size)
    void heap_forbid(void* at, size_t size)


def _test_heap_blocks() -> int | None:
    """Blocks the core holds now; None: this build does not count them."""
    cdef long blocks = heap_blocks()
    return None if blocks < 0 else blocks


def _test_heap_stale() -> int:
    """Looks at a byte that is forbidden: a build that looks for faults ends here."""
    cdef char* block = <char*>calloc(1, 64)
    cdef int found
    if block == NULL:
        raise MemoryError
    heap_forbid(block + 32, 32)
    found = block[40]
    heap_allow(block, 64)
    free(block)
    return found
