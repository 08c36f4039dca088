/* SPDX-License-Identifier: Apache-2.0 */
/* priority_sender.h - sends the messages of many tasks over one connection, the most urgent
 * first.
 *
 *     struct outbox RILL_PRIORITY_CHANNEL(struct rill_rdma_outgoing, 16);
 *     ...
 *     rill_priority_channel_init(&peer->outbox);
 *     RILL_AWAIT(rill_rdma_send_by_priority(&peer->sender, &peer->pipeline,
 *                                           &peer->outbox.priority));       // a task of its own
 *     ...
 *     RILL_AWAIT(rill_priority_channel_send(&peer->outbox, &alarm->send, RILL_PRIORITY_HIGH,
 *                                           &alarm->message));              // any other
 *
 * What waits for a slot of the pipeline, or for credit, waits in the channel, and is taken
 * out when it can go, not before. So an urgent message is behind what UCX has already, and
 * behind one at the most that waits for credit; and no message is overtaken more often than
 * RILL_PRIORITY_OVERTAKEN_MAX times. */
#ifndef RILL_RDMA_PRIORITY_SENDER_H
#define RILL_RDMA_PRIORITY_SENDER_H

#include "rdma/pipeline.h"
#include "runtime/priority_channel.h"
#include "runtime/shield.h"

#ifdef __cplusplus
extern "C" {
#endif

struct rill_rdma_priority_sender {
    union {
        int64_t result; /* as rill_rdma_send_by_priority says */
        struct rill_future future;
    };

    /* private */
    struct rill_rdma_pipeline *pipeline;
    struct rill_priority_channel *outbox;
    struct rill_priority_receive receive;
    struct rill_rdma_outgoing message;
    struct rill_shield shield;
    int error;
};

/* Sends what comes through a priority channel of struct rill_rdma_outgoing, until the channel
 * is closed and empty and all was sent: the result is 0. It borrows both as long; nobody else
 * may use the pipeline, nor receive from the channel. Buffers are borrowed until the
 * pipeline's on_sent was told, which it is of every message that was sent into the channel.
 *
 * An error of the connection, or being cancelled, ends it: it closes the channel, so that
 * those who send into it end with -EPIPE, tells on_sent of what was left in it with that error,
 * and drains the pipeline. The result is the first error, or -ECANCELED. */
struct rill_future *rill_rdma_send_by_priority(struct rill_rdma_priority_sender *sender,
                                               struct rill_rdma_pipeline *pipeline,
                                               struct rill_priority_channel *outbox);

#ifdef __cplusplus
}
#endif
#endif
