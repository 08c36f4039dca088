/* SPDX-License-Identifier: Apache-2.0 */
/* quiet.h - sends that ask for no completion.
 *
 * A completion costs the kernel and the reactor more than the rest of a short send. With
 * IOSQE_CQE_SKIP_SUCCESS the kernel says something only where a send did not go well. Such a
 * send has MSG_DONTWAIT too, so it is over when the kernel has taken its entry over: once the
 * kernel's head of the submission queue has passed it, and nothing was said about it by then,
 * all of it was sent.
 *
 * Invariant: an op in reactor.quiet is in the kernel, or over without a completion; they lie in
 * the order of their entries. */
#ifndef RILL_IO_QUIET_H
#define RILL_IO_QUIET_H

#include "io/reactor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* private, for the reactor: the op whose entry was just filled asks for no completion. */
static inline void rill_quiet_note(struct rill_reactor *reactor, struct rill_op *op)
{
    op->queue_tail = reactor->ring.sq.sqe_tail;
    rill_list_append(&reactor->quiet, &op->queue);
}

/* private, for the reactor, after a drain: ends those that the kernel had taken over before it,
 * when its head was taken_over. Where completions have overflowed, none: the kernel may have
 * something to say that is to be fetched first. */
void rill_quiet_settle(struct rill_reactor *reactor, unsigned taken_over, bool has_overflowed);

#ifdef __cplusplus
}
#endif
#endif
