/* SPDX-License-Identifier: Apache-2.0 */
/* waker.h - lets other threads wake a task: "look again, something has changed".
 *
 *     rill_waker_open(&watch->waker);                  // before the thread is started
 *     for (;;) {
 *         RILL_AWAIT(rill_waker_wait(&watch->waker));
 *         if (watch->waker.result < 0)                 // cancelled, as every further wait would be
 *             break;
 *         ...look at what the thread has stored...
 *     }
 *
 *     rill_waker_wake(&watch->waker);                  // the thread, having stored it
 *
 * A wake carries no value. One that finds nobody waiting is kept for the next wait, and
 * wakes that come before it ends are one. */
#ifndef RILL_IO_WAKER_H
#define RILL_IO_WAKER_H

#include "io/remote.h"
#include "runtime/future.h"

#ifdef __cplusplus
extern "C" {
#endif

struct rill_waker {
    union {
        int64_t result; /* 0 when woken, or -ECANCELED */
        struct rill_future future;
    };

    /* private */
    struct rill_post post;
    struct rill_remote *remote; /* held */
    struct rill_task *task;     /* that waits, or NULL */
    bool is_woken;              /* and no wait has ended with it yet */
};

/* Makes a waker for a task of this thread's runtime. Returns 0, or the
 * -errno of rill_remote_open. */
int rill_waker_open(struct rill_waker *waker);

/* Waits until the waker was woken since the last wait. One task at a time. Cancelling
 * leaves a wake for the next wait. */
struct rill_future *rill_waker_wait(struct rill_waker *waker);

/* Ends a wait, this one or the next. What was stored before is seen behind the wait.
 * Returns 0, or -ESHUTDOWN when the runtime accepts no more; 0 also where another thread is about
 * to wake it, and is told that. Any thread, and signal handlers. */
int rill_waker_wake(struct rill_waker *waker);

/* Ends the waker. Nobody may wait for it, or wake it any more: each call of rill_waker_wake has to
 * have returned, which the end of a wait does not say. Where the other thread cannot be joined,
 * have it hold the runtime's remote as well, until it is done (rill_remote_open). The runtime's
 * thread. */
void rill_waker_close(struct rill_waker *waker);

#ifdef __cplusplus
}
#endif
#endif
