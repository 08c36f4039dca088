/* SPDX-License-Identifier: Apache-2.0 */
/* fairness.h - loops over futures that are ready at once, beside a task that wants its
 * turns too. */
#ifndef RILL_TESTS_FAIRNESS_H
#define RILL_TESTS_FAIRNESS_H

#include "runtime/future.h"

#include <stddef.h>

/* One kind of future that is ready at once, and what it is ready with. */
struct fairness_loop {
    const char *what;
    struct rill_future *(*make)(void); /* prepares it, for each round */
    int64_t result;                    /* of each: -ECANCELED of a task that is cancelled */
    void (*prepare)(void);             /* called before, or NULL */
    struct rill_future *(*end)(void);  /* awaited by the same task after them, or NULL */
};

/* Runs each of the loops, between set_up and tear_down, for some ten shares of a task.
 * Fails the case where the task beside it does not get as many turns. turn is a turn of
 * the runtime. */
void fairness_check(const struct fairness_loop *loops, size_t count, void (*set_up)(void),
                    void (*tear_down)(void), void (*turn)(void));

#endif
