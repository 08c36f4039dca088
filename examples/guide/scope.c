/* SPDX-License-Identifier: Apache-2.0 */
/* scope.c - a search by several tasks: the first failure ends them all, and none is
 * left behind. */
#include "runtime/scope.h"
#include "io/program.h"
#include "runtime/sleep.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { SEEKERS = 4 };

struct seeker {
    struct rill_task task;
    struct rill_sleep work;
    int number;
    bool fails;
};

static enum rill_poll seeker_poll(struct rill_future *self, struct rill_task *task)
{
    struct seeker *seeker = rill_container_of(self, struct seeker, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_sleep(&seeker->work, seeker->number * 50 * RILL_MILLISECOND));
    if (seeker->work.result == 0 && seeker->fails)
        seeker->work.result = -EIO;
    printf("  seeker %d: %s\n", seeker->number,
           seeker->work.result < 0 ? strerror((int)-seeker->work.result) : "done");
    RILL_RETURN(seeker->work.result);
    RILL_END();
}

struct search {
    struct rill_future future;
    struct rill_scope scope;
    int broken; /* the number of a seeker that fails, or 0 */
};

static enum rill_poll search_poll(struct rill_future *self, struct rill_task *task)
{
    struct search *search = rill_container_of(self, struct search, future);

    RILL_BEGIN();
    rill_scope_init(&search->scope, RILL_SCOPE_TOGETHER);
    for (int i = 1; i <= SEEKERS; i++) {
        struct seeker *seeker = rill_task_alloc(sizeof *seeker);

        if (!seeker) {
            rill_scope_cancel(&search->scope, RILL_CANCELLED);
            break;
        }
        seeker->number = i;
        seeker->fails = i == search->broken;
        rill_scope_spawn(&search->scope, &seeker->task, seeker_poll);
    }
    RILL_AWAIT(rill_scope_join(&search->scope));
    RILL_RETURN(search->scope.result);
    RILL_END();
}

struct program {
    struct rill_future future;
    struct search search;
};

static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    RILL_AWAIT(rill_future_init(&program->search.future, search_poll));
    printf("first search: %d\n", (int)program->search.future.result);
    program->search.broken = 2;
    RILL_AWAIT(rill_future_init(&program->search.future, search_poll));
    printf("second search: %s\n", strerror((int)-program->search.future.result));
    RILL_END();
}

int main(void)
{
    static struct program program;

    return rill_main(rill_future_init(&program.future, program_poll));
}
