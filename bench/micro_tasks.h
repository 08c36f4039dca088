/* SPDX-License-Identifier: Apache-2.0 */
/* micro_tasks.h - what it costs to await, to yield, to spawn and to wake. */
#ifndef RILL_BENCH_MICRO_TASKS_H
#define RILL_BENCH_MICRO_TASKS_H

#include "io/runtime.h"

#include <stdint.h>

/* Runs until no task is left. */
void micro_run_all(struct rill_runtime *runtime);

/* Each does count operations and returns when they are done. */

/* Awaits a future that is ready. */
void micro_await(struct rill_runtime *runtime, int64_t count);

/* Yields, a thousand tasks in turn, so that each yield is a poll; and one task alone, for
 * which it is a whole turn of the loop. */
void micro_yield(struct rill_runtime *runtime, int64_t count);
void micro_yield_alone(struct rill_runtime *runtime, int64_t count);

/* Spawns and joins, a thousand tasks at a time; and one at a time. */
void micro_spawn(struct rill_runtime *runtime, int64_t count);
void micro_spawn_alone(struct rill_runtime *runtime, int64_t count);

/* Two tasks wake each other in turn, by a notification, and wait. */
void micro_wake(struct rill_runtime *runtime, int64_t count);

#endif
