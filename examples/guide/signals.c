/* SPDX-License-Identifier: Apache-2.0 */
/* signals.c - a task that reads signals like messages. */
#include "io/signals.h"
#include "io/program.h"

#include <stdio.h>
#include <string.h>

struct program {
    struct rill_future future;
    struct rill_signals signals;
};

static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    self->result = rill_signals_open(&program->signals, (const int[]){SIGHUP, SIGUSR1}, 2);
    if (self->result < 0)
        RILL_RETURN(self->result);
    raise(SIGUSR1); /* nobody waits yet: it is kept */
    for (;;) {
        RILL_AWAIT(rill_signals_next(&program->signals));
        if (program->signals.result < 0)
            break;
        printf("%s\n", strsignal((int)program->signals.result));
        if (program->signals.result == SIGHUP)
            break;
        raise(SIGHUP);
    }
    rill_signals_close(&program->signals);
    RILL_END();
}

int main(void)
{
    static struct program program;

    return rill_main(rill_future_init(&program.future, program_poll));
}
