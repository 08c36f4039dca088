/* SPDX-License-Identifier: Apache-2.0 */
/* manual_driver.c - jumps to where it is asked to wait until, and counts. */
#include "tests/manual_driver.h"

#include <check.h>
#include <stdbool.h>

/* The calls that are due run in the order in which they were asked for. */
static bool run_due_calls(struct manual_driver *manual)
{
    bool any = false;

    for (size_t i = 0; i < manual->call_count;) {
        struct manual_call call = manual->calls[i];

        if (call.when_ns > manual->now_ns) {
            i++;
            continue;
        }
        manual->call_count--;
        for (size_t k = i; k < manual->call_count; k++)
            manual->calls[k] = manual->calls[k + 1];
        call.function(call.argument);
        any = true;
    }
    return any;
}

static int manual_turn(struct rill_driver *driver, int64_t until_ns)
{
    struct manual_driver *manual = (struct manual_driver *)driver;

    manual->turns++;
    manual->until_ns = until_ns;
    if (manual->error)
        return manual->error;
    if (run_due_calls(manual) || until_ns <= manual->now_ns)
        return 0;
    for (size_t i = 0; i < manual->call_count; i++) {
        if (manual->calls[i].when_ns < until_ns)
            until_ns = manual->calls[i].when_ns;
    }
    if (until_ns == RILL_NEVER) /* an assertion that holds would call malloc */
        ck_abort_msg("the driver was asked to wait for ever");
    manual->waits++;
    manual->now_ns = until_ns + manual->oversleep_ns;
    run_due_calls(manual);
    return 0;
}

static int64_t manual_now(struct rill_driver *driver)
{
    struct manual_driver *manual = (struct manual_driver *)driver;

    manual->clock_reads++;
    return manual->now_ns;
}

void manual_driver_init(struct manual_driver *driver)
{
    static const struct rill_driver_ops ops = {.turn = manual_turn, .now = manual_now};

    *driver = (struct manual_driver){
        .driver.ops = &ops,
        .now_ns = 1000 * RILL_SECOND + 12345,
    };
}

void manual_driver_call_at(struct manual_driver *driver, int64_t when_ns,
                           void (*function)(void *argument), void *argument)
{
    ck_assert_uint_lt(driver->call_count, MANUAL_CALLS_MAX);
    driver->calls[driver->call_count++] =
        (struct manual_call){.when_ns = when_ns, .function = function, .argument = argument};
}
