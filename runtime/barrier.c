/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/barrier.h"

#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>

void rill_barrier_init(struct rill_barrier *barrier, size_t size)
{
    rill_check(size > 0, "a barrier at which nobody meets");
    barrier->size = size;
    barrier->arrived = 0;
    barrier->rounds = 0;
    rill_line_init(&barrier->line);
}

void rill_barrier_finish(struct rill_barrier *barrier)
{
    rill_line_finish(&barrier->line, "a barrier");
}

static enum rill_poll wait_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_meet *meet = rill_container_of(self, struct rill_meet, future);
    bool complete = !rill_link_is_linked(&meet->place.link);

    if (complete)
        return rill_future_end(self, 0);
    if (rill_task_is_cancelled(task)) {
        rill_line_leave(&meet->place);
        meet->barrier->arrived--;
        return rill_future_end(self, -ECANCELED);
    }
    rill_line_stay(&meet->place, task);
    return RILL_PENDING;
}

/* The last to come lets all others out of the line, so that the next round can begin
 * before they have run. */
static enum rill_poll complete_round(struct rill_meet *meet)
{
    struct rill_barrier *barrier = meet->barrier;

    while (!rill_line_is_empty(&barrier->line))
        rill_line_serve_first(&barrier->line);
    barrier->arrived = 0;
    barrier->rounds++;
    return rill_future_end(&meet->future, 1);
}

static enum rill_poll start_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_meet *meet = rill_container_of(self, struct rill_meet, future);
    struct rill_barrier *barrier = meet->barrier;

    if (!rill_budget_spend(rill_executor_here(), task)) /* it may end at once */
        return RILL_PENDING;
    if (rill_task_is_cancelled(task))
        return rill_future_end(self, -ECANCELED);
    if (barrier->arrived + 1 == barrier->size)
        return complete_round(meet);
    barrier->arrived++;
    rill_line_join(&barrier->line, &meet->place, task);
    self->poll = wait_poll;
    return RILL_PENDING;
}

struct rill_future *rill_barrier_meet(struct rill_barrier *barrier, struct rill_meet *meet)
{
    static const struct rill_place name = {"meet at a barrier", NULL, 0};

    rill_future_init(&meet->future, start_poll);
    meet->future.place = &name;
    meet->barrier = barrier;
    meet->place.link.next = NULL;
    return &meet->future;
}
