/* SPDX-License-Identifier: Apache-2.0 */
/* micro_timers.h - what timers and the tasks that wait for them cost. */
#ifndef RILL_BENCH_MICRO_TIMERS_H
#define RILL_BENCH_MICRO_TIMERS_H

#include "io/runtime.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    MICRO_CROWD_MAX = 1000000,   /* timers, or tasks that sleep, in the large cases */
    MICRO_SLEEPERS_MAX = 100000, /* tasks of micro_sleep_and_fire */
};

/* Takes the memory of all timers, so that it plays no part. Returns false without it. */
bool micro_timers_open(void);
void micro_timers_close(void);

/* Arms timers that are far away until there are count of them; ends them. */
void micro_crowd_arm(struct rill_runtime *runtime, int64_t count);
void micro_crowd_disarm(struct rill_runtime *runtime);

/* Arms and cancels a timer of the wheel count times: what lies below every future of time. */
void micro_arm_and_cancel(struct rill_runtime *runtime, int64_t count);

/* The same as programs do it, and as a timeout is used: a task prepares a sleep, polls it,
 * and polls it cancelled. */
void micro_sleep_and_cancel(struct rill_runtime *runtime, int64_t count);

/* Firing alone: count timers are armed in a wheel of their own, and the wheel is moved over
 * them; what was armed has to be ended. Arming returns false without memory. */
bool micro_firing_arm(int64_t count);
void micro_firing_run(void);
void micro_firing_end(struct rill_runtime *runtime, int64_t count);

/* count tasks sleep for up to 10 ms: spawning, arming, firing, waking and joining. */
void micro_sleep_and_fire(struct rill_runtime *runtime, int64_t count);

/* Bytes of memory for each of count tasks that sleep, everything included. They run in a
 * runtime of their own, since one keeps the memory of the tasks that it had and uses it
 * again; so there must be no other one. Returns 0 or what creating it returned. */
int micro_sleeping_task_bytes(int64_t count, double *bytes);

#endif
