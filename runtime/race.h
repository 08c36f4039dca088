/* SPDX-License-Identifier: Apache-2.0 */
/* race.h - several ways to the same result: the first that is there will do.
 *
 *     RILL_AWAIT(rill_race_to_success(&get->race,
 *                                     RILL_FUTURES(get->replicas,
 *                                                  ask(&get->near), ask(&get->far))));
 *     if (get->race.result >= 0)
 *         printf("replica %d answered\n", get->race.winner);
 */
#ifndef RILL_RUNTIME_RACE_H
#define RILL_RUNTIME_RACE_H

#include "runtime/future_set.h"

#ifdef __cplusplus
extern "C" {
#endif

struct rill_race {
    union {
        int64_t result; /* the winner's, or -errno */
        struct rill_future future;
    };
    int32_t winner; /* its index, or -1 if there is none */

    /* private */
    int64_t last_error;
    struct rill_future_set set;
};

/* Polls count futures, which it borrows together with their array, in order. The
 * first that is ready wins, be its result a success or an error, and gives the race
 * its result; the others are cancelled and waited for, and hold results of their own
 * (the real one where that won against the cancel). The entries of futures are NULL
 * afterwards. Cancelling it cancels all of them: the result is -ECANCELED unless one
 * of them won that race. With count 0 it is -EINVAL. */
struct rill_future *rill_race(struct rill_race *race, struct rill_future **futures, uint32_t count);

/* The same, but the first that succeeds (>= 0) wins. If all fail, the result is the
 * error of the one that was last to, which has not won either: winner is -1. */
struct rill_future *rill_race_to_success(struct rill_race *race, struct rill_future **futures,
                                         uint32_t count);

#ifdef __cplusplus
}
#endif
#endif
