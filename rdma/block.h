/* SPDX-License-Identifier: Apache-2.0 */
/* block.h - private: memory for a message whose size is known only when it is there. */
#ifndef RILL_RDMA_BLOCK_H
#define RILL_RDMA_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zeroed at first. Its data are NULL, or owned: a block of the runtime's free lists, or of
 * malloc where it is larger than those have (RILL_POOL_BLOCK_MAX). */
struct rill_rdma_block {
    void *data;

    /* private */
    uint8_t size_class; /* or that it is of malloc */
};

/* Gets memory of size bytes. Returns false where there is none. */
bool rill_rdma_block_get(struct rill_rdma_block *block, size_t size);

/* Gives it back. Does nothing if there is none. */
void rill_rdma_block_put(struct rill_rdma_block *block);

#ifdef __cplusplus
}
#endif
#endif
