/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/select.h"

#include "runtime/panic.h"
#include "runtime/task.h"

#include <errno.h>

/* A future that ended because the whole select is cancelled has not won. */
static bool has_won(const struct rill_future *future, const struct rill_task *task)
{
    return !(rill_task_is_cancelled(task) && future->result == -ECANCELED);
}

/* Polls each future that is still pending, until one wins if there is no winner
 * yet, and cancelled if there is one. */
static void poll_pending(struct rill_select *select, struct rill_task *task)
{
    for (uint32_t i = 0; i < select->count; i++) {
        struct rill_future *future = select->futures[i];
        enum rill_poll poll;

        if (!future)
            continue;
        if (select->winner < 0)
            poll = future->poll(future, task);
        else
            poll = rill_poll_scoped(future, task, RILL_SCOPE_CANCELLED);
        if (poll == RILL_PENDING)
            continue;
        select->futures[i] = NULL;
        select->pending--;
        if (select->winner < 0 && has_won(future, task)) {
            select->winner = (int32_t)i;
            return;
        }
    }
}

static enum rill_poll select_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_select *select = rill_container_of(self, struct rill_select, future);

    if (select->count == 0) {
        select->result = -EINVAL;
        return RILL_READY;
    }
    if (select->winner < 0)
        poll_pending(select, task);
    if (select->winner >= 0)
        poll_pending(select, task);
    if (select->pending > 0)
        return RILL_PENDING;
    select->result = select->winner < 0 ? -ECANCELED : select->winner;
    return RILL_READY;
}

struct rill_future *rill_select(struct rill_select *select, struct rill_future **futures,
                                uint32_t count)
{
    static const struct rill_place place = {"select", NULL, 0};

    for (uint32_t i = 0; i < count; i++)
        rill_check(futures[i], "entry %u of a select is NULL", i);
    rill_future_init(&select->future, select_poll);
    select->future.place = &place;
    select->futures = futures;
    select->count = count;
    select->pending = count;
    select->winner = -1;
    return &select->future;
}
