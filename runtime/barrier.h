/* SPDX-License-Identifier: Apache-2.0 */
/* barrier.h - where a number of tasks wait for each other, again and again.
 *
 *     rill_barrier_init(&game->round, PLAYERS);
 *     ...
 *     RILL_AWAIT(rill_barrier_meet(&game->round, &player->meet));
 *     if (player->meet.result == 1)
 *         ...                                  // one of them: the last that came
 */
#ifndef RILL_RUNTIME_BARRIER_H
#define RILL_RUNTIME_BARRIER_H

#include "runtime/line.h"

#ifdef __cplusplus
extern "C" {
#endif

struct rill_barrier {
    size_t size;     /* tasks that meet */
    size_t arrived;  /* that wait for the others now */
    uint64_t rounds; /* how often all have met */

    /* private */
    struct rill_line line; /* those that wait */
};

struct rill_meet {
    union {
        int64_t result; /* 1, 0 or -ECANCELED */
        struct rill_future future;
    };

    /* private */
    struct rill_barrier *barrier;
    struct rill_place_in_line place; /* in barrier.line, while it waits in this round */
};

/* Makes a barrier for so many tasks, at least one. */
void rill_barrier_init(struct rill_barrier *barrier, size_t size);

/* Ends it. Panics if a task waits at it. */
void rill_barrier_finish(struct rill_barrier *barrier);

/* Waits until as many tasks as the barrier has places have come. The result is 1 for
 * the one that came last and 0 for the others; or -ECANCELED, and it does not count as
 * having come. One whose round is complete ends with 0 even if it is cancelled before
 * it runs: the others have gone on counting on it. */
struct rill_future *rill_barrier_meet(struct rill_barrier *barrier, struct rill_meet *meet);

#ifdef __cplusplus
}
#endif
#endif
