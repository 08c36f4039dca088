/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/notify.h"

#include "runtime/task.h"

#include <errno.h>

static enum rill_poll wait_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_wait *wait = rill_container_of(self, struct rill_wait, future);
    bool notified = !rill_link_is_linked(&wait->queue);

    if (notified) {
        wait->result = 0;
        return RILL_READY;
    }
    if (rill_task_is_cancelled(task)) {
        rill_link_remove(&wait->queue);
        wait->result = -ECANCELED;
        return RILL_READY;
    }
    wait->task = task;
    return RILL_PENDING;
}

static enum rill_poll start_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_wait *wait = rill_container_of(self, struct rill_wait, future);

    if (rill_task_is_cancelled(task)) {
        wait->result = -ECANCELED;
        return RILL_READY;
    }
    wait->task = task;
    rill_list_append(&wait->notify->waiters, &wait->queue);
    self->poll = wait_poll;
    return RILL_PENDING;
}

struct rill_future *rill_notify_wait(struct rill_notify *notify, struct rill_wait *wait)
{
    static const struct rill_place place = {"wait for a notification", NULL, 0};

    rill_future_init(&wait->future, start_poll);
    wait->future.place = &place;
    wait->notify = notify;
    return &wait->future;
}

bool rill_notify_one(struct rill_notify *notify)
{
    if (rill_list_is_empty(&notify->waiters))
        return false;

    struct rill_link *first = rill_list_pop(&notify->waiters);

    rill_task_wake(rill_container_of(first, struct rill_wait, queue)->task);
    return true;
}

void rill_notify_all(struct rill_notify *notify)
{
    while (rill_notify_one(notify))
        continue;
}
