/* SPDX-License-Identifier: Apache-2.0 */
/* recancel.h - cancels once more what a cancel has not ended.
 *
 * A cancel may find nothing although its target is alive: a request that the kernel is about
 * to try again, as after a poll, is for a moment on none of the lists that a cancel searches
 * (seen on 6.18.44, with sends on unix sockets). Or it finds a request in the hands of one of
 * the kernel's threads, answers -EALREADY and leaves it to the thread to stop, which looks
 * whether it is to stop before it begins, and may be past that: it tries without waiting, has
 * the request polled for, as with the read of a terminal, and is gone. Either way the request
 * would then go on for as long as it likes, and whoever waits for its end with it.
 *
 * So where a cancel has said that, all operations whose end is still waited for are cancelled
 * again after a pause, which doubles from one time to the next. As a rule there are none: what
 * has ended by itself is not found either, and its end comes first; and a thread that was
 * waiting lets go soon. One that cannot, as it waits for a disk or for NFS, is asked ten times a
 * second until it is through, which costs two entries of the queue each time. */
#ifndef RILL_IO_RECANCEL_H
#define RILL_IO_RECANCEL_H

#include "io/op.h"
#include "runtime/list.h"
#include "runtime/time.h"

#include <liburing.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RILL_RECANCEL_FIRST_NS (100 * RILL_MICROSECOND)
#define RILL_RECANCEL_MAX_NS (100 * RILL_MILLISECOND)

/* Invariant: the ops in cancelling are CANCELLING, and their cancels were submitted. */
struct rill_recancel {
    /* private */
    struct rill_link cancelling;      /* of rill_op.queue: not ended yet */
    struct __kernel_timespec timeout; /* read by the kernel when it takes the entry over */
    bool has_missed;                  /* a cancel has not ended its target, or not yet */
    bool is_timed;                    /* the timeout is in the ring */
};

void rill_recancel_init(struct rill_recancel *recancel);

/* private, for the reactor: the cancel of an op was submitted. */
static inline void rill_recancel_note(struct rill_recancel *recancel, struct rill_op *op)
{
    rill_list_append(&recancel->cancelling, &op->queue);
}

/* private: a cancel was answered by an error. Those that work say nothing. */
void rill_recancel_hear(struct rill_recancel *recancel, int32_t error);

/* private: after what had ended was taken note of, whether to submit recancel.timeout. */
bool rill_recancel_wants_timeout_now(struct rill_recancel *recancel);

static inline bool rill_recancel_wants_timeout(struct rill_recancel *recancel)
{
    return recancel->has_missed && rill_recancel_wants_timeout_now(recancel);
}

/* private: the timeout is over. Moves to a list what is to be cancelled again. */
void rill_recancel_begin(struct rill_recancel *recancel, struct rill_link *again);

#ifdef __cplusplus
}
#endif
#endif
