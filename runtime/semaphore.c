/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/semaphore.h"

#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>

void rill_semaphore_init(struct rill_semaphore *semaphore, size_t permits)
{
    semaphore->available = permits;
    semaphore->limit = permits;
    semaphore->is_closed = false;
    rill_line_init(&semaphore->line);
}

void rill_semaphore_finish(struct rill_semaphore *semaphore)
{
    rill_check(rill_line_is_empty(&semaphore->line),
               "a semaphore was finished while a task waits for it");
    rill_check(semaphore->available == semaphore->limit,
               "a semaphore was finished while %zu of its %zu permits are held",
               semaphore->limit - semaphore->available, semaphore->limit);
    semaphore->is_closed = true;
}

/* Who leaves the line, served or not, lets the next one look at what is left. */
static enum rill_poll end(struct rill_acquire *acquire, int64_t result)
{
    struct rill_semaphore *semaphore = acquire->semaphore;

    rill_line_leave(&acquire->place);
    if (semaphore->available > 0)
        rill_line_wake_first(&semaphore->line);
    return rill_future_end(&acquire->future, result);
}

static enum rill_poll acquire_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_acquire *acquire = rill_container_of(self, struct rill_acquire, future);
    struct rill_semaphore *semaphore = acquire->semaphore;

    if (acquire->wanted == 0 || acquire->wanted > semaphore->limit)
        return end(acquire, -EINVAL);
    if (rill_task_is_cancelled(task))
        return end(acquire, -ECANCELED);
    if (semaphore->is_closed)
        return end(acquire, -EPIPE);
    if (acquire->wanted > semaphore->available ||
        !rill_line_is_first(&semaphore->line, &acquire->place)) {
        rill_line_join(&semaphore->line, &acquire->place, task);
        return RILL_PENDING;
    }
    if (!rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    semaphore->available -= acquire->wanted;
    return end(acquire, (int64_t)acquire->wanted);
}

struct rill_future *rill_semaphore_acquire(struct rill_semaphore *semaphore,
                                           struct rill_acquire *acquire, size_t permits)
{
    static const struct rill_place name = {"acquire permits", NULL, 0};

    rill_future_init(&acquire->future, acquire_poll);
    acquire->future.place = &name;
    acquire->semaphore = semaphore;
    acquire->wanted = permits;
    acquire->place.link.next = NULL;
    return &acquire->future;
}

bool rill_semaphore_try_acquire(struct rill_semaphore *semaphore, size_t permits)
{
    if (semaphore->is_closed || permits > semaphore->available ||
        !rill_line_is_empty(&semaphore->line))
        return false;
    semaphore->available -= permits;
    return true;
}

void rill_semaphore_release(struct rill_semaphore *semaphore, size_t permits)
{
    rill_check(permits <= semaphore->limit - semaphore->available,
               "%zu permits were given back to a semaphore of which %zu are held", permits,
               semaphore->limit - semaphore->available);
    semaphore->available += permits;
    rill_line_wake_first(&semaphore->line);
}

void rill_semaphore_close(struct rill_semaphore *semaphore)
{
    semaphore->is_closed = true;
    rill_line_wake_all(&semaphore->line);
}
