/* SPDX-License-Identifier: Apache-2.0 */
/* any.h - waits for any of several futures and leaves the others pending, for the
 * next round of a loop: how streams of events come together in one task.
 *
 *     rill_any_init(&serve->any, serve->futures, 2);
 *     serve->futures[TICK] = rill_interval_tick(&serve->interval);
 *     serve->futures[PEER] = rill_tcp_accept(&serve->listener, &serve->accept);
 *     for (;;) {
 *         RILL_AWAIT(rill_any_next(&serve->any));
 *         if (serve->any.result == TICK) {
 *             ...
 *             serve->futures[TICK] = rill_interval_tick(&serve->interval);
 *         } else if (serve->any.result == PEER) {
 *             ...
 *             serve->futures[PEER] = rill_tcp_accept(&serve->listener, &serve->accept);
 *         } else {
 *             break; // cancelled, and nothing is in flight
 *         }
 *     }
 *
 * What is pending stays begun between two rounds: it is neither cancelled nor started
 * again, so nothing can be lost there. But nor is it polled between them: what stands in line, for
 * a lock or a message, keeps all behind it waiting until the next round, and whoever awaits the
 * same lock in between waits for ever. Such waits belong into tasks of their own. What a loop does
 * not want any more, such as connections while it serves as many as it may, it withdraws, and
 * begins again when it likes. A loop that is left by itself, while futures are pending, awaits
 * rill_any_drain before their memory goes; a task that ends without panics. */
#ifndef RILL_RUNTIME_ANY_H
#define RILL_RUNTIME_ANY_H

#include "runtime/future_set.h"

#ifdef __cplusplus
extern "C" {
#endif

struct rill_any {
    union {
        int64_t result; /* of the latest of the functions below */
        struct rill_future future;
    };

    /* private */
    struct rill_future **futures; /* borrowed; NULL where there is nothing to wait for */
    uint32_t count;
    uint32_t first;           /* where the next round begins to look */
    uint32_t begin, end;      /* the entries that are drained: begin to end - 1 */
    uint8_t reason;           /* enum rill_cancel_reason, of a drain */
    struct rill_task *debtor; /* which must not end before it has drained, or NULL */
};

/* Prepares for a loop over an array of count entries, which it borrows together with
 * the futures that are put there, and makes all of them NULL. Between two awaits an
 * entry that is NULL may be given a new future; the others are left alone. */
void rill_any_init(struct rill_any *any, struct rill_future **futures, uint32_t count);

/* Waits until one of the futures has ended: its entry is NULL then and the result is
 * its index. The next call begins to look behind it, so that an entry that is always
 * ready does not keep the others waiting. Without any entry the result is -ENOENT.
 *
 * Cancelling it cancels the futures. Those that end by that with -ECANCELED are
 * taken out in silence, one that ends with its real result is given out as ever, and
 * when all have ended the result is -ECANCELED. */
struct rill_future *rill_any_next(struct rill_any *any);

/* Cancels the futures that are pending and waits until all have ended. Each holds its
 * own result; the result is the number of those that are real ones and not -ECANCELED,
 * so with 0 there is nothing to look at. */
struct rill_future *rill_any_drain(struct rill_any *any, enum rill_cancel_reason reason);

/* Cancels the future of one entry and waits until it has ended; the others stay pending, as between
 * two rounds. The entry is NULL then. The future holds its own result; that of the withdrawal is 1
 * if it is a real one, as what comes at that moment is not lost, and 0 if it is -ECANCELED, or if
 * the entry was NULL already. */
struct rill_future *rill_any_withdraw(struct rill_any *any, uint32_t index);

#ifdef __cplusplus
}
#endif
#endif
