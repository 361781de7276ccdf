/* heap: what a build that looks for faults (FASTGW_FAULTS) knows of the heap. Owns: the count of blocks that the core holds, which
   bytes of a block nobody may touch, and that buffers have no slack. In every other build there is nothing of it. Must not know
   whose blocks they are. */
#ifndef FGW_HEAP_H
#define FGW_HEAP_H

#include <stdlib.h>

#ifdef FASTGW_FAULTS

#include <sanitizer/asan_interface.h>

enum { HEAP_TIGHT = 65536 };

static long heap_live;

static inline void *heap_counted(void *block)
{
    if (block != NULL)
        __atomic_fetch_add(&heap_live, 1, __ATOMIC_RELAXED);
    return block;
}

static inline void *heap_realloc(void *old, size_t size)
{
    void *block = realloc(old, size);
    return old == NULL ? heap_counted(block) : block;
}

static inline void heap_free(void *block)
{
    if (block != NULL)
        __atomic_fetch_sub(&heap_live, 1, __ATOMIC_RELAXED);
    free(block);
}

static inline long heap_blocks(void)
{
    return __atomic_load_n(&heap_live, __ATOMIC_RELAXED);
}

static inline void heap_allow(void *at, size_t size)
{
    __asan_unpoison_memory_region(at, size);
}

static inline void heap_forbid(void *at, size_t size)
{
    __asan_poison_memory_region(at, size);
}

/* From here on the names mean these, in everything that the extension is made of. */
#define malloc(size) heap_counted(malloc(size))
#define calloc(count, size) heap_counted(calloc(count, size))
#define aligned_alloc(alignment, size) heap_counted(aligned_alloc(alignment, size))
#define realloc(old, size) heap_realloc(old, size)
#define free(block) heap_free(block)

#else

enum { HEAP_TIGHT = 0 };

static inline long heap_blocks(void) { return -1; }
static inline void heap_allow(void *at, size_t size) { (void)at; (void)size; }
static inline void heap_forbid(void *at, size_t size) { (void)at; (void)size; }

#endif
#endif
