/* SPDX-License-Identifier: Apache-2.0 */
/* sleep.c - a delay, a moment, and an interval whose task is late once. */
#include "runtime/sleep.h"
#include "io/program.h"

#include <stdio.h>

struct clock {
    struct rill_future future;
    struct rill_sleep sleep;
    struct rill_interval interval;
    int64_t begin_ns;
    int tick;
};

static const char *passed(const struct clock *clock, int64_t time_ns)
{
    return rill_now() >= clock->begin_ns + time_ns ? "yes" : "no";
}

static enum rill_poll clock_poll(struct rill_future *self, struct rill_task *task)
{
    struct clock *clock = rill_container_of(self, struct clock, future);

    RILL_BEGIN();
    clock->begin_ns = rill_now();
    RILL_AWAIT(rill_sleep(&clock->sleep, 10 * RILL_MILLISECOND));
    printf("10 ms have passed: %s\n", passed(clock, 10 * RILL_MILLISECOND));
    RILL_AWAIT(rill_sleep_until(&clock->sleep, clock->begin_ns + 30 * RILL_MILLISECOND));
    printf("30 ms have passed: %s\n", passed(clock, 30 * RILL_MILLISECOND));

    clock->begin_ns = rill_now();
    rill_interval_init(&clock->interval, 20 * RILL_MILLISECOND);
    for (clock->tick = 1; clock->tick <= 3; clock->tick++) {
        RILL_AWAIT(rill_interval_tick(&clock->interval));
        printf("tick %d: %s\n", clock->tick, passed(clock, clock->tick * 20 * RILL_MILLISECOND));
    }
    /* Away for three periods and a half: one tick makes up for all of them. */
    RILL_AWAIT(rill_sleep(&clock->sleep, 70 * RILL_MILLISECOND));
    RILL_AWAIT(rill_interval_tick(&clock->interval));
    printf("a late tick, and the next is due on the grid: %s\n",
           (clock->interval.next_ns - clock->begin_ns) % (20 * RILL_MILLISECOND) == 0 ? "yes"
                                                                                      : "no");
    RILL_END();
}

int main(void)
{
    static struct clock clock;

    return rill_main(rill_future_init(&clock.future, clock_poll));
}
