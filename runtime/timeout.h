/* SPDX-License-Identifier: Apache-2.0 */
/* timeout.h - gives a future a limited time, and cancels it after that.
 *
 *     RILL_AWAIT(rill_timeout(&chat->timeout, 5 * RILL_SECOND,
 *                             rill_tcp_recv(&chat->peer, &chat->recv, chat->line, 80)));
 *     if (chat->timeout.result == -ETIMEDOUT)
 *         ...
 */
#ifndef RILL_RUNTIME_TIMEOUT_H
#define RILL_RUNTIME_TIMEOUT_H

#include "runtime/future.h"
#include "runtime/time.h"
#include "runtime/wheel.h"

#ifdef __cplusplus
extern "C" {
#endif

struct rill_timeout {
    union {
        int64_t result; /* the child's result, or -ETIMEDOUT */
        struct rill_future future;
    };
    bool has_expired; /* the time was over, and ended the child: the result is -ETIMEDOUT */

    /* private */
    bool is_delay; /* the timer's deadline is a delay before the first poll */
    struct rill_future *child;
    struct rill_timer timer;
};

/* Polls child, which it borrows, until it is ready; after limit_ns (from the first
 * poll on, or from the beginning of its turn, as of rill_sleep) the child is cancelled
 * and waited for. The result is -ETIMEDOUT if the child ended by that, and the child's
 * own result if that won the race. A negative limit is -EINVAL, and the child is not
 * started. Cancelling it cancels the child, and the result is the child's.
 * -ETIMEDOUT may also be the child's own, of a connection that is lost, say: has_expired
 * tells them apart. */
struct rill_future *rill_timeout(struct rill_timeout *timeout, int64_t limit_ns,
                                 struct rill_future *child);

/* The same up to a moment of the monotonic clock (see rill_now). */
struct rill_future *rill_deadline(struct rill_timeout *timeout, int64_t when_ns,
                                  struct rill_future *child);

#ifdef __cplusplus
}
#endif
#endif
