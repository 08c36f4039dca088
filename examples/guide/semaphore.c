/* SPDX-License-Identifier: Apache-2.0 */
/* semaphore.c - five downloads share two lines, and a large one takes both. */
#include "runtime/semaphore.h"
#include "io/program.h"
#include "runtime/scope.h"
#include "runtime/sleep.h"

#include <stdio.h>

struct download {
    struct rill_task task;
    struct rill_acquire acquire;
    struct rill_sleep transfer;
    struct rill_semaphore *lines;
    size_t wanted;
    int number;
};

static enum rill_poll download_poll(struct rill_future *self, struct rill_task *task)
{
    struct download *download = rill_container_of(self, struct download, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_semaphore_acquire(download->lines, &download->acquire, download->wanted));
    if (download->acquire.result < 0)
        RILL_RETURN(download->acquire.result);
    printf("download %d begins, lines free: %zu\n", download->number, download->lines->available);
    RILL_AWAIT(rill_sleep(&download->transfer, 10 * RILL_MILLISECOND));
    printf("download %d is done\n", download->number);
    rill_semaphore_release(download->lines, download->wanted);
    RILL_END();
}

struct program {
    struct rill_future future;
    struct rill_semaphore lines;
    struct download downloads[5];
    struct rill_scope scope;
};

static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    rill_semaphore_init(&program->lines, 2);
    rill_scope_init(&program->scope, RILL_SCOPE_TOGETHER);
    for (int i = 0; i < 5; i++) {
        struct download *download = &program->downloads[i];

        download->lines = &program->lines;
        download->number = i + 1;
        download->wanted = i == 2 ? 2 : 1;
        rill_scope_spawn(&program->scope, &download->task, download_poll);
    }
    RILL_AWAIT(rill_scope_join(&program->scope)); /* if it is cancelled, so are they */
    rill_semaphore_finish(&program->lines);
    RILL_END();
}

int main(void)
{
    static struct program program;

    return rill_main(rill_future_init(&program.future, program_poll));
}
