/* SPDX-License-Identifier: Apache-2.0 */
/* plugin.c - what a program loads that knows nothing of rill: one function, which runs a
 * runtime and a function that blocks in it. */
#include "io/blocking.h"
#include "io/runtime.h"

int plugin_run(void);

static int64_t answer(void *argument)
{
    return *(int *)argument;
}

/* Returns 42, or -errno. The thread that has called answer is idle from then on. */
int plugin_run(void)
{
    static struct rill_blocking blocking;
    struct rill_runtime *runtime;
    int number = 42;
    int result = rill_runtime_create(&runtime, NULL);

    if (result)
        return result;
    result = rill_block_on(runtime, rill_blocking(&blocking, NULL, answer, &number));
    rill_runtime_destroy(runtime);
    return result;
}
