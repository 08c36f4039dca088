/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scenarios/rdma_fate.h"

#include "tests/rdma/sim_ucx.h"
#include "tests/scenarios/scenario.h"

static enum rill_poll fate_poll(struct rill_future *self, struct rill_task *task)
{
    struct rdma_fate *fate = rill_container_of(self, struct rdma_fate, task.future);

    RILL_BEGIN();
    for (; fate->strokes > 0; fate->strokes--) {
        RILL_AWAIT(rill_sleep(&fate->pause, dice_ns(200 * RILL_MILLISECOND)));
        if (dice(2))
            sim_ucx_kill(fate->nodes[dice(RDMA_FATE_NODES)]->worker,
                         dice_ns(300 * RILL_MILLISECOND));
        else
            sim_ucx_stop(fate->nodes[dice(RDMA_FATE_NODES)]->worker, dice_ns(2 * RILL_SECOND));
    }
    RILL_END();
}

void rdma_fate_start(struct rdma_fate *fate)
{
    rill_task_spawn(&fate->task, fate_poll);
}

void rdma_fate_end(struct rdma_fate *fate)
{
    await(rill_task_join(&fate->task, &fate->join));
}
