/* SPDX-License-Identifier: Apache-2.0 */
/* receiver.h - what arrives on one socket, a stream or datagrams, in buffers shared by all.
 *
 * One multishot receive (io_uring_prep_recv_multishot(3)) stays in the kernel for
 * as long as the stream is read, and brings a shared buffer each time that bytes
 * arrive. The receiver chains them until they are read: bytes that come while
 * nobody waits, or while a wait is being cancelled, are there for the next one.
 *
 * A reader that is slower than its peer holds its share of the buffers
 * (RILL_BUFFERS_SHARE): the receive is then withdrawn, the bytes stay in the socket,
 * and TCP slows the peer down. What was on its way is moved into private memory.
 * Such a stream then gets a buffer at a time, until it was seen empty.
 *
 * Datagrams come in the same way (io_uring_prep_recvmsg_multishot(3)), one in each buffer.
 * They are small, so RILL_RECEIVER_DATAGRAMS may be held; what comes while the receive is
 * withdrawn waits in the socket, and is dropped by the kernel where that is full. An error is
 * told once, and ends nothing.
 *
 * Invariant: first..last are chained while held > 0; op is in the kernel, starved or in
 * reactor.backlog while the receive is armed. */
#ifndef RILL_IO_RECEIVER_H
#define RILL_IO_RECEIVER_H

#include "io/op.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RILL_RECEIVER_DATAGRAMS = 64, /* that one socket may hold, for which nobody has come yet */
    /* What is before the bytes of a datagram in its buffer: a struct io_uring_recvmsg_out, and
     * room for the largest address. */
    RILL_RECEIVER_HEAD = 128,
};

/* A zeroed receiver is one that has not received yet. */
struct rill_receiver {
    /* private */
    struct rill_op op;    /* the multishot receive; its waiter is the reader */
    uint32_t first, last; /* buffers that have arrived, oldest first */
    uint16_t held;        /* how many */
    int16_t end;          /* once ended: 0 at the end of the stream, or -errno */
    bool ended;
    bool singly;        /* a buffer at a time */
    bool heard;         /* something has come since rill_recheck visited it */
    bool has_datagrams; /* and not a stream; set by whoever has it */
};

/* Takes the oldest buffer that has arrived on fd: answers RILL_READY with its
 * length (> 0) in *length and its number in *buffer, or with 0 or -errno in
 * *length at the end of the stream, or with a -errno for one datagram. Answers RILL_PENDING after
 * seeing to it that task is woken when there is one. When the task is cancelled, *length is
 * -ECANCELED and nothing is taken. */
enum rill_poll rill_receiver_take(struct rill_receiver *receiver, int fd, struct rill_task *task,
                                  unsigned *buffer, int64_t *length);

/* Whether bytes were, or are being, received into shared buffers: a receive of
 * another kind would then overtake them. */
static inline bool rill_receiver_is_active(const struct rill_receiver *receiver)
{
    return receiver->op.state != RILL_OP_IDLE || receiver->held > 0 || receiver->ended;
}

/* Puts the buffer taken last back as the oldest, with what is left of it. */
void rill_receiver_put_back(struct rill_receiver *receiver, unsigned buffer);

/* Withdraws the receive, and waits until the kernel has let go of it. What has come is there
 * still. It cannot be cancelled. */
struct rill_future *rill_receiver_withdraw(struct rill_receiver *receiver);

/* Withdraws the receive, waits until the kernel has let go of it, and gives back
 * all buffers. It cannot be cancelled. Afterwards the receiver is as new, and its
 * op may be used for closing the stream. */
struct rill_future *rill_receiver_stop(struct rill_receiver *receiver);

#ifdef __cplusplus
}
#endif
#endif
