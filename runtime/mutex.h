/* SPDX-License-Identifier: Apache-2.0 */
/* mutex.h - one task at a time, also across awaits.
 *
 *     RILL_AWAIT(rill_mutex_lock(&account->mutex, &transfer->lock));
 *     if (transfer->lock.result < 0)
 *         RILL_RETURN(transfer->lock.result);
 *     ...                                          // may await
 *     rill_mutex_unlock(&account->mutex);
 *
 * Between two awaits a task is alone anyway and needs no mutex. First come, first
 * served.
 *
 * The holder is a task. Two futures of one task, below a join_all say, cannot take
 * turns with a mutex: let them acquire the one permit of a semaphore. */
#ifndef RILL_RUNTIME_MUTEX_H
#define RILL_RUNTIME_MUTEX_H

#include "runtime/line.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Invariant: if it is not held, the first in line has been woken. */
struct rill_mutex {
    struct rill_task *holder; /* or NULL; it cannot end before it has unlocked */

    /* private */
    struct rill_line line;
};

struct rill_mutex_lock {
    union {
        int64_t result; /* 0, or -ECANCELED */
        struct rill_future future;
    };

    /* private */
    struct rill_mutex *mutex;
    struct rill_place_in_line place; /* in mutex.line */
};

/* Makes a mutex that nobody holds. */
void rill_mutex_init(struct rill_mutex *mutex);

/* Ends it. Panics, naming the task, if one holds it or waits for it. */
void rill_mutex_finish(struct rill_mutex *mutex);

/* Waits until no other task holds the mutex, and holds it. The result is 0, or
 * -ECANCELED, and it is not held: the loser of a select never holds it. Panics if the
 * task holds it already, and at the end of a task that holds it still. */
struct rill_future *rill_mutex_lock(struct rill_mutex *mutex, struct rill_mutex_lock *lock);

/* Locks it for the running task if nobody holds it or waits. Returns whether. */
bool rill_mutex_try_lock(struct rill_mutex *mutex);

/* Gives it up; the next in line may go on. Panics if the running task does not hold
 * it. */
void rill_mutex_unlock(struct rill_mutex *mutex);

#ifdef __cplusplus
}
#endif
#endif
