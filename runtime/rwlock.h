/* SPDX-License-Identifier: Apache-2.0 */
/* rwlock.h - many readers or one writer, also across awaits.
 *
 *     RILL_AWAIT(rill_rwlock_read(&table->lock, &query->lock));
 *     ...
 *     rill_rwlock_unlock(&table->lock, &query->lock);
 *
 * First come, first served: a writer that waits stops the readers that come after
 * it, and readers that stand in line behind one another go in together. */
#ifndef RILL_RUNTIME_RWLOCK_H
#define RILL_RUNTIME_RWLOCK_H

#include "runtime/line.h"

#ifdef __cplusplus
extern "C" {
#endif

enum rill_rwlock_mode {
    RILL_RWLOCK_NONE, /* this one does not hold the lock */
    RILL_RWLOCK_READ,
    RILL_RWLOCK_WRITE,
};

/* Invariant: readers is 0 or has_writer is false; those at the front of the line who may
 * go in now have been woken. */
struct rill_rwlock {
    size_t readers; /* that hold it */
    bool has_writer;

    /* private */
    struct rill_line line;
};

/* One use of the lock. It has to be zeroed at first. The task that holds the lock by it
 * cannot end before it has unlocked. */
struct rill_rwlock_use {
    union {
        int64_t result; /* 0, or -ECANCELED */
        struct rill_future future;
    };
    enum rill_rwlock_mode held;

    /* private */
    enum rill_rwlock_mode wanted; /* while it waits */
    struct rill_rwlock *lock;
    struct rill_task *holder;        /* the task that holds it, or NULL */
    struct rill_place_in_line place; /* in lock.line */
};

/* Makes a lock that nobody holds. */
void rill_rwlock_init(struct rill_rwlock *lock);

/* Ends it. Panics if it is held or waited for. */
void rill_rwlock_finish(struct rill_rwlock *lock);

/* Waits until the lock can be held for reading, or for writing, and holds it. The
 * result is 0, or -ECANCELED, and it is not held: the loser of a select never holds it.
 * Panics if this use holds a lock or waits for one. */
struct rill_future *rill_rwlock_read(struct rill_rwlock *lock, struct rill_rwlock_use *use);
struct rill_future *rill_rwlock_write(struct rill_rwlock *lock, struct rill_rwlock_use *use);

/* The same if that is possible at once and nobody is in line. Returns whether. */
bool rill_rwlock_try_read(struct rill_rwlock *lock, struct rill_rwlock_use *use);
bool rill_rwlock_try_write(struct rill_rwlock *lock, struct rill_rwlock_use *use);

/* Makes a reader of a writer, without a moment in between, and lets others that read
 * in. Panics if this use does not hold the lock for writing. */
void rill_rwlock_downgrade(struct rill_rwlock *lock, struct rill_rwlock_use *use);

/* Gives the lock up, in whatever task. Panics if this use does not hold it. */
void rill_rwlock_unlock(struct rill_rwlock *lock, struct rill_rwlock_use *use);

#ifdef __cplusplus
}
#endif
#endif
