/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/notify.h"

#include "runtime/executor.h"
#include "runtime/line.h"
#include "runtime/panic.h"

#include <errno.h>

static void check(const struct rill_notify *notify)
{
    rill_check(rill_link_is_linked(&notify->waiters), "a notify is used without rill_notify_init");
}

static enum rill_poll wait_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_wait *wait = rill_container_of(self, struct rill_wait, future);
    bool notified = !rill_link_is_linked(&wait->queue);

    if (rill_task_is_cancelled(task)) {
        if (!notified)
            rill_link_remove(&wait->queue);
        else if (wait->notify)
            rill_notify_one(wait->notify);
        return rill_future_end(self, -ECANCELED);
    }
    if (notified)
        return rill_future_end(self, 0);
    wait->task = task;
    return RILL_PENDING;
}

__attribute__((noinline, cold)) static enum rill_poll end_unbegun(struct rill_future *self,
                                                                  struct rill_task *task)
{
    return rill_end_at_once(self, task, -ECANCELED);
}

static enum rill_poll start_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_wait *wait = rill_container_of(self, struct rill_wait, future);

    if (rill_task_is_cancelled(task))
        return end_unbegun(self, task);
    wait->task = task;
    rill_line_check_link(&wait->notify->waiters, &wait->queue);
    rill_list_append(&wait->notify->waiters, &wait->queue);
    self->poll = wait_poll;
    return RILL_PENDING;
}

struct rill_future *rill_notify_wait(struct rill_notify *notify, struct rill_wait *wait)
{
    static const struct rill_place name = {"wait for a notification", NULL, 0};

    check(notify);
    rill_future_init(&wait->future, start_poll);
    wait->future.place = &name;
    wait->notify = notify;
    return &wait->future;
}

/* Takes the one that waits longest out of the queue and wakes it. */
static struct rill_wait *wake_first(struct rill_notify *notify)
{
    check(notify);

    struct rill_wait *first =
        rill_container_of(rill_list_pop(&notify->waiters), struct rill_wait, queue);

    rill_task_wake(first->task);
    return first;
}

bool rill_notify_one(struct rill_notify *notify)
{
    if (rill_list_is_empty(&notify->waiters))
        return false;
    wake_first(notify);
    return true;
}

void rill_notify_all(struct rill_notify *notify)
{
    while (!rill_list_is_empty(&notify->waiters))
        wake_first(notify)->notify = NULL;
}
