/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/timeout.h"

#include "runtime/executor.h"

#include <errno.h>

static const struct rill_place name = {"timeout", NULL, 0};
static const struct rill_place expired_name = {"timeout, expired: its child was asked to end", NULL,
                                               0};

static enum rill_poll finish(struct rill_timeout *timeout, int64_t result)
{
    rill_wheel_disarm(&rill_executor_here()->wheel, &timeout->timer);
    timeout->future.awaits = NULL;
    return rill_future_end(&timeout->future, result);
}

static enum rill_poll drain_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_timeout *timeout = rill_container_of(self, struct rill_timeout, future);

    if (rill_poll_because(timeout->child, task, RILL_TIMED_OUT) == RILL_PENDING)
        return RILL_PENDING;
    timeout->has_expired = timeout->child->result == -ECANCELED;
    return finish(timeout, timeout->has_expired ? -ETIMEDOUT : timeout->child->result);
}

static enum rill_poll wait_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_timeout *timeout = rill_container_of(self, struct rill_timeout, future);

    if (timeout->child->poll(timeout->child, task) == RILL_READY)
        return finish(timeout, timeout->child->result);
    timeout->timer.task = task;
    if (rill_link_is_linked(&timeout->timer.slot) || timeout->timer.deadline_ns == RILL_NEVER)
        return RILL_PENDING;
    if (rill_task_is_cancelled(task)) /* the child knows already, and for another reason */
        return RILL_PENDING;
    self->place = &expired_name; /* which a child that does not let go leaves to be printed */
    self->poll = drain_poll;
    return drain_poll(self, task);
}

/* The timer is armed only if the child has to wait at all. */
static enum rill_poll start_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_timeout *timeout = rill_container_of(self, struct rill_timeout, future);
    int64_t *deadline_ns = &timeout->timer.deadline_ns;

    if (timeout->is_delay) {
        if (*deadline_ns < 0) {
            if (!rill_budget_spend(rill_executor_here(), task))
                return RILL_PENDING;
            return finish(timeout, -EINVAL);
        }
        *deadline_ns = rill_time_after(rill_now_of_beginning(), *deadline_ns);
    }
    self->awaits = timeout->child;
    if (timeout->child->poll(timeout->child, task) == RILL_READY)
        return finish(timeout, timeout->child->result);
    timeout->timer.task = task;
    if (*deadline_ns != RILL_NEVER)
        rill_wheel_arm(&rill_executor_here()->wheel, &timeout->timer);
    self->poll = wait_poll;
    return RILL_PENDING;
}

static struct rill_future *prepare(struct rill_timeout *timeout, int64_t limit_ns, bool is_delay,
                                   struct rill_future *child)
{
    rill_future_check_child(&timeout->future, child, "a timeout");
    rill_future_init(&timeout->future, start_poll);
    timeout->future.place = &name;
    timeout->child = child;
    timeout->timer = (struct rill_timer){.deadline_ns = limit_ns};
    timeout->is_delay = is_delay;
    timeout->has_expired = false;
    return &timeout->future;
}

struct rill_future *rill_timeout(struct rill_timeout *timeout, int64_t limit_ns,
                                 struct rill_future *child)
{
    return prepare(timeout, limit_ns, true, child);
}

struct rill_future *rill_deadline(struct rill_timeout *timeout, int64_t when_ns,
                                  struct rill_future *child)
{
    return prepare(timeout, when_ns, false, child);
}
