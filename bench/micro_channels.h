/* SPDX-License-Identifier: Apache-2.0 */
/* micro_channels.h - what a message between two tasks costs. */
#ifndef RILL_BENCH_MICRO_CHANNELS_H
#define RILL_BENCH_MICRO_CHANNELS_H

#include "io/runtime.h"

#include <stdint.h>

/* Each sends and receives count messages of 8 bytes and returns when that is done. */

/* A oneshot made, sent into and received from, by one task. */
void micro_oneshot(struct rill_runtime *runtime, int64_t count);

/* Through a channel of 256, so that the tasks take turns after as many. */
void micro_mpsc(struct rill_runtime *runtime, int64_t count);

/* To and fro through two channels of 1: a task switch for each message. */
void micro_switch(struct rill_runtime *runtime, int64_t count);

#endif
