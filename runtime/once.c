/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/once.h"

#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>

void rill_once_init(struct rill_once *once)
{
    once->state = RILL_ONCE_NEW;
    rill_line_init(&once->line);
}

void rill_once_finish(struct rill_once *once)
{
    rill_check(once->state != RILL_ONCE_RUNNING, "a once was finished while a task runs it");
    rill_line_finish(&once->line, "a once");
}

/* Where nobody runs it the next in line may look. */
static enum rill_poll end(struct rill_once_run *run, int64_t result)
{
    struct rill_once *once = run->once;

    run->future.awaits = NULL;
    rill_line_leave(&run->place);
    if (once->state != RILL_ONCE_RUNNING)
        rill_line_wake_first(&once->line);
    return rill_future_end(&run->future, result);
}

static enum rill_poll child_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_once_run *run = rill_container_of(self, struct rill_once_run, future);

    if (run->child->poll(run->child, task) == RILL_PENDING)
        return RILL_PENDING;
    run->was_first = run->child->result >= 0;
    run->once->state = run->was_first ? RILL_ONCE_DONE : RILL_ONCE_NEW;
    if (run->was_first)
        rill_line_wake_all(&run->once->line);
    return end(run, run->child->result);
}

static enum rill_poll start_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_once_run *run = rill_container_of(self, struct rill_once_run, future);
    struct rill_once *once = run->once;

    bool is_over = once->state == RILL_ONCE_DONE || rill_task_is_cancelled(task);

    if (!is_over &&
        (once->state == RILL_ONCE_RUNNING || !rill_line_is_first(&once->line, &run->place))) {
        rill_line_join(&once->line, &run->place, task);
        return RILL_PENDING;
    }
    if (!rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    if (once->state == RILL_ONCE_DONE)
        return end(run, 0);
    if (is_over) {
        rill_line_check(&once->line);
        return end(run, -ECANCELED);
    }
    rill_line_leave(&run->place);
    once->state = RILL_ONCE_RUNNING;
    self->awaits = run->child;
    self->poll = child_poll;
    return child_poll(self, task);
}

struct rill_future *rill_once_run(struct rill_once *once, struct rill_once_run *run,
                                  struct rill_future *child)
{
    static const struct rill_place name = {"run once", NULL, 0};

    rill_future_check_child(&run->future, child, "a run of a once");
    rill_future_init(&run->future, start_poll);
    run->future.place = &name;
    run->was_first = false;
    run->once = once;
    run->child = child;
    run->place.link.next = NULL;
    return &run->future;
}
