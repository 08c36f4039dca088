/* SPDX-License-Identifier: Apache-2.0 */
/* sleep.h - futures of time: sleep, sleep until, and the ticks of an interval.
 *
 * None fires early; each is late by less than 17 us, plus however long the
 * thread was busy. Cancelling any of them disarms its timer. */
#ifndef RILL_RUNTIME_SLEEP_H
#define RILL_RUNTIME_SLEEP_H

#include "runtime/future.h"
#include "runtime/time.h"
#include "runtime/wheel.h"

#ifdef __cplusplus
extern "C" {
#endif

struct rill_sleep {
    union {
        int64_t result; /* 0, -ECANCELED, or -EINVAL for a negative delay */
        struct rill_future future;
    };

    /* private */
    struct rill_timer timer;
};

/* Waits for delay_ns from the first poll on, or from the beginning of its turn where that has
 * lasted for less than a tick of the kernel (10 ms at the most). 0 is ready at once. Negative:
 * -EINVAL. */
struct rill_future *rill_sleep(struct rill_sleep *sleep, int64_t delay_ns);

/* Waits until when_ns on the monotonic clock (see rill_now). A moment that has
 * passed is ready at once. */
struct rill_future *rill_sleep_until(struct rill_sleep *sleep, int64_t when_ns);

/* Ticks at a fixed rate, however long the work between two ticks takes. Made by
 * rill_interval_init; owns nothing, so there is nothing to end. */
struct rill_interval {
    union {
        int64_t result; /* of the latest tick: 0, or -ECANCELED with that tick still due */
        struct rill_sleep sleep;
    };
    int64_t next_ns;   /* when the next tick is due */
    int64_t period_ns; /* > 0 */
};

/* Makes an interval whose first tick is due period_ns from now. Panics if
 * period_ns is not positive. Call it within a task or before the first turn. */
void rill_interval_init(struct rill_interval *interval, int64_t period_ns);

/* Waits for the next tick. interval->result is 0, or -ECANCELED with the
 * tick still due. A task that is late gets one tick for all those that it missed;
 * the ticks stay on the original grid. Returns the future of interval->sleep. */
struct rill_future *rill_interval_tick(struct rill_interval *interval);

#ifdef __cplusplus
}
#endif
#endif
