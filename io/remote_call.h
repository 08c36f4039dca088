/* SPDX-License-Identifier: Apache-2.0 */
/* remote_call.h - awaits a function that runs on the thread of another runtime: how what one
 * runtime keeps, a table or a counter, is reached from the tasks of all others without a lock.
 *
 *     static int64_t count(void *argument)        // on the keeper's thread, as are all calls
 *     {
 *         struct session *session = argument;     // whose task awaits this
 *
 *         return counters[session->kind]++;
 *     }
 *
 *     RILL_AWAIT(rill_remote_call(&session->call, keeper, count, session));
 *     if (session->call.result < 0)
 *         ...
 *
 * keeper is the remote of the other runtime (io/remote.h), which that has opened. */
#ifndef RILL_IO_REMOTE_CALL_H
#define RILL_IO_REMOTE_CALL_H

#include "io/remote.h"
#include "runtime/future.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Called once, on the thread of the other runtime, between two polls of its tasks: it may wake,
 * spawn and cancel tasks there, but not wait. Returns the result, >= 0 or -errno. */
typedef int64_t rill_remote_call_fn(void *argument);

struct rill_remote_call {
    union {
        int64_t result; /* of the function, or -errno */
        struct rill_future future;
    };

    /* private */
    struct rill_remote *there, *here; /* the latter held while the call is under way */
    rill_remote_call_fn *function;
    void *argument;
    int64_t returned; /* written there before it posts back */
    struct rill_post call, back;
    struct rill_task *task;
    bool is_unwanted; /* atomic: cancelled */
    bool is_back;
};

/* Has function(argument) called by the runtime of remote, in its next turn, and waits for that;
 * the calls of one thread in the order in which they were awaited. remote, which the caller holds,
 * and argument are borrowed until it is ready; it may be this thread's own. Its result is what the
 * function returned, or without the function having been called:
 *   -ESHUTDOWN  the other runtime has ended, or this one was shut down
 *   -ECANCELED  it was cancelled before its turn came there
 *   -ENOMEM, -EMFILE, -ENFILE
 * Cancelling waits for the other runtime's next turn, as the call lies there: and where the
 * function was called meanwhile, its result is given. */
struct rill_future *rill_remote_call(struct rill_remote_call *call, struct rill_remote *remote,
                                     rill_remote_call_fn *function, void *argument);

#ifdef __cplusplus
}
#endif
#endif
