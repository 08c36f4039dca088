/* SPDX-License-Identifier: Apache-2.0 */
/* recheck.h - finds what the kernel has forgotten to tell of a stream.
 *
 * Linux can lose the end of a multishot receive. Where bytes and the reset of a
 * connection arrive together, one processor receives the bytes while another one
 * tells of the reset, and the receive may go on waiting, for ever (on 6.18.44, 1 of
 * some 15,000 such connections; never without multishot). The reader would never
 * learn that its peer is gone, and the descriptor would be lost.
 *
 * So a stream that has received something, and then nothing for RILL_RECHECK_NS, is
 * looked at by poll(2), once. If there is something to be received, the receive is
 * withdrawn; whoever waits arms it again and gets what was forgotten. It takes twice
 * that time at the most.
 *
 * It costs a flag a message; and while anything is received, one timeout in the ring
 * every RILL_RECHECK_NS, and a poll(2) for those that have become silent. */
#ifndef RILL_IO_RECHECK_H
#define RILL_IO_RECHECK_H

#include "io/receiver.h"
#include "runtime/list.h"
#include "runtime/time.h"

#include <liburing.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RILL_RECHECK_NS (250 * RILL_MILLISECOND)

enum { RILL_RECHECK_BATCH = 64 }; /* streams that are visited in one turn */

struct rill_reactor;

/* Invariant: the receives in heard are in the kernel and not being cancelled. */
struct rill_recheck {
    /* private */
    struct rill_link heard;           /* of rill_op.queue: received since they were looked at */
    struct rill_link mark;            /* in heard, while a round goes on: behind its last one */
    struct __kernel_timespec timeout; /* read by the kernel when it takes the entry over */
    bool is_timed;                    /* the timeout is in the ring, or the round going on */
};

void rill_recheck_init(struct rill_recheck *recheck);

/* private, for the receiver: bytes have come, and the receive goes on. */
static inline void rill_recheck_note(struct rill_recheck *recheck, struct rill_receiver *receiver)
{
    receiver->heard = true;
    if (!rill_link_is_linked(&receiver->op.queue))
        rill_list_append(&recheck->heard, &receiver->op.queue);
}

/* private, for the reactor: whether to submit recheck.timeout. */
static inline bool rill_recheck_wants_timeout(const struct rill_recheck *recheck)
{
    return !recheck->is_timed && !rill_list_is_empty(&recheck->heard);
}

/* private: begins a round, as the timeout is over. */
void rill_recheck_begin(struct rill_recheck *recheck);

/* private: whether a round goes on. */
static inline bool rill_recheck_is_going_on(const struct rill_recheck *recheck)
{
    return rill_link_is_linked(&recheck->mark);
}

/* private: visits the next ones of the round. */
void rill_recheck_go_on(struct rill_reactor *reactor);

#ifdef __cplusplus
}
#endif
#endif
