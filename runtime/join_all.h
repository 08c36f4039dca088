/* SPDX-License-Identifier: Apache-2.0 */
/* join_all.h - waits for all of several futures.
 *
 *     RILL_AWAIT(rill_join_all(&page->all, RILL_FUTURES(page->parts, load(&page->head),
 *                                                       load(&page->body))));
 *     if (page->all.result < 0)
 *         printf("part %d failed\n", page->all.failed);
 *
 * They run within one task; rill_task_join waits for another task, and
 * rill_scope_join for any number of them. */
#ifndef RILL_RUNTIME_JOIN_ALL_H
#define RILL_RUNTIME_JOIN_ALL_H

#include "runtime/future_set.h"

#ifdef __cplusplus
extern "C" {
#endif

struct rill_join_all {
    union {
        int64_t result; /* 0, or the error of the first that failed */
        struct rill_future future;
    };
    int32_t failed; /* its index, or -1 if none has failed */

    /* private */
    struct rill_future_set set;
};

/* Polls count futures, which it borrows together with their array, until all have
 * ended, each with a result of its own. The entries of futures are NULL afterwards.
 * The result is the error of the one that was the first to fail, or 0. Cancelling it
 * cancels all that are pending. With count 0 it is ready at once. */
struct rill_future *rill_join_all(struct rill_join_all *all, struct rill_future **futures,
                                  uint32_t count);

/* The same, but the first that fails cancels the others, which are waited for. */
struct rill_future *rill_try_join_all(struct rill_join_all *all, struct rill_future **futures,
                                      uint32_t count);

#ifdef __cplusplus
}
#endif
#endif
