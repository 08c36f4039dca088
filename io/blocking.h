/* SPDX-License-Identifier: Apache-2.0 */
/* blocking.h - awaits a function that blocks, which runs on another thread.
 *
 *     static int64_t pack(void *argument) { ... }
 *
 *     RILL_AWAIT(rill_blocking(&save->pack, NULL, pack, save));
 *     if (save->pack.result < 0)
 *         ...
 */
#ifndef RILL_IO_BLOCKING_H
#define RILL_IO_BLOCKING_H

#include "io/remote.h"
#include "io/workers.h"
#include "runtime/future.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Runs on a thread of the pool. Returns the result, >= 0 or -errno. */
typedef int64_t rill_blocking_fn(void *argument);

/* Zeroed at first; may be used again when it is over. */
struct rill_blocking {
    union {
        int64_t result; /* of the function, or -errno */
        struct rill_future future;
    };

    /* private */
    struct rill_workers *workers;
    rill_blocking_fn *function;
    void *argument;
    int64_t returned; /* written by the pool's thread before it posts done */
    struct rill_job job;
    struct rill_post done;
    struct rill_remote *remote; /* held while the job is in the pool */
    struct rill_task *task;
    bool is_done;
};

/* Runs function(argument) on a thread of workers (NULL: rill_workers_shared), both
 * borrowed until it is ready. If all threads are busy it waits for its turn, first come
 * first served, whichever runtime it comes from. Its result is what the function returned,
 * or without the function having been called:
 *   -ECANCELED  it was cancelled while it waited for its turn
 *   -EAGAIN     too many are waiting already, or the system permits no thread
 *   -ENOMEM, -EMFILE, -ENFILE, or -ESHUTDOWN after rill_runtime_shutdown
 * A function that runs cannot be stopped: cancelling then waits for its end, and gives
 * its result. Panics where the struct is in use. */
struct rill_future *rill_blocking(struct rill_blocking *blocking, struct rill_workers *workers,
                                  rill_blocking_fn *function, void *argument);

#ifdef __cplusplus
}
#endif
#endif
