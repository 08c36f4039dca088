/* SPDX-License-Identifier: Apache-2.0 */
/* shield.h - lets a future run to its end although what is around it is cancelled.
 *
 *     RILL_AWAIT(rill_shield(&order->shield,
 *                            rill_timeout(&order->limit, RILL_SECOND,
 *                                         commit(&order->commit))));
 *
 * For clean-up that has to wait, and for steps that must not be left half done. The
 * innermost combinator decides: a timeout within the shield cancels as always (give
 * it one, or whoever cancels waits as long as the child likes), one around the shield
 * cannot. */
#ifndef RILL_RUNTIME_SHIELD_H
#define RILL_RUNTIME_SHIELD_H

#include "runtime/future.h"

#ifdef __cplusplus
extern "C" {
#endif

struct rill_shield {
    union {
        int64_t result; /* the child's */
        struct rill_future future;
    };

    /* private */
    struct rill_future *child;
};

/* Polls child, which it borrows, to its end, as not cancelled whatever happens
 * outside; begins it even in a task that is cancelled. The result is the child's. */
struct rill_future *rill_shield(struct rill_shield *shield, struct rill_future *child);

#ifdef __cplusplus
}
#endif
#endif
