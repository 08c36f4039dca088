/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/block.h"

#include "runtime/executor.h"

#include <stdlib.h>

enum { OF_MALLOC = UINT8_MAX };

bool rill_rdma_block_get(struct rill_rdma_block *block, size_t size)
{
    if (size <= RILL_POOL_BLOCK_MAX) {
        block->data = rill_pool_get(&rill_executor_here()->pool, size, &block->size_class);
    } else {
        block->data = malloc(size);
        block->size_class = OF_MALLOC;
    }
    return block->data != NULL;
}

void rill_rdma_block_put(struct rill_rdma_block *block)
{
    if (!block->data)
        return;
    if (block->size_class == OF_MALLOC)
        free(block->data);
    else
        rill_pool_put(&rill_executor_here()->pool, block->data, block->size_class);
    block->data = NULL;
}
