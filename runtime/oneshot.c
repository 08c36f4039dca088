/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/oneshot.h"

#include "runtime/executor.h"

static enum rill_poll end(struct rill_oneshot_receive *op, int64_t result)
{
    op->oneshot->receiver = NULL;
    return rill_future_end(&op->future, result);
}

static enum rill_poll receive_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_oneshot_receive *op = rill_container_of(self, struct rill_oneshot_receive, future);
    struct rill_oneshot *oneshot = op->oneshot;

    rill_check(!oneshot->receiver || oneshot->receiver == task,
               "two tasks wait for the message of one oneshot");
    rill_check(oneshot->state != RILL_ONESHOT_RECEIVED,
               "the message of a oneshot is received a second time");
    if (oneshot->state == RILL_ONESHOT_EMPTY && !rill_task_is_cancelled(task)) {
        oneshot->receiver = task;
        return RILL_PENDING;
    }
    if (!rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    if (rill_task_is_cancelled(task))
        return end(op, -ECANCELED);
    if (oneshot->state == RILL_ONESHOT_CLOSED)
        return end(op, 0);
    oneshot->state = RILL_ONESHOT_RECEIVED;
    return end(op, 1);
}

struct rill_future *rill_oneshot_receive_(struct rill_oneshot *oneshot,
                                          struct rill_oneshot_receive *op)
{
    static const struct rill_place name = {"receive from a oneshot", NULL, 0};

    rill_future_init(&op->future, receive_poll);
    op->future.place = &name;
    op->oneshot = oneshot;
    return &op->future;
}

void rill_oneshot_close_(struct rill_oneshot *oneshot)
{
    if (oneshot->state != RILL_ONESHOT_EMPTY)
        return;
    oneshot->state = RILL_ONESHOT_CLOSED;
    if (oneshot->receiver)
        rill_task_wake(oneshot->receiver);
}
