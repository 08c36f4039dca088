/* SPDX-License-Identifier: Apache-2.0 */
/* select.h - waits for the first of several futures, and cancels the others.
 *
 *     RILL_AWAIT(rill_select(&serve->select,
 *                            RILL_FUTURES(serve->choices,
 *                                         rill_tcp_accept(&serve->listener, &serve->accept),
 *                                         rill_notify_wait(&serve->stop, &serve->wait))));
 *     if (serve->select.result == 1)
 *         ...
 */
#ifndef RILL_RUNTIME_SELECT_H
#define RILL_RUNTIME_SELECT_H

#include "runtime/future_set.h"

#ifdef __cplusplus
extern "C" {
#endif

struct rill_select {
    union {
        int64_t result; /* the index of the winner, or -ECANCELED */
        struct rill_future future;
    };

    /* private */
    struct rill_future_set set;
};

/* Polls count futures, which it borrows together with their array, in order.
 * When the first is ready the others are cancelled and waited for, so that
 * nothing of them is in flight when it ends. The result is the index of the first
 * that was ready. Each other future holds its own result: -ECANCELED, or the real
 * one if that won the race (a select of a receive and a notification can end with
 * both), so look at it where losing it would matter. The entries of futures are NULL
 * afterwards. Cancelling it cancels all of them: the result is -ECANCELED unless one
 * of them won that race. With count 0 it is -EINVAL. */
struct rill_future *rill_select(struct rill_select *select, struct rill_future **futures,
                                uint32_t count);

#ifdef __cplusplus
}
#endif
#endif
