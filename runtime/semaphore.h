/* SPDX-License-Identifier: Apache-2.0 */
/* semaphore.h - a number of permits, and tasks that wait for some.
 *
 *     rill_semaphore_init(&crawler->slots, 10);
 *     ...
 *     RILL_AWAIT(rill_semaphore_acquire(&crawler->slots, &fetch->acquire, 1));
 *     if (fetch->acquire.result < 0)
 *         RILL_RETURN(fetch->acquire.result);
 *     ...
 *     rill_semaphore_release(&crawler->slots, 1);
 *
 * First come, first served: a task that wants many is not overtaken by others that
 * want few, and so those behind it wait although there may be enough for them. */
#ifndef RILL_RUNTIME_SEMAPHORE_H
#define RILL_RUNTIME_SEMAPHORE_H

#include "runtime/line.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Invariant: available is at most limit, and not enough for the first in line unless it
 * is closed: permits that are given back are handed over at once. A permit is available, or held,
 * or handed to an acquire that has not run yet; never two of these. */
struct rill_semaphore {
    size_t available; /* permits that nobody holds or was handed */
    size_t limit;     /* permits that there are */
    bool is_closed;

    /* private */
    struct rill_line line;
};

struct rill_acquire {
    union {
        int64_t result; /* as rill_semaphore_acquire says */
        struct rill_future future;
    };

    /* private */
    struct rill_semaphore *semaphore;
    size_t wanted;
    struct rill_place_in_line place; /* in semaphore.line, until it is handed its permits */
};

/* Makes a semaphore with so many permits, at least one, all of them available. Panics for none, or
 * for more than INT64_MAX: a result tells how many were acquired. */
void rill_semaphore_init(struct rill_semaphore *semaphore, size_t permits);

/* Ends it. Panics if a task waits for permits, or if some are held. */
void rill_semaphore_finish(struct rill_semaphore *semaphore);

/* Waits for permits, which the caller then holds. The result is their number; or
 * -EINVAL for none, or for more than there are; or -EPIPE if the semaphore is or gets
 * closed; or -ECANCELED. After an error none are held: what a cancelled one had been
 * handed goes to the next in line, so the loser of a select holds none. */
struct rill_future *rill_semaphore_acquire(struct rill_semaphore *semaphore,
                                           struct rill_acquire *acquire, size_t permits);

/* Takes permits, at least one, if they are there and nobody is in line. Returns whether
 * it did. */
bool rill_semaphore_try_acquire(struct rill_semaphore *semaphore, size_t permits);

/* Gives permits back, whoever acquired them, and hands them to those in line for whom
 * they are enough. Panics for none, or if that makes more than there are. */
void rill_semaphore_release(struct rill_semaphore *semaphore, size_t permits);

/* Ends those that wait, and all that come later, with -EPIPE; who was handed permits
 * already has them. Permits can still be given back. */
void rill_semaphore_close(struct rill_semaphore *semaphore);

#ifdef __cplusplus
}
#endif
#endif
