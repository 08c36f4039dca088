/* SPDX-License-Identifier: Apache-2.0 */
/* pipeline.h - many messages on their way over one connection, and none waited for alone.
 *
 *     rill_rdma_pipeline_init(&feed->pipeline, &feed->connection, feed->slots, SLOTS, NULL);
 *     for (feed->i = 0; feed->i < ROWS; feed->i++) {
 *         RILL_AWAIT(rill_rdma_pipeline_send(&feed->pipeline, &rows[feed->i], sizeof(struct row),
 *                                            ROW));
 *         if (feed->pipeline.result < 0)
 *             break;
 *     }
 *     RILL_AWAIT(rill_rdma_pipeline_drain(&feed->pipeline));
 *
 * Each message that does not go out at once occupies a slot until its buffer is free again,
 * and a send waits only while all slots are occupied. Messages go out in the order in which
 * they were given. One at the most waits for credit (credit.h): where several tasks want to
 * send, whoever chooses the next (priority_sender.h) chooses as late as can be.
 *
 * The first error stops it: sends end with it until it was told by a drain. A pipeline is
 * used by one task at a time; what is on its way is looked after by a task of its own. */
#ifndef RILL_RDMA_PIPELINE_H
#define RILL_RDMA_PIPELINE_H

#include "rdma/buffer_pool.h"
#include "rdma/exchange.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A message to be sent. */
struct rill_rdma_outgoing {
    const void *buffer;
    size_t size;
    uint32_t tag;
    struct rill_rdma_buffer *owned; /* given back to its pool when it is over; or NULL */
};

/* Memory for a message on its way. */
struct rill_rdma_pipeline_slot {
    /* private */
    struct rill_rdma_outgoing message;
    struct rill_rdma_transfer transfer;
    struct rill_link link; /* rill_rdma_pipeline.idle or .busy */
};

struct rill_rdma_pipeline;

/* Told once of each message that the pipeline took: its buffer is free again. result is that
 * of rill_rdma_send. Called in whatever task; it must not use the pipeline. */
typedef void rill_rdma_sent_fn(struct rill_rdma_pipeline *pipeline,
                               const struct rill_rdma_outgoing *message, int64_t result);

/* Invariant: a slot is in busy while its message is on its way, and in_flight is their
 * number; while there is one, the task is alive. Of those in busy only the last may wait
 * for credit. */
struct rill_rdma_pipeline {
    union {
        int64_t result; /* of what was awaited last */
        struct rill_future future;
    };
    struct rill_rdma_connection *connection; /* borrowed */
    size_t in_flight;                        /* messages */
    uint64_t sent;                           /* messages that went out, since the beginning */
    int error;                               /* the first, or 0 */

    /* private */
    rill_rdma_sent_fn *on_sent;
    struct rill_link idle, busy; /* of rill_rdma_pipeline_slot.link; busy in the order of sending */
    struct rill_task task;       /* polls what is in busy */
    struct rill_task *waiter;    /* for room, or for all; or NULL */
    bool waits_for_all;          /* the waiter */
    struct rill_rdma_outgoing message; /* of a send that waits */
    const struct rill_rdma_outgoing *batch;
    size_t batch_count, batch_next;
};

/* Makes a pipeline over a connection. Borrows both, and the array of slots, of which it
 * takes at least one, until it was drained. on_sent may be NULL. */
void rill_rdma_pipeline_init(struct rill_rdma_pipeline *pipeline,
                             struct rill_rdma_connection *connection,
                             struct rill_rdma_pipeline_slot *slots, size_t count,
                             rill_rdma_sent_fn *on_sent);

/* Gives a message to the pipeline as soon as there is room. The result is 0, and the buffer
 * is borrowed until on_sent was told or the pipeline drained; or -errno, and then it was not
 * sent and on_sent will not be told: as of rill_rdma_send, or the first error of those before
 * it. -ECANCELED while it waited. */
struct rill_future *rill_rdma_pipeline_send(struct rill_rdma_pipeline *pipeline, const void *buffer,
                                            size_t size, uint32_t tag);

/* The same out of a buffer of a pool (buffer_pool.h), which it takes over in any case: it is
 * given back when it is free again, or was not sent. */
struct rill_future *rill_rdma_pipeline_send_buffer(struct rill_rdma_pipeline *pipeline,
                                                   struct rill_rdma_buffer *buffer, size_t size,
                                                   uint32_t tag);

/* The same of a message, which it copies; and takes over what it owns. */
struct rill_future *rill_rdma_pipeline_send_message(struct rill_rdma_pipeline *pipeline,
                                                    const struct rill_rdma_outgoing *message);

/* Waits until there is room: a send that follows will not wait. The result is 0, or -errno as
 * of rill_rdma_pipeline_send. */
struct rill_future *rill_rdma_pipeline_wait(struct rill_rdma_pipeline *pipeline);

/* Sends a whole array of messages, which it borrows with their buffers, and waits for all;
 * takes over what they own. The result is count, or the first error; after that further ones
 * are not begun, and how many went out is what pipeline->sent has grown by. It is then drained, as
 * by rill_rdma_pipeline_drain, also where it is cancelled. */
struct rill_future *rill_rdma_pipeline_send_all(struct rill_rdma_pipeline *pipeline,
                                                const struct rill_rdma_outgoing *messages,
                                                size_t count);

/* Waits until nothing is on its way. The result is 0 or the first error since the last time,
 * and the pipeline can be used again, or forgotten. In a task that is cancelled, at first or
 * later, what waits for credit is taken back, which makes it -ECANCELED; for what UCX has it
 * waits all the same, until it went out or the connection has ended. */
struct rill_future *rill_rdma_pipeline_drain(struct rill_rdma_pipeline *pipeline);

#ifdef __cplusplus
}
#endif
#endif
