/* SPDX-License-Identifier: Apache-2.0 */
/* shield.c - a transfer that is cancelled between its two halves finishes the second. */
#include "runtime/shield.h"
#include "io/program.h"
#include "runtime/sleep.h"
#include "runtime/timeout.h"

#include <stdio.h>
#include <string.h>

struct transfer {
    struct rill_task task;
    struct rill_sleep taking, giving, thinking;
    struct rill_timeout limit;
    struct rill_shield shield;
};

static const char *outcome(int64_t result)
{
    return result < 0 ? strerror((int)-result) : "done";
}

static enum rill_poll transfer_poll(struct rill_future *self, struct rill_task *task)
{
    struct transfer *transfer = rill_container_of(self, struct transfer, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_sleep(&transfer->taking, 5 * RILL_MILLISECOND));
    printf("take: %s\n", outcome(transfer->taking.result));
    if (transfer->taking.result < 0)
        RILL_RETURN(transfer->taking.result);

    /* What was taken has to be given, and within a second. */
    RILL_AWAIT(rill_shield(&transfer->shield,
                           rill_timeout(&transfer->limit, RILL_SECOND,
                                        rill_sleep(&transfer->giving, 30 * RILL_MILLISECOND))));
    printf("give: %s\n", outcome(transfer->shield.result));

    RILL_AWAIT(rill_sleep(&transfer->thinking, RILL_SECOND));
    printf("think about it: %s\n", outcome(transfer->thinking.result));
    RILL_END();
}

struct program {
    struct rill_future future;
    struct transfer transfer;
    struct rill_sleep pause;
    struct rill_join join;
};

static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    rill_task_spawn(&program->transfer.task, transfer_poll);
    RILL_AWAIT(rill_sleep(&program->pause, 15 * RILL_MILLISECOND));
    printf("cancel\n");
    rill_task_cancel(&program->transfer.task);
    RILL_AWAIT(rill_task_join(&program->transfer.task, &program->join));
    RILL_END();
}

int main(void)
{
    static struct program program;

    return rill_main(rill_future_init(&program.future, program_poll));
}
