/* SPDX-License-Identifier: Apache-2.0 */
#include "io/program.h"

#include "io/signals.h"
#include "runtime/select.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The program's future, and the signals that end it. */
struct program {
    struct rill_future future;
    struct rill_future *choices[2];
    struct rill_select select;
    struct rill_future signal;
    struct rill_signals signals;
    struct rill_future *main;
};

/* Waits for the first signal. From there on a second one acts as if there were no
 * runtime, also while the program's future is on its way out, or stuck there. */
static enum rill_poll signal_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, signal);

    RILL_BEGIN();
    RILL_AWAIT(rill_signals_next(&program->signals));
    if (program->signals.result >= 0)
        rill_signals_close(&program->signals);
    RILL_RETURN(program->signals.result);
    RILL_END();
}

static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    program->choices[0] = program->main;
    program->choices[1] = rill_future_init(&program->signal, signal_poll);
    RILL_AWAIT(rill_select(&program->select, program->choices, 2));
    RILL_RETURN(program->main->result);
    RILL_END();
}

static int run(struct rill_runtime *runtime, struct rill_future *future)
{
    struct program program = {.main = future};
    int64_t result = rill_signals_open(&program.signals, (const int[]){SIGINT, SIGTERM}, 2);

    if (result == 0) {
        result = rill_block_on(runtime, rill_future_init(&program.future, program_poll));
        rill_signals_close(&program.signals);
        rill_runtime_shutdown(runtime, RILL_PROGRAM_GRACE_NS);
    }
    if (result >= 0 || result == -ECANCELED)
        return 0;
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, strerror((int)-result));
    return 1;
}

int rill_main(struct rill_future *future)
{
    struct rill_runtime *runtime;
    int error = rill_runtime_create(&runtime, NULL);
    int status;

    if (error) {
        fprintf(stderr, "%s: %s\n", program_invocation_short_name, rill_runtime_explain(error));
        return 1;
    }
    status = run(runtime, future);
    rill_runtime_destroy(runtime);
    return status;
}
