/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/pool.h"

#include "runtime/panic.h"

#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
/* A free block is closed to everybody, so that a use after the end shows. */
#define block_close(block, size) ASAN_POISON_MEMORY_REGION(block, size)
#define block_open(block, size) ASAN_UNPOISON_MEMORY_REGION(block, size)
#else
#define block_close(block, size) ((void)0)
#define block_open(block, size) ((void)0)
#endif

enum {
    SMALL_STEP = 16,  /* classes of up to SMALL_MAX bytes are this far apart */
    SMALL_MAX = 1024, /* above, there are four classes to each doubling */
    SMALL_CLASSES = SMALL_MAX / SMALL_STEP,
    SLAB_SIZE = 64 * 1024, /* at least; a slab holds at least one block */
    SLAB_ALIGNMENT = 64,
};

struct rill_pool_block {
    struct rill_pool_block *next; /* pool.free of its class */
};

struct rill_pool_slab {
    struct rill_pool_slab *next; /* pool.slabs */
    size_t size;
};

static unsigned class_of(size_t size)
{
    if (size <= SMALL_MAX)
        return size == 0 ? 0 : (unsigned)((size - 1) / SMALL_STEP);

    /* With 2^n < size <= 2^(n+1), the two bits below the highest one of size - 1
     * name the quarter. */
    unsigned n = 63 - (unsigned)__builtin_clzll(size - 1);
    unsigned quarter = (unsigned)((size - 1) >> (n - 2)) & 3;

    return SMALL_CLASSES + (n - 10) * 4 + quarter;
}

static size_t size_of(unsigned size_class)
{
    if (size_class < SMALL_CLASSES)
        return (size_t)(size_class + 1) * SMALL_STEP;

    unsigned n = 10 + (size_class - SMALL_CLASSES) / 4;
    unsigned quarter = (size_class - SMALL_CLASSES) % 4;

    return ((size_t)1 << n) + ((size_t)(quarter + 1) << (n - 2));
}

void rill_pool_init(struct rill_pool *pool)
{
    *pool = (struct rill_pool){0};
}

void rill_pool_finish(struct rill_pool *pool)
{
    while (pool->slabs) {
        struct rill_pool_slab *slab = pool->slabs;

        pool->slabs = slab->next;
        block_open(slab, slab->size);
        free(slab);
    }
    *pool = (struct rill_pool){0};
}

/* Cuts a new slab into free blocks of a class. */
static int refill(struct rill_pool *pool, unsigned size_class)
{
    size_t size = size_of(size_class);
    size_t count = size < SLAB_SIZE ? SLAB_SIZE / size : 1;
    size_t slab_size = SLAB_ALIGNMENT + count * size;
    struct rill_pool_slab *slab;

    slab_size = (slab_size + SLAB_ALIGNMENT - 1) & ~(size_t)(SLAB_ALIGNMENT - 1);
    slab = aligned_alloc(SLAB_ALIGNMENT, slab_size);
    if (!slab)
        return -1;
    slab->next = pool->slabs;
    slab->size = slab_size;
    pool->slabs = slab;

    /* Backwards, so that blocks are given out in ascending order. */
    for (size_t i = count; i-- > 0;) {
        struct rill_pool_block *block = (void *)((char *)slab + SLAB_ALIGNMENT + i * size);

        block->next = pool->free[size_class];
        pool->free[size_class] = block;
        block_close(block, size);
    }
    return 0;
}

void *rill_pool_get(struct rill_pool *pool, size_t size, uint8_t *size_class)
{
    if (size > RILL_POOL_BLOCK_MAX)
        return NULL;

    unsigned class = class_of(size);

    if (!pool->free[class] && refill(pool, class) < 0)
        return NULL;

    struct rill_pool_block *block = pool->free[class];

    block_open(block, size_of(class));
    pool->free[class] = block->next;
    pool->in_use++;
    *size_class = (uint8_t) class;
    return block;
}

void rill_pool_put(struct rill_pool *pool, void *memory, uint8_t size_class)
{
    struct rill_pool_block *block = memory;

    rill_check(pool->in_use > 0, "a block was given back twice");
    pool->in_use--;
    block->next = pool->free[size_class];
    pool->free[size_class] = block;
    block_close(block, size_of(size_class));
}
