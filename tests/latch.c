/* SPDX-License-Identifier: Apache-2.0 */
/* latch.c - the states of an operation that the test is the kernel of. */
#include "tests/latch.h"

#include "tests/rig.h"

#include <check.h>
#include <errno.h>

static enum rill_poll end(struct latch *latch, int64_t result)
{
    latch->over = true;
    latch->result = result;
    return RILL_READY;
}

static enum rill_poll latch_poll(struct rill_future *self, struct rill_task *task)
{
    struct latch *latch = rill_container_of(self, struct latch, future);
    enum rill_cancel_reason reason = rill_task_cancel_reason(task);
    bool cancelled = rill_task_is_cancelled(task);

    if (latch->over)
        ck_abort_msg("a latch was polled after its end (seed %llu)", rig.seed);
    if (latch->begun && latch->task != task)
        ck_abort_msg("a latch was polled by two tasks (seed %llu)", rig.seed);
    if (latch->reason != RILL_NOT_CANCELLED && latch->reason != reason &&
        reason != RILL_SHUTTING_DOWN)
        ck_abort_msg("a latch was cancelled for reason %d, and then for %d (seed %llu)",
                     latch->reason, reason, rig.seed);
    latch->reason = reason;
    latch->polls++;
    latch->cancelled_polls += cancelled;

    if (!latch->begun) {
        if (cancelled)
            return end(latch, -ECANCELED);
        latch->begun = true;
        latch->task = task;
    }
    if (latch->is_open)
        return end(latch, latch->value);
    if (latch->is_let_go)
        return end(latch, -ECANCELED);
    if (cancelled && latch->drain_polls != LATCH_BY_HAND) {
        if (latch->drained == latch->drain_polls)
            return end(latch, -ECANCELED);
        latch->drained++;
        rill_task_wake(task);
    }
    return RILL_PENDING;
}

struct rill_future *latch_wait(struct latch *latch)
{
    static const struct rill_place place = {"latch", NULL, 0};
    int drain_polls = latch->drain_polls;

    *latch = (struct latch){.drain_polls = drain_polls};
    rill_future_init(&latch->future, latch_poll);
    latch->future.place = &place;
    return &latch->future;
}

static void wake(struct latch *latch)
{
    if (latch->begun && !latch->over)
        rill_task_wake(latch->task);
}

void latch_open(struct latch *latch, int64_t result)
{
    latch->is_open = true;
    latch->value = result;
    wake(latch);
}

void latch_let_go(struct latch *latch)
{
    latch->is_let_go = true;
    wake(latch);
}
