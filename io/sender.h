/* SPDX-License-Identifier: Apache-2.0 */
/* sender.h - shared buffers on their way out of one stream.
 *
 * A task that forwards what it received need not wait until it is sent: the
 * buffer is put in line, and given back to all when its bytes have gone. One send
 * at a time keeps them in order.
 *
 * A send is first tried without waiting and asks for no completion if all bytes
 * go out (MSG_DONTWAIT with IOSQE_CQE_SKIP_SUCCESS): it is over when the call that
 * submitted it returns. So a reactor that answers a request sleeps until the next
 * one in that same call, where a completion for the answer would wake it first:
 * one system call a request instead of two. What does not go out at once goes on
 * as a send that waits, from private memory: a peer that does not read keeps no
 * shared buffer.
 *
 * Invariant: first..last are chained while held > 0, and op sends the first of
 * them; after an error nothing is held. */
#ifndef RILL_IO_SENDER_H
#define RILL_IO_SENDER_H

#include "io/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A zeroed sender is one that has sent nothing. */
struct rill_sender {
    /* private */
    struct rill_op op;    /* its waiter waits for room or for the end of the line */
    uint32_t first, last; /* buffers in line, oldest first */
    uint16_t held;        /* how many */
    int16_t error;        /* that ended the stream, or 0 */
};

/* Puts a shared buffer that the caller has borrowed in line, to be sent on fd:
 * answers RILL_READY with its length in *result, and the buffer is the sender's;
 * or with an earlier send's -errno or -ECANCELED, and it is still the caller's.
 * Answers RILL_PENDING while RILL_BUFFERS_SHARE are in line, or one where many peers are slow; the
 * buffer may then have become a private one, with another number. */
enum rill_poll rill_sender_put(struct rill_sender *sender, int fd, struct rill_task *task,
                               unsigned *buffer, int64_t *result);

/* Waits until all that is in line was sent: sender->op.result is 0, or the -errno
 * that ended the stream. Cancelling it gives up what was not sent yet, and the
 * result is -ECANCELED. */
struct rill_future *rill_sender_flush(struct rill_sender *sender);

#ifdef __cplusplus
}
#endif
#endif
