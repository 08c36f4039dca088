/* SPDX-License-Identifier: Apache-2.0 */
/* cancellation.c - one future, asked to end for three reasons. */
#include "io/program.h"
#include "runtime/sleep.h"
#include "runtime/timeout.h"

#include <stdio.h>
#include <string.h>

static const char *const reasons[] = {
    [RILL_NOT_CANCELLED] = "nobody asked",
    [RILL_CANCELLED] = "cancelled",
    [RILL_TIMED_OUT] = "timed out",
    [RILL_SHUTTING_DOWN] = "shutting down",
};

struct work {
    struct rill_task task;
    struct rill_future future;
    struct rill_sleep sleep;
    struct rill_timeout timeout;
    int64_t limit_ns;
    const char *name;
};

/* Wants to work for a minute, and is not let. */
static enum rill_poll work_poll(struct rill_future *self, struct rill_task *task)
{
    struct work *work = rill_container_of(self, struct work, future);

    RILL_BEGIN();
    RILL_AWAIT(rill_sleep(&work->sleep, 60 * RILL_SECOND));
    printf("%s: %s: %s\n", work->name, strerror((int)-work->sleep.result),
           reasons[rill_task_cancel_reason(task)]);
    RILL_RETURN(work->sleep.result);
    RILL_END();
}

static enum rill_poll task_poll(struct rill_future *self, struct rill_task *task)
{
    struct work *work = rill_container_of(self, struct work, task.future);

    RILL_BEGIN();
    RILL_AWAIT(
        rill_timeout(&work->timeout, work->limit_ns, rill_future_init(&work->future, work_poll)));
    RILL_RETURN(work->timeout.result);
    RILL_END();
}

struct program {
    struct rill_future future;
    struct work first, second, third;
    struct rill_sleep pause;
};

static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    rill_task_spawn(&program->first.task, task_poll);
    rill_task_spawn(&program->second.task, task_poll);
    rill_task_spawn(&program->third.task, task_poll);
    RILL_AWAIT(rill_sleep(&program->pause, 30 * RILL_MILLISECOND)); /* the second's time is over */
    rill_task_cancel(&program->first.task);
    rill_task_cancel_because(&program->first.task, RILL_TIMED_OUT); /* the first one stays */
    rill_task_cancel_because(&program->third.task, RILL_SHUTTING_DOWN);
    RILL_END();
}

int main(void)
{
    static struct program program = {
        .first = {.name = "first", .limit_ns = RILL_NEVER},
        .second = {.name = "second", .limit_ns = 10 * RILL_MILLISECOND},
        .third = {.name = "third", .limit_ns = RILL_NEVER},
    };

    return rill_main(rill_future_init(&program.future, program_poll));
}
