/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/semaphore.h"

#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>

void rill_semaphore_init(struct rill_semaphore *semaphore, size_t permits)
{
    rill_check(permits > 0, "a semaphore without permits");
    rill_check(permits <= INT64_MAX, "a semaphore with %zu permits: more than a result can tell",
               permits);
    semaphore->available = permits;
    semaphore->limit = permits;
    semaphore->is_closed = false;
    rill_line_init(&semaphore->line);
}

void rill_semaphore_finish(struct rill_semaphore *semaphore)
{
    rill_line_finish(&semaphore->line, "a semaphore");
    rill_check(semaphore->available == semaphore->limit,
               "a semaphore was finished while %zu of its %zu permits are held",
               semaphore->limit - semaphore->available, semaphore->limit);
}

/* Hands what is available to the first in line, and so on, until there is not enough
 * for the next: whoever stands behind that one waits, though it may want less. */
static void hand_over(struct rill_semaphore *semaphore)
{
    struct rill_place_in_line *first;

    while (!semaphore->is_closed && (first = rill_line_first(&semaphore->line))) {
        size_t wanted = rill_container_of(first, struct rill_acquire, place)->wanted;

        if (wanted > semaphore->available)
            break;
        semaphore->available -= wanted;
        rill_line_serve_first(&semaphore->line);
    }
}

static enum rill_poll wait_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_acquire *acquire = rill_container_of(self, struct rill_acquire, future);
    struct rill_semaphore *semaphore = acquire->semaphore;
    bool was_handed = !rill_link_is_linked(&acquire->place.link);

    if (rill_task_is_cancelled(task)) {
        if (was_handed)
            semaphore->available += acquire->wanted;
        rill_line_leave(&acquire->place);
        hand_over(semaphore);
        return rill_future_end(self, -ECANCELED);
    }
    if (was_handed)
        return rill_future_end(self, (int64_t)acquire->wanted);
    if (semaphore->is_closed) {
        rill_line_leave(&acquire->place);
        return rill_future_end(self, -EPIPE);
    }
    rill_line_stay(&acquire->place, task);
    return RILL_PENDING;
}

static enum rill_poll start_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_acquire *acquire = rill_container_of(self, struct rill_acquire, future);
    struct rill_semaphore *semaphore = acquire->semaphore;

    if (!rill_budget_spend(rill_executor_here(), task)) /* it may end at once */
        return RILL_PENDING;
    if (acquire->wanted == 0 || acquire->wanted > semaphore->limit) {
        rill_line_check(&semaphore->line);
        return rill_future_end(self, -EINVAL);
    }
    if (rill_task_is_cancelled(task))
        return rill_future_end(self, -ECANCELED);
    if (semaphore->is_closed)
        return rill_future_end(self, -EPIPE);
    if (acquire->wanted > semaphore->available || !rill_line_is_empty(&semaphore->line)) {
        rill_line_join(&semaphore->line, &acquire->place, task);
        self->poll = wait_poll;
        return RILL_PENDING;
    }
    semaphore->available -= acquire->wanted;
    return rill_future_end(self, (int64_t)acquire->wanted);
}

struct rill_future *rill_semaphore_acquire(struct rill_semaphore *semaphore,
                                           struct rill_acquire *acquire, size_t permits)
{
    static const struct rill_place name = {"acquire permits", NULL, 0};

    rill_future_init(&acquire->future, start_poll);
    acquire->future.place = &name;
    acquire->semaphore = semaphore;
    acquire->wanted = permits;
    acquire->place.link.next = NULL;
    return &acquire->future;
}

bool rill_semaphore_try_acquire(struct rill_semaphore *semaphore, size_t permits)
{
    if (permits == 0 || permits > semaphore->available || semaphore->is_closed ||
        !rill_line_is_empty(&semaphore->line)) {
        rill_line_check(&semaphore->line);
        return false;
    }
    semaphore->available -= permits;
    return true;
}

void rill_semaphore_release(struct rill_semaphore *semaphore, size_t permits)
{
    rill_check(permits > 0, "no permits were given back to a semaphore");
    rill_check(permits <= semaphore->limit - semaphore->available,
               "%zu permits were given back to a semaphore of which %zu are held", permits,
               semaphore->limit - semaphore->available);
    semaphore->available += permits;
    hand_over(semaphore);
}

void rill_semaphore_close(struct rill_semaphore *semaphore)
{
    semaphore->is_closed = true;
    rill_line_wake_all(&semaphore->line);
}
