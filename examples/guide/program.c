/* SPDX-License-Identifier: Apache-2.0 */
/* program.c - a runtime of one's own, entered twice: what rill_main does, step by step. */
#include "io/runtime.h"
#include "runtime/sleep.h"

#include <stdio.h>
#include <string.h>

struct clock {
    struct rill_task task;
    struct rill_sleep second;
    int ticks;
};

/* Ticks until it is cancelled. */
static enum rill_poll clock_poll(struct rill_future *self, struct rill_task *task)
{
    struct clock *clock = rill_container_of(self, struct clock, task.future);

    RILL_BEGIN();
    do {
        RILL_AWAIT(rill_sleep(&clock->second, RILL_SECOND));
        clock->ticks++;
    } while (clock->second.result >= 0);
    RILL_RETURN(clock->second.result);
    RILL_END();
}

int main(void)
{
    static const struct rill_runtime_options options = {
        .wait_policy = RILL_WAIT_ADAPTIVE, /* what is not named has its default */
        .buffer_size = 4096,
    };
    static struct clock clock;
    struct rill_runtime *runtime;
    struct rill_sleep pause;
    int error = rill_runtime_create(&runtime, &options);

    if (error) {
        fprintf(stderr, "no runtime: %s\n", rill_runtime_explain(error));
        return 1;
    }
    rill_task_spawn(&clock.task, clock_poll); /* runs only while somebody drives the runtime */
    printf("first: %d\n", (int)rill_block_on(runtime, rill_sleep(&pause, RILL_MILLISECOND)));
    printf("second: %d\n", (int)rill_block_on(runtime, rill_sleep(&pause, RILL_MILLISECOND)));
    printf("the clock is %s\n", rill_task_is_over(&clock.task) ? "over" : "alive");
    rill_runtime_shutdown(runtime, 10 * RILL_MILLISECOND);
    printf("the clock: %s\n", strerror((int)-clock.task.future.result));
    rill_runtime_destroy(runtime);
    return 0;
}
