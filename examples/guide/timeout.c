/* SPDX-License-Identifier: Apache-2.0 */
/* timeout.c - gives each step a limit, and all of them together a deadline. */
#include "runtime/timeout.h"
#include "io/program.h"
#include "runtime/sleep.h"

#include <stdio.h>
#include <string.h>

struct steps {
    struct rill_future future;
    struct rill_sleep work;
    struct rill_timeout limit;
    int i;
};

static const int64_t takes_ns[] = {5 * RILL_MILLISECOND, RILL_SECOND, 5 * RILL_MILLISECOND,
                                   95 * RILL_MILLISECOND};

static enum rill_poll steps_poll(struct rill_future *self, struct rill_task *task)
{
    struct steps *steps = rill_container_of(self, struct steps, future);

    RILL_BEGIN();
    for (steps->i = 0; steps->i < 4; steps->i++) {
        RILL_AWAIT(rill_timeout(&steps->limit, 100 * RILL_MILLISECOND,
                                rill_sleep(&steps->work, takes_ns[steps->i])));
        printf("step %d: %s\n", steps->i,
               steps->limit.result < 0 ? strerror((int)-steps->limit.result) : "done");
    }
    RILL_RETURN(steps->limit.result);
    RILL_END();
}

struct program {
    struct rill_future future;
    struct steps steps;
    struct rill_timeout deadline;
};

static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    RILL_AWAIT(rill_deadline(&program->deadline, rill_now() + 155 * RILL_MILLISECOND,
                             rill_future_init(&program->steps.future, steps_poll)));
    printf("all of them: %s\n", strerror((int)-program->deadline.result));
    RILL_END();
}

int main(void)
{
    static struct program program;

    return rill_main(rill_future_init(&program.future, program_poll));
}
