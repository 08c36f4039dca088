/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/priority_sender.h"

#include "runtime/panic.h"
#include "runtime/task.h"

static struct rill_future *receive(struct rill_rdma_priority_sender *sender)
{
    return rill_priority_channel_receive_(sender->outbox, &sender->receive, &sender->message);
}

static void tell(struct rill_rdma_priority_sender *sender)
{
    struct rill_rdma_pipeline *pipeline = sender->pipeline;

    if (pipeline->on_sent)
        pipeline->on_sent(pipeline, &sender->message, sender->error);
}

/* Of a message that the pipeline never had. */
static void refuse(struct rill_rdma_priority_sender *sender)
{
    tell(sender);
    if (sender->message.owned)
        rill_rdma_buffer_give_back(sender->message.owned);
}

static enum rill_poll sender_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_priority_sender *sender =
        rill_container_of(self, struct rill_rdma_priority_sender, future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_rdma_pipeline_wait(sender->pipeline));
        sender->error = (int)sender->pipeline->result;
        if (sender->error)
            break;
        RILL_AWAIT(receive(sender));
        sender->error = sender->receive.result < 0 ? (int)sender->receive.result : 0;
        if (sender->receive.result <= 0)
            break;
        RILL_AWAIT(rill_rdma_pipeline_send_message(sender->pipeline, &sender->message));
        sender->error = (int)sender->pipeline->result;
        if (sender->error) {
            tell(sender);
            break;
        }
    }
    rill_priority_channel_close_(sender->outbox);
    /* Who has reserved a place may still send. */
    while (sender->error) {
        RILL_AWAIT(rill_shield(&sender->shield, receive(sender)));
        if (sender->receive.result == 0)
            break;
        refuse(sender);
    }
    RILL_AWAIT(rill_rdma_pipeline_drain(sender->pipeline));
    RILL_RETURN(sender->error ? sender->error : sender->pipeline->result);
    RILL_END();
}

struct rill_future *rill_rdma_send_by_priority(struct rill_rdma_priority_sender *sender,
                                               struct rill_rdma_pipeline *pipeline,
                                               struct rill_priority_channel *outbox)
{
    rill_check(outbox->levels[0].message_size == sizeof(struct rill_rdma_outgoing),
               "a channel of messages of %zu bytes is no outbox", outbox->levels[0].message_size);
    sender->pipeline = pipeline;
    sender->outbox = outbox;
    return rill_future_init(&sender->future, sender_poll);
}
