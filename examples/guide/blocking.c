/* SPDX-License-Identifier: Apache-2.0 */
/* blocking.c - two slow functions run on threads, while the loop goes on. */
#include "io/blocking.h"
#include "io/program.h"
#include "runtime/scope.h"
#include "runtime/sleep.h"
#include "runtime/timeout.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Blocks, as compressing a file would, or asking a library that waits for its server. */
static int64_t work(void *argument)
{
    const int *milliseconds = argument;

    usleep((useconds_t)*milliseconds * 1000);
    return *milliseconds;
}

struct slow {
    struct rill_task task;
    struct rill_blocking work;
    struct rill_workers *pool; /* NULL: that of the whole process */
    int milliseconds;
};

static enum rill_poll slow_poll(struct rill_future *self, struct rill_task *task)
{
    struct slow *slow = rill_container_of(self, struct slow, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_blocking(&slow->work, slow->pool, work, &slow->milliseconds));
    if (slow->work.result < 0)
        printf("%d ms of work are not: %s\n", slow->milliseconds,
               strerror((int)-slow->work.result));
    else
        printf("%d ms of work are done\n", (int)slow->work.result);
    RILL_END();
}

struct program {
    struct rill_future future;
    struct slow longer, shorter;
    struct rill_scope scope;
    struct rill_sleep sleep;
    struct rill_workers narrow; /* a pool with one thread, of its own */
    struct rill_timeout timeout;
};

static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    rill_scope_init(&program->scope, RILL_SCOPE_TOGETHER);
    rill_scope_spawn(&program->scope, &program->longer.task, slow_poll);
    rill_scope_spawn(&program->scope, &program->shorter.task, slow_poll);
    RILL_AWAIT(rill_sleep(&program->sleep, 1 * RILL_MILLISECOND));
    printf("the loop goes on\n");
    RILL_AWAIT(rill_scope_join(&program->scope)); /* if it is cancelled, so are they */

    /* The one thread of this pool is busy: the second waits for it in line, and is
     * taken out of the line when its time is over. The first cannot be stopped. */
    program->longer.pool = program->shorter.pool = &program->narrow;
    rill_scope_spawn(&program->scope, &program->longer.task, slow_poll);
    RILL_AWAIT(rill_sleep(&program->sleep, 10 * RILL_MILLISECOND));
    RILL_AWAIT(rill_timeout(&program->timeout, 50 * RILL_MILLISECOND,
                            rill_blocking(&program->shorter.work, &program->narrow, work,
                                          &program->shorter.milliseconds)));
    printf("the other was given up: %s\n", strerror((int)-program->timeout.result));
    rill_scope_cancel(&program->scope, RILL_CANCELLED);
    RILL_AWAIT(rill_scope_join(&program->scope));
    RILL_END();
}

int main(void)
{
    static struct program program = {
        .longer.milliseconds = 300,
        .shorter.milliseconds = 100,
    };
    int status;

    rill_workers_init(&program.narrow, &(struct rill_workers_options){.threads_max = 1});
    status = rill_main(rill_future_init(&program.future, program_poll));
    rill_workers_finish(&program.narrow);
    return status;
}
