/* SPDX-License-Identifier: Apache-2.0 */
/* rdma_pipeline.c - what it brings to have several messages on their way at a time: both sides
 * of a connection in one program, and the time that a message takes. */
#include "io/program.h"
#include "rdma/pipeline.h"
#include "runtime/executor.h"
#include "runtime/scope.h"

#include <stdio.h>

enum { MESSAGES = 2000, SIZE = 16 << 10, DEPTH_MAX = 16, TAG = 1 };

struct receiver {
    struct rill_task task;
    struct rill_rdma_hub *hub;
    struct rill_rdma_am stranger;
    struct rill_rdma_connection connection;
    struct rill_rdma_transfer recv;
    struct rill_rdma_state_wait connected;
    char message[SIZE];
};

static enum rill_poll receiver_poll(struct rill_future *self, struct rill_task *task)
{
    struct receiver *receiver = rill_container_of(self, struct receiver, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_rdma_accept_worker(receiver->hub, &receiver->stranger));
    if (receiver->stranger.result < 0)
        RILL_RETURN(receiver->stranger.result);
    receiver->connected.result =
        rill_rdma_adopt_worker(&receiver->connection, receiver->hub, &receiver->stranger, NULL);
    if (receiver->connected.result < 0)
        RILL_RETURN(receiver->connected.result);
    RILL_AWAIT(rill_rdma_wait_for_connection(&receiver->connection, &receiver->connected));
    do
        RILL_AWAIT(rill_rdma_recv(&receiver->connection, &receiver->recv, receiver->message,
                                  sizeof receiver->message, TAG));
    while (receiver->recv.result >= 0);
    RILL_AWAIT(rill_rdma_disconnect(&receiver->connection));
    RILL_END();
}

struct sender {
    struct rill_future future;
    struct rill_rdma here, there; /* end with the runtime */
    struct rill_rdma_hub hub, hub_there;
    struct rill_scope scope;
    struct receiver receiver; /* its task is in scope */
    struct rill_rdma_connection connection;
    struct rill_rdma_pipeline pipeline;
    struct rill_rdma_pipeline_slot slots[DEPTH_MAX];
    struct rill_rdma_outgoing batch[MESSAGES];
    char message[SIZE];
    size_t depth;
    int64_t began_ns;
};

static int sender_open(struct sender *sender)
{
    int error = rill_rdma_open(&sender->here, NULL);

    if (error) {
        fprintf(stderr, "no rdma: %s\n", sender->here.why.text);
        return error;
    }
    error = rill_rdma_open(&sender->there, NULL);
    if (!error)
        error = rill_rdma_hub_open(&sender->hub, &sender->here, 0);
    if (!error)
        error = rill_rdma_hub_open(&sender->hub_there, &sender->there, 0);
    for (int i = 0; i < MESSAGES; i++)
        sender->batch[i] =
            (struct rill_rdma_outgoing){.buffer = sender->message, .size = SIZE, .tag = TAG};
    return error;
}

static struct rill_future *connect_there(struct sender *sender)
{
    size_t size;

    return rill_rdma_connect_worker(&sender->connection, &sender->hub,
                                    rill_rdma_address(&sender->there, &size), NULL);
}

static enum rill_poll sender_poll(struct rill_future *self, struct rill_task *task)
{
    struct sender *sender = rill_container_of(self, struct sender, future);

    RILL_BEGIN();
    sender->connection.result = sender_open(sender);
    if (sender->connection.result < 0)
        RILL_RETURN(sender->connection.result);
    rill_scope_init(&sender->scope, RILL_SCOPE_TOGETHER);
    sender->receiver.hub = &sender->hub_there;
    rill_scope_spawn(&sender->scope, &sender->receiver.task, receiver_poll);
    RILL_AWAIT(connect_there(sender));
    for (sender->depth = 1; sender->depth <= DEPTH_MAX && sender->connection.result == 0;
         sender->depth *= 2) {
        rill_rdma_pipeline_init(&sender->pipeline, &sender->connection, sender->slots,
                                sender->depth, NULL);
        sender->began_ns = rill_now();
        RILL_AWAIT(rill_rdma_pipeline_send_all(&sender->pipeline, sender->batch, MESSAGES));
        if (sender->pipeline.result < 0)
            break;
        printf("%2zu in flight: %.1f us a message of %d KiB\n", sender->depth,
               (double)(rill_now() - sender->began_ns) / 1e3 / MESSAGES, SIZE >> 10);
    }
    RILL_AWAIT(rill_rdma_disconnect(&sender->connection));
    RILL_AWAIT(rill_scope_join(&sender->scope));
    RILL_RETURN(sender->pipeline.result < 0 ? sender->pipeline.result : sender->connection.result);
    RILL_END();
}

int main(void)
{
    static struct sender sender;

    return rill_main(rill_future_init(&sender.future, sender_poll));
}
