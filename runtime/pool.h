/* SPDX-License-Identifier: Apache-2.0 */
/* pool.h - memory for tasks: free lists by size, refilled from large slabs.
 *
 * A block that was given back is the next one of its size to be given out, so a
 * server in steady state never calls malloc, and its memory is warm. The pool
 * grows to the largest number of blocks that were in use at once and gives
 * nothing back to the system before it is finished. */
#ifndef RILL_RUNTIME_POOL_H
#define RILL_RUNTIME_POOL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RILL_POOL_CLASSES = 96,
    RILL_POOL_BLOCK_MAX = 256 * 1024, /* the largest block, in bytes */
};

struct rill_pool {
    size_t in_use; /* blocks given out */

    /* private */
    struct rill_pool_block *free[RILL_POOL_CLASSES]; /* by size class */
    struct rill_pool_slab *slabs;
};

/* Makes an empty pool. Allocates nothing. */
void rill_pool_init(struct rill_pool *pool);

/* Frees all memory of the pool, blocks in use included. */
void rill_pool_finish(struct rill_pool *pool);

/* Returns a block of at least size bytes, aligned to 64 if size is a multiple
 * of 64 and to 16 otherwise, with undefined content, and its size class in
 * *size_class. Returns NULL where there is no memory or size is above
 * RILL_POOL_BLOCK_MAX. */
void *rill_pool_get(struct rill_pool *pool, size_t size, uint8_t *size_class);

/* Takes back a block that rill_pool_get returned with that class. */
void rill_pool_put(struct rill_pool *pool, void *block, uint8_t size_class);

#ifdef __cplusplus
}
#endif
#endif
