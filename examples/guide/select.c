/* SPDX-License-Identifier: Apache-2.0 */
/* select.c - waits for a message or the end of patience, whichever comes first. */
#include "runtime/select.h"
#include "io/program.h"
#include "runtime/notify.h"
#include "runtime/sleep.h"

#include <errno.h>
#include <stdio.h>

enum { BELL, PATIENCE, CHOICES };

struct door {
    struct rill_future future;
    struct rill_select select;
    struct rill_future *choices[CHOICES];
    struct rill_notify bell;
    struct rill_wait ring;
    struct rill_sleep patience;
    int i;
};

static enum rill_poll door_poll(struct rill_future *self, struct rill_task *task)
{
    struct door *door = rill_container_of(self, struct door, future);

    RILL_BEGIN();
    for (door->i = 1; door->i <= 2; door->i++) {
        RILL_AWAIT(rill_select(
            &door->select, RILL_FUTURES(door->choices, rill_notify_wait(&door->bell, &door->ring),
                                        rill_sleep(&door->patience, 100 * RILL_MILLISECOND))));
        if (door->select.result == BELL)
            printf("the bell rings; the sleep was cancelled: %s\n",
                   door->patience.result == -ECANCELED ? "yes" : "no");
        else if (door->select.result == PATIENCE)
            printf("nobody comes; the wait was cancelled: %s\n",
                   door->ring.result == -ECANCELED ? "yes" : "no");
    }
    RILL_END();
}

struct visitor {
    struct rill_task task;
    struct rill_sleep way;
    struct rill_notify *bell;
};

static enum rill_poll visitor_poll(struct rill_future *self, struct rill_task *task)
{
    struct visitor *visitor = rill_container_of(self, struct visitor, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_sleep(&visitor->way, 5 * RILL_MILLISECOND));
    rill_notify_one(visitor->bell);
    RILL_END();
}

struct program {
    struct rill_future future;
    struct door door;
    struct visitor visitor;
};

static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    rill_notify_init(&program->door.bell);
    program->visitor.bell = &program->door.bell;
    rill_task_spawn(&program->visitor.task, visitor_poll);
    RILL_AWAIT(rill_future_init(&program->door.future, door_poll));
    RILL_END();
}

int main(void)
{
    static struct program program;

    return rill_main(rill_future_init(&program.future, program_poll));
}
