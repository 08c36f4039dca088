/* SPDX-License-Identifier: Apache-2.0 */
/* rdma_fate.h - a task that now and then kills or stops one of the workers of a world. */
#ifndef RILL_TESTS_RDMA_FATE_H
#define RILL_TESTS_RDMA_FATE_H

#include "rdma/rdma.h"
#include "runtime/sleep.h"
#include "runtime/task.h"

enum { RDMA_FATE_NODES = 2 };

/* Zeroed, with its nodes and the number of its strokes, and started. */
struct rdma_fate {
    struct rill_task task;
    struct rill_join join;
    struct rill_sleep pause;
    const struct rill_rdma *nodes[RDMA_FATE_NODES]; /* open until its end */
    unsigned strokes;
};

void rdma_fate_start(struct rdma_fate *fate);
void rdma_fate_end(struct rdma_fate *fate); /* waits for it */

#endif
