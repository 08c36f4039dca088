/* SPDX-License-Identifier: Apache-2.0 */
/* message.h - receives tagged messages whose size is not known before they come.
 *
 *     RILL_AWAIT(rill_rdma_message_recv(&rdma, &chat->message, CHAT, ~0, 1 << 20));
 *     if (chat->message.result >= 0)
 *         print(chat->message.data, (size_t)chat->message.result);
 *     rill_rdma_message_give_back(&chat->message);
 */
#ifndef RILL_RDMA_MESSAGE_H
#define RILL_RDMA_MESSAGE_H

#include "rdma/block.h"
#include "rdma/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Zeroed at first.
 *
 * Invariant: block has data while UCX fills it (op), and from then until it was given
 * back; waiting is linked while it waits for a message to come. */
struct rill_rdma_message {
    union {
        int64_t result; /* its size, or -errno */
        struct rill_future future;
    };
    void *data;    /* owned by the message, NULL while there is none */
    uint64_t tag;  /* the sender's, also of a message that is left where it was */
    size_t length; /* of a message that is longer than limit: its real size */

    /* private */
    struct rill_rdma *rdma;
    uint64_t want, mask;
    size_t limit;
    uint64_t losses_before; /* of rdma->stats */
    struct rill_rdma_op op;
    struct rill_rdma_watcher waiting;
    struct rill_task *task;
    struct rill_rdma_block block; /* that data is */
};

/* Receives the oldest message with (its tag & mask) == (tag & mask) into memory of the
 * runtime's (free lists up to RILL_POOL_BLOCK_MAX bytes, malloc above), which is to be
 * given back. The result is its size; or -EMSGSIZE for one that is longer than limit, and
 * -ENOMEM: then the message is left where it was; or -ECANCELED. A message that began to
 * be moved cannot be left: cancelling waits for it. Where none is there it is -ENOBUFS if UCX has
 * dropped messages of the worker since this was called, maybe one for it (rdma.stats.losses), and
 * -ENOTRECOVERABLE where the worker is deaf (hearing.h). */
struct rill_future *rill_rdma_message_recv(struct rill_rdma *rdma,
                                           struct rill_rdma_message *message, uint64_t tag,
                                           uint64_t mask, size_t limit);

/* Gives the memory back. Does nothing if there is none. */
void rill_rdma_message_give_back(struct rill_rdma_message *message);

#ifdef __cplusplus
}
#endif
#endif
