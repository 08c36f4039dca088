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
 * served. */
#ifndef RILL_RUNTIME_MUTEX_H
#define RILL_RUNTIME_MUTEX_H

#include "runtime/line.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Invariant: if it is not held, the first in line has been woken. */
struct rill_mutex {
    const struct rill_task *holder; /* or NULL */

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

/* Ends it. Panics if it is held or waited for. */
void rill_mutex_finish(struct rill_mutex *mutex);

/* Waits until no other task holds the mutex, and holds it. The result is 0, or
 * -ECANCELED, and it is not held. Panics if the task holds it already. */
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
