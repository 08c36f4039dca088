/* SPDX-License-Identifier: Apache-2.0 */
/* once.h - something that is made when the first one needs it, and by that one.
 *
 *     RILL_AWAIT(rill_once_run(&cache->loaded, &request->once, load(&request->load, cache)));
 *     if (request->once.result < 0)
 *         RILL_RETURN(request->once.result);
 *
 * The first task that comes runs its future; the others wait. If that succeeds it is
 * done for all. If it fails, or is cancelled, only that task has failed: the next in
 * line tries with its own future, which may have more time, another address or a task
 * around it that nobody cancels. So no task gets an error that is not its own; in
 * return, of tasks that all fail the last one waits for all the others' attempts: put a
 * timeout around the wait where that matters. */
#ifndef RILL_RUNTIME_ONCE_H
#define RILL_RUNTIME_ONCE_H

#include "runtime/line.h"

#ifdef __cplusplus
extern "C" {
#endif

enum rill_once_state {
    RILL_ONCE_NEW,     /* nobody has succeeded, nobody tries. Becomes RUNNING. */
    RILL_ONCE_RUNNING, /* somebody tries. Becomes DONE, or NEW if that fails. */
    RILL_ONCE_DONE,    /* for good */
};

/* Invariant: if it is not RUNNING, the first in line has been woken. */
struct rill_once {
    enum rill_once_state state;

    /* private */
    struct rill_line line;
};

struct rill_once_run {
    union {
        int64_t result; /* >= 0 when done, or the error of this one's future, or -ECANCELED */
        struct rill_future future;
    };
    bool was_first; /* it was this one's future that succeeded */

    /* private */
    struct rill_once *once;
    struct rill_future *child;
    struct rill_place_in_line place; /* in once.line */
};

/* Makes one that is not done. */
void rill_once_init(struct rill_once *once);

/* Ends it. Panics if a task runs it or waits for it. */
void rill_once_finish(struct rill_once *once);

/* Returns at once if it is done; waits while another task tries; and otherwise runs
 * child, which it borrows and which is not begun unless it is needed. The result is
 * 0 if another one has done it, or child's own. Cancelling it cancels child. */
struct rill_future *rill_once_run(struct rill_once *once, struct rill_once_run *run,
                                  struct rill_future *child);

#ifdef __cplusplus
}
#endif
#endif
